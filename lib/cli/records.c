/* Printing records, for get and tail. As text: the data and a line feed, so that what `put` read comes out as it was.
 * As JSON: one object per line; one writer is kept for all of them, so that a record costs no allocation. */
#include "cli/cli.h"

#include "base/utf8.h"

static lsi_json_writer writer;
static bool writer_made;
static bool writer_failed;

static void print_json(const ls_record *record)
{
    char hash_key[LSI_HASH_KEY_BYTES];

    if (!writer_made) {
        lsi_json_begin(&writer, &lsi_memory_libc);
        writer_made = true;
    }
    writer.size = 0; /* The text's memory is used again. */
    writer.wants_comma = false;
    lsi_json_object_open(&writer);
    lsi_member_uint(&writer, "shard", record->shard);
    lsi_member_uint(&writer, "seqno", record->seqno);
    lsi_json_key(&writer, "key");
    lsi_json_string_sized(&writer, record->partition_key.data, record->partition_key.size);
    if ((record->flags & LS_RECORD_EXPLICIT_HASH_KEY) != 0) {
        lsi_format_hash_key(record->explicit_hash_key, hash_key);
        lsi_member_string(&writer, "explicit_hash_key", hash_key);
    }
    if ((record->flags & LS_RECORD_AGGREGATED) != 0) {
        lsi_member_uint(&writer, "sub_seqno", record->sub_seqno);
        lsi_member_uint(&writer, "sub_count", record->sub_count);
        if ((record->flags & LS_RECORD_OUTSIDE_SHARD) != 0)
            lsi_member_bool(&writer, "outside_shard", true);
    }
    lsi_member_int(&writer, "arrival_us", record->arrival_us);
    if (lsi_utf8_count(record->data.data, record->data.size) != LSI_UTF8_BAD) {
        lsi_json_key(&writer, "data");
        lsi_json_string_sized(&writer, record->data.data, record->data.size);
    } else {
        lsi_json_key(&writer, "data_base64");
        lsi_json_base64(&writer, record->data.data, record->data.size);
    }
    lsi_json_object_close(&writer);
    if (writer.failed) {
        writer_failed = true;
        return;
    }
    lsi_out(writer.text, writer.size);
}

void lsi_record_print(const ls_record *record, bool json)
{
    if (json)
        print_json(record);
    else
        lsi_out(record->data.data, record->data.size);
    lsi_out("\n", 1);
}

bool lsi_record_print_end(void)
{
    bool good = !writer_failed;

    if (writer_made)
        lsi_json_free(&writer);
    writer_made = false;
    writer_failed = false;
    return good;
}
