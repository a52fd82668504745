/* A disk that the kernel mounts, and that knows what a loss of power would leave of it (H3). Root only.
 *
 *     block_disk *disk = block_disk_new(64 << 20, why);
 *     ... mkfs and mount block_disk_device(disk) ...
 *     block_disk_record(disk);
 *     ... work; block_disk_here(disk) is a place in the record ...
 *     block_disk_stop(disk); ... unmount ...
 *     block_disk_image(disk, place, seed);
 *     ... mount block_disk_image_device(disk), look, unmount; and so on, at places that do not go back ...
 *     block_disk_free(disk);
 *
 * A loop device over one file of a file system of our own (FUSE, served by a child process), whose bytes are memory
 * that both processes share. What the kernel writes and where it flushes is recorded in order: a write that was
 * answered before a flush began is on the disk when the flush is answered, and nothing else is sure to be.
 *
 * Images are in a file in memory with a loop device of its own, so that mounting one asks no process.
 *
 * The mount of that file system is in a namespace of mounts of the calling process's own, so nothing of it stays
 * whatever happens. One thread. */
#ifndef LST_BLOCK_DISK_H
#define LST_BLOCK_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct block_disk block_disk;

/* NULL: it cannot be had here, and `why` says why not. The process has a mount namespace of its own from then on. */
block_disk *block_disk_new(uint64_t bytes, char why[256]);
void block_disk_free(block_disk *disk); /* It must not be mounted. */
const char *block_disk_device(const block_disk *disk);

/* What is on it now is there for good, and what the kernel writes from now on is recorded, until it is stopped. */
void block_disk_record(block_disk *disk);
void block_disk_stop(block_disk *disk);
/* How much is recorded; false: more than there is room for, so the end is missing. */
size_t block_disk_here(const block_disk *disk);
bool block_disk_is_whole(const block_disk *disk);

/* What a loss of power after the first `place` writes and flushes of the record may have left: what was flushed, and of
 * the writes after that none, all, some, or some of their sectors, as the seed says. Equal arguments give equal images.
 * `place` may not be less than the last time since the record began. Neither device may be mounted. The answer is a
 * hash of what was chosen. */
enum { BLOCK_SEED_NOTHING, BLOCK_SEED_EVERYTHING, BLOCK_SEED_RANDOM };
uint64_t block_disk_image(block_disk *disk, size_t place, uint64_t seed);
const char *block_disk_image_device(const block_disk *disk);
/* The disk itself is as it was at the record's end, with everything that was written. */
void block_disk_finish(block_disk *disk);

/* Media errors: the next so many writes, and flushes, fail with EIO and change nothing; UINT64_MAX: all from now on. */
void block_disk_fail(block_disk *disk, uint64_t writes, uint64_t flushes);
/* How many have. */
uint64_t block_disk_failed(const block_disk *disk);

#endif
