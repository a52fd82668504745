/* For test_aggregate.py: what aggregate.h makes and understands, as text.
 *
 *     aggregate_tool pack                 lines of KEY HASH DATA in, the record's KEY HASH DATA out
 *     aggregate_tool unpack               lines of a record's DATA in; of each its user records, as above, and "."
 *     aggregate_tool put STORE STREAM     as pack, and the record is put
 *
 * KEY and DATA are in hexadecimal, behind an "x" each; HASH is decimal, or "-". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libstream/libstream.h>

#include "base/u128.h"

#define LINE_BYTES (4u << 20)

static void check(bool is_good, const char *what)
{
    if (is_good)
        return;
    fprintf(stderr, "%s: %s\n", what, ls_last_error_message());
    exit(1);
}

/* In place: the word that begins at `*at`, which moves behind it. */
static ls_bytes take_bytes(char **at)
{
    char *from = strtok_r(*at, " \n", at);
    unsigned char *to = (unsigned char *)from;
    size_t size = 0;

    check(from != NULL && from[0] == 'x', "a word that is not in hexadecimal");
    for (const char *digits = from + 1; digits[0] != '\0'; digits += 2) {
        unsigned value;

        check(sscanf(digits, "%2x", &value) == 1, "a word that is not in hexadecimal");
        to[size++] = (unsigned char)value;
    }
    return (ls_bytes){to, size};
}

static bool take_entry(char *line, ls_put_entry *out, ls_hash_key *hash)
{
    char *at = line, *word;

    out->partition_key = take_bytes(&at);
    word = strtok_r(NULL, " \n", &at);
    check(word != NULL, "a line without a hash key");
    out->explicit_hash_key = strcmp(word, "-") == 0 ? NULL : hash;
    if (out->explicit_hash_key != NULL)
        check(lsi_u128_from_decimal(word, strlen(word), hash), "a hash key");
    out->data = take_bytes(&at);
    return true;
}

static void print_bytes(ls_bytes bytes)
{
    const unsigned char *at = bytes.data;

    putchar('x');
    for (size_t i = 0; i < bytes.size; i++)
        printf("%02x", at[i]);
}

static void print(ls_bytes key, const ls_hash_key *hash, ls_bytes data)
{
    char digits[LSI_U128_TEXT_BYTES] = "-";

    if (hash != NULL)
        lsi_u128_to_decimal(*hash, digits);
    print_bytes(key);
    printf(" %s ", digits);
    print_bytes(data);
    putchar('\n');
}

static void pack(char *line, ls_aggregate *aggregate, ls_put_entry *out)
{
    while (fgets(line, LINE_BYTES, stdin) != NULL) {
        ls_put_entry entry;
        ls_hash_key hash;
        int32_t fits;

        (void)take_entry(line, &entry, &hash); /* It ends the program if it is none. */
        check(ls_aggregate_add(aggregate, &entry, &fits) == LS_OK && fits == 1, "ls_aggregate_add");
    }
    check(ls_aggregate_record(aggregate, out) == LS_OK, "ls_aggregate_record");
}

static void unpack(char *line)
{
    ls_user_records *records;

    check(ls_user_records_open(&records) == LS_OK, "ls_user_records_open");
    while (fgets(line, LINE_BYTES, stdin) != NULL) {
        ls_record outer = {.partition_key = {"outer", 5}};
        const ls_record *one;

        outer.data = take_bytes(&line);
        check(ls_user_records_set(records, &outer, NULL) == LS_OK, "ls_user_records_set");
        while ((one = ls_user_records_next(records)) != NULL)
            print(one->partition_key, (one->flags & LS_RECORD_EXPLICIT_HASH_KEY) != 0 ? &one->explicit_hash_key : NULL,
                  one->data);
        puts(".");
    }
    ls_user_records_close(records);
}

static void put(const char *path, const char *name, const ls_put_entry *record)
{
    ls_put_options options = LS_PUT_OPTIONS_INIT;
    ls_producer *producer = NULL;
    ls_stream *stream = NULL;
    ls_store *store = NULL;

    options.explicit_hash_key = record->explicit_hash_key;
    check(ls_store_open(path, NULL, &store) == LS_OK && ls_stream_open(store, name, &stream) == LS_OK &&
          ls_producer_open(stream, NULL, &producer) == LS_OK, "opening the stream");
    check(ls_producer_put(producer, record->partition_key, record->data, &options, NULL) == LS_OK, "ls_producer_put");
    check(ls_producer_close(producer) == LS_OK && ls_stream_close(stream) == LS_OK && ls_store_close(store) == LS_OK,
          "closing the stream");
}

int main(int argc, char **argv)
{
    ls_aggregate_options options = LS_AGGREGATE_OPTIONS_INIT;
    char *line = malloc(LINE_BYTES);
    ls_aggregate *aggregate;
    ls_put_entry record;

    check(line != NULL && argc > 1, "usage: aggregate_tool pack|unpack|put ...");
    if (strcmp(argv[1], "unpack") == 0) {
        unpack(line);
    } else {
        options.bytes_max = 1 << 20;
        check(ls_aggregate_open(&options, &aggregate) == LS_OK, "ls_aggregate_open");
        pack(line, aggregate, &record);
        if (strcmp(argv[1], "put") == 0 && argc == 4)
            put(argv[2], argv[3], &record);
        else
            print(record.partition_key, record.explicit_hash_key, record.data);
        ls_aggregate_close(aggregate);
    }
    free(line);
    return 0;
}
