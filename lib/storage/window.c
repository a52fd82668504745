/* The mapped tail window: where small frames go that need not be durable when a put returns.
 *
 * A write costs a system call, ten times what the frame itself costs. So 256 KiB of the last segment, the block that
 * the log's end lies in, are mapped, and frames are stored there. What keeps that safe:
 *
 *  W1  Only bytes are mapped that a write of zeros has just made, or that were allocated once more, on file systems
 *      where writing over them needs no space (LSI_FS_IN_PLACE): no store meets a full disk (E5). Everything else is
 *      written.
 *  W2  Only this window is ever mapped writable, one per process and log, and only whoever holds append_lock stores.
 *  W3  The order is that of a write: the end of the write is noted, the bytes are stored, the end is published. A death
 *      in between leaves bytes that the next holder sees (S2).
 *  W4  Never in SYNC: a store dirties a whole folio of the page cache, a write only the blocks it touches, so each sync
 *      would write 64 KiB instead of 4.
 *
 * Residual risk, stated in store.h: the device fails to read a page of the window back that memory pressure had taken
 * out within moments of being written; that is a signal, as for every mapping. */
#include "storage/log.h"

#include "base/bytes.h"

static const unsigned char zeros[16 << 10];

/* W1: [from, to) of the file, in one write. */
static bool write_zeros(const lsi_segment *segment, uint64_t from, uint64_t to)
{
    lsi_span spans[LSI_WINDOW_BYTES / sizeof zeros + 1];
    int count = 0;

    for (uint64_t at = from; at < to; count++) {
        spans[count].data = zeros;
        spans[count].size = to - at < sizeof zeros ? (size_t)(to - at) : sizeof zeros;
        at += spans[count].size;
    }
    return segment->file.files->write(&segment->file, spans, count, from) >= 0;
}

/* `from`: where the frame goes that it is for; nothing before it is written. */
static bool move_window(const lsi_log_config *config, lsi_slot *slot, lsi_segment *segment, uint64_t from,
                        uint64_t block, uint64_t block_end)
{
    const lsi_files *files = segment->file.files;
    uint64_t to_position = segment->header.base - LSI_SEGMENT_HEADER_BYTES; /* offset to position, modulo 2^64 */
    uint64_t zeroed = lsi_load(&slot->zeroed_end) - to_position;
    void *map;

    if (zeroed < block_end) {
        /* A failure here is no failure of the put: the write that follows meets it and says it. */
        if (lsi_log_prepare_space(config, slot, segment, block_end + to_position, 8) < block_end + to_position ||
            !write_zeros(segment, zeroed > from ? zeroed : from, block_end))
            return false;
        atomic_store_explicit(&slot->zeroed_end, block_end + to_position, memory_order_relaxed);
    } else if (files->allocate(&segment->file, block, block_end - block) < 0) {
        return false; /* Somebody else's zeros, perhaps of a file that was copied since, with holes for them (E5). */
    }
    if (segment->window != NULL)
        files->unmap(&segment->file, segment->window, segment->window_bytes);
    segment->window = NULL;
    if (files->map(&segment->file, block, (size_t)(block_end - block), true, &map) < 0)
        return false;
    segment->window = map;
    segment->window_at = block;
    segment->window_bytes = (size_t)(block_end - block);
    return true;
}

bool lsi_window_move(const lsi_log_config *config, lsi_slot *slot, lsi_segment *segment, uint64_t position,
                     uint32_t bytes)
{
    uint64_t offset = position - segment->header.base + LSI_SEGMENT_HEADER_BYTES;
    uint64_t block = offset / LSI_WINDOW_BYTES * LSI_WINDOW_BYTES;
    uint64_t limit = LSI_SEGMENT_HEADER_BYTES + segment->header.frames_bytes_max;
    uint64_t block_end = block + LSI_WINDOW_BYTES < limit ? block + LSI_WINDOW_BYTES : limit;

    if (offset + bytes > block_end || block_end % 4096 != 0) /* It crosses the edge: once in a while, written. */
        return false;
    return move_window(config, slot, segment, offset, block, block_end);
}
