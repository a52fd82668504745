/* The disks that a loss of power may leave, made from a log. Each is made by playing operations into a fresh sim, so
 * there is one way in which content comes about. */
#include "support/sim_inside.h"

#include <string.h>

typedef enum fate {
    PENDING,
    DOUBTED,
    SYNCED
} fate;

static bool is_data(const sim_op *op)
{
    return op->kind == SIM_OP_WRITE || op->kind == SIM_OP_STORE || op->kind == SIM_OP_ALLOCATE ||
           op->kind == SIM_OP_TRUNCATE;
}

static bool is_name(const sim_op *op)
{
    return op->kind <= SIM_OP_RENAME;
}

/* The directory whose sync makes a change of names durable. */
static uint32_t dir_of(const sim_op *op)
{
    return op->kind == SIM_OP_RENAME ? op->to_dir : op->dir;
}

/* Which of the first `prefix` changes are surely on the disk. */
static fate *fates_of(const sim_files *sim, size_t prefix)
{
    fate *fates = sim_must(calloc(prefix + 1, sizeof(*fates)));
    /* Up to where the last sync of each file or directory looked: nothing before is pending any more. */
    size_t *looked = sim_must(calloc(sim->thing_count + 1, sizeof(*looked)));

    for (size_t i = 0; i < prefix; i++) {
        const sim_op *sync = &sim->log[i];
        bool of_dir = sync->kind == SIM_OP_SYNC_DIR || sync->kind == SIM_OP_DOUBT_DIR;
        uint32_t id = of_dir ? sync->dir : sync->file;
        bool failed = sync->kind == SIM_OP_DOUBT || sync->kind == SIM_OP_DOUBT_DIR;

        if (i < sim->log_base)
            fates[i] = SYNCED;
        if (sync->kind != SIM_OP_SYNC && !of_dir && sync->kind != SIM_OP_DOUBT)
            continue;
        for (size_t j = looked[id]; j < sync->covers; j++) {
            const sim_op *op = &sim->log[j];

            if (fates[j] == PENDING && (of_dir ? is_name(op) && dir_of(op) == id : is_data(op) && op->file == id))
                fates[j] = failed ? DOUBTED : SYNCED;
        }
        if (sync->covers > looked[id])
            looked[id] = sync->covers;
    }
    free(looked);
    return fates;
}

/* ---- bytes ---- */

typedef struct content {
    unsigned char *bytes; /* only as far as something was written; the rest up to `size` is zero */
    size_t written, capacity;
    uint64_t size;
} content;

static void content_put(content *to, uint64_t at, const unsigned char *bytes, size_t size)
{
    size_t end = (size_t)at + size;

    if (size == 0)
        return;
    if (end > to->capacity) {
        to->capacity = end > 2 * to->capacity ? end : 2 * to->capacity;
        to->bytes = sim_must(realloc(to->bytes, to->capacity));
    }
    if (end > to->written) {
        memset(to->bytes + to->written, 0, end - to->written);
        to->written = end;
    }
    memcpy(to->bytes + at, bytes, size);
    if (end > to->size)
        to->size = end;
}

static void content_cut(content *to, uint64_t size)
{
    if (size < to->written)
        to->written = (size_t)size;
    to->size = size;
}

/* Whether the seed keeps this unsynced change, by its kind. */
static bool keeps(uint64_t seed, size_t index, bool is_name_change)
{
    switch (seed) {
    case SIM_SEED_NOTHING:
        return false;
    case SIM_SEED_EVERYTHING:
        return true;
    case SIM_SEED_NAMES:
        return is_name_change;
    case SIM_SEED_BYTES:
        return !is_name_change;
    case SIM_SEED_GROWTH:
    case SIM_SEED_STALE:
        return is_name_change;
    default: {
        /* Each seed has its own odds, 1 to 7 of 8, for names and for bytes: states near each corner come up too. */
        uint64_t odds = 1 + sim_mix(seed * 2 + (is_name_change ? 1 : 0)) % 7;

        return sim_mix(sim_mix(seed) ^ (uint64_t)index) % 8 < odds;
    }
    }
}

/* ---- names ---- */

typedef struct names {
    label *list;
    size_t count, capacity;
} names;

static void names_set(names *of, uint32_t dir, char *text, uint32_t file)
{
    label fresh = {dir, file, text};

    for (size_t i = 0; i < of->count; i++)
        if (of->list[i].dir == dir && strcmp(of->list[i].text, text) == 0) {
            of->list[i] = fresh;
            return;
        }
    GROW(of->list, of->count, of->capacity);
    of->list[of->count++] = fresh;
}

static void names_drop(names *of, uint32_t dir, const char *text, uint32_t file)
{
    for (size_t i = 0; i < of->count; i++)
        if (of->list[i].dir == dir && of->list[i].file == file && strcmp(of->list[i].text, text) == 0) {
            of->list[i] = of->list[--of->count];
            return;
        }
}

/* Borrows its texts from the log. */
static void names_change(names *of, const sim_op *op)
{
    switch (op->kind) {
    case SIM_OP_CREATE:
    case SIM_OP_MAKE_DIR:
        names_set(of, op->dir, op->name, op->file);
        break;
    case SIM_OP_RENAME:
        names_drop(of, op->dir, op->name, op->file);
        names_set(of, op->to_dir, op->to_name, op->file);
        break;
    default:
        names_drop(of, op->dir, op->name, op->file);
        break;
    }
}

static names names_of(const sim_files *sim, size_t prefix, const fate *fates, uint64_t seed)
{
    names made = {0};

    for (size_t i = 0; i < prefix; i++) {
        const sim_op *op = &sim->log[i];

        if (is_name(op) && (fates[i] == SYNCED || keeps(seed, i, true)))
            names_change(&made, op);
    }
    return made;
}

/* ---- a state ---- */

/* What a file that has no name left leaves in blocks that others may be given: all of it that was synced. */
typedef struct leftover {
    uint32_t file;
    size_t gone_at; /* the operation that took its last name away */
    content bytes;
} leftover;

/* What building a state needs at hand. */
typedef struct building {
    sim_files *from, *into;
    size_t prefix;
    const fate *fates;
    names all;
    uint64_t seed;
    leftover *leftovers;
    size_t leftover_count, leftover_capacity;
    bool *is_placed; /* directories that have a name already: none gets two */
} building;

/* A file that was gone before operation `index` and had bytes at `at`. NULL: there is none. */
static const leftover *leftover_pick(const building *work, size_t index, uint64_t at, uint64_t random)
{
    const leftover *picked = NULL;
    uint64_t count = 0;

    for (size_t i = 0; i < work->leftover_count; i++) {
        const leftover *maybe = &work->leftovers[i];

        if (maybe->gone_at < index && at < maybe->bytes.written && sim_mix(random + i) % ++count == 0)
            picked = maybe;
    }
    return picked;
}

/* What something else once wrote, as a disk that reuses blocks shows it where a file grew without its data. The worst
 * are another file's bytes at their own place in it: all that they say of themselves is true, but whose they are. Where
 * nothing was deleted it is any bytes, at any place. */
static void content_stale(content *to, const building *work, size_t index, uint64_t at, uint64_t end, uint64_t random)
{
    const leftover *left = leftover_pick(work, index, at, random);
    const sim_op *old = NULL;

    if (work->seed >= SIM_SEED_RANDOM && random / 512 % 4 == 0)
        left = NULL;
    for (size_t tries = 0; tries < 8 && index > 0; tries++) {
        const sim_op *maybe = &work->from->log[sim_mix(random + tries) % index];

        if (maybe->bytes != NULL)
            old = maybe;
    }
    while (at < end) {
        unsigned char other[SECTOR_BYTES];
        size_t size = end - at < sizeof(other) ? (size_t)(end - at) : sizeof(other);

        memset(other, 0x5A, sizeof(other));
        if (old != NULL)
            for (size_t i = 0; i < size; i++)
                other[i] = old->bytes[(at + i) % old->size];
        if (left != NULL && at < left->bytes.written) {
            size_t there = left->bytes.written - (size_t)at;

            memcpy(other, left->bytes.bytes + at, there < size ? there : size);
        }
        content_put(to, at, other, size);
        at += size;
    }
}

/* Puts an unsynced write or store into `to` as the seed has it. */
static void put_unsynced(content *to, const building *work, size_t index)
{
    const sim_op *op = &work->from->log[index];
    uint64_t seed = work->seed;
    uint64_t random = sim_mix(sim_mix(seed ^ UINT64_C(0x5EED)) + index);
    uint64_t end = op->at + op->size, old_size = to->size;
    bool stale = seed == SIM_SEED_STALE || (seed >= SIM_SEED_RANDOM && random % 4 == 0);

    if (seed == SIM_SEED_GROWTH || seed == SIM_SEED_STALE || (seed >= SIM_SEED_RANDOM && random / 4 % 6 == 0)) {
        if (end > old_size) { /* only the growth arrived */
            if (stale)
                content_stale(to, work, index, op->at > old_size ? op->at : old_size, end, random);
            to->size = end;
        }
        return;
    }
    if (!keeps(seed, index, false))
        return;
    if (seed < SIM_SEED_RANDOM || random / 32 % 3 == 0) {
        content_put(to, op->at, op->bytes, (size_t)op->size);
        return;
    }
    /* A subset of its sectors; those left out keep what was there, and beyond the old end show zeros or old bytes. */
    if (stale && end > old_size)
        content_stale(to, work, index, op->at > old_size ? op->at : old_size, end, random);
    for (uint64_t at = op->at, next; at < end; at = next) {
        next = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
        next = next < end ? next : end;
        if (sim_mix(random ^ at) % 2 == 0)
            content_put(to, at, op->bytes + (at - op->at), (size_t)(next - at));
    }
    if (random / 128 % 2 == 0 && end > to->size)
        to->size = end;
}

static content content_of(const building *work, uint32_t file)
{
    content made = {0};

    for (size_t i = 0; i < work->prefix; i++) {
        const sim_op *op = &work->from->log[i];
        bool sure = work->fates[i] == SYNCED;

        if (op->file != file || !is_data(op))
            continue;
        if (op->kind == SIM_OP_WRITE || op->kind == SIM_OP_STORE) {
            if (sure)
                content_put(&made, op->at, op->bytes, (size_t)op->size);
            else
                put_unsynced(&made, work, i);
        } else if (sure || work->seed == SIM_SEED_GROWTH || keeps(work->seed, i, false)) {
            if (op->kind == SIM_OP_TRUNCATE)
                content_cut(&made, op->size);
            else if (op->at + op->size > made.size)
                made.size = op->at + op->size;
        }
    }
    return made;
}

/* Where in the log each file lost its last name; `prefix` for those that have one. */
static size_t *ends_of(const sim_files *sim, size_t prefix)
{
    size_t *ends = sim_must(malloc((sim->thing_count + 1) * sizeof(*ends)));
    names now = {0};

    for (size_t i = 0; i < sim->thing_count; i++)
        ends[i] = prefix;
    for (size_t i = 0; i < prefix; i++) {
        const sim_op *op = &sim->log[i];

        for (size_t k = 0; op->kind == SIM_OP_RENAME && k < now.count; k++)
            if (now.list[k].dir == op->to_dir && strcmp(now.list[k].text, op->to_name) == 0)
                ends[now.list[k].file] = i;
        if (op->kind == SIM_OP_UNLINK)
            ends[op->file] = i;
        if (is_name(op))
            names_change(&now, op);
    }
    free(now.list);
    return ends;
}

/* Of all files that are not on this disk. Those that had a name until the power went leave something as well: to who
 * uses the disk next. */
static void find_leftovers(building *work)
{
    building sure = {.from = work->from, .prefix = work->prefix, .fates = work->fates, .seed = SIM_SEED_NOTHING};
    size_t *ends = ends_of(work->from, work->prefix);
    bool *is_there = sim_must(calloc(work->from->thing_count, sizeof(*is_there)));

    for (size_t i = 0; i < work->all.count; i++)
        is_there[work->all.list[i].file] = true;
    for (uint32_t file = 0; file < work->from->thing_count; file++) {
        leftover left = {.file = file, .gone_at = ends[file]};

        if (is_there[file] || work->from->things[file].is_dir)
            continue;
        left.bytes = content_of(&sure, file);
        if (left.bytes.written == 0)
            continue;
        GROW(work->leftovers, work->leftover_count, work->leftover_capacity);
        work->leftovers[work->leftover_count++] = left;
    }
    free(is_there);
    free(ends);
}

static void write_content(sim_files *into, uint32_t file, const content *bytes)
{
    sim_op write = {.kind = SIM_OP_WRITE, .file = file, .size = bytes->written, .bytes = bytes->bytes};

    if (bytes->written > 0)
        sim_play(into, &write);
}

/* The next crash may find them too. Before anything has a name, so that theirs is free. */
static void leave_leftovers(building *work)
{
    for (size_t i = 0; i < work->leftover_count; i++) {
        char name[] = "gone";
        sim_op op = {.kind = SIM_OP_CREATE, .file = (uint32_t)work->into->thing_count, .name = name};

        sim_play(work->into, &op);
        write_content(work->into, op.file, &work->leftovers[i].bytes);
        op.kind = SIM_OP_UNLINK;
        sim_play(work->into, &op);
    }
}

static void build_dir(building *work, uint32_t dir, uint32_t into_dir)
{
    for (size_t i = 0; i < work->all.count; i++) {
        const label *entry = &work->all.list[i];
        bool is_dir = work->from->things[entry->file].is_dir;
        sim_op op = {.kind = is_dir ? SIM_OP_MAKE_DIR : SIM_OP_CREATE, .dir = into_dir, .name = entry->text};
        uint32_t made = (uint32_t)work->into->thing_count;
        content bytes;

        if (entry->dir != dir || (is_dir && work->is_placed[entry->file]))
            continue;
        sim_play(work->into, &op);
        if (is_dir) {
            work->is_placed[entry->file] = true;
            build_dir(work, entry->file, made);
            continue;
        }
        bytes = content_of(work, entry->file);
        write_content(work->into, made, &bytes);
        if (bytes.size != bytes.written) {
            sim_op cut = {.kind = SIM_OP_TRUNCATE, .file = made, .size = bytes.size};

            sim_play(work->into, &cut);
        }
        free(bytes.bytes);
    }
}

sim_files *sim_crash_state(sim_files *sim, size_t prefix, uint64_t seed)
{
    building work = {.from = sim, .into = sim_files_new(), .seed = seed};
    fate *fates;

    pthread_mutex_lock(&sim->mutex);
    sim_note_all_mapped(sim);
    prefix = prefix < sim->log_count ? prefix : sim->log_count;
    prefix = prefix > sim->log_base ? prefix : sim->log_base;
    work.prefix = prefix;
    work.fates = fates = fates_of(sim, prefix);
    work.all = names_of(sim, prefix, fates, seed);
    work.is_placed = sim_must(calloc(sim->thing_count, sizeof(*work.is_placed)));
    work.is_placed[0] = true;
    find_leftovers(&work);
    leave_leftovers(&work);
    build_dir(&work, 0, 0);
    work.into->log_base = work.into->log_count;
    work.into->has_root = sim->has_root;
    pthread_mutex_unlock(&sim->mutex);
    for (size_t i = 0; i < work.leftover_count; i++)
        free(work.leftovers[i].bytes.bytes);
    free(work.leftovers);
    free(work.is_placed);
    free(work.all.list);
    free(fates);
    return work.into;
}
