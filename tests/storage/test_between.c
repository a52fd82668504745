/* What others do between any two of our calls below: whatever we do to a log, another process deletes it, trims it,
 * rolls it, compresses it, closes it or finds that a sync of it failed, at our 1st, 2nd, ... Nth call of files; or that
 * call fails, or an allocation.
 *
 *  - what was acknowledged is read, in order, unless it was trimmed or is gone with its stream;
 *  - nothing is said to be damaged, by reading or by verifying;
 *  - a log that is gone is NOT_FOUND; one that failed takes puts again after a reset; any other takes them at once;
 *  - other shards' words in shared memory are left alone, those that came when it went, too;
 *  - nothing leaks.
 *
 * The other process is a thread with an opened store of its own; where we hold what he wants he gives up. */
#include "storage/log_store.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/status.h"
#include "support/sim_inside.h"

#define SMALL LSI_SEGMENT_BYTES_MIN
#define RECORD 20000u /* three fill a segment */
#define RECORDS 8u
#define PUTS_MAX 64u
#define SUCCESSORS 17u /* one more than a new control file has slots */

typedef struct world {
    sim_files *sim;
    sim_memory memory;
    lsi_memory table;
    log_store ours, theirs;
    unsigned next;        /* record to be put */
    bool acked[PUTS_MAX], never[PUTS_MAX];
    bool is_gone, has_failed, was_reset, is_closed;
    bool is_faulty;       /* a call may fail, and what it says is not to be foreseen */
    bool step_is_taken;   /* of which frames lie hidden, as far as anybody is told */
    ls_seqno step_seqno;
    /* The other one. */
    const char *act, *other; /* what this is, for messages */
    uint64_t nth;
    uint64_t calls_left;  /* until he comes; 0: he was here */
    bool is_he;           /* what is called now is his */
    void (*does)(struct world *of);
    lsi_slot *successors[SUCCESSORS];
    lsi_slot successors_were[SUCCESSORS];
} world;

/* ---- both ---- */

static ls_status append_one(world *of, log_store *store, bool *closed)
{
    char data[RECORD];
    char key[32];
    unsigned n = of->next++;
    uint32_t accepted;
    ls_seqno seqno;
    uint64_t end;
    ls_status st;

    assert_true(n < PUTS_MAX);
    memset(data, 'a' + (int)(n % 26), sizeof data);
    memcpy(data, &n, sizeof n);
    ls_put_entry entry = {{key, (size_t)snprintf(key, sizeof key, "key-%u", n)}, {data, sizeof data}, NULL};
    st = lsi_log_append(store->log, store->framer, &entry, NULL, 1, false, &accepted, &seqno, &end, closed);
    if (store == &of->theirs) /* He waits for no sync, which may be ours. */
        return st;
    if (st == LS_OK && !*closed && store->config.durability == LS_DURABILITY_SYNC)
        st = lsi_log_commit(store->log, end);
    of->acked[n] = st == LS_OK && !*closed;
    return st;
}

static ls_status decide(void *user, uint64_t decider, const lsi_log_config *log, ls_seqno first_seqno, bool look_only,
                        bool *is_taken)
{
    world *of = user;

    (void)log;
    (void)first_seqno;
    (void)look_only;
    assert_int_equal(decider, 9);
    *is_taken = of->step_is_taken;
    return LS_OK;
}

/* A step's frame, which is left as it is where `leaves`. */
static ls_status step_one(world *of, log_store *store, bool leaves)
{
    unsigned n = of->next++;
    char data[RECORD];
    ls_put_entry entry = {{"step", 4}, {data, sizeof data}, NULL};
    ls_status st = lsi_log_step_prepare(store->log, store->framer);
    bool closed;

    assert_true(n < PUTS_MAX);
    memset(data, 'a' + (int)(n % 26), sizeof data);
    memcpy(data, &n, sizeof n);
    if (st == LS_OK)
        st = lsi_log_step_write(store->log, store->framer, &entry, NULL, 1, 9, &of->step_seqno, &closed);
    if (st != LS_OK || closed)
        return st == LSI_PREPARE_FIRST ? LS_ERR_BUSY : st;
    st = lsi_log_step_sync(store->log);
    if (leaves)
        lsi_log_step_leave(store->log);
    else if (st == LS_OK)
        lsi_log_step_show(store->log);
    else
        lsi_log_step_drop(store->log);
    of->acked[n] = st == LS_OK && (!leaves || of->step_is_taken);
    of->never[n] = leaves && !of->step_is_taken;
    return st;
}

/* ---- what he does ---- */

static void delete_it(world *of)
{
    log_store *he = &of->theirs;

    if (lsi_control_lock(he->control) != LS_OK)
        return;
    lsi_control_drop_stream(he->control, 1, 1);
    lsi_control_unlock(he->control);
    of->is_gone = true;
    (void)lsi_log_destroy(&he->env, &he->root, he->config.dir, INT64_MAX);
}

static void forget_it(world *of) /* and dies before its files are removed */
{
    if (lsi_control_lock(of->theirs.control) != LS_OK)
        return;
    lsi_control_drop_stream(of->theirs.control, 1, 1);
    lsi_control_unlock(of->theirs.control);
    of->is_gone = true;
}

/* Deletes it, and others come: wherever its slot could go, it goes. */
static void replace_it(world *of)
{
    log_store *he = &of->theirs;

    delete_it(of);
    for (uint32_t i = 0; of->is_gone && i < SUCCESSORS; i++) {
        lsi_slot *slot;

        if (lsi_control_slot(he->control, LSI_SLOT_SHARD, 1, 100 + i, &slot) != LS_OK)
            return;
        atomic_store(&slot->segment, 77);
        atomic_store(&slot->committed_end, 1u << 20);
        atomic_store(&slot->write_end, 1u << 20);
        atomic_store(&slot->durable_end, 1u << 19);
        atomic_store(&slot->seqno_limit, UINT64_C(1) << 40);
        atomic_store(&slot->next_seqno, UINT64_C(1) << 30);
        atomic_store(&slot->epoch, lsi_control_epoch(he->control));
        atomic_store(&slot->health, LSI_SHARD_HEALTHY);
        of->successors[i] = slot;
        memcpy(&of->successors_were[i], slot, sizeof *slot);
    }
}

static void trim_it(world *of)
{
    uint32_t removed;

    (void)lsi_log_trim(of->theirs.log, 3, INT64_MAX, &removed);
}

static void roll_it(world *of)
{
    bool closed;

    for (int i = 0; i < 3; i++)
        (void)append_one(of, &of->theirs, &closed);
}

static void compress_it(world *of)
{
    uint64_t saved;
    bool found;

    (void)lsi_log_recompress(of->theirs.log, false, &found, &saved);
}

static void close_it(world *of)
{
    lsi_log_closing ended;

    if (lsi_log_closing_begin(of->theirs.log, &ended) != LS_OK)
        return;
    lsi_log_closing_end(of->theirs.log, true);
    lsi_log_closing_release(of->theirs.log);
    of->is_closed = true;
}

static void leave_a_step(world *of)
{
    (void)step_one(of, &of->theirs, true);
}

static void fail_it(world *of)
{
    lsi_slot *slot;

    if (lsi_log_ready(of->theirs.log, &slot) != LS_OK || of->is_closed)
        return;
    (void)lsi_log_fail(of->theirs.log, slot, EIO);
    of->has_failed = true;
}

static void fail_and_reset_it(world *of)
{
    fail_it(of);
    if (lsi_log_reset(of->theirs.log) == LS_OK)
        of->was_reset = true;
}

/* ---- what we do ---- */

static ls_status we_put(world *of)
{
    ls_status st = LS_OK;
    bool closed = false;

    for (int i = 0; st == LS_OK && !closed && i < 3; i++)
        st = append_one(of, &of->ours, &closed);
    return st;
}

/* Reads on to the tip; `seen` gets what there is. */
static ls_status read_on(lsi_log_reader *reader, bool seen[PUTS_MAX])
{
    const ls_record *records;
    bool tip = false, end;
    ls_seqno last = 0;
    uint32_t count;
    ls_status st;

    while (!tip) {
        st = lsi_log_reader_read(reader, 2, 1 << 20, &records, &count, &tip, &end);
        if (st == LS_ERR_TRIMMED)
            continue;
        if (st != LS_OK)
            return st;
        for (uint32_t i = 0; i < count; i++) {
            unsigned n;

            assert_true(records[i].seqno > last);
            last = records[i].seqno;
            if (records[i].data.size == 1) /* we_put_numbers */
                continue;
            assert_int_equal(records[i].data.size, RECORD);
            memcpy(&n, records[i].data.data, sizeof n);
            assert_true(n < PUTS_MAX && !seen[n]);
            assert_int_equal(((const char *)records[i].data.data)[RECORD - 1], 'a' + (int)(n % 26));
            seen[n] = true;
        }
    }
    return LS_OK;
}

static ls_status read_way(world *of, lsi_read_way way, const ls_position *from)
{
    bool seen[PUTS_MAX] = {false};
    lsi_log_reader *reader;
    ls_status st = lsi_log_reader_open(of->ours.log, way, &reader);

    if (st != LS_OK)
        return st;
    if (from != NULL)
        st = lsi_log_reader_seek(reader, from);
    if (st == LS_OK || st == LS_ERR_TRIMMED)
        st = read_on(reader, seen);
    if (st == LS_OK)
        st = read_on(reader, seen); /* from the tip on */
    lsi_log_reader_close(reader);
    return st;
}

static ls_status we_read(world *of)
{
    return read_way(of, LSI_READ_FAST, NULL);
}

static ls_status we_read_mapped(world *of)
{
    return read_way(of, LSI_READ_MAPPED, NULL);
}

static ls_status we_seek_a_time(world *of)
{
    ls_position at = {.kind = LS_AT_TIMESTAMP, .timestamp_us = of->ours.wall_us + 4};

    return read_way(of, LSI_READ_SPARING, &at);
}

static ls_status we_seek_a_number(world *of)
{
    ls_position at = {.kind = LS_AFTER_SEQUENCE_NUMBER, .seqno = 5};

    return read_way(of, LSI_READ_SPARING, &at);
}

static ls_status we_seek_the_end(world *of)
{
    ls_position at = {.kind = LS_LATEST};

    return read_way(of, LSI_READ_FAST, &at);
}

static ls_status we_trim(world *of)
{
    uint32_t removed;

    return lsi_log_trim(of->ours.log, 2, INT64_MAX, &removed);
}

static ls_status we_retire(world *of)
{
    bool rolled;

    return lsi_log_retire(of->ours.log, INT64_MAX, &rolled);
}

static ls_status we_compress(world *of)
{
    uint64_t saved;
    bool found;
    ls_status st = LS_OK;

    for (int i = 0; st == LS_OK && i < 2; i++)
        st = lsi_log_recompress(of->ours.log, i == 1, &found, &saved);
    return st;
}

static ls_status we_sync(world *of)
{
    return lsi_log_sync(of->ours.log);
}

static ls_status we_reset(world *of)
{
    lsi_slot *slot;
    ls_status st = lsi_log_ready(of->ours.log, &slot);

    if (st != LS_OK)
        return st;
    (void)lsi_log_fail(of->ours.log, slot, EIO);
    of->has_failed = true;
    st = lsi_log_reset(of->ours.log);
    of->was_reset = of->was_reset || st == LS_OK;
    return st;
}

static ls_status we_close(world *of)
{
    lsi_log_closing ended;
    ls_status st = lsi_log_closing_begin(of->ours.log, &ended);

    if (st != LS_OK)
        return st;
    lsi_log_closing_end(of->ours.log, true);
    lsi_log_closing_release(of->ours.log);
    of->is_closed = true;
    return LS_OK;
}

static ls_status we_look(world *of)
{
    lsi_log_facts facts;
    ls_seqno limit;
    uint64_t count;
    int64_t last_us;
    ls_status st = lsi_log_state(of->ours.log, &facts);

    if (st == LS_OK)
        st = lsi_log_reach(of->ours.log, &limit, &last_us);
    return st == LS_OK ? lsi_log_count_from(of->ours.log, facts.oldest != 0 ? facts.oldest : 1, &count) : st;
}

static ls_status we_copy(world *of)
{
    const lsi_files *files = of->ours.root.files;
    lsi_copy copy = {0};
    uint64_t bytes;
    lsi_root root;
    ls_status st = lsi_log_copy_bytes(of->ours.log, &bytes);

    if (st != LS_OK || files->root_open(files, "store/copy", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &root) != 0)
        return st != LS_OK ? st : LS_ERR_IO;
    (void)files->make_dir(&root, "1");
    (void)files->make_dir(&root, "1/0");
    for (int i = 0; st == LS_OK && i < 2; i++) /* and what is new of it */
        st = lsi_log_copy(of->ours.log, &root, &copy);
    files->root_close(&root);
    return st;
}

static ls_inspect_act hear(const ls_finding *finding, void *user)
{
    world *of = user;

    if (finding->severity == LS_FINDING_DAMAGE && !of->is_gone && !of->has_failed && !of->is_faulty)
        fail_msg("there is no damage: %s", finding->what);
    return LS_INSPECT_GO_ON;
}

static ls_status we_verify(world *of)
{
    lsi_inspection inspection = {.finding = hear, .user = of, .stream = "test", .stream_id = 1};
    log_store *store = &of->ours;
    lsi_peek peek;
    ls_status st = lsi_peek_open(&store->env, &store->root, store->config.store_id, &peek);

    if (st == LS_OK)
        st = lsi_log_verify(&store->config, &peek, &inspection);
    lsi_peek_close(&peek);
    return st;
}

static ls_status we_step(world *of)
{
    ls_status st = step_one(of, &of->ours, false);

    return st == LS_OK ? step_one(of, &of->ours, false) : st;
}

static ls_status we_settle(world *of)
{
    ls_status st;

    of->step_is_taken = true;
    st = step_one(of, &of->ours, true);
    if (st == LS_OK)
        st = lsi_log_step_settle(of->ours.log);
    return st == LS_OK ? lsi_log_step_seal(of->ours.log, of->step_seqno) : st;
}

static ls_status we_undo(world *of)
{
    ls_status st = step_one(of, &of->ours, true);

    return st == LS_OK ? lsi_log_step_settle(of->ours.log) : st;
}

static ls_status we_put_numbers(world *of)
{
    char data[2] = "x";
    ls_put_entry entries[2] = {{{"k", 1}, {data, 1}, NULL}, {{"l", 1}, {data, 1}, NULL}};
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_put_result told[2];
    lsi_log_numbered numbered = {.options = &options, .told = told};
    ls_status st = LS_OK;
    uint64_t end;
    bool closed = false;

    options.producer = (ls_producer_id){1, 2};
    for (int i = 0; st == LS_OK && !closed && i < 3; i++) { /* The third time they were there before. */
        options.number = i == 1 ? 10 : 1;
        st = lsi_log_append_numbered(of->ours.log, of->ours.framer, entries, NULL, 2, &numbered, &end, &closed);
        if (st == LS_OK && !closed)
            st = lsi_log_commit(of->ours.log, end);
        if (st == LS_OK && !closed && !of->is_gone && i == 2)
            assert_int_equal(told[0].status, LS_ERR_EXISTS);
    }
    return st;
}

/* Who opened it to read sees all, and changes nothing. */
static ls_status we_only_read(world *of)
{
    lsi_log_config config = of->ours.config;
    ls_put_entry entry = {{"k", 1}, {"x", 1}, NULL};
    bool seen[PUTS_MAX] = {false}, is;
    lsi_log_reader *reader;
    lsi_log_closing ended;
    lsi_log_facts facts;
    uint32_t count;
    ls_seqno seqno;
    uint64_t end;
    lsi_log *log;
    ls_status st;

    config.read_only = true;
    st = lsi_log_open(&config, &log);
    if (st != LS_OK)
        return st;
    st = lsi_log_state(log, &facts);
    if (st == LS_OK)
        st = lsi_log_reader_open(log, LSI_READ_FAST, &reader);
    if (st == LS_OK) {
        st = read_on(reader, seen);
        lsi_log_reader_close(reader);
    }
    if (st == LS_OK) {
        assert_int_equal(lsi_log_append(log, of->ours.framer, &entry, NULL, 1, false, &count, &seqno, &end, &is),
                         LS_ERR_READ_ONLY);
        assert_int_equal(lsi_log_trim(log, 3, INT64_MAX, &count), LS_ERR_READ_ONLY);
        assert_int_equal(lsi_log_recompress(log, false, &is, &end), LS_ERR_READ_ONLY);
    }
    if (st == LS_OK && !of->is_gone && !of->is_faulty) {
        assert_int_equal(lsi_log_reset(log), LS_ERR_READ_ONLY);
        assert_int_equal(lsi_log_retire(log, INT64_MAX, &is), LS_ERR_READ_ONLY);
        assert_int_equal(lsi_log_closing_begin(log, &ended), LS_ERR_READ_ONLY);
        assert_int_equal(lsi_log_step_prepare(log, of->ours.framer), LS_ERR_READ_ONLY);
    }
    if (st == LS_OK)
        st = lsi_log_sync(log); /* There is nothing of his to sync. */
    (void)lsi_log_close(log);
    return st;
}

/* ---- the walk ---- */

static const struct {
    const char *name;
    ls_status (*does)(world *of);
    bool may_miss;  /* it says so when the files of one that is gone are */
    bool is_upkeep; /* of which there is one at a time */
} acts[] = {
    {"put", we_put, false, false}, {"read", we_read, false, false}, {"read mapped", we_read_mapped, false, false},
    {"seek a time", we_seek_a_time, false, false}, {"seek a number", we_seek_a_number, false, false},
    {"seek the end", we_seek_the_end, false, false}, {"trim", we_trim, true, true},
    {"retire", we_retire, false, true}, {"compress", we_compress, true, true}, {"sync", we_sync, false, false},
    {"reset", we_reset, true, false}, {"close", we_close, false, false}, {"look", we_look, true, false},
    {"copy", we_copy, true, false}, {"verify", we_verify, true, false},
    {"step", we_step, false, false}, {"settle a step", we_settle, false, false},
    {"undo a step", we_undo, false, false}, {"put numbers", we_put_numbers, false, false},
    {"only read", we_only_read, true, false},
};

static const struct {
    const char *name;
    void (*does)(world *of);
    bool is_upkeep;
} others[] = {
    {"deletes", delete_it, false}, {"forgets", forget_it, false}, {"trims", trim_it, true}, {"rolls", roll_it, false},
    {"compresses", compress_it, true}, {"closes", close_it, false}, {"fails", fail_it, false},
    {"fails and resets", fail_and_reset_it, false}, {"leaves a step", leave_a_step, false},
    {"replaces", replace_it, false},
};

static const struct {
    const char *name;
    sim_call call;
    int err;
} faults[] = {
    {"EIO", SIM_ANY, EIO}, {"ENOSPC", SIM_ANY, ENOSPC}, {"ENFILE", SIM_SYNC_DIR, ENFILE}, {"EMFILE", SIM_OPEN, EMFILE},
    {"EMFILE of a directory", SIM_SYNC_DIR, EMFILE}, {"EDQUOT", SIM_ANY, EDQUOT}, {"no memory", SIM_ANY, ENOMEM},
};

static void *run_him(void *user)
{
    world *of = user;

    of->does(of);
    return NULL;
}

static void maybe_he_comes(void *user, sim_call call, const char *name)
{
    world *of = user;
    pthread_t thread;

    (void)call;
    (void)name;
    if (of->is_he || of->calls_left == 0 || --of->calls_left > 0)
        return;
    of->is_he = true;
    assert_int_equal(pthread_create(&thread, NULL, run_him, of), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    of->is_he = false;
}

static sim_files *new_disk(ls_durability durability)
{
    world of = {.sim = sim_files_new()};

    log_store_open(&of.ours, sim_files_table(of.sim), true, durability, SMALL);
    for (unsigned n = 0; n < RECORDS; n++) {
        of.ours.wall_us++;
        assert_int_equal(log_store_put(&of.ours, n, RECORD, &(ls_seqno){0}), LS_OK);
    }
    assert_int_equal(log_store_close(&of.ours), LS_OK);
    return of.sim;
}

static bool may_answer(const world *of, ls_status st, bool may_miss)
{
    switch (st) {
    case LS_OK:
    case LS_ERR_BUSY:
        return true;
    case LS_ERR_NOT_FOUND:
        return of->is_gone;
    case LS_ERR_CORRUPT: /* Whether it is gone is not asked by all of them: who has the stream does. */
        return of->is_gone && may_miss;
    case LS_ERR_IO:
        return of->has_failed || of->is_gone || of->is_faulty;
    case LS_ERR_STATE:
        return of->is_closed || of->was_reset;
    case LS_ERR_NO_MEMORY:
    case LS_ERR_FULL:
        return of->is_faulty;
    default:
        return false;
    }
}

/* When he has gone and we are done. */
static void judge(world *of)
{
    bool seen[PUTS_MAX] = {false}, closed = false, past = false;
    lsi_log_reader *reader;
    ls_status st;

    if (of->is_gone) {
        st = append_one(of, &of->ours, &closed);
        if (st != LS_ERR_NOT_FOUND)
            fail_msg("%s, he %s at call %llu: then a put is %s: %s", of->act, of->other, (unsigned long long)of->nth,
                     ls_status_name(st), ls_last_error_message());
        return;
    }
    st = append_one(of, &of->ours, &closed);
    if (st == LS_ERR_IO && (of->has_failed || of->is_faulty)) {
        assert_int_equal(lsi_log_reset(of->ours.log), LS_OK);
        of->was_reset = true;
        st = append_one(of, &of->ours, &closed);
    }
    if (st != LS_OK || closed != of->is_closed)
        fail_msg("%s, he %s at call %llu: then a put is %s: %s", of->act, of->other, (unsigned long long)of->nth,
                 closed ? "refused as closed" : ls_status_name(st), ls_last_error_message());
    assert_int_equal(lsi_log_reader_open(of->theirs.log, LSI_READ_FAST, &reader), LS_OK);
    st = read_on(reader, seen);
    lsi_log_reader_close(reader);
    if (st != LS_OK)
        fail_msg("%s, he %s at call %llu: then a read is %s: %s", of->act, of->other, (unsigned long long)of->nth,
                 ls_status_name(st), ls_last_error_message());
    for (unsigned n = 0; n < PUTS_MAX; n++) {
        past = past || seen[n];
        if (of->acked[n] && past && !seen[n] && !(of->was_reset && of->ours.config.durability != LS_DURABILITY_SYNC))
            fail_msg("%s, he %s at call %llu: record %u is lost", of->act, of->other, (unsigned long long)of->nth, n);
        if (of->never[n] && seen[n])
            fail_msg("%s, he %s at call %llu: record %u of a step that was not taken is there", of->act, of->other,
                     (unsigned long long)of->nth, n);
    }
    assert_true(past);
}

/* As log_store_open, of one who knows what became of steps. */
static void open_both(world *of, ls_durability durability)
{
    log_store *stores[] = {&of->ours, &of->theirs};

    of->table = sim_memory_table(&of->memory);
    for (size_t i = 0; i < 2; i++) {
        stores[i]->memory = &of->table;
        stores[i]->wall_us = INT64_C(1700000000000000) + RECORDS;
        log_store_open(stores[i], sim_files_table(of->sim), false, durability, SMALL);
        stores[i]->env.busy_timeout_ms = 0;
        assert_int_equal(lsi_log_close(stores[i]->log), LS_OK);
        stores[i]->config.decide = decide;
        stores[i]->config.decide_user = of;
        assert_int_equal(lsi_log_open(&stores[i]->config, &stores[i]->log), LS_OK);
    }
}

/* Our act on a copy of the disk. He comes, or, where `fault` is set, a call or an allocation fails: whether that was
 * so. */
static bool run_case(sim_files *disk, ls_durability durability, size_t act, size_t other, bool fault, uint64_t nth)
{
    world of = {.sim = sim_clone(disk), .memory = SIM_MEMORY_INIT, .next = RECORDS, .is_faulty = fault,
                .act = acts[act].name, .other = fault ? faults[other].name : others[other].name, .nth = nth};
    lsi_slot *slot;
    ls_status st;
    bool met;

    for (unsigned n = 0; n < RECORDS; n++)
        of.acked[n] = true;
    open_both(&of, durability);
    assert_int_equal(lsi_log_find_slot(of.ours.log, &slot), LS_OK); /* That there is such a log was known once. */
    if (!fault) {
        of.calls_left = nth;
        of.does = others[other].does;
        sim_hook_set(of.sim, maybe_he_comes, &of);
    } else if (faults[other].err == ENOMEM) {
        sim_memory_fail(&of.memory, nth, false);
    } else {
        sim_fault_add(of.sim, (sim_fault){.call = faults[other].call, .nth = nth, .err = faults[other].err});
    }
    st = acts[act].does(&of);
    met = !fault ? of.calls_left == 0 : of.memory.failed > 0 || sim_faults_met(of.sim) > 0;
    sim_hook_set(of.sim, NULL, NULL);
    sim_memory_fail(&of.memory, 0, false);
    sim_faults_clear(of.sim);
    if (!may_answer(&of, st, acts[act].may_miss))
        fail_msg("%s, he %s at call %llu: %s: %s", of.act, of.other, (unsigned long long)nth, ls_status_name(st),
                 ls_last_error_message());
    judge(&of);
    (void)log_store_close(&of.ours); /* one that failed says so */
    for (uint32_t i = 0; i < SUCCESSORS && of.successors[i] != NULL; i++)
        if (memcmp(of.successors[i], &of.successors_were[i], sizeof(lsi_slot)) != 0)
            fail_msg("%s, he %s at call %llu: shard %u is not as it was", of.act, of.other, (unsigned long long)nth,
                     100 + i);
    (void)log_store_close(&of.theirs);
    if (of.memory.live != 0)
        fail_msg("%s, he %s at call %llu: it leaks", of.act, of.other, (unsigned long long)nth);
    if (of.sim->opens != NULL)
        fail_msg("%s, he %s at call %llu: '%s' is open", of.act, of.other, (unsigned long long)nth,
                 of.sim->opens->name);
    sim_files_free(of.sim);
    return met;
}

static void walk(ls_durability durability, bool fault)
{
    uint64_t step = getenv("LIBSTREAM_TEST_LONG") != NULL ? 1 : SIM_STRIDE;
    size_t count = fault ? sizeof faults / sizeof *faults : sizeof others / sizeof *others;
    sim_files *disk = new_disk(durability);

    for (size_t act = 0; act < sizeof acts / sizeof *acts; act++)
        for (size_t other = 0; other < count; other++) {
            if (!fault && acts[act].is_upkeep && others[other].is_upkeep)
                continue;
            for (uint64_t nth = 1 + (act + other) % step; run_case(disk, durability, act, other, fault, nth);
                 nth += step)
                continue;
        }
    sim_files_free(disk);
}

static void others_come_between_any_two_calls_of_durable_puts(void **state)
{
    (void)state;
    walk(LS_DURABILITY_SYNC, false);
}

static void others_come_between_any_two_calls_of_buffered_puts(void **state)
{
    (void)state;
    walk(LS_DURABILITY_KERNEL, false);
}

static void any_call_of_durable_puts_may_fail(void **state)
{
    (void)state;
    walk(LS_DURABILITY_SYNC, true);
}

static void any_call_of_buffered_puts_may_fail(void **state)
{
    (void)state;
    walk(LS_DURABILITY_KERNEL, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_come_between_any_two_calls_of_durable_puts),
        cmocka_unit_test(others_come_between_any_two_calls_of_buffered_puts),
        cmocka_unit_test(any_call_of_durable_puts_may_fail),
        cmocka_unit_test(any_call_of_buffered_puts_may_fail),
    };
    return cmocka_run_group_tests_name("what others do between our calls", tests, NULL, NULL);
}
