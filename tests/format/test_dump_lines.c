/* What a dump says, line by line (storage/dump.c), of what golden stores do not have: numbered frames, keys that are no
 * text, lists with each flag and with skips, producers, processes, slots, and entries that are wrong. Each file is made
 * by the code that writes it, in memory. */
#include "storage/log_store.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/status.h"
#include "storage/control_layout.h"
#include "storage/inspect.h"
#include "storage/manifest.h"
#include "storage/numbered.h"
#include "storage/verify.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"

#define SMALL LSI_SEGMENT_BYTES_MIN
#define FIRST "00000001.seg"
#define SALT_TEXT "0303030303030303030303030303030303030303030303030303030303030303"

typedef struct fixture {
    sim_files *sim;
    lsi_files *files;
    sim_memory memory;
    lsi_memory table;
    log_store store;
    lsi_root dir; /* of the log */
    char said[1u << 16];
    size_t said_bytes;
    uint32_t most; /* it says stop at this line; 0: never */
    bool damaged;
} fixture;

static int set_up(void **state)
{
    static fixture fx;

    memset(&fx, 0, sizeof fx);
    fx.sim = sim_files_new();
    fx.files = sim_files_table(fx.sim);
    fx.memory = (sim_memory)SIM_MEMORY_INIT;
    fx.table = sim_memory_table(&fx.memory);
    fx.store.memory = &fx.table;
    log_store_open(&fx.store, fx.files, true, LS_DURABILITY_SYNC, SMALL);
    assert_int_equal(fx.files->root_open(fx.files, "store/1/0", LSI_ROOT_WRITE, &fx.dir), 0);
    *state = &fx;
    return 0;
}

static int tear_down(void **state)
{
    fixture *fx = *state;

    fx->files->root_close(&fx->dir);
    (void)log_store_close(&fx->store);
    assert_int_equal(fx->memory.live, 0);
    sim_files_free(fx->sim);
    return 0;
}

static ls_inspect_act take_line(const char *line, void *user)
{
    fixture *fx = user;
    int wrote = snprintf(fx->said + fx->said_bytes, sizeof fx->said - fx->said_bytes, "%s\n", line);

    assert_true(wrote > 0 && fx->said_bytes + (size_t)wrote < sizeof fx->said);
    fx->said_bytes += (size_t)wrote;
    return fx->most != 0 && --fx->most == 0 ? LS_INSPECT_STOP : LS_INSPECT_GO_ON;
}

static ls_status dump_in(fixture *fx, const lsi_root *root, const char *name)
{
    lsi_dump dump = {.env = &fx->store.env, .root = root, .path = name, .line = take_line, .user = fx};
    void *payload = NULL;
    size_t size;
    ls_status st;

    fx->said_bytes = 0;
    fx->said[0] = '\0';
    st = lsi_dump_file(&dump, name, &payload, &size);
    fx->damaged = dump.damaged;
    lsi_free(&fx->store.env.memory, payload);
    return st;
}

/* All that it opens is closed. */
static void dump(fixture *fx, const char *name)
{
    uint64_t opened = sim_calls(fx->sim, SIM_OPEN), closed = sim_calls(fx->sim, SIM_CLOSE);

    assert_int_equal(dump_in(fx, &fx->dir, name), LS_OK);
    opened = sim_calls(fx->sim, SIM_OPEN) - opened;
    closed = sim_calls(fx->sim, SIM_CLOSE) - closed;
    assert_true(opened >= closed && opened - closed <= 1); /* A name may be nobody's. */
}

/* The line is there, whole. */
static void said(const fixture *fx, const char *line)
{
    const char *at = fx->said;
    size_t size = strlen(line);

    while ((at = strstr(at, line)) != NULL && !((at == fx->said || at[-1] == '\n') && at[size] == '\n'))
        at++;
    if (at == NULL)
        fail_msg("it does not say:\n%s\nbut:\n%s", line, fx->said);
}

static unsigned lines_with(const fixture *fx, const char *text)
{
    unsigned count = 0;

    for (const char *at = fx->said; (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

static void write_file(fixture *fx, const char *name, const void *bytes, size_t size, uint64_t at)
{
    lsi_file file = {0};

    assert_int_equal(fx->files->open(&fx->dir, name, LSI_OPEN_WRITE | LSI_OPEN_CREATE, &file), 0);
    assert_int_equal(lsi_file_write_one(&file, bytes, size, at), 0);
    assert_int_equal(fx->files->close(&file), 0);
}

/* ---- segments ---- */

static void put_numbered(fixture *fx, const uint64_t *numbers, const uint32_t *users, uint32_t count)
{
    ls_put_entry entries[4] = {{{"k", 1}, {"data", 4}, NULL}, {{"l", 1}, {"", 0}, NULL}, {{"m", 1}, {"x", 1}, NULL}};
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_put_result told[4];
    lsi_log_numbered numbered = {.options = &options, .users = users, .told = told};
    uint64_t end;
    bool closed;

    options.producer = (ls_producer_id){0xAB, 0xCD};
    options.numbers = numbers;
    assert_int_equal(lsi_log_append_numbered(fx->store.log, fx->store.framer, entries, NULL, count, &numbered, &end,
                                             &closed), LS_OK);
    assert_int_equal(lsi_log_commit(fx->store.log, end), LS_OK);
}

static void numbered_frames_name_their_producer(void **state)
{
    static const uint64_t even[] = {5, 6, 7}, gaps[] = {9, 12, 13}, several[] = {20, 21, 22};
    static const uint32_t users[] = {2, 1};
    fixture *fx = *state;

    put_numbered(fx, even, NULL, 3);
    put_numbered(fx, gaps, NULL, 3);
    put_numbered(fx, several, users, 2);
    dump(fx, FIRST);
    said(fx, "    numbers 5..7 of producer 00000000000000ab00000000000000cd");
    said(fx, "    numbers 9..13 with gaps of producer 00000000000000ab00000000000000cd");
    said(fx, "    numbers 20..22, several to a record, of producer 00000000000000ab00000000000000cd");
    assert_false(fx->damaged);
}

/* One record with several numbers. */
static void an_aggregate_shows_that_it_has_several(void **state)
{
    static const uint64_t three[] = {5, 6, 7};
    static const uint32_t users[] = {3};
    fixture *fx = *state;

    put_numbered(fx, three, users, 1);
    dump(fx, FIRST);
    said(fx, "    numbers 5..7, several to a record, of producer 00000000000000ab00000000000000cd");
    assert_false(fx->damaged);
}

/* Where frames end, where bytes are that are none, and which file the system would not read. */
static void what_is_no_frame_is_shown_with_its_size(void **state)
{
    fixture *fx = *state;
    char line[100];
    lsi_file file;
    uint64_t end;

    assert_int_equal(log_store_put(&fx->store, 0, 10, &(ls_seqno){0}), LS_OK);
    assert_int_equal(log_store_put(&fx->store, 1, 10, &(ls_seqno){0}), LS_OK);
    end = LSI_SEGMENT_HEADER_BYTES + lsi_load(&lsi_log_slot(fx->store.log)->committed_end);
    assert_int_equal(fx->files->open(&fx->dir, FIRST, LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(fx->files->truncate(&file, end + 64), 0);
    dump(fx, FIRST);
    (void)snprintf(line, sizeof line, "0x%08llx no frame, zeros first: 64 bytes", (unsigned long long)end);
    said(fx, line);
    unsigned char salt[32];
    assert_int_equal(fx->files->read(&file, salt, sizeof salt, LSI_SEGMENT_SALT_AT), sizeof salt);
    int at = snprintf(line, sizeof line, "salt ");
    for (size_t i = 0; i < sizeof salt; i++)
        at += snprintf(line + at, sizeof line - (size_t)at, "%02x", salt[i]);
    said(fx, line);
    assert_false(fx->damaged);
    write_file(fx, FIRST, "?", 1, LSI_SEGMENT_HEADER_BYTES + 60);
    dump(fx, FIRST);
    (void)snprintf(line, sizeof line, "0x00001000 no frame: %llu bytes",
                   (unsigned long long)(end - LSI_SEGMENT_HEADER_BYTES) / 2);
    said(fx, line);
    said(fx, "DAMAGED: frames follow bytes that are none");
    assert_true(fx->damaged);
    assert_int_equal(fx->files->close(&file), 0);
    for (uint64_t nth = 2; nth < 4; nth++) { /* The first one tells files apart. */
        sim_fault_add(fx->sim, (sim_fault){.call = SIM_READ, .nth = nth, .err = EIO});
        ls_status st = dump_in(fx, &fx->dir, FIRST);
        bool met = sim_faults_met(fx->sim) != 0;
        sim_faults_clear(fx->sim);
        assert_int_equal(st, met ? LS_ERR_IO : LS_OK);
        if (met)
            assert_non_null(strstr(ls_last_error_message(), FIRST));
    }
}

/* Of a file in blocks it shows what was in it before. */
static void a_segment_in_blocks_is_shown_as_it_was(void **state)
{
    fixture *fx = *state;
    uint64_t saved;
    bool found;

    for (unsigned n = 0; n < 4; n++) /* three fill a segment */
        assert_int_equal(log_store_put(&fx->store, n, 20000, &(ls_seqno){0}), LS_OK);
    assert_int_equal(lsi_log_recompress(fx->store.log, false, &found, &saved), LS_OK);
    assert_true(found && saved > 0);
    dump(fx, FIRST);
    assert_false(fx->damaged);
    assert_int_equal(lines_with(fx, "the file is in blocks, "), 1);
    assert_int_equal(lines_with(fx, " key 5 \"key-"), 3);
    said(fx, "0x00001000 frame: position 0 bytes 20064 records 1 seqno 1");
    said(fx, "0x0000fb20 end of the file");
}

static void keys_are_shown_as_text_or_not(void **state)
{
    fixture *fx = *state;
    static const char odd[] = "a\x1f \x7f\"\\~\xc3\xa4", hundred[] =
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";
    ls_hash_key hash = {1, 2};
    ls_put_entry entries[] = {{{odd, sizeof odd - 1}, {"12", 2}, &hash}, {{hundred, 100}, {"", 0}, NULL}};
    uint32_t accepted;
    ls_seqno seqno;
    uint64_t end;
    bool closed;

    assert_int_equal(lsi_log_append(fx->store.log, fx->store.framer, entries, NULL, 2, true, &accepted, &seqno, &end,
                                    &closed), LS_OK);
    assert_int_equal(lsi_log_commit(fx->store.log, end), LS_OK);
    dump(fx, FIRST);
    assert_non_null(strstr(fx->said, "seqno 1 key 9 \"a\\x1f \\x7f\\x22\\x5c~\xc3\xa4\" data 2 hash "
                                     "00000000000000010000000000000002\n"));
    assert_non_null(strstr(fx->said, "seqno 2 key 100 \"0123456789"));
    assert_non_null(strstr(fx->said, "...\" data 0\n"));
    fx->most = 4; /* Who has seen enough is told no more. */
    dump(fx, FIRST);
    assert_null(strstr(fx->said, "end of the file"));
}

static void what_is_no_header_is_shown_as_far_as_it_can_be(void **state)
{
    fixture *fx = *state;
    unsigned char bytes[200];

    memset(bytes, 3, sizeof bytes);
    write_file(fx, "00000007.seg", bytes, sizeof bytes, 0);
    dump(fx, "00000007.seg");
    assert_true(fx->damaged);
    said(fx, "DAMAGED: the header of 00000007.seg does not begin as a segment's does");
    said(fx, "salt " SALT_TEXT " (perhaps)");
    assert_int_equal(dump_in(fx, &fx->dir, "00000008.seg"), LS_ERR_NOT_FOUND);
    write_file(fx, "other", bytes, sizeof bytes, 0);
    assert_int_equal(dump_in(fx, &fx->dir, "other"), LS_ERR_INVALID_ARGUMENT);
    write_file(fx, ".seg", bytes, sizeof bytes, 0);
    assert_int_equal(dump_in(fx, &fx->dir, ".seg"), LS_ERR_INVALID_ARGUMENT);
    write_file(fx, ".idx", bytes, sizeof bytes, 0);
    assert_int_equal(dump_in(fx, &fx->dir, ".idx"), LS_ERR_INVALID_ARGUMENT);
}

/* ---- lists and producers ---- */

static void store_list(fixture *fx, lsi_segment_list *list)
{
    assert_int_equal(lsi_segment_list_store(&fx->store.config, list), LS_OK);
}

static void a_list_is_shown_with_all_that_it_says(void **state)
{
    lsi_segment_entry entries[] = {
        {.number = 1, .flags = LSI_SEGMENT_SEALED | LSI_SEGMENT_TORN, .end = 64, .base_seqno = 8, .seqno_limit = 9,
         .base_arrival_us = 11, .header_sum = 0xF1},
        {.number = 2, .flags = LSI_SEGMENT_SEALED | LSI_SEGMENT_LOOKED_AT | LSI_SEGMENT_DOUBTFUL, .base = 64,
         .end = 128, .base_seqno = 9, .seqno_limit = 10, .file_bytes = 5000},
        {.number = 3, .flags = LSI_SEGMENT_AHEAD | LSI_SEGMENT_NUMBERED, .base = 128, .base_seqno = 10,
         .seqno_limit = 20},
    };
    lsi_skip skips[] = {{8, 16, 3, 4}, {64, 128, 9, 9}};
    fixture *fx = *state;
    lsi_segment_list list = {.count = 3, .skip_count = 2, .trimmed = 7, .entries = entries, .skips = skips,
                             .head = {.generation = 5, .flags = 2}};

    assert_int_equal(fx->files->make_dir(&fx->dir, "00000000.seg"), 0); /* Not it, ... */
    write_file(fx, "00000002.seg", "short", 5, 0);
    store_list(fx, &list);
    dump(fx, LSI_SEGMENT_LIST_NAME);
    assert_false(fx->damaged);
    said(fx, "generation 5 with flags of a later release, payload 272 bytes");
    said(fx, "trimmed below seqno 7");
    said(fx, "segment 1 sealed torn base 0 end 64 header sum 00000000000000f1");
    said(fx, "    seqno 8 up to below 9 arrival from 11 us");
    said(fx, "segment 2 sealed recompressed doubtful base 64 end 128 header sum 0000000000000000");
    said(fx, "    file of 5000 bytes");
    said(fx, "segment 3 open ahead base 128 end 0 header sum 0000000000000000");
    said(fx, "    numbered: producers says of which producers");
    said(fx, "skip from 8 to 16 (seqno 3..4)");
    said(fx, "skip from 64 to 128 (seqno 9..9)");
    assert_int_equal(lines_with(fx, "skip from"), 2);
    assert_int_equal(lines_with(fx, "segment "), 4); /* the first one is the file's own */
    for (uint32_t most = 1; most < 12; most++) {
        uint32_t lines = 0;

        fx->most = most;
        dump(fx, LSI_SEGMENT_LIST_NAME);
        for (size_t i = 0; i < fx->said_bytes; i++)
            lines += fx->said[i] == '\n';
        assert_true(lines >= most && lines < most + 4); /* What belongs together comes together. */
    }
    fx->most = 0;

    list.head.flags = 0;
    entries[1].base = 72; /* Its sums are right, and it breaks a rule. */
    store_list(fx, &list);
    dump(fx, LSI_SEGMENT_LIST_NAME);
    assert_true(fx->damaged);
    said(fx, "generation 5 payload 272 bytes");
    said(fx, "DAMAGED: entry 1 (segment 2) of segments breaks a rule");

    /* ... and without any header beside it nobody knows its salt. */
    assert_int_equal(fx->files->unlink(&fx->dir, FIRST), 0);
    dump(fx, LSI_SEGMENT_LIST_NAME);
    assert_true(fx->damaged);
    said(fx, "no segment beside it says whose it is: its sums cannot be checked");
}

static void producers_are_shown_with_their_runs(void **state)
{
    static const uint64_t even[] = {5, 6, 7}, several[] = {20, 21, 22}, gaps[] = {40, 42, 43};
    static const uint32_t users[] = {2, 1};
    fixture *fx = *state;
    char line[200];

    put_numbered(fx, even, NULL, 3);
    put_numbered(fx, several, users, 2);
    put_numbered(fx, gaps, NULL, 3);
    for (unsigned n = 0; n < 4; n++) /* It rolls, and says what it remembers. */
        assert_int_equal(log_store_put(&fx->store, n, 20000, &(ls_seqno){0}), LS_OK);
    dump(fx, LSI_PRODUCERS_NAME);
    assert_false(fx->damaged);
    (void)snprintf(line, sizeof line, "producer 00000000000000ab00000000000000cd: put at %lld us, expired up to 0",
                   (long long)fx->store.wall_us);
    assert_non_null(strstr(fx->said, "as of position "));
    said(fx, line);
    said(fx, "    numbers 5..7 in shard 0 seqno 1");
    said(fx, "    numbers 20..22, several to a record, in shard 0 seqno 4");
    said(fx, "    numbers 40..43 with gaps in shard 0 seqno 6");
    /* Its sums are right, and it breaks a rule. */
    memset(line, 0xff, sizeof line);
    assert_int_equal(lsi_checked_store(&fx->store.env, &fx->store.root, "1/0", "1/0/" LSI_PRODUCERS_NAME,
                                       LSI_CHECKED_PRODUCERS, lsi_segment_list_salt(&fx->store.config),
                                       (lsi_checked_head){0}, line, sizeof line), LS_OK);
    dump(fx, LSI_PRODUCERS_NAME);
    assert_true(fx->damaged);
    assert_int_equal(lines_with(fx, "DAMAGED: "), 1);
    assert_int_equal(lines_with(fx, "producer 0"), 0);
    write_file(fx, "producers.short", "LSTREAM1", 8, 0);
    dump(fx, "producers.short");
    assert_true(fx->damaged);
}

static void a_name_is_enough_where_bytes_are_not(void **state)
{
    static const char *const names[] = {LSI_SEGMENT_LIST_NAME, LSI_PRODUCERS_NAME, "manifest", "manifest.copy"};
    fixture *fx = *state;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        write_file(fx, names[i], "????????????????", 16, 0);
        dump(fx, names[i]);
        if (!fx->damaged || strstr(fx->said, "(unknown)") == NULL)
            fail_msg("%s: %s", names[i], fx->said);
    }
}

/* ---- indexes and control files ---- */

static void entries_of_an_index_are_right_or_not(void **state)
{
    unsigned char entry[LSI_INDEX_ENTRY_BYTES] = {0};
    fixture *fx = *state;

    assert_int_equal(log_store_put(&fx->store, 0, 10, &(ls_seqno){0}), LS_OK);
    dump(fx, "00000001.idx");
    assert_false(fx->damaged);
    assert_non_null(strstr(fx->said, "0x00000000 entry: position 0 seqno 1 arrival "));
    assert_non_null(strstr(fx->said, " us right\n"));
    lsi_write_u64le(entry, 77);
    lsi_write_u64le(entry + 8, 78);
    lsi_write_u64le(entry + 16, (uint64_t)-79);
    write_file(fx, "00000001.idx", entry, sizeof entry, 2 * LSI_INDEX_ENTRY_BYTES); /* behind one of zeros */
    dump(fx, "00000001.idx");
    assert_true(fx->damaged);
    said(fx, "0x00000040 entry: position 77 seqno 78 arrival -79 us WRONG");
    assert_null(strstr(fx->said, "0x00000020"));
    fx->most = 1;
    dump(fx, "00000001.idx");
    assert_false(fx->damaged);
    for (uint64_t nth = 1; nth < 5; nth++) { /* Whichever read of it fails, that is said. */
        sim_fault_add(fx->sim, (sim_fault){.call = SIM_READ, .name = "00000001.idx", .nth = nth, .err = EIO});
        assert_int_equal(dump_in(fx, &fx->dir, "00000001.idx"), LS_ERR_IO);
        assert_true(sim_faults_met(fx->sim) != 0);
        sim_faults_clear(fx->sim);
    }
    write_file(fx, FIRST, "?", 1, 0);
    dump(fx, "00000001.idx");
    said(fx, "no readable 00000001.seg beside it: its sums cannot be checked");
    said(fx, "0x00000040 entry: position 77 seqno 78 arrival -79 us");
    write_file(fx, "00000005.seg", "short", 5, 0);
    write_file(fx, "00000005.idx", entry, sizeof entry, 0);
    dump(fx, "00000005.idx");
    said(fx, "no readable 00000005.seg beside it: its sums cannot be checked");
    assert_false(fx->damaged);
}

static const char *store_line(const fixture *fx, const unsigned char boot_id[16], const char *whose)
{
    static char line[128];
    int at = snprintf(line, sizeof line, "store ");

    for (int i = 0; i < 32; i++)
        at += snprintf(line + at, sizeof line - (size_t)at, "%s%02x", i == 16 ? " boot " : "",
                       i < 16 ? fx->store.config.store_id[i] : boot_id[i - 16]);
    snprintf(line + at, sizeof line - (size_t)at, "%s", whose);
    return line;
}

static void slots_and_processes_are_shown(void **state)
{
    fixture *fx = *state;
    control_process *process = &fx->store.control->processes[3];
    lsi_control *reader;
    lsi_slot *slot;
    bool alone;

    assert_int_equal(log_store_put(&fx->store, 0, 10, &(ls_seqno){0}), LS_OK);
    slot = lsi_log_slot(fx->store.log);
    atomic_store(&slot->given_up_from, 5);
    atomic_store(&slot->given_up_to, 9);
    lsi_watermark_note(slot, 1, 80);
    assert_int_equal(lsi_control_open(&fx->store.env, &fx->store.root, fx->store.config.store_id, true, &reader,
                                      &alone), LS_OK);
    atomic_store(&process->pid, 4711); /* who died */
    atomic_store(&process->attached_us, 12);
    atomic_store(&process->used, 1);
    assert_int_equal(dump_in(fx, &fx->store.root, LSI_CONTROL_NAME), LS_OK);
    assert_false(fx->damaged);
    said(fx, store_line(fx, fx->store.control->header->boot_id, ""));
    said(fx, "    given up: 5 to 9");
    said(fx, "    watermark: 80 in segment 1");
    assert_non_null(strstr(fx->said, "slot: stream 1 shard 0 healthy epoch "));
    said(fx, "process 4711 dead attached 12 us");
    assert_non_null(strstr(fx->said, " alive attached "));
    assert_non_null(strstr(fx->said, " alive read only attached "));
    atomic_store(&slot->health, 4);
    atomic_store(&slot->given_up_to, 0);
    assert_int_equal(dump_in(fx, &fx->store.root, LSI_CONTROL_NAME), LS_OK);
    assert_non_null(strstr(fx->said, "slot: stream 1 shard 0 ? epoch "));
    assert_null(strstr(fx->said, "given up"));
    atomic_store(&slot->health, LSI_SHARD_HEALTHY);
    lsi_control_close(reader);
    write_file(fx, LSI_CONTROL_NAME, "?", 1, 0);
    dump(fx, LSI_CONTROL_NAME);
    assert_true(fx->damaged);
    said(fx, "DAMAGED: the control file is cut short");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(numbered_frames_name_their_producer),
        T(an_aggregate_shows_that_it_has_several),
        T(what_is_no_frame_is_shown_with_its_size),
        T(a_segment_in_blocks_is_shown_as_it_was),
        T(keys_are_shown_as_text_or_not),
        T(what_is_no_header_is_shown_as_far_as_it_can_be),
        T(a_list_is_shown_with_all_that_it_says),
        T(producers_are_shown_with_their_runs),
        T(a_name_is_enough_where_bytes_are_not),
        T(entries_of_an_index_are_right_or_not),
        T(slots_and_processes_are_shown),
    };
    return cmocka_run_group_tests_name("the lines of a dump", tests, NULL, NULL);
}
