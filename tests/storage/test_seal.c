/* Sealed and compressed frames as FORMAT.md has them: what every changed byte, every key but the right one, every nonce
 * and every failure makes of them. On simulated files. */
#include "storage/log_store.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "storage/frame_read.h"
#include "storage/seal.h"
#include "support/image.h"
#include "support/sim_files.h"
#include "support/sim_memory.h"
#include "support/temp.h"

#define SKIP_UNLESS_BUILT()          \
    do {                             \
        if (!lsi_crypto_is_built())  \
            skip();                  \
    } while (0)

/* ---- a log with terms and keys ---- */

/* The key that is called X has X in all its bytes. */
typedef struct sealed_store {
    log_store store; /* first */
    sim_files *sim;
    lsi_log_terms terms;
    lsi_key *keys[128]; /* those at hand, by id */
    bool has_none;      /* and no other can be asked for */
    unsigned asked;
} sealed_store;

static ls_status terms_now(void *user, lsi_log_terms *out)
{
    *out = ((sealed_store *)user)->terms;
    return LS_OK;
}

static ls_status find_key(void *user, const lsi_log_terms *terms, bool ask, const lsi_key **out)
{
    sealed_store *fx = user;
    unsigned id = (unsigned char)terms->key_id[0] % 128;
    unsigned char mark[LSI_KEY_MARK_BYTES];

    *out = NULL;
    if (fx->keys[id] == NULL) {
        if (!ask)
            return LS_OK;
        fx->asked++;
        if (fx->has_none)
            return lsi_fail(LS_ERR_KEY, "no key '%s'", terms->key_id);
        assert_int_equal(lsi_key_new(&fx->keys[id]), LS_OK);
        memset(lsi_key_bytes(fx->keys[id]), (int)id, LSI_KEY_BYTES);
    }
    assert_int_equal(lsi_seal_mark(fx->store.config.store_id, 1, fx->keys[id], mark), LS_OK);
    if (memcmp(mark, terms->key_mark, sizeof mark) != 0)
        return ask ? lsi_fail(LS_ERR_KEY, "the key given for '%s' is not the one that was used", terms->key_id) : LS_OK;
    *out = fx->keys[id];
    return LS_OK;
}

/* Terms with the key that is called so; 0: without. Takes the key from nobody. */
static lsi_log_terms terms_of(char id, uint32_t codec)
{
    lsi_log_terms terms = {.codec = codec, .key_id_bytes = id != 0, .key_id = {id}};
    unsigned char store_id[16];
    lsi_key *key;

    if (id == 0)
        return terms;
    memset(store_id, 7, sizeof store_id); /* log_store's */
    assert_int_equal(lsi_key_new(&key), LS_OK);
    memset(lsi_key_bytes(key), id, LSI_KEY_BYTES);
    assert_int_equal(lsi_seal_mark(store_id, 1, key, terms.key_mark), LS_OK);
    lsi_key_free(key);
    return terms;
}

static void use_terms(sealed_store *fx)
{
    fx->store.log->config.terms = terms_now;
    fx->store.log->config.key = find_key;
    fx->store.log->config.terms_user = fx->store.log->config.key_user = fx;
}

/* The log is made plain; its next append goes by `terms`. */
static void make(sealed_store *fx, lsi_log_terms terms, ls_durability durability, uint64_t segment_bytes)
{
    if (fx->sim == NULL)
        fx->sim = sim_files_new();
    fx->terms = terms;
    log_store_open(&fx->store, sim_files_table(fx->sim), true, durability, segment_bytes);
    use_terms(fx);
    assert_int_equal(lsi_log_touch(fx->store.log), LS_OK);
    lsi_log_take_terms(lsi_log_slot(fx->store.log));
}

static void open_again(sealed_store *fx, ls_durability durability, uint64_t segment_bytes)
{
    log_store_open(&fx->store, sim_files_table(fx->sim), false, durability, segment_bytes);
    use_terms(fx);
}

static void forget_keys(sealed_store *fx)
{
    for (unsigned i = 0; i < 128; i++) {
        lsi_key_free(fx->keys[i]);
        fx->keys[i] = NULL;
    }
}

static void unmake(sealed_store *fx)
{
    assert_int_equal(log_store_close(&fx->store), LS_OK);
    forget_keys(fx);
    sim_files_free(fx->sim);
}

static void change_terms(sealed_store *fx, lsi_log_terms terms)
{
    fx->terms = terms;
    lsi_log_take_terms(lsi_log_slot(fx->store.log));
}

/* Reads from the beginning; what log_store_put put, from `first` on, in order, until a status but LS_OK. */
static unsigned read_until(sealed_store *fx, ls_status *why)
{
    lsi_log_reader *reader;
    const ls_record *records;
    uint32_t count;
    unsigned total = 0;
    bool tip = false, end;

    *why = lsi_log_reader_open(fx->store.log, LSI_READ_FAST, &reader);
    if (*why != LS_OK)
        return 0;
    while (!tip && (*why = lsi_log_reader_read(reader, 7, 1 << 20, &records, &count, &tip, &end)) == LS_OK)
        for (uint32_t i = 0; i < count; i++, total++) {
            char key[32];
            unsigned n;

            memcpy(&n, records[i].data.data, sizeof n);
            assert_int_equal(n, total);
            assert_int_equal(records[i].partition_key.size, (size_t)snprintf(key, sizeof key, "key-%u", n));
            assert_memory_equal(records[i].partition_key.data, key, records[i].partition_key.size);
            for (size_t k = sizeof n; k < records[i].data.size; k++)
                assert_int_equal(((const char *)records[i].data.data)[k], 'a' + (int)(n % 26));
        }
    lsi_log_reader_close(reader);
    return total;
}

static image_file *last_segment(image *of)
{
    image_file *last = NULL;

    for (size_t i = 0; i < of->count; i++)
        if (strstr(of->files[i].name, ".seg") != NULL)
            last = &of->files[i];
    return last;
}

/* ---- round trips ---- */

/* All four ways of a body, small and large ones, records of one frame over several reads, and rolls in between. */
static void every_body_comes_back(void **state)
{
    (void)state;
    for (int sealed = 0; sealed <= 1; sealed++)
        for (uint32_t codec = 0; codec <= 1; codec++)
            for (ls_durability durability = LS_DURABILITY_KERNEL; durability <= LS_DURABILITY_SYNC; durability++) {
                sealed_store fx = {.sim = NULL};
                ls_status why;

                if (sealed && !lsi_crypto_is_built())
                    continue;
                make(&fx, terms_of(sealed ? 'k' : 0, codec), durability, 256 << 10);
                for (unsigned n = 0; n < 60; n++)
                    assert_int_equal(log_store_put(&fx.store, n, n % 5 == 0 ? 20000 + n : 4 + n, &(ls_seqno){0}),
                                     LS_OK);
                assert_int_equal(read_until(&fx, &why), 60);
                assert_int_equal(why, LS_OK);
                assert_int_equal(log_store_close(&fx.store), LS_OK);
                forget_keys(&fx);
                open_again(&fx, durability, 256 << 10);
                assert_int_equal(log_store_put(&fx.store, 60, 5000, &(ls_seqno){0}), LS_OK);
                assert_int_equal(read_until(&fx, &why), 61);
                assert_int_equal(why, LS_OK);
                assert_int_equal(fx.asked, sealed ? 2 : 0); /* Once per open. */
                unmake(&fx);
            }
}

/* Bodies of less than 4 KiB, and those that nothing is gained with, go in as they are. */
static void what_does_not_gain_is_not_compressed(void **state)
{
    sealed_store fx = {.sim = NULL};
    static char noise[64 << 10];
    uint64_t word = 88172645463325252u;
    ls_seqno seqno;
    uint32_t accepted;
    uint64_t end;
    bool closed;

    (void)state;
    make(&fx, terms_of(0, LSI_CODEC_ZSTD), LS_DURABILITY_KERNEL, 1 << 20);
    assert_int_equal(log_store_put(&fx.store, 0, 4000, &seqno), LS_OK);
    assert_int_equal(lsi_load(&lsi_log_slot(fx.store.log)->committed_end), 48 + 8 + 4008);
    for (size_t i = 0; i < sizeof noise; i++) {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        noise[i] = (char)(word >> 32);
    }
    ls_put_entry entry = {{"k", 1}, {noise, sizeof noise - 1}, NULL};
    assert_int_equal(lsi_log_append(fx.store.log, fx.store.framer, &entry, NULL, 1, false, &accepted, &seqno, &end,
                                    &closed), LS_OK);
    assert_int_equal(end, 48 + 8 + 4008 + 48 + 8 + sizeof noise);
    assert_int_equal(log_store_put(&fx.store, 1, 8 << 10, &seqno), LS_OK);
    assert_true(lsi_load(&lsi_log_slot(fx.store.log)->committed_end) < end + 400);
    unmake(&fx);
}

/* Frames of one batch are compressed one by one, into one place: small ones, some of nearly 1 MiB, and one below 4
 * KiB. */
static void each_frame_of_a_batch_is_compressed(void **state)
{
    static char large[1047000];
    uint64_t word = 88172645463325252u;

    (void)state;
    for (size_t i = 0; i < sizeof large; i++) { /* Half of it is gained. */
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        large[i] = (char)(word >> 32 & 15);
    }
    for (int seals = 0; seals < 2; seals++) {
        sealed_store fx = {.sim = NULL};
        const ls_put_entry entries[] = {
            {{"k", 1}, {large, 6000}, NULL}, {{"k", 1}, {large, sizeof large}, NULL}, {{"k", 1}, {large, 10000}, NULL},
            {{"k", 1}, {large, sizeof large}, NULL}, {{"k", 1}, {large, 3000}, NULL},
        };
        const ls_record *records;
        uint32_t accepted, count, total = 0;
        lsi_log_reader *reader;
        bool closed, tip, ended;
        ls_seqno seqno;
        uint64_t end;

        make(&fx, terms_of(seals ? 'k' : 0, LSI_CODEC_ZSTD), LS_DURABILITY_KERNEL, 8 << 20);
        assert_int_equal(lsi_log_append(fx.store.log, fx.store.framer, entries, NULL, 5, false, &accepted, &seqno,
                                        &end, &closed), LS_OK);
        assert_int_equal(accepted, 5);
        assert_int_equal(fx.store.framer->draft_count, 5);
        assert_true(end < sizeof large + sizeof large / 4);
        assert_int_equal(lsi_log_reader_open(fx.store.log, LSI_READ_FAST, &reader), LS_OK);
        for (tip = false; !tip;) {
            assert_int_equal(lsi_log_reader_read(reader, 100, 4 << 20, &records, &count, &tip, &ended), LS_OK);
            for (uint32_t i = 0; i < count; i++, total++) {
                assert_int_equal(records[i].data.size, entries[total].data.size);
                assert_memory_equal(records[i].data.data, large, records[i].data.size);
            }
        }
        assert_int_equal(total, 5);
        lsi_log_reader_close(reader);
        unmake(&fx);
    }
}

/* ---- damage, and keys ---- */

/* X5: whatever byte of a sealed segment is another, what is read are records that were put, then CORRUPT or KEY. */
static void no_flipped_byte_gives_a_wrong_record(void **state)
{
    unsigned corrupt = 0, key = 0, none = 0;

    (void)state;
    SKIP_UNLESS_BUILT();
    for (uint32_t codec = 0; codec <= 1; codec++) {
        sealed_store fx = {.sim = NULL};
        ls_status why;

        make(&fx, terms_of('k', codec), LS_DURABILITY_KERNEL, 64 << 10);
        for (unsigned n = 0; n < 3; n++)
            assert_int_equal(log_store_put(&fx.store, n, codec ? 5000 : 40, &(ls_seqno){0}), LS_OK);
        change_terms(&fx, terms_of(0, 0)); /* So that it is sealed in the list's sense, too. */
        assert_int_equal(log_store_put(&fx.store, 3, 10, &(ls_seqno){0}), LS_OK);
        assert_int_equal(read_until(&fx, &why), 4);
        uint64_t bytes = LSI_SEGMENT_HEADER_BYTES + lsi_load(&lsi_log_slot(fx.store.log)->segment_base);
        assert_true(bytes < 6000);
        for (uint64_t at = 0; at < bytes; at++) {
            lsi_file file;
            unsigned char byte, other;

            assert_int_equal(fx.store.root.files->open(&fx.store.root, "1/0/00000002.seg", LSI_OPEN_WRITE, &file), 0);
            assert_int_equal(file.files->read(&file, &byte, 1, at), 1);
            other = byte ^ (unsigned char)(1u << at % 8);
            assert_int_equal(lsi_file_write_one(&file, &other, 1, at), 0);
            assert_true(read_until(&fx, &why) <= 3);
            assert_true(why == LS_ERR_CORRUPT || why == LS_ERR_KEY || why == LS_ERR_VERSION);
            corrupt += why == LS_ERR_CORRUPT;
            key += why == LS_ERR_KEY;
            none += why == LS_ERR_VERSION;
            assert_int_equal(lsi_file_write_one(&file, &byte, 1, at), 0);
            assert_int_equal(file.files->close(&file), 0);
        }
        assert_int_equal(read_until(&fx, &why), 4);
        unmake(&fx);
    }
    assert_true(corrupt > 0);
    assert_int_equal(key, 0); /* All of it is damage, and said to be. */
    assert_int_equal(none, 0);
}

/* Makes the sums of a frame, `offset` bytes behind the header, right again: what somebody can do who knows the format
 * and not the key. */
static void put_sums_of_right(unsigned char *segment, size_t offset)
{
    lsi_segment_header header;
    unsigned char *at = segment + LSI_SEGMENT_HEADER_BYTES + offset;

    assert_int_equal(lsi_segment_header_decode("segment", segment, NULL, &header), LS_OK);
    uint64_t seed = lsi_segment_seed(&header);
    uint32_t bytes = lsi_read_u32le(at);
    lsi_write_u64le(at + LSI_FRAME_BODY_SUM_AT,
                    lsi_sum64(at + LSI_FRAME_HEADER_BYTES, bytes - LSI_FRAME_HEADER_BYTES, 0) ^ seed);
    lsi_write_u32le(at + LSI_FRAME_SUM_AT, lsi_frame_header_sum(at, seed, header.base + offset));
}

static void put_sums_right(unsigned char *segment)
{
    put_sums_of_right(segment, 0);
}

/* X4: tags bind the whole body and what the header says of the records; under the right key it is damage, not a key. */
static void what_is_changed_with_its_sums_is_damage(void **state)
{
    sealed_store fx = {.sim = NULL};
    ls_status why;

    (void)state;
    SKIP_UNLESS_BUILT();
    make(&fx, terms_of('k', 0), LS_DURABILITY_KERNEL, 64 << 10);
    assert_int_equal(log_store_put(&fx.store, 0, 40, &(ls_seqno){0}), LS_OK);
    image of = image_take(sim_files_table(fx.sim), "store");
    image_file *segment = last_segment(&of);
    size_t frame_bytes = lsi_read_u32le(segment->bytes + LSI_SEGMENT_HEADER_BYTES);
    unsigned char *before = malloc(segment->size);
    assert_non_null(before);
    memcpy(before, segment->bytes, segment->size);
    for (size_t k = LSI_FRAME_SEQNO_AT; k < frame_bytes; k++) {
        lsi_file file;
        bool is_bound = k < LSI_FRAME_DURABLE_AT || k >= LSI_FRAME_HEADER_BYTES;

        if (k >= LSI_FRAME_HEADER_BYTES + 12 && k < LSI_FRAME_HEADER_BYTES + LSI_SEAL_TAG_AT)
            continue; /* the four bytes that are 0 and not looked at */
        if (!is_bound)
            continue; /* the durable end, and the sums that are made right again */
        segment->bytes[LSI_SEGMENT_HEADER_BYTES + k] ^= 1;
        put_sums_right(segment->bytes);
        assert_int_equal(fx.store.root.files->open(&fx.store.root, segment->name, LSI_OPEN_WRITE, &file), 0);
        assert_int_equal(lsi_file_write_one(&file, segment->bytes, segment->size, 0), 0);
        assert_int_equal(read_until(&fx, &why), 0);
        assert_int_equal(why, LS_ERR_CORRUPT);
        memcpy(segment->bytes, before, segment->size);
        assert_int_equal(lsi_file_write_one(&file, segment->bytes, segment->size, 0), 0);
        assert_int_equal(file.files->close(&file), 0);
    }
    assert_int_equal(read_until(&fx, &why), 1);
    free(before);
    image_free(&of);
    unmake(&fx);
}

/* F5: a frame that is not encrypted passes in no sealed segment, and an encrypted one in no other. */
static void sealed_is_the_segment_or_nothing(void **state)
{
    (void)state;
    SKIP_UNLESS_BUILT();
    for (int sealed = 0; sealed <= 1; sealed++) {
        sealed_store fx = {.sim = NULL};
        ls_status why;

        make(&fx, terms_of(sealed ? 'k' : 0, 0), LS_DURABILITY_KERNEL, 64 << 10);
        assert_int_equal(log_store_put(&fx.store, 0, 100, &(ls_seqno){0}), LS_OK);
        image of = image_take(sim_files_table(fx.sim), "store");
        image_file *segment = last_segment(&of);
        segment->bytes[LSI_SEGMENT_HEADER_BYTES + LSI_FRAME_FLAGS_AT + 1] ^= 1;
        put_sums_right(segment->bytes);
        lsi_file file;
        assert_int_equal(fx.store.root.files->open(&fx.store.root, segment->name, LSI_OPEN_WRITE, &file), 0);
        assert_int_equal(lsi_file_write_one(&file, segment->bytes, segment->size, 0), 0);
        assert_int_equal(file.files->close(&file), 0);
        assert_int_equal(read_until(&fx, &why), 0);
        assert_int_equal(why, LS_ERR_CORRUPT);
        image_free(&of);
        unmake(&fx);
    }
}

/* F5: the same for a frame that a reader meets behind another, with a record in it that could be given. */
static void a_plain_record_in_a_sealed_segment_is_not_given(void **state)
{
    sealed_store fx = {.sim = NULL};
    ls_status why;
    lsi_file file;

    (void)state;
    SKIP_UNLESS_BUILT();
    make(&fx, terms_of('k', 0), LS_DURABILITY_KERNEL, 64 << 10);
    for (unsigned n = 0; n < 3; n++)
        assert_int_equal(log_store_put(&fx.store, n, 100, &(ls_seqno){0}), LS_OK);
    image of = image_take(sim_files_table(fx.sim), "store");
    image_file *segment = last_segment(&of);
    uint32_t second = lsi_read_u32le(segment->bytes + LSI_SEGMENT_HEADER_BYTES);
    unsigned char *at = segment->bytes + LSI_SEGMENT_HEADER_BYTES + second;
    uint32_t body_bytes = lsi_read_u32le(at) - LSI_FRAME_HEADER_BYTES;
    lsi_write_u16le(at + LSI_FRAME_FLAGS_AT, 0);
    memset(at + LSI_FRAME_HEADER_BYTES, 0, body_bytes);
    lsi_write_u32le(at + LSI_FRAME_HEADER_BYTES + LSI_RECORD_DATA_AT, body_bytes - LSI_RECORD_HEADER_BYTES - 1);
    lsi_write_u16le(at + LSI_FRAME_HEADER_BYTES + LSI_RECORD_KEY_AT, 1);
    put_sums_of_right(segment->bytes, second);
    assert_int_equal(fx.store.root.files->open(&fx.store.root, segment->name, LSI_OPEN_WRITE, &file), 0);
    assert_int_equal(lsi_file_write_one(&file, segment->bytes, segment->size, 0), 0);
    assert_int_equal(file.files->close(&file), 0);
    assert_int_equal(read_until(&fx, &why), 1);
    assert_int_equal(why, LS_ERR_CORRUPT);
    image_free(&of);
    unmake(&fx);
}

/* A key that cannot be had: nothing is written, also when that was found out behind a roll; and what another process
 * wrote with it stays. */
static void an_append_without_its_key_writes_nothing(void **state)
{
    sealed_store fx = {.has_none = true};
    ls_seqno seqno;
    ls_status why;

    (void)state;
    SKIP_UNLESS_BUILT();
    make(&fx, terms_of('k', 0), LS_DURABILITY_KERNEL, 64 << 10);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(log_store_put(&fx.store, 0, 40, &seqno), LS_ERR_KEY);
        assert_non_null(strstr(ls_last_error_message(), "stream 'test' shard 0"));
        assert_int_equal(lsi_load(&lsi_log_slot(fx.store.log)->committed_end), 0);
    }
    assert_int_equal(atomic_load(&lsi_log_slot(fx.store.log)->segment), 2); /* One roll, not one each. */
    assert_int_equal(read_until(&fx, &why), 0);
    assert_int_equal(why, LS_OK);
    fx.has_none = false;
    assert_int_equal(log_store_put(&fx.store, 0, 40, &seqno), LS_OK);
    assert_int_equal(read_until(&fx, &why), 1);
    unmake(&fx);
}

/* In the middle of a batch whose numbers must stay together nobody can be asked: the rest goes by the old terms, the
 * next append by the new ones. Method: the terms change with the roll that the batch itself makes. */
static unsigned change_after;

static ls_status terms_that_change(void *user, lsi_log_terms *out)
{
    *out = change_after > 0 ? ((sealed_store *)user)->terms : terms_of('n', 0);
    change_after -= change_after > 0;
    return LS_OK;
}

static void a_batch_that_rolls_keeps_its_numbers_together(void **state)
{
    (void)state;
    SKIP_UNLESS_BUILT();
    for (int sealed = 0; sealed <= 1; sealed++) {
        sealed_store fx = {.sim = NULL};
        static char data[900 << 10];
        ls_put_entry entries[4];
        lsi_segment_list *list;
        uint32_t accepted;
        ls_seqno seqno;
        uint64_t end;
        bool closed;

        make(&fx, terms_of(sealed ? 'k' : 0, 0), LS_DURABILITY_KERNEL, 2 << 20);
        fx.store.log->config.terms = terms_that_change;
        change_after = 1; /* The first roll; the batch's own is the second. */
        for (unsigned i = 0; i < 4; i++)
            entries[i] = (ls_put_entry){{"k", 1}, {data, sizeof data}, NULL};
        assert_int_equal(lsi_log_append(fx.store.log, fx.store.framer, entries, NULL, 4, false, &accepted, &seqno, &end,
                                        &closed), LS_OK);
        assert_int_equal(accepted, 4);
        assert_int_equal(fx.asked, sealed);
        assert_int_equal(log_store_put(&fx.store, 0, 10, &seqno), LS_OK);
        assert_int_equal(fx.asked, sealed + 1);
        assert_int_equal(lsi_segment_list_load(&fx.store.config, &list), LS_OK);
        static const char wanted[2][5] = {{0, 0, 0, 'n', 0}, {0, 'k', 'k', 'n', 0}};
        assert_int_equal(list->count, 4);
        for (uint32_t i = 0; i < list->count; i++) {
            lsi_segment *segment;
            assert_int_equal(lsi_segment_open(&fx.store.config, list->entries[i].number, false, &segment), LS_OK);
            assert_int_equal(segment->header.terms.key_id[0], wanted[sealed][i]);
            lsi_segment_unref(segment);
        }
        lsi_segment_list_unref(list);
        unmake(&fx);
    }
}

/* Whose key is at hand needs nobody to be asked: the rest of the batch goes by the new terms at once; and so it does
 * where neither the old ones nor the new ones encrypt. */
static void a_batch_that_rolls_takes_terms_that_are_at_hand(void **state)
{
    (void)state;
    SKIP_UNLESS_BUILT();
    for (int sealed = 0; sealed <= 1; sealed++) {
        sealed_store fx = {.sim = NULL};
        static char data[900 << 10];
        lsi_log_terms next = terms_of(sealed ? 'n' : 0, LSI_CODEC_ZSTD);
        ls_put_entry entries[4];
        lsi_segment_list *list;
        lsi_segment *segment;
        const lsi_key *key;
        uint32_t accepted;
        ls_seqno seqno;
        uint64_t end;
        bool closed;

        make(&fx, terms_of(sealed ? 'k' : 0, 0), LS_DURABILITY_KERNEL, 2 << 20);
        if (sealed)
            assert_int_equal(find_key(&fx, &next, true, &key), LS_OK);
        for (unsigned i = 0; i < 4; i++)
            entries[i] = (ls_put_entry){{"k", 1}, {data, sizeof data}, NULL};
        assert_int_equal(lsi_log_append(fx.store.log, fx.store.framer, entries, NULL, 2, false, &accepted, &seqno, &end,
                                        &closed), LS_OK);
        fx.terms = next; /* Nobody has said so yet: the roll in the middle of the batch finds out. */
        assert_int_equal(lsi_log_append(fx.store.log, fx.store.framer, entries, NULL, 4, false, &accepted, &seqno, &end,
                                        &closed), LS_OK);
        assert_int_equal(accepted, 4);
        assert_int_equal(lsi_segment_list_load(&fx.store.config, &list), LS_OK);
        assert_int_equal(lsi_segment_open(&fx.store.config, lsi_segment_list_last(list)->number, false, &segment),
                         LS_OK);
        assert_int_equal(segment->header.terms.key_id[0], next.key_id[0]);
        assert_int_equal(segment->header.terms.codec, LSI_CODEC_ZSTD);
        lsi_segment_unref(segment);
        lsi_segment_list_unref(list);
        unmake(&fx);
    }
}

static void where_nobody_can_be_asked_for_a_key_it_is_said(void **state)
{
    sealed_store fx = {.sim = NULL};
    ls_seqno seqno;
    ls_status why;

    (void)state;
    SKIP_UNLESS_BUILT();
    make(&fx, terms_of('k', 0), LS_DURABILITY_SYNC, 64 << 10);
    assert_int_equal(log_store_put(&fx.store, 0, 40, &seqno), LS_OK);
    assert_int_equal(log_store_close(&fx.store), LS_OK);
    forget_keys(&fx);
    open_again(&fx, LS_DURABILITY_SYNC, 64 << 10);
    fx.store.log->config.key = NULL;
    assert_int_equal(read_until(&fx, &why), 0);
    assert_int_equal(why, LS_ERR_KEY);
    assert_non_null(strstr(ls_last_error_message(), "nobody can be asked for the key 'k'"));
    assert_int_equal(log_store_put(&fx.store, 1, 40, &seqno), LS_ERR_KEY);
    use_terms(&fx);
    assert_int_equal(log_store_put(&fx.store, 1, 40, &seqno), LS_OK);
    assert_int_equal(read_until(&fx, &why), 2);
    unmake(&fx);
}

/* A frame has room for so much; encrypted it takes more. */
static void a_batch_that_fits_plain_may_be_too_large_encrypted(void **state)
{
    static char data[8u << 20];
    size_t fits = sizeof data;

    (void)state;
    SKIP_UNLESS_BUILT();
    for (int sealed = 0; sealed <= 1; sealed++) {
        sealed_store fx = {.sim = NULL};
        size_t size = fits;
        uint32_t accepted;
        ls_seqno seqno;
        uint64_t end;
        ls_status st;
        bool closed;

        make(&fx, terms_of(sealed ? 'k' : 0, 0), LS_DURABILITY_KERNEL, 64 << 20);
        for (;; size -= 8) {
            ls_put_entry entries[2] = {{{"k", 1}, {data, sizeof data}, NULL}, {{"k", 1}, {data, size}, NULL}};

            st = lsi_log_append(fx.store.log, fx.store.framer, entries, NULL, 2, true, &accepted, &seqno, &end,
                                &closed);
            if (st == LS_OK)
                break;
            assert_int_equal(st, LS_ERR_TOO_LARGE);
            assert_int_equal(accepted, 0);
        }
        if (sealed)
            assert_int_equal(size, fits - (LSI_SEAL_BYTES + 7) / 8 * 8);
        fits = size;
        unmake(&fx);
    }
}

/* ---- nonces (X4) ---- */

#define NONCES_MAX 4096
typedef struct nonces {
    unsigned char seen[NONCES_MAX][LSI_NONCE_BYTES];
    char key[NONCES_MAX]; /* it is under the segment's; by segment number */
    size_t count;
} nonces;

static nonces noted;

/* Adds those of all frames in all segments of the log, and of writes that failed. None may be there already. */
static void note_nonce(const unsigned char *frame)
{
    const unsigned char *nonce = frame + LSI_FRAME_HEADER_BYTES + LSI_SEAL_NONCE_AT;

    for (size_t i = 0; i < noted.count; i++)
        assert_memory_not_equal(noted.seen[i], nonce, LSI_NONCE_BYTES);
    assert_true(noted.count < NONCES_MAX);
    memcpy(noted.seen[noted.count++], nonce, LSI_NONCE_BYTES);
}

static size_t writer_count(void)
{
    size_t writers = 0;

    for (size_t i = 0; i < noted.count; i++) {
        size_t k = 0;
        while (k < i && memcmp(noted.seen[k], noted.seen[i], 8) != 0)
            k++;
        writers += k == i;
    }
    return writers;
}

/* What goes to segments, seen as it is written. */
static const lsi_files *beneath;
static int see_write(const lsi_file *file, const lsi_span *spans, int count, uint64_t at)
{
    if (count > 0 && spans[0].size > LSI_FRAME_HEADER_BYTES + LSI_SEAL_BYTES && at >= LSI_SEGMENT_HEADER_BYTES &&
        (lsi_read_u16le((const unsigned char *)spans[0].data + LSI_FRAME_FLAGS_AT) & LSI_FRAME_SEALED) != 0)
        note_nonce(spans[0].data);
    return beneath->write(file, spans, count, at);
}

static void no_nonce_comes_twice(void **state)
{
    sealed_store fx = {.sim = sim_files_new()};
    sim_call kind = SIM_WRITE;
    ls_status why;
    ls_seqno seqno;
    unsigned n = 0;

    (void)state;
    if (!lsi_crypto_is_built()) {
        sim_files_free(fx.sim);
        skip();
    }
    lsi_files original = *sim_files_table(fx.sim);
    beneath = &original;
    sim_files_table(fx.sim)->write = see_write;
    noted.count = 0;
    make(&fx, terms_of('k', 0), LS_DURABILITY_SYNC, 64 << 10);
    for (; n < 200; n++) { /* Several segments. */
        if (n % 10 == 5) { /* A write that fails, and is tried again at the same position. */
            sim_fault_add(fx.sim, (sim_fault){.call = kind, .nth = 1, .err = ENOSPC, .sticky = true});
            assert_int_equal(log_store_put(&fx.store, n, 1000, &seqno), LS_ERR_FULL);
            sim_faults_clear(fx.sim);
        }
        assert_int_equal(log_store_put(&fx.store, n, 1000, &seqno), LS_OK);
        if (n % 50 == 49) {
            assert_int_equal(log_store_close(&fx.store), LS_OK);
            open_again(&fx, LS_DURABILITY_SYNC, 64 << 10);
        }
    }
    /* Two that have the same segment open, in turn. */
    sealed_store other = {.sim = fx.sim, .terms = fx.terms};
    open_again(&other, LS_DURABILITY_SYNC, 64 << 10);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(log_store_put(i % 2 == 0 ? &fx.store : &other.store, n++, 10, &seqno), LS_OK);
    assert_int_equal(read_until(&fx, &why), n);
    assert_int_equal(why, LS_OK);
    assert_true(noted.count >= n + 20);
    assert_true(writer_count() >= 8);
    assert_int_equal(log_store_close(&other.store), LS_OK);
    forget_keys(&other);
    unmake(&fx);
}

/* Of what the framer sealed last: its first and only draft. */
static const unsigned char *last_nonce(const sealed_store *fx)
{
    return fx->store.framer->buffer + LSI_FRAME_HEADER_BYTES + LSI_SEAL_NONCE_AT;
}

/* After fork: the child cannot seal with what it inherited, and draws a writer id of its own when it opens the log. */
static void a_fork_child_draws_its_own_writer_id(void **state)
{
    sealed_store fx = {.sim = NULL};
    unsigned char nonce[LSI_NONCE_BYTES];
    int ends[2], status;
    ls_seqno seqno;

    (void)state;
    SKIP_UNLESS_BUILT();
    make(&fx, terms_of('k', 0), LS_DURABILITY_KERNEL, 64 << 10);
    assert_int_equal(log_store_put(&fx.store, 0, 10, &seqno), LS_OK);
    memcpy(nonce, last_nonce(&fx), sizeof nonce);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        /* Past all guards of the rooms above: the key itself is not here any more. */
        lsi_draft draft = {.at = LSI_DRAFT_ROOM_BYTES, .bytes = LSI_FRAME_HEADER_BYTES + 16, .count = 1};
        const unsigned char *frame;
        bool ok = lsi_framer_seal(fx.store.framer, &draft, fx.store.log->tail, 0, 1, 0, 0, &frame) == LS_ERR_STATE;
        sealed_store own = {.sim = fx.sim, .terms = fx.terms};

        open_again(&own, LS_DURABILITY_KERNEL, 64 << 10);
        ok = ok && log_store_put(&own.store, 1, 10, &seqno) == LS_OK &&
             write(ends[1], last_nonce(&own), LSI_NONCE_BYTES) == LSI_NONCE_BYTES;
        _exit(ok ? 0 : 1);
    }
    unsigned char childs[LSI_NONCE_BYTES];
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(read(ends[0], childs, sizeof childs), sizeof childs);
    assert_memory_not_equal(childs, nonce, 8);
    close(ends[0]);
    close(ends[1]);
    unmake(&fx);
}

static void a_counter_that_is_used_up_draws_a_new_id(void **state)
{
    sealed_store fx = {.sim = NULL};
    unsigned char before[LSI_NONCE_BYTES];
    ls_status why;

    (void)state;
    SKIP_UNLESS_BUILT();
    make(&fx, terms_of('k', 0), LS_DURABILITY_KERNEL, 64 << 10);
    assert_int_equal(log_store_put(&fx.store, 0, 10, &(ls_seqno){0}), LS_OK);
    fx.store.log->tail->nonce_count = UINT32_MAX - 1;
    assert_int_equal(log_store_put(&fx.store, 1, 10, &(ls_seqno){0}), LS_OK);
    memcpy(before, last_nonce(&fx), sizeof before);
    assert_int_equal(lsi_read_u32le(before + 8), UINT32_MAX - 1);
    assert_int_equal(log_store_put(&fx.store, 2, 10, &(ls_seqno){0}), LS_OK);
    assert_memory_not_equal(last_nonce(&fx), before, 8);
    assert_int_equal(lsi_read_u32le(last_nonce(&fx) + 8), 0);
    memcpy(before, last_nonce(&fx), sizeof before);
    assert_true(lsi_read_u64le(before) == fx.store.log->tail->writer_id); /* And no bytes that nobody drew. */
    assert_int_equal(log_store_put(&fx.store, 3, 10, &(ls_seqno){0}), LS_OK);
    assert_memory_equal(last_nonce(&fx), before, 8);
    assert_int_equal(lsi_read_u32le(last_nonce(&fx) + 8), 1);
    assert_int_equal(read_until(&fx, &why), 4);
    unmake(&fx);
}

/* ---- bombs (X2) ---- */

/* Frames that say of their sizes what is not true: refused as damage, and little is allocated for them. */
static void a_bomb_is_refused(void **state)
{
    struct {
        uint32_t plain_bytes, packed_less; /* stated; the packed size, less this */
        uint32_t count;
        bool is_zeros; /* 256 MiB of zeros, stated in the zstd frame as what plain_bytes says or as it is */
    } cases[] = {
        {5000, 0, 1, false},                              /* another size than it has */
        {4999, 0, 1, false},                              /* no multiple of 8 */
        {0, 0, 1, false},
        {UINT32_MAX & ~7u, 0, 1, false},                  /* above a frame's limit */
        {LSI_FRAME_BYTES_MAX - LSI_FRAME_HEADER_BYTES + 8, 0, 1, false},
        {8192, UINT32_MAX, 1, false},                     /* a packed size beyond the frame */
        {8192, 1, 1, false},                              /* one that cuts it */
        {8192, 0, 1025, false},                           /* more records than can be in it */
        {8192, 0, 1, false},                              /* fewer: one of 8 bytes, and nothing behind it */
        {LSI_FRAME_BYTES_MAX - LSI_FRAME_HEADER_BYTES, 0, 1, true}, /* 256 MiB of zeros that say to be 16 */
    };
    unsigned char *plain = calloc(1, (size_t)256 << 20), *frame = calloc(1, 1 << 20);
    lsi_compressor *with = lsi_compressor_new();

    (void)state;
    assert_non_null(plain);
    assert_non_null(frame);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sim_memory memory = SIM_MEMORY_INIT;
        lsi_memory table = sim_memory_table(&memory);
        sealed_store fx = {.store = {.memory = &table}};
        unsigned char *body = frame + LSI_FRAME_HEADER_BYTES;
        lsi_segment *segment;
        ls_status why;

        make(&fx, terms_of(0, 0), LS_DURABILITY_KERNEL, 1 << 20);
        assert_int_equal(log_store_put(&fx.store, 0, 5000, &(ls_seqno){0}), LS_OK);
        size_t size = cases[i].is_zeros ? (size_t)256 << 20 : 8192;
        size_t made = lsi_compress(with, plain, size, body + LSI_PACK_BYTES, (1 << 20) - 64);
        assert_true(made > 0);
        uint32_t bytes = (uint32_t)lsi_round_up(LSI_FRAME_HEADER_BYTES + LSI_PACK_BYTES + made, 8);
        memset(body + LSI_PACK_BYTES + made, 0, 8);
        lsi_write_u32le(body, cases[i].plain_bytes);
        lsi_write_u32le(body + 4, (uint32_t)made - cases[i].packed_less);
        lsi_frame of = {.bytes = bytes, .count = cases[i].count, .first_seqno = 1, .kind = LSI_FRAME_DATA,
                        .arrival_us = fx.store.wall_us, .codec = LSI_CODEC_ZSTD,
                        .body_sum = lsi_sum64(body, bytes - LSI_FRAME_HEADER_BYTES, 0)};
        uint32_t number = atomic_load(&lsi_log_slot(fx.store.log)->segment);
        assert_int_equal(lsi_segment_open(&fx.store.config, number, true, &segment), LS_OK);
        lsi_frame_write_header(frame, &of, segment->seed, segment->header.base);
        assert_int_equal(lsi_file_write_one(&segment->file, frame, bytes, LSI_SEGMENT_HEADER_BYTES), 0);
        atomic_store(&lsi_log_slot(fx.store.log)->committed_end, segment->header.base + bytes);
        atomic_store(&lsi_log_slot(fx.store.log)->write_end, segment->header.base + bytes);
        lsi_segment_unref(segment);
        size_t live = memory.live_bytes;
        assert_int_equal(read_until(&fx, &why), 0);
        assert_int_equal(why, LS_ERR_CORRUPT);
        assert_int_equal(memory.live_bytes, live);
        unmake(&fx);
        assert_int_equal(memory.live, 0);
    }
    lsi_compressor_free(with);
    free(plain);
    free(frame);
}

/* ---- failure, walked ---- */

/* The Nth allocation, the Nth call of a file fails: the put says so and nothing was written, or reading says so; then
 * all goes on. */
static void every_failure_is_survived(void **state)
{
    (void)state;
    for (int sealed = 0; sealed <= lsi_crypto_is_built(); sealed++)
        for (int of_memory = 0; of_memory <= 1; of_memory++) {
            bool met = true;

            for (uint64_t nth = 1; met; nth++) {
                sim_memory memory = SIM_MEMORY_INIT;
                lsi_memory table = sim_memory_table(&memory);
                sealed_store fx = {.store = {.memory = &table}};
                ls_seqno seqno;
                ls_status why, st;
                unsigned n = 0;

                make(&fx, terms_of(sealed ? 'k' : 0, LSI_CODEC_ZSTD), LS_DURABILITY_KERNEL, 64 << 10);
                uint64_t failed = memory.failed;
                if (of_memory)
                    sim_memory_fail(&memory, nth, false);
                else
                    sim_fault_add(fx.sim, (sim_fault){.call = SIM_ANY, .nth = nth, .err = ENOSPC});
                for (unsigned tries = 0; n < 6 && tries < 9; tries++) {
                    st = log_store_put(&fx.store, n, n % 2 == 0 ? 8000 : 50, &seqno);
                    n += st == LS_OK;
                    assert_true(st == LS_OK || st == LS_ERR_FULL || st == LS_ERR_NO_MEMORY || st == LS_ERR_IO);
                    if (st == LS_ERR_IO) /* A sync of a directory or a file. */
                        break;
                }
                unsigned got = read_until(&fx, &why);
                if (why != LS_OK)
                    got = read_until(&fx, &why);
                assert_int_equal(why, LS_OK);
                assert_int_equal(got, n);
                met = of_memory ? memory.failed > failed : sim_faults_met(fx.sim) > 0;
                sim_memory_fail(&memory, 0, false);
                sim_faults_clear(fx.sim);
                (void)log_store_close(&fx.store); /* A shard that failed says so once more. */
                forget_keys(&fx);
                sim_files_free(fx.sim);
                assert_int_equal(memory.live, 0);
            }
        }
}

/* FORMAT.md: the mark is HKDF-SHA-256, here as another implementation (Python's hmac) has it. */
static void a_mark_is_what_the_format_says(void **state)
{
    static const unsigned char wanted[LSI_KEY_MARK_BYTES] = {0xbd, 0xbd, 0x9f, 0x03, 0x54, 0xcc, 0x69, 0x73,
                                                             0x41, 0x66, 0x46, 0xd9, 0xdc, 0x32, 0x60, 0x50};
    unsigned char store_id[16], mark[LSI_KEY_MARK_BYTES];
    lsi_key *key;

    (void)state;
    SKIP_UNLESS_BUILT();
    memset(store_id, 7, sizeof store_id);
    assert_int_equal(lsi_key_new(&key), LS_OK);
    memset(lsi_key_bytes(key), 'k', LSI_KEY_BYTES);
    assert_int_equal(lsi_seal_mark(store_id, 1, key, mark), LS_OK);
    lsi_key_free(key);
    assert_memory_equal(mark, wanted, sizeof mark);
}

/* ---- a dump ---- */

typedef struct dumped {
    char text[16384];
    size_t size;
} dumped;

static ls_inspect_act take_line(const char *line, void *user)
{
    dumped *to = user;

    to->size += (size_t)snprintf(to->text + to->size, sizeof to->text - to->size, "%s\n", line);
    assert_true(to->size < sizeof to->text);
    return LS_INSPECT_GO_ON;
}

/* Without any key: what lies before the bytes that are sealed, as FORMAT.md has it. */
static void a_dump_shows_nonces_and_tags(void **state)
{
    static const char name[] = "1/0/00000002.seg";
    sealed_store fx = {.asked = 0};
    dumped out = {.size = 0};
    unsigned char bytes[LSI_SEAL_TAG_AT + LSI_TAG_BYTES];
    char line[200];
    void *payload;
    size_t size;
    lsi_file file;

    (void)state;
    SKIP_UNLESS_BUILT();
    make(&fx, terms_of('a', LSI_CODEC_PLAIN), LS_DURABILITY_SYNC, LSI_SEGMENT_BYTES_MIN);
    for (unsigned n = 0; n < 3; n++)
        assert_int_equal(log_store_put(&fx.store, n, 100, &(ls_seqno){0}), LS_OK);
    lsi_dump dump = {.env = &fx.store.env, .root = &fx.store.root, .path = name, .line = take_line, .user = &out};
    assert_int_equal(lsi_dump_file(&dump, name, &payload, &size), LS_OK);
    assert_false(dump.damaged);
    assert_int_equal(fx.store.root.files->open(&fx.store.root, name, 0, &file), 0);
    for (uint64_t n = 0, at = LSI_SEGMENT_HEADER_BYTES; n < 3; n++) {
        int wrote = snprintf(line, sizeof line, "    encrypted: nonce ");
        unsigned char head[8];

        assert_int_equal(file.files->read(&file, bytes, sizeof bytes, at + LSI_FRAME_HEADER_BYTES), sizeof bytes);
        for (size_t i = LSI_SEAL_NONCE_AT; i < LSI_SEAL_NONCE_AT + LSI_NONCE_BYTES; i++)
            wrote += snprintf(line + wrote, sizeof line - (size_t)wrote, "%02x", bytes[i]);
        for (size_t i = LSI_SEAL_TAG_AT; i < sizeof bytes; i++)
            wrote += snprintf(line + wrote, sizeof line - (size_t)wrote, "%s%02x", i == LSI_SEAL_TAG_AT ? " tag " : "",
                              bytes[i]);
        (void)snprintf(line + wrote, sizeof line - (size_t)wrote, "\n");
        assert_non_null(strstr(out.text, line));
        assert_int_equal(file.files->read(&file, head, sizeof head, at), sizeof head);
        at += lsi_read_u32le(head);
    }
    assert_int_equal(file.files->close(&file), 0);
    unmake(&fx);
}

int main(void)
{
    const struct CMUnitTest bodies[] = {
        cmocka_unit_test(every_body_comes_back),
        cmocka_unit_test(what_does_not_gain_is_not_compressed),
        cmocka_unit_test(each_frame_of_a_batch_is_compressed),
        cmocka_unit_test(a_bomb_is_refused),
        cmocka_unit_test(every_failure_is_survived),
    };
    const struct CMUnitTest sealing[] = {
        cmocka_unit_test(a_mark_is_what_the_format_says),
        cmocka_unit_test(no_flipped_byte_gives_a_wrong_record),
        cmocka_unit_test(what_is_changed_with_its_sums_is_damage),
        cmocka_unit_test(sealed_is_the_segment_or_nothing),
        cmocka_unit_test(a_plain_record_in_a_sealed_segment_is_not_given),
        cmocka_unit_test(an_append_without_its_key_writes_nothing),
        cmocka_unit_test(a_batch_that_rolls_keeps_its_numbers_together),
        cmocka_unit_test(a_batch_that_rolls_takes_terms_that_are_at_hand),
        cmocka_unit_test(where_nobody_can_be_asked_for_a_key_it_is_said),
        cmocka_unit_test(a_batch_that_fits_plain_may_be_too_large_encrypted),
        cmocka_unit_test(no_nonce_comes_twice),
        cmocka_unit_test(a_fork_child_draws_its_own_writer_id),
        cmocka_unit_test(a_counter_that_is_used_up_draws_a_new_id),
        cmocka_unit_test(a_dump_shows_nonces_and_tags),
    };

    return cmocka_run_group_tests_name("bodies", bodies, NULL, NULL) +
           cmocka_run_group_tests_name("sealing", sealing, NULL, NULL);
}
