/* The control file: whatever is in it, the store opens or a status says why not; its records are all there, no others
 * come, and it takes another one. The file is a hint (P10): it cannot make a record appear or vanish.
 *
 * What is tried is what a process finds that is alone. While others are attached the file is their memory, and nobody
 * is safe from who writes into that. */
#include "fuzz/tiny_store.h"

#include "storage/control_layout.h"

#define RECORDS 5u
#define STORE "store"

static image whole; /* the store without its control file */
static image_file as_left; /* that */
static tiny_shard expected;
static unsigned char store_id[16];

static ls_stream *open_stream(still_env *still, bool read_only, ls_store **store)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream *stream;

    options.prealloc_bytes = LS_PREALLOC_NONE;
    options.flags = read_only ? LS_STORE_READ_ONLY : 0;
    if (lsi_store_open_env(STORE, &options, &still->env, store) != LS_OK)
        return NULL;
    if (ls_stream_open(*store, "s", &stream) != LS_OK) {
        (void)ls_store_close(*store); /* the caller tells of what came first */
        return NULL;
    }
    return stream;
}

static ls_status put(ls_stream *stream, ls_record_id *id)
{
    ls_producer *producer;
    ls_status st = ls_producer_open(stream, NULL, &producer);

    if (st != LS_OK)
        return st;
    st = ls_producer_put(producer, (ls_bytes){"key", 3}, (ls_bytes){"some data", 9}, NULL, id);
    (void)ls_producer_close(producer); /* every put was complete */
    return st;
}

static void make(void)
{
    lsi_files *files = lsi_files_memory_new(&lsi_memory_libc);
    ls_store *store;
    ls_stream *stream;
    still_env still;
    ls_record_id id;

    FUZZ_REQUIRE(files != NULL);
    still_env_make(&still, files, 1);
    FUZZ_REQUIRE(lsi_store_open_env(STORE, NULL, &still.env, &store) == LS_OK);
    FUZZ_REQUIRE(ls_stream_create(store, "s", NULL) == LS_OK);
    FUZZ_REQUIRE(ls_stream_open(store, "s", &stream) == LS_OK);
    for (unsigned i = 0; i < RECORDS; i++)
        FUZZ_REQUIRE(put(stream, &id) == LS_OK);
    tiny_read(stream, 0, &expected);
    FUZZ_REQUIRE(expected.count == RECORDS && expected.st == LS_OK);
    FUZZ_REQUIRE(ls_stream_close(stream) == LS_OK && ls_store_close(store) == LS_OK);
    whole = image_take(files, STORE);
    lsi_files_memory_free(files);
    for (size_t i = 0; i < whole.count; i++) {
        image_file *file = &whole.files[i];

        if (strcmp(file->name, LSI_CONTROL_NAME) == 0) {
            memcpy(store_id, ((control_header *)(void *)file->bytes)->store_id, sizeof store_id);
            as_left = *file;
            *file = whole.files[--whole.count];
            break;
        }
    }
}

/* The file as the store left it, or zeros, with the input's patches in it. */
static image_file *make_control(const uint8_t *data, size_t size)
{
    image_file *control = image_add(&whole, LSI_CONTROL_NAME, as_left.bytes, as_left.size);
    uint64_t bytes = lsi_read_u32le(data + 1);

    if (bytes < control->size)
        control->size = (size_t)bytes;
    if ((data[0] & FUZZ_CONTROL_EMPTY) != 0)
        memset(control->bytes, 0, control->size);
    for (size_t at = FUZZ_CONTROL_PATCHES_AT; size - at > 3;) {
        size_t to = lsi_read_u16le(data + at), run = data[at + 2];

        at += 3;
        if (run > size - at)
            run = size - at;
        if (to < control->size)
            memcpy(control->bytes + to, data + at, run < control->size - to ? run : control->size - to);
        at += run;
    }
    return control;
}

/* The header as one who may write it would: so that what stands behind it is believed. */
static void make_right(unsigned char *bytes, size_t size, unsigned how)
{
    control_header header;

    if (size < sizeof header || (how & FUZZ_CONTROL_HEADER) == 0)
        return;
    memcpy(&header, bytes, sizeof header);
    memcpy(header.magic, CONTROL_MAGIC, sizeof header.magic);
    header.layout = LSI_CONTROL_LAYOUT;
    header.features = LSI_CONTROL_FEATURES;
    memcpy(header.store_id, store_id, sizeof store_id);
    header.sum = lsi_sum64(&header, offsetof(control_header, sum), 0);
    if ((how & FUZZ_CONTROL_BOOT) != 0)
        lsi_boot_id(header.boot_id);
    memcpy(bytes, &header, sizeof header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static tiny_shard found;
    lsi_files *files;
    image_file *control;
    ls_stream *stream;
    ls_store *store;
    still_env still;
    ls_record_id id;
    bool read_only;
    ls_status st;

    if (size < FUZZ_CONTROL_PATCHES_AT)
        return 0;
    if (whole.count == 0)
        make();
    files = lsi_files_memory_new(&lsi_memory_libc);
    FUZZ_REQUIRE(files != NULL);
    still_env_make(&still, files, 2);
    control = make_control(data, size);
    make_right(control->bytes, control->size, data[0]);
    FUZZ_REQUIRE(image_put(&whole, files, STORE) == 0);
    free(control->bytes);
    whole.count--;

    read_only = (data[0] & FUZZ_CONTROL_READ_ONLY) != 0;
    stream = open_stream(&still, read_only, &store);
    FUZZ_REQUIRE(stream != NULL);
    tiny_read(stream, 0, &found);
    FUZZ_REQUIRE(found.st == LS_OK);
    FUZZ_REQUIRE(found.count == RECORDS);
    FUZZ_REQUIRE(memcmp(found.seqnos, expected.seqnos, RECORDS * sizeof *found.seqnos) == 0);
    FUZZ_REQUIRE(memcmp(found.sums, expected.sums, RECORDS * sizeof *found.sums) == 0);
    st = put(stream, &id);
    /* Where it says that a sync failed: nobody else knows, so that is believed until somebody resets it (E1). */
    FUZZ_REQUIRE(st == (read_only ? LS_ERR_READ_ONLY : LS_OK) || (!read_only && st == LS_ERR_IO));
    if (st == LS_OK) {
        FUZZ_REQUIRE(id.seqno > expected.seqnos[RECORDS - 1]);
        tiny_read(stream, 0, &found);
        FUZZ_REQUIRE(found.st == LS_OK && found.count == RECORDS + 1 && found.seqnos[RECORDS] == id.seqno);
    }
    FUZZ_REQUIRE(ls_stream_close(stream) == LS_OK);
    FUZZ_REQUIRE(ls_store_close(store) == LS_OK || st == LS_ERR_IO);
    lsi_files_memory_free(files);
    return 0;
}
