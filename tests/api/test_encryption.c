/* Encryption and compression as stream.h and store.h promise them: what can be read with which key and what without,
 * on live streams, and that nothing of it is on the disk. */
#include "api/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/crypto.h"

#define DATA "TheDataThatNobodyIsToSee"
#define KEY "ThePartitionKeyThatNobodyIsToSee"

/* ---- keys for tests ---- */

typedef struct keys {
    int calls;
    const char *only; /* NULL: every id has a key */
    unsigned char first; /* byte of them all: another one, other keys */
} keys;

static ls_status give_key(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES])
{
    keys *of = user;

    of->calls++;
    if (of->only != NULL && strcmp(of->only, key_id) != 0)
        return LS_ERR_KEY;
    memset(key, of->first, LS_KEY_BYTES);
    snprintf((char *)key + 1, LS_KEY_BYTES - 1, "%s", key_id);
    return LS_OK;
}

static ls_store *open_with(const char *location, keys *of)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store = NULL;

    options.segment_bytes = 64 << 10;
    if (of != NULL) {
        options.key_callback = give_key;
        options.key_user = of;
    }
    assert_int_equal(ls_store_open(location, &options, &store), LS_OK);
    return store;
}

/* A store of the test's own. */
typedef struct place {
    temp_dir temp;
    char location[TEMP_PATH_BYTES * 2];
} place;

static void place_make(place *of)
{
    temp_make(&of->temp);
    snprintf(of->location, sizeof of->location, "%s", in_memory ? "memory:" : temp_path(&of->temp, "store"));
}

#define SKIP_UNLESS_BUILT()          \
    do {                             \
        if (!lsi_crypto_is_built())  \
            skip();                  \
    } while (0)
#define SKIP_IN_MEMORY() \
    do {                 \
        if (in_memory)   \
            skip();      \
    } while (0)

/* ---- putting and reading ---- */

static ls_status put(ls_store *store, const char *name, unsigned n, size_t size)
{
    ls_stream *stream = NULL;
    ls_producer *producer = NULL;
    char *data = malloc(size + 64);
    ls_status st;

    assert_non_null(data);
    memset(data, 'a' + (int)(n % 26), size + 64);
    snprintf(data, 64, "%08u " DATA, n);
    data[strlen(data)] = '.';
    assert_int_equal(ls_stream_open(store, name, &stream), LS_OK);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    st = ls_producer_put(producer, text(KEY), (ls_bytes){data, size + 64}, NULL, NULL);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    free(data);
    return st;
}

/* Reads records of `put` from the beginning: n = 0, 1, ...; how many there are before the first status but LS_OK. */
static unsigned read_all(ls_store *store, const char *name, ls_status *why)
{
    ls_stream *stream = NULL;
    ls_iterator *iterator = NULL;
    ls_position position = {.kind = LS_TRIM_HORIZON};
    unsigned count = 0;

    assert_int_equal(ls_stream_open(store, name, &stream), LS_OK);
    assert_int_equal(ls_iterator_open(stream, 0, &position, NULL, &iterator), LS_OK);
    for (;;) {
        const ls_batch *batch = NULL;
        *why = ls_iterator_next(iterator, NULL, &batch);
        if (*why != LS_OK || ls_batch_count(batch) == 0)
            break;
        for (size_t i = 0; i < ls_batch_count(batch); i++) {
            const ls_record *record = ls_batch_at(batch, i);
            char wanted[64];

            snprintf(wanted, sizeof wanted, "%08u " DATA ".", count);
            assert_true(record->data.size >= strlen(wanted));
            assert_memory_equal(record->data.data, wanted, strlen(wanted));
            assert_int_equal(record->partition_key.size, strlen(KEY));
            assert_memory_equal(record->partition_key.data, KEY, strlen(KEY));
            count++;
        }
    }
    ls_iterator_close(iterator);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    return count;
}

/* How often `what` occurs in the files beneath `path`, and how many bytes they have. */
static unsigned occurs(const char *path, const void *what, size_t size, uint64_t *bytes)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    unsigned count = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        char name[4096];
        struct stat of;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        assert_int_equal(lstat(name, &of), 0);
        if (S_ISDIR(of.st_mode)) {
            count += occurs(name, what, size, bytes);
            continue;
        }
        char *content = malloc((size_t)of.st_size + 1);
        int file = open(name, O_RDONLY | O_CLOEXEC);
        assert_non_null(content);
        assert_true(file >= 0);
        assert_int_equal(read(file, content, (size_t)of.st_size), of.st_size);
        close(file);
        *bytes += (uint64_t)of.st_size;
        for (const char *at = content; (at = memmem(at, (size_t)(content + of.st_size - at), what, size)) != NULL; at++)
            count++;
        free(content);
    }
    closedir(dir);
    return count;
}

static void assert_key_id(ls_store *store, const char *name, const char *wanted)
{
    ls_stream *stream = NULL;
    ls_stream_description *description = NULL;

    assert_int_equal(ls_stream_open(store, name, &stream), LS_OK);
    assert_int_equal(ls_stream_describe(stream, &description), LS_OK);
    assert_string_equal(ls_stream_description_key_id(description), wanted);
    ls_stream_description_free(description);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- encryption ---- */

static void encrypted_records_come_back(void **state)
{
    keys of = {.first = 1};
    ls_status why;
    place at;

    (void)state;
    SKIP_UNLESS_BUILT();
    place_make(&at);
    ls_store *store = open_with(at.location, &of);
    assert_int_equal(ls_stream_create(store, "s", NULL), LS_OK);
    assert_int_equal(put(store, "s", 0, 0), LS_OK); /* Before: stays readable. */
    assert_key_id(store, "s", "");
    assert_int_equal(ls_stream_start_encryption(store, "s", "k1"), LS_OK);
    assert_key_id(store, "s", "k1");
    for (unsigned n = 1; n < 50; n++) /* Some segments of 64 KiB. */
        assert_int_equal(put(store, "s", n, n * 100), LS_OK);
    assert_int_equal(read_all(store, "s", &why), 50);
    assert_int_equal(why, LS_OK);
    assert_true(of.calls <= 2); /* Once to begin, once to use it. */
    if (!in_memory) {
        assert_int_equal(ls_store_close(store), LS_OK);
        store = open_with(at.location, &of);
        assert_key_id(store, "s", "k1");
        assert_int_equal(read_all(store, "s", &why), 50);
        assert_int_equal(put(store, "s", 50, 5), LS_OK);
        assert_int_equal(read_all(store, "s", &why), 51);
    }
    assert_int_equal(ls_stream_stop_encryption(store, "s"), LS_OK);
    assert_key_id(store, "s", "");
    assert_int_equal(ls_store_close(store), LS_OK);
    temp_remove(&at.temp);
}

/* ---- how a record was stored ---- */

enum { EACH = 5, USERS = 4 };

/* EACH records, and then one of USERS user records. */
static void put_both_kinds(ls_stream *stream)
{
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    const ls_hash_key hash_key = {1, 2};
    ls_producer *producer = NULL;
    ls_aggregate *aggregate = NULL;
    ls_put_entry packed, user = {text("user"), text(DATA), NULL};
    int32_t fits;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_aggregate_open(NULL, &aggregate), LS_OK);
    for (int i = 0; i < EACH; i++) {
        options.explicit_hash_key = i == 1 ? &hash_key : NULL; /* What else flags tell stays told. */
        assert_int_equal(ls_producer_put(producer, text(KEY), text(DATA), &options, NULL), LS_OK);
    }
    for (int i = 0; i < USERS; i++)
        assert_int_equal(ls_aggregate_add(aggregate, &user, &fits), LS_OK);
    assert_int_equal(ls_aggregate_record(aggregate, &packed), LS_OK);
    assert_int_equal(ls_producer_put(producer, packed.partition_key, packed.data, NULL, NULL), LS_OK);
    ls_aggregate_close(aggregate);
    assert_int_equal(ls_producer_close(producer), LS_OK);
}

/* What was shown: a letter for each record, small for what is not encrypted. */
typedef struct shown {
    char letters[64];
    size_t count, wanted;
    bool is_torn; /* the records did not come in one batch */
} shown;

static void note(shown *of, const ls_batch *batch)
{
    of->is_torn |= of->count != 0 && ls_batch_count(batch) != 0;
    for (size_t i = 0; i < ls_batch_count(batch); i++) {
        const ls_record *record = ls_batch_at(batch, i);
        char letter = (record->flags & LS_RECORD_AGGREGATED) != 0          ? 'u'
                      : (record->flags & LS_RECORD_EXPLICIT_HASH_KEY) != 0 ? 'h'
                                                                           : 'r';

        assert_true(of->count < sizeof of->letters - 1);
        of->letters[of->count++] = (record->flags & LS_RECORD_ENCRYPTED) != 0 ? letter - 'a' + 'A' : letter;
    }
}

static ls_push_answer note_pushed(const ls_batch *batch, void *user)
{
    shown *of = user;

    note(of, batch);
    return of->count < of->wanted ? LS_PUSH_DONE : LS_PUSH_STOP;
}

static ls_handler_answer note_handled(const ls_batch *batch, ls_handler_context *context, void *user)
{
    (void)context;
    note(user, batch);
    return LS_HANDLER_DONE;
}

static void assert_iterated(ls_stream *stream, bool is_merged, uint32_t flags, const char *wanted)
{
    ls_iterator_options options = LS_ITERATOR_OPTIONS_INIT;
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    shown of = {.count = 0};

    options.flags = flags;
    if (is_merged)
        assert_int_equal(ls_iterator_open_all(stream, &horizon, &options, &iterator), LS_OK);
    else
        assert_int_equal(ls_iterator_open(stream, 0, &horizon, &options, &iterator), LS_OK);
    do {
        assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
        note(&of, batch);
    } while (ls_batch_count(batch) != 0);
    assert_string_equal(of.letters, wanted);
    assert_false(of.is_torn); /* One batch has records of several segments. */
    ls_iterator_close(iterator);
}

static void assert_pushed(ls_consumer *consumer, uint32_t flags, const char *wanted)
{
    ls_subscribe_options options = LS_SUBSCRIBE_OPTIONS_INIT;
    shown of = {.wanted = strlen(wanted)};

    options.flags = flags;
    assert_int_equal(ls_consumer_subscribe(consumer, 0, NULL, &options, note_pushed, &of), LS_OK);
    assert_string_equal(of.letters, wanted);
}

static void assert_mapped(ls_stream *stream, const char *name, uint32_t flags, const char *wanted)
{
    ls_mapping_options options = LS_MAPPING_OPTIONS_INIT;
    ls_mapping_run_options how = LS_MAPPING_RUN_OPTIONS_INIT;
    const ls_position horizon = {.kind = LS_TRIM_HORIZON};
    ls_mapping *mapping = NULL;
    shown of = {.count = 0};

    options.flags = flags;
    how.flags = LS_RUN_UNTIL_CAUGHT_UP;
    assert_int_equal(ls_mapping_create(stream, name, &horizon, &options), LS_OK);
    assert_int_equal(ls_mapping_open(stream, name, &mapping), LS_OK);
    assert_int_equal(ls_mapping_run(mapping, &how, note_handled, &of), LS_OK);
    assert_string_equal(of.letters, wanted);
    assert_int_equal(ls_mapping_close(mapping), LS_OK);
}

static void a_record_says_that_it_is_stored_encrypted(void **state)
{
    static const char outer[] = "rhrrrr" "RHRRRR" "rhrrrr", users[] = "rhrrruuuu" "RHRRRUUUU" "rhrrruuuu";
    keys of = {.first = 1};
    ls_stream *stream = NULL;
    place at;

    (void)state;
    SKIP_UNLESS_BUILT();
    for (int is_compressed = 0; is_compressed < 2; is_compressed++) {
        ls_stream_options options = LS_STREAM_OPTIONS_INIT;
        ls_consumer *consumer = NULL, *other = NULL;

        options.compression = is_compressed ? LS_COMPRESSION_ZSTD : LS_COMPRESSION_NONE;
        place_make(&at);
        ls_store *store = open_with(at.location, &of);
        assert_int_equal(ls_stream_create(store, "s", &options), LS_OK);
        assert_int_equal(ls_stream_open(store, "s", &stream), LS_OK);
        put_both_kinds(stream);
        assert_int_equal(ls_stream_start_encryption(store, "s", "k1"), LS_OK);
        put_both_kinds(stream);
        assert_int_equal(ls_stream_stop_encryption(store, "s"), LS_OK);
        put_both_kinds(stream);
        for (int is_merged = 0; is_merged < 2; is_merged++) {
            assert_iterated(stream, is_merged, 0, outer);
            assert_iterated(stream, is_merged, LS_ITERATOR_MAPPED, outer);
            assert_iterated(stream, is_merged, LS_ITERATOR_DEAGGREGATE, users);
        }
        assert_int_equal(ls_consumer_register(stream, "a", NULL), LS_OK);
        assert_int_equal(ls_consumer_register(stream, "b", NULL), LS_OK);
        assert_int_equal(ls_consumer_open(stream, "a", &consumer), LS_OK);
        assert_int_equal(ls_consumer_open(stream, "b", &other), LS_OK);
        assert_pushed(consumer, 0, outer);
        assert_pushed(other, LS_SUBSCRIBE_DEAGGREGATE, users);
        assert_int_equal(ls_consumer_close(consumer), LS_OK);
        assert_int_equal(ls_consumer_close(other), LS_OK);
        assert_mapped(stream, "m", 0, outer);
        assert_mapped(stream, "n", LS_MAPPING_DEAGGREGATE, users);
        assert_int_equal(ls_stream_close(stream), LS_OK);
        assert_int_equal(ls_store_close(store), LS_OK);
        temp_remove(&at.temp);
    }
}

/* X5, and the files' promise: neither data nor keys of records nor encryption keys are in any file of the store. */
static void nothing_that_was_put_is_in_a_file(void **state)
{
    keys of = {.first = 0xa7};
    unsigned char key[LS_KEY_BYTES];
    uint64_t bytes = 0;
    ls_status why;
    place at;

    (void)state;
    SKIP_UNLESS_BUILT();
    SKIP_IN_MEMORY();
    place_make(&at);
    ls_store *store = open_with(at.location, &of);
    assert_int_equal(ls_stream_create(store, "s", NULL), LS_OK);
    assert_int_equal(ls_stream_start_encryption(store, "s", "k1"), LS_OK);
    for (unsigned n = 0; n < 20; n++)
        assert_int_equal(put(store, "s", n, n * 1000), LS_OK);
    assert_int_equal(ls_stream_set_compression(store, "s", LS_COMPRESSION_ZSTD), LS_OK);
    for (unsigned n = 20; n < 40; n++)
        assert_int_equal(put(store, "s", n, n * 1000), LS_OK);
    assert_int_equal(ls_stream_start_encryption(store, "s", "k2"), LS_OK);
    ls_stream *stream = NULL;
    uint32_t lower, upper;
    assert_int_equal(ls_stream_open(store, "s", &stream), LS_OK);
    assert_int_equal(ls_stream_split(stream, 0, NULL, &lower, &upper), LS_OK); /* Children, too. */
    assert_int_equal(ls_stream_close(stream), LS_OK);
    for (unsigned n = 40; n < 45; n++)
        assert_int_equal(put(store, "s", n, n), LS_OK);
    assert_int_equal(read_all(store, "s", &why), 40); /* The parent's. */

    assert_int_equal(occurs(at.location, DATA, strlen(DATA), &bytes), 0);
    assert_int_equal(occurs(at.location, KEY, strlen(KEY), &bytes), 0);
    assert_int_equal(give_key(&of, "k1", key), LS_OK);
    assert_int_equal(occurs(at.location, key, 16, &bytes), 0);
    assert_int_equal(give_key(&of, "k2", key), LS_OK);
    assert_int_equal(occurs(at.location, key, 16, &bytes), 0);
    assert_true(occurs(at.location, "k2", 2, &bytes) > 0); /* The search finds what is there. */

    /* And it finds records where there is no encryption. */
    assert_int_equal(ls_stream_create(store, "plain", NULL), LS_OK);
    assert_int_equal(put(store, "plain", 0, 0), LS_OK);
    assert_int_equal(occurs(at.location, DATA, strlen(DATA), &bytes), 1);
    assert_int_equal(occurs(at.location, KEY, strlen(KEY), &bytes), 1);
    assert_int_equal(ls_store_close(store), LS_OK);
    temp_remove(&at.temp);
}

/* A store whose stream "s" has 10 records under k1. */
static void make_encrypted(place *at)
{
    keys of = {.first = 1};
    ls_store *store;

    place_make(at);
    store = open_with(at->location, &of);
    assert_int_equal(ls_stream_create(store, "s", NULL), LS_OK);
    assert_int_equal(ls_stream_start_encryption(store, "s", "k1"), LS_OK);
    for (unsigned n = 0; n < 10; n++)
        assert_int_equal(put(store, "s", n, 10), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
}

/* R7: what needs no key works without one. What needs it says which, and writes nothing. */
static void without_the_key_all_but_records_can_be_had(void **state)
{
    keys right = {.first = 1};
    ls_stream_description *description = NULL;
    ls_stream_list *list = NULL;
    ls_stream *stream = NULL;
    ls_iterator *iterator = NULL;
    ls_shard_info info = LS_SHARD_INFO_INIT;
    ls_position position = {.kind = LS_LATEST};
    ls_status why;
    place at;

    (void)state;
    SKIP_UNLESS_BUILT();
    SKIP_IN_MEMORY();
    make_encrypted(&at);
    ls_store *store = open_with(at.location, NULL);
    assert_int_equal(ls_store_list_streams(store, NULL, 0, &list), LS_OK);
    assert_int_equal(ls_stream_list_count(list), 1);
    ls_stream_list_free(list);
    assert_int_equal(ls_stream_open(store, "s", &stream), LS_OK);
    assert_int_equal(ls_stream_describe(stream, &description), LS_OK);
    assert_string_equal(ls_stream_description_key_id(description), "k1");
    assert_int_equal(ls_stream_description_shard(description, 0, &info), LS_OK);
    assert_true(info.oldest_seqno != LS_SEQNO_NONE);
    assert_int_equal(info.latest_seqno, info.oldest_seqno + 9);
    assert_int_equal(info.health, LS_OK);
    ls_stream_description_free(description);
    assert_int_equal(ls_iterator_open(stream, 0, &position, NULL, &iterator), LS_OK);
    const ls_batch *batch;
    assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK); /* Nothing to be opened there. */
    assert_int_equal(ls_batch_count(batch), 0);
    ls_iterator_close(iterator);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    assert_int_equal(ls_store_maintain(store, -1), LS_OK);
    assert_int_equal(ls_store_sync(store), LS_OK);

    assert_int_equal(read_all(store, "s", &why), 0);
    assert_int_equal(why, LS_ERR_KEY);
    assert_true(says("stream 's' shard 0") && says("00000002.seg") && says("'k1'"));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(put(store, "s", 10, 10), LS_ERR_KEY);
        assert_true(says("stream 's'") && says("'k1'"));
    }
    assert_int_equal(ls_stream_start_encryption(store, "s", "k2"), LS_ERR_KEY);
    assert_int_equal(ls_store_close(store), LS_OK);

    store = open_with(at.location, &right);
    assert_int_equal(read_all(store, "s", &why), 10);
    assert_int_equal(why, LS_OK);
    assert_int_equal(put(store, "s", 10, 10), LS_OK);
    assert_int_equal(read_all(store, "s", &why), 11);
    assert_int_equal(ls_store_close(store), LS_OK);

    store = open_with(at.location, NULL);
    assert_int_equal(ls_stream_stop_encryption(store, "s"), LS_OK);
    assert_int_equal(put(store, "s", 11, 10), LS_OK); /* In the clear from here on. */
    assert_int_equal(ls_stream_delete(store, "s"), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    temp_remove(&at.temp);
}

/* X5: another key under the same id. The right one may be given a moment later, to the same handle. */
static void a_wrong_key_is_no_damage_and_writes_nothing(void **state)
{
    keys of = {.first = 2};
    ls_status why;
    place at;

    (void)state;
    SKIP_UNLESS_BUILT();
    SKIP_IN_MEMORY();
    make_encrypted(&at);
    ls_store *store = open_with(at.location, &of);
    assert_int_equal(read_all(store, "s", &why), 0);
    assert_int_equal(why, LS_ERR_KEY);
    assert_true(says("'k1'") && says("is not the one that was used"));
    assert_int_equal(put(store, "s", 10, 10), LS_ERR_KEY);
    assert_true(says("is not the one that was used"));
    assert_int_equal(ls_stream_start_encryption(store, "s", "k1"), LS_ERR_KEY);
    assert_true(says("another id"));
    of.first = 1;
    assert_int_equal(read_all(store, "s", &why), 10);
    assert_int_equal(why, LS_OK);
    assert_int_equal(put(store, "s", 10, 10), LS_OK);
    assert_int_equal(read_all(store, "s", &why), 11);
    assert_int_equal(ls_store_close(store), LS_OK);
    temp_remove(&at.temp);
}

/* Rotation while another process puts: it goes on with the new key, nothing is lost, and each record needs the key that
 * was current when it was put. */
typedef struct putter {
    const char *location;
    int go, done; /* pipes: a byte lets it put 10 more; a byte says that it has */
} putter;

static bool put_when_told(void *user)
{
    const putter *of = user;
    keys own = {.first = 1};
    ls_store *store = open_with(of->location, &own);
    unsigned n = 0;
    char byte;

    while (read(of->go, &byte, 1) == 1) {
        for (unsigned i = 0; i < 10; i++)
            if (put(store, "s", n++, 100) != LS_OK)
                return false;
        if (write(of->done, "", 1) != 1)
            return false;
    }
    return ls_store_close(store) == LS_OK;
}

static void let_it_put(int go, int done)
{
    char byte;

    assert_int_equal(write(go, "", 1), 1);
    assert_int_equal(read(done, &byte, 1), 1);
}

static void keys_change_under_a_process_that_puts(void **state)
{
    keys of = {.first = 1}, first = {.first = 1, .only = "k1"};
    int go[2], done[2], status;
    ls_status why;
    place at;

    (void)state;
    SKIP_UNLESS_BUILT();
    SKIP_IN_MEMORY();
    place_make(&at);
    ls_store *store = open_with(at.location, &of);
    assert_int_equal(ls_stream_create(store, "s", NULL), LS_OK);
    assert_int_equal(ls_stream_start_encryption(store, "s", "k1"), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(done), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        putter with = {at.location, go[0], done[1]};
        close(go[1]);
        alarm(60);
        _exit(put_when_told(&with) ? 0 : 1);
    }
    close(go[0]);
    store = open_with(at.location, &of);
    let_it_put(go[1], done[0]);
    assert_int_equal(ls_stream_start_encryption(store, "s", "k2"), LS_OK);
    let_it_put(go[1], done[0]);
    assert_int_equal(ls_stream_stop_encryption(store, "s"), LS_OK);
    let_it_put(go[1], done[0]);
    assert_int_equal(ls_stream_start_encryption(store, "s", "k3"), LS_OK);
    let_it_put(go[1], done[0]);
    close(go[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(done[0]);
    close(done[1]);
    assert_int_equal(read_all(store, "s", &why), 40);
    assert_int_equal(why, LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);

    store = open_with(at.location, &first);
    assert_int_equal(read_all(store, "s", &why), 10);
    assert_int_equal(why, LS_ERR_KEY);
    assert_true(says("'k2'"));
    assert_int_equal(ls_store_close(store), LS_OK);
    temp_remove(&at.temp);
}

/* Which file the manifest is: each change makes another one. 0 in memory. */
static ino_t manifest_file(const place *at)
{
    char path[TEMP_PATH_BYTES * 2 + 16];
    struct stat of;

    snprintf(path, sizeof path, "%s/manifest", at->location);
    return !in_memory && stat(path, &of) == 0 ? of.st_ino : 0;
}

static void assert_compression(ls_store *store, const char *name, ls_compression wanted)
{
    ls_stream_description *description = NULL;
    ls_stream *stream = NULL;

    assert_int_equal(ls_stream_open(store, name, &stream), LS_OK);
    assert_int_equal(ls_stream_describe(stream, &description), LS_OK);
    assert_int_equal(ls_stream_description_compression(description), wanted);
    ls_stream_description_free(description);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void changes_that_cannot_be_are_refused(void **state)
{
    keys of = {.first = 1, .only = "k1"};
    char long_id[258];
    ino_t made;
    place at;

    (void)state;
    place_make(&at);
    ls_store *store = open_with(at.location, &of);
    memset(long_id, 'x', sizeof long_id);
    long_id[257] = '\0';
    assert_int_equal(ls_stream_create(store, "s", NULL), LS_OK);
    if (!lsi_crypto_is_built()) {
        assert_int_equal(ls_stream_start_encryption(store, "s", "k1"), LS_ERR_UNSUPPORTED);
        assert_int_equal(ls_store_close(store), LS_OK);
        temp_remove(&at.temp);
        return;
    }
    assert_int_equal(ls_stream_start_encryption(NULL, "s", "k1"), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_start_encryption(store, NULL, "k1"), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_start_encryption(store, "s", NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_start_encryption(store, "no such name!", "k1"), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_start_encryption(store, "s", ""), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_start_encryption(store, "s", long_id), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_start_encryption(store, "s", "k\n1"), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_start_encryption(store, "s", "k\xff"), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_start_encryption(store, "s", "k\x7f"), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_stream_start_encryption(store, "s", "k\xc2\x9f"), LS_ERR_INVALID_ARGUMENT); /* U+009F */
    assert_int_equal(of.calls, 0);
    assert_int_equal(ls_stream_start_encryption(store, "none", "k1"), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_stop_encryption(store, "none"), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_set_compression(store, "none", LS_COMPRESSION_ZSTD), LS_ERR_NOT_FOUND);
    assert_int_equal(ls_stream_start_encryption(store, "s", "k2"), LS_ERR_KEY);
    assert_true(says("'s'") && says("'k2'") && says("LS_ERR_KEY"));
    assert_int_equal(ls_stream_set_compression(store, "s", 2), LS_ERR_INVALID_ARGUMENT);
    assert_key_id(store, "s", "");
    long_id[256] = '\0';
    of.only = NULL;
    assert_int_equal(ls_stream_set_compression(store, "s", LS_COMPRESSION_ZSTD), LS_OK);
    assert_int_equal(ls_stream_start_encryption(store, "s", long_id), LS_OK);
    made = manifest_file(&at);
    assert_int_equal(ls_stream_start_encryption(store, "s", long_id), LS_OK); /* Nothing to be changed. */
    assert_int_equal(ls_stream_set_compression(store, "s", LS_COMPRESSION_ZSTD), LS_OK);
    assert_int_equal(manifest_file(&at), made);
    assert_key_id(store, "s", long_id);
    assert_compression(store, "s", LS_COMPRESSION_ZSTD); /* One has nothing to do with the other. */
    assert_int_equal(ls_stream_stop_encryption(store, "s"), LS_OK);
    assert_compression(store, "s", LS_COMPRESSION_ZSTD);
    assert_int_equal(ls_stream_start_encryption(store, "s", long_id), LS_OK);
    assert_int_equal(ls_stream_set_compression(store, "s", LS_COMPRESSION_NONE), LS_OK);
    assert_key_id(store, "s", long_id);
    assert_int_equal(put(store, "s", 0, 10), LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    if (!in_memory) {
        ls_store_options options = LS_STORE_OPTIONS_INIT;

        options.flags = LS_STORE_READ_ONLY;
        assert_int_equal(ls_store_open(at.location, &options, &store), LS_OK);
        assert_int_equal(ls_stream_start_encryption(store, "s", "k1"), LS_ERR_READ_ONLY);
        assert_int_equal(ls_stream_stop_encryption(store, "s"), LS_ERR_READ_ONLY);
        assert_int_equal(ls_stream_set_compression(store, "s", LS_COMPRESSION_ZSTD), LS_ERR_READ_ONLY);
        assert_int_equal(ls_store_close(store), LS_OK);
    }
    temp_remove(&at.temp);
}

typedef struct refusal {
    ls_status answer;
    int calls;
} refusal;

static ls_status answer_with(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES])
{
    refusal *of = user;

    (void)key_id;
    memset(key, 7, LS_KEY_BYTES);
    of->calls++;
    return of->answer;
}

/* Whatever a callback answers that is not LS_OK: there is no key, and the next call asks again. One that was given is
 * kept, by who has used it. */
static void every_other_answer_means_that_there_is_no_key(void **state)
{
    static const ls_status answers[] = {LS_ERR_NOT_FOUND, LS_ERR_IO, LS_ERR_BUSY, 7, -1};
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    refusal of = {.calls = 0};
    ls_store *store = NULL;
    place at;

    (void)state;
    SKIP_UNLESS_BUILT();
    place_make(&at);
    options.key_callback = answer_with;
    options.key_user = &of;
    assert_int_equal(ls_store_open(at.location, &options, &store), LS_OK);
    assert_int_equal(ls_stream_create(store, "s", NULL), LS_OK);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        of.answer = answers[i];
        assert_int_equal(ls_stream_start_encryption(store, "s", "k1"), LS_ERR_KEY);
        assert_true(says("'k1'"));
        assert_int_equal(of.calls, i + 1);
        assert_key_id(store, "s", "");
    }
    of.answer = LS_OK;
    assert_int_equal(ls_stream_start_encryption(store, "s", "k1"), LS_OK);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        of.answer = answers[i];
        of.calls = 0;
        assert_int_equal(put(store, "s", 0, 10), LS_ERR_KEY);
        assert_int_equal(of.calls, 1);
    }
    of.answer = LS_OK;
    assert_int_equal(put(store, "s", 0, 10), LS_OK);
    of.answer = LS_ERR_IO;
    of.calls = 0;
    assert_int_equal(put(store, "s", 1, 10), LS_OK);
    assert_int_equal(of.calls, 0);
    assert_int_equal(ls_store_close(store), LS_OK);
    temp_remove(&at.temp);
}

/* P9. */
static bool child_is_turned_away(void *user)
{
    ls_store *store = user;

    return ls_stream_start_encryption(store, "s", "k2") == LS_ERR_STATE &&
           ls_stream_stop_encryption(store, "s") == LS_ERR_STATE &&
           ls_stream_set_compression(store, "s", LS_COMPRESSION_ZSTD) == LS_ERR_STATE;
}

static void a_fork_child_changes_nothing(void **state)
{
    keys of = {.first = 1};
    place at;

    (void)state;
    SKIP_UNLESS_BUILT();
    place_make(&at);
    ls_store *store = open_with(at.location, &of);
    assert_int_equal(ls_stream_create(store, "s", NULL), LS_OK);
    assert_int_equal(ls_stream_start_encryption(store, "s", "k1"), LS_OK);
    in_fork_child(child_is_turned_away, store);
    assert_key_id(store, "s", "k1");
    assert_int_equal(ls_store_close(store), LS_OK);
    temp_remove(&at.temp);
}

/* ---- compression ---- */

static void compressed_records_come_back_and_take_less(void **state)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    ls_stream_description *description = NULL;
    ls_stream *stream = NULL;
    uint64_t before = 0, after = 0;
    ls_status why;
    place at;

    (void)state;
    place_make(&at);
    ls_store *store = open_with(at.location, NULL);
    options.compression = LS_COMPRESSION_ZSTD;
    assert_int_equal(ls_stream_create(store, "s", &options), LS_OK);
    assert_int_equal(ls_stream_open(store, "s", &stream), LS_OK);
    assert_int_equal(ls_stream_describe(stream, &description), LS_OK);
    assert_int_equal(ls_stream_description_compression(description), LS_COMPRESSION_ZSTD);
    ls_stream_description_free(description);
    assert_int_equal(ls_stream_close(stream), LS_OK);
    if (!in_memory)
        occurs(at.location, "x", 1, &before);
    for (unsigned n = 0; n < 50; n++)
        assert_int_equal(put(store, "s", n, 200 << 10), LS_OK); /* 10 MB in all. */
    if (!in_memory) {
        occurs(at.location, "x", 1, &after);
        assert_true(after - before < 1 << 20);
    }
    assert_int_equal(ls_stream_set_compression(store, "s", LS_COMPRESSION_NONE), LS_OK);
    for (unsigned n = 50; n < 60; n++)
        assert_int_equal(put(store, "s", n, 200 << 10), LS_OK);
    if (!in_memory) {
        before = after;
        after = 0;
        occurs(at.location, "x", 1, &after);
        assert_true(after - before > 2000000);
    }
    assert_int_equal(read_all(store, "s", &why), 60);
    assert_int_equal(why, LS_OK);
    assert_int_equal(ls_store_close(store), LS_OK);
    temp_remove(&at.temp);
}

/* ---- key files ---- */

static void write_file(const char *path, const void *bytes, size_t size, mode_t mode)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(file >= 0);
    assert_int_equal(write(file, bytes, size), (ssize_t)size);
    assert_int_equal(fchmod(file, mode), 0);
    close(file);
}

static void key_files_are_read_and_looked_at(void **state)
{
    static const char hex[] = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F\r\n";
    unsigned char key[LS_KEY_BYTES], raw[LS_KEY_BYTES], zeros[LS_KEY_BYTES] = {0};
    char path[TEMP_PATH_BYTES * 2], other[TEMP_PATH_BYTES * 2];
    temp_dir temp;

    (void)state;
    for (unsigned i = 0; i < sizeof raw; i++)
        raw[i] = (unsigned char)i;
    temp_make(&temp);
    snprintf(path, sizeof path, "%s", temp_path(&temp, "key"));
    snprintf(other, sizeof other, "%s", temp_path(&temp, "other"));
    for (size_t size = 64; size <= 66; size++) { /* Without a line end, with CR alone, with both. */
        write_file(path, hex, size, 0600);
        assert_int_equal(ls_key_from_file(path, "k", key), LS_OK);
    }
    assert_memory_equal(key, raw, sizeof key);
    write_file(path, raw, sizeof raw, 0400);
    memset(key, 0xee, sizeof key);
    assert_int_equal(ls_key_from_file(path, "k", key), LS_OK);
    assert_memory_equal(key, raw, sizeof key);
    if (geteuid() == 0) { /* Else nobody can give a file away. */
        assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
        assert_int_equal(ls_key_from_file(path, "k", key), LS_ERR_KEY);
        assert_true(says(path) && says("belongs neither"));
        assert_int_equal(chown(path, 0, (gid_t)-1), 0);
    }

    for (unsigned mode = 1; mode <= 0077; mode <<= 1) {
        write_file(path, raw, sizeof raw, 0600 | (mode_t)mode);
        assert_int_equal(ls_key_from_file(path, "k", key), LS_ERR_KEY);
        assert_true(says(path) && says("group or others") && says("chmod 600"));
    }
    for (size_t size = 0; size <= 70; size++) {
        char text[70];
        memset(text, 'a', sizeof text);
        write_file(path, text, size, 0600);
        assert_int_equal(ls_key_from_file(path, "k", key), size == 32 || size == 64 ? LS_OK : LS_ERR_KEY);
    }
    memset(key, 0, sizeof key);
    write_file(path, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1g", 64, 0600);
    assert_int_equal(ls_key_from_file(path, "k", key), LS_ERR_KEY);
    assert_memory_equal(key, zeros, sizeof key); /* Not even a part of it. */
    assert_false(says("0001020304"));
    assert_int_equal(symlink(path, other), 0);
    write_file(path, raw, sizeof raw, 0600);
    assert_int_equal(ls_key_from_file(other, "k", key), LS_ERR_KEY);
    assert_true(says("link"));
    assert_int_equal(unlink(other), 0);
    assert_int_equal(mkfifo(other, 0600), 0);
    assert_int_equal(ls_key_from_file(other, "k", key), LS_ERR_KEY); /* Does not hang. */
    assert_true(says("no regular file"));
    assert_int_equal(unlink(other), 0);
    assert_int_equal(ls_key_from_file(other, "k", key), LS_ERR_KEY);
    assert_true(says("No such file"));

    /* A directory: the key of each id. */
    assert_int_equal(mkdir(other, 0700), 0);
    snprintf(path, sizeof path, "%s", temp_path(&temp, "other/k1"));
    write_file(path, raw, sizeof raw, 0600);
    assert_int_equal(ls_key_from_file(other, "k1", key), LS_OK);
    assert_int_equal(ls_key_from_file(other, "k2", key), LS_ERR_KEY);
    assert_true(says("k2"));
    write_file(path, raw, sizeof raw, 0640);
    assert_int_equal(ls_key_from_file(other, "k1", key), LS_ERR_KEY);
    assert_true(says(path) && says("group or others")); /* which of them */
    write_file(path, raw, sizeof raw, 0600);
    assert_int_equal(ls_key_from_file(other, "../key", key), LS_ERR_KEY);
    assert_int_equal(ls_key_from_file(other, ".", key), LS_ERR_KEY);
    assert_int_equal(ls_key_from_file(other, "", key), LS_ERR_KEY);
    if (geteuid() == 0) { /* Its owner could exchange the files. */
        assert_int_equal(chown(other, 12345, (gid_t)-1), 0);
        assert_int_equal(ls_key_from_file(other, "k1", key), LS_ERR_KEY);
        assert_true(says("others than its owner"));
        assert_int_equal(chown(other, 0, (gid_t)-1), 0);
    }
    assert_int_equal(ls_key_from_file(other, "k1", key), LS_OK);
    assert_int_equal(chmod(other, 0702), 0);
    assert_int_equal(ls_key_from_file(other, "k1", key), LS_ERR_KEY);
    assert_int_equal(chmod(other, 0720), 0);
    assert_int_equal(ls_key_from_file(other, "k1", key), LS_ERR_KEY);
    assert_int_equal(ls_key_from_file(NULL, "k1", key), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_key_from_file(other, NULL, key), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_key_from_file(other, "k1", NULL), LS_ERR_INVALID_ARGUMENT);
    temp_remove(&temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(encrypted_records_come_back),
        TEST(a_record_says_that_it_is_stored_encrypted),
        TEST(nothing_that_was_put_is_in_a_file),
        TEST(without_the_key_all_but_records_can_be_had),
        TEST(a_wrong_key_is_no_damage_and_writes_nothing),
        TEST(keys_change_under_a_process_that_puts),
        TEST(changes_that_cannot_be_are_refused),
        TEST(every_other_answer_means_that_there_is_no_key),
        TEST(a_fork_child_changes_nothing),
        TEST(compressed_records_come_back_and_take_less),
        TEST(key_files_are_read_and_looked_at),
    };

    run_everywhere("encryption", tests);
}
