/* QUESTION  What does encryption leave of the speed of buffered batches, next to what the processor's own AES-256-GCM
 *           does? What does compression make of putting and reading?
 * WORKLOAD  Batches of 500 records of 1 KiB of sensors' JSON into one shard of a KERNEL store, 64 MiB for each round,
 *           then read once; plain, encrypted, compressed, both, and plain but recompressed (ls_stream_recompress)
 *           before it is read. Between them OpenSSL's AES-256-GCM on 64 KiB blocks, one key, a nonce each. Rounds are
 *           interleaved; each figure is the median.
 * UNIT      MB of records' data, 10^6 bytes, per second of this process' processor time, the kernel's included, so that
 *           a busy machine says the same; ratio: to OpenSSL's rate in the same round. OpenSSL's is called through
 *           base/crypto, which sets the key each time: one part in a hundred of a block.
 *
 *   sealing [ROUNDS]     5 by default
 *
 * Lines:  OPENSSL mb_s   and   SEALING stream put_mb_s read_mb_s put_ratio disk_bytes_per_byte */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/resource.h>

#include "base/crypto.h"
#include "bench.h"

#define BATCH 500u
#define RECORD ((size_t)1024)
#define BATCHES 128u
#define BLOCK ((size_t)64 << 10)
#define ROUNDS_MAX 101

static ls_status give_key(void *user, const char *key_id, unsigned char key[LS_KEY_BYTES])
{
    (void)user;
    (void)key_id;
    memset(key, 7, LS_KEY_BYTES);
    return LS_OK;
}

static double mb_s(double bytes, double from)
{
    return bytes / 1e6 / (bench_cpu_seconds(RUSAGE_SELF) - from);
}

static double openssl_once(void)
{
    static unsigned char in[BLOCK], out[BLOCK], nonce[LSI_NONCE_BYTES], tag[LSI_TAG_BYTES];
    const unsigned blocks = 1000;
    lsi_cipher *cipher;
    lsi_key *key;

    if (lsi_cipher_open(&lsi_memory_libc, &cipher) != LS_OK || lsi_key_new(&key) != LS_OK)
        bench_fail_ls("OpenSSL");
    double from = bench_cpu_seconds(RUSAGE_SELF);
    for (unsigned i = 0; i < blocks; i++) {
        memcpy(nonce, &i, sizeof i);
        if (lsi_cipher_seal(cipher, key, nonce, NULL, 0, in, BLOCK, out, tag) != LS_OK)
            bench_fail_ls("OpenSSL");
    }
    double rate = mb_s((double)blocks * (double)BLOCK, from);
    lsi_cipher_close(cipher);
    lsi_key_free(key);
    return rate;
}

typedef struct figures {
    const char *name;
    bool is_encrypted;
    ls_compression compression;
    bool is_recompressed; /* before it is read */
    double put[ROUNDS_MAX], read[ROUNDS_MAX], ratio[ROUNDS_MAX], disk;
} figures;

static void stream_once(figures *of, const ls_put_entry *entries, int round, double openssl)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream_options stream_options = LS_STREAM_OPTIONS_INIT;
    ls_next_options next = LS_NEXT_OPTIONS_INIT;
    const double bytes = (double)BATCHES * BATCH * (double)RECORD;
    char path[4096];
    ls_store *store;
    ls_stream *stream;
    ls_producer *producer;
    ls_iterator *iterator;
    uint64_t records = 0;

    (void)snprintf(path, sizeof path, "%s/sealing", bench_directory());
    bench_fresh_directory(path);
    options.durability = LS_DURABILITY_KERNEL;
    options.segment_bytes = 8 << 20; /* so that but an eighth of it is in a segment that is not full */
    options.key_callback = give_key;
    stream_options.compression = of->compression;
    if (ls_store_open(path, &options, &store) != LS_OK || ls_stream_create(store, "s", &stream_options) != LS_OK ||
        (of->is_encrypted && ls_stream_start_encryption(store, "s", "k") != LS_OK) ||
        ls_stream_open(store, "s", &stream) != LS_OK || ls_producer_open(stream, NULL, &producer) != LS_OK ||
        ls_producer_put_batch(producer, entries, BATCH, NULL, NULL, NULL) != LS_OK) /* Warm. */
        bench_fail_ls("opening");
    double from = bench_cpu_seconds(RUSAGE_SELF);
    for (unsigned i = 0; i < BATCHES; i++)
        if (ls_producer_put_batch(producer, entries, BATCH, NULL, NULL, NULL) != LS_OK)
            bench_fail_ls("putting");
    of->put[round] = mb_s(bytes, from);
    of->ratio[round] = of->put[round] / openssl;

    if (of->is_recompressed && ls_stream_recompress(stream, -1, NULL) != LS_OK)
        bench_fail_ls("recompressing");
    next.records_max = 10000;
    if (ls_iterator_open(stream, 0, NULL, NULL, &iterator) != LS_OK)
        bench_fail_ls("reading");
    from = bench_cpu_seconds(RUSAGE_SELF);
    for (;;) {
        const ls_batch *batch;

        if (ls_iterator_next(iterator, &next, &batch) != LS_OK)
            bench_fail_ls("reading");
        if (ls_batch_count(batch) == 0)
            break;
        records += ls_batch_count(batch);
    }
    of->read[round] = mb_s((double)records * (double)RECORD, from);
    if (records != (BATCHES + 1) * (uint64_t)BATCH)
        bench_fail("records are missing");
    ls_iterator_close(iterator);
    (void)ls_producer_close(producer);
    (void)ls_stream_close(stream);
    if (ls_store_close(store) != LS_OK)
        bench_fail_ls("closing");
    of->disk = (double)bench_file_bytes(path) / ((double)records * (double)RECORD);
    bench_remove(path);
}

int main(int argc, char **argv)
{
    static figures of[] = {{.name = "plain"},
                           {.name = "encrypted", .is_encrypted = true},
                           {.name = "compressed", .compression = LS_COMPRESSION_ZSTD},
                           {.name = "both", .is_encrypted = true, .compression = LS_COMPRESSION_ZSTD},
                           {.name = "recompressed", .is_recompressed = true}};
    static double openssl[ROUNDS_MAX];
    static ls_put_entry entries[BATCH];
    int rounds = argc > 1 ? atoi(argv[1]) : 5;
    char *data = bench_memory(BATCH * RECORD);

    if (rounds < 1 || rounds > ROUNDS_MAX)
        bench_fail("ROUNDS is 1..101");
    for (unsigned i = 0; i < BATCH; i++) {
        bench_json_record(data + i * RECORD, RECORD, i);
        entries[i] = (ls_put_entry){{"sensor", 6}, {data + i * RECORD, RECORD}, NULL};
    }
    (void)openssl_once(); /* Warm. */
    for (int round = 0; round < rounds; round++)
        for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
            openssl[round] = openssl_once();
            stream_once(&of[i], entries, round, openssl[round]);
        }
    printf("OPENSSL\tmb_s=%.0f\n", bench_median(openssl, (size_t)rounds));
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++)
        printf("SEALING\tstream=%s\tput_mb_s=%.0f\tread_mb_s=%.0f\tput_ratio=%.2f\tdisk_bytes_per_byte=%.2f\n",
               of[i].name, bench_median(of[i].put, (size_t)rounds), bench_median(of[i].read, (size_t)rounds),
               bench_median(of[i].ratio, (size_t)rounds), of[i].disk);
    free(data);
    return 0;
}
