/* Least privilege (store.h): what a store was opened for decides which calls do something. A table says of every
 * exported function what right it needs; a function that is not in the table fails the test, so none is forgotten. */
#include "api/support.h"

#include <libstream/unstable/inspect.h>

#include "api/api.h"

#define STREAM "orders"
#define CONSUMER "reports"

typedef struct role {
    const char *word;
    uint32_t flags;
    uint32_t rights;
    ls_status refusal;
} role;

static const role roles[] = {
    {"everything", 0, LSI_MAY_READ | LSI_MAY_PUT | LSI_MAY_CHANGE | LSI_MAY_CONSUME, LS_OK},
    {"reading", LS_STORE_READ_ONLY, LSI_MAY_READ, LS_ERR_READ_ONLY},
    {"consuming", LS_STORE_CONSUME_ONLY, LSI_MAY_READ | LSI_MAY_CONSUME, LS_ERR_READ_ONLY},
    {"producing", LS_STORE_PRODUCE_ONLY, LSI_MAY_PUT, LS_ERR_STATE},
};

/* ---- files that tell how they are used ---- */

static lsi_files watched;
static int (*real_open)(const lsi_root *root, const char *name, unsigned flags, lsi_file *out);
static uint32_t opened;              /* files */
static char opened_for_writing[512]; /* their names */

static int watched_open(const lsi_root *root, const char *name, unsigned flags, lsi_file *out)
{
    opened++;
    if ((flags & LSI_OPEN_WRITE) != 0) {
        size_t used = strlen(opened_for_writing);

        snprintf(opened_for_writing + used, sizeof opened_for_writing - used, "%s ", name);
    }
    return real_open(root, name, flags, out);
}

/* ---- the calls ---- */

typedef struct handles {
    char path[TEMP_PATH_BYTES * 2], copy[TEMP_PATH_BYTES * 2];
    ls_store *store;
    ls_stream *stream;
    ls_producer *producer; /* NULL where there can be none */
    ls_iterator *iterator; /* the same */
    ls_consumer *consumer; /* the same */
} handles;

static ls_status call_create(handles *of) { return ls_stream_create(of->store, "new", NULL); }
static ls_status call_delete(handles *of) { return ls_stream_delete(of->store, "new"); }
static ls_status call_reset(handles *of) { return ls_stream_reset_shard(of->stream, 0); }
static ls_status call_split(handles *of) { return ls_stream_split(of->stream, 0, NULL, NULL, NULL); }
static ls_status call_merge(handles *of) { return ls_stream_merge(of->stream, 1, 2, NULL); }
static ls_status call_scale(handles *of) { return ls_stream_update_shard_count(of->stream, 3, NULL); }
static ls_status call_encrypt(handles *of) { return ls_stream_start_encryption(of->store, STREAM, "k"); }
static ls_status call_decrypt(handles *of) { return ls_stream_stop_encryption(of->store, STREAM); }
static ls_status call_compress(handles *of) { return ls_stream_set_compression(of->store, STREAM, 0); }
static ls_status call_longer(handles *of) { return ls_stream_increase_retention(of->stream, 24); }
static ls_status call_shorter(handles *of) { return ls_stream_decrease_retention(of->stream, 24); }
static ls_status call_cap(handles *of) { return ls_stream_set_retention_bytes(of->stream, 0); }
static ls_status call_mode(handles *of) { return ls_stream_set_mode(of->stream, LS_STREAM_ON_DEMAND); }
static ls_status call_limits(handles *of) { return ls_stream_set_limits(of->stream, NULL); }
static ls_status call_recompress(handles *of) { return ls_stream_recompress(of->stream, -1, NULL); }
static ls_status call_recompression(handles *of) { return ls_stream_set_recompression(of->stream, 0); }
static ls_status call_record_max(handles *of) { return ls_stream_set_record_bytes_max(of->stream, 1 << 20); }
static ls_status call_auto(handles *of) { return ls_stream_set_auto_scaling(of->stream, NULL); }
static ls_status call_add_tags(handles *of) { return ls_stream_add_tags(of->stream, NULL, 0); }
static ls_status call_remove_tags(handles *of) { return ls_stream_remove_tags(of->stream, NULL, 0); }
static ls_status call_register(handles *of) { return ls_consumer_register(of->stream, "new", NULL); }
static ls_status call_deregister(handles *of) { return ls_consumer_deregister(of->stream, "new"); }
static ls_status call_map(handles *of)
{
    const ls_position position = {.kind = LS_TRIM_HORIZON};

    return ls_mapping_create(of->stream, "new", &position, NULL);
}
static ls_status call_move(handles *of)
{
    const ls_position position = {.kind = LS_TRIM_HORIZON};

    return ls_mapping_seek(of->stream, "new", &position);
}
static ls_status call_remap(handles *of) { return ls_mapping_update(of->stream, "new", NULL); }
static ls_status call_pause(handles *of) { return ls_mapping_pause(of->stream, "new"); }
static ls_status call_resume(handles *of) { return ls_mapping_resume(of->stream, "new"); }
static ls_status call_unmap(handles *of) { return ls_mapping_delete(of->stream, "new"); }
static ls_status call_delete_all(handles *of) { return ls_stream_delete_with_consumers(of->store, "none"); }
static ls_status call_sync(handles *of) { return ls_store_sync(of->store); }
static ls_status call_maintain(handles *of) { return ls_store_maintain(of->store, -1); }
static ls_status call_backup(handles *of) { return ls_store_backup(of->store, of->copy, NULL); }

static ls_status call_producer(handles *of)
{
    ls_producer *producer;
    ls_status st = ls_producer_open(of->stream, NULL, &producer);

    return st == LS_OK ? ls_producer_close(producer) : st;
}

static ls_status call_async_producer(handles *of)
{
    ls_async_producer *producer;
    ls_status st = ls_async_producer_open(of->stream, NULL, &producer, NULL, NULL);

    return st == LS_OK ? ls_async_producer_close(producer, -1) : st;
}

static ls_status call_txn(handles *of)
{
    ls_txn *txn = NULL;
    ls_status st = ls_txn_begin(of->store, NULL, &txn);

    if (st == LS_OK)
        st = ls_txn_put(txn, of->stream, (ls_bytes){"k", 1}, (ls_bytes){"d", 1}, NULL);
    if (st == LS_OK)
        st = ls_txn_commit(txn, NULL, 0);
    ls_txn_close(txn);
    return st;
}

static ls_status close_if(ls_status st, ls_iterator *iterator)
{
    if (st == LS_OK)
        ls_iterator_close(iterator);
    return st;
}

static ls_status call_iterator(handles *of)
{
    ls_iterator *iterator = NULL;
    ls_status st = ls_iterator_open(of->stream, 0, NULL, NULL, &iterator);

    return close_if(st, iterator);
}

static ls_status call_iterator_all(handles *of)
{
    ls_iterator *iterator = NULL;
    ls_status st = ls_iterator_open_all(of->stream, NULL, NULL, &iterator);

    return close_if(st, iterator);
}

static ls_status call_iterator_place(handles *of)
{
    ls_iterator *iterator = NULL;
    ls_status st = ls_iterator_open_place(of->stream, "no place", NULL, &iterator);

    return st == LS_ERR_INVALID_ARGUMENT ? LS_OK : st; /* It came as far as to look at it. */
}

static ls_status call_list(handles *of)
{
    ls_stream_list *list = NULL;
    ls_status st = ls_store_list_streams(of->store, NULL, 0, &list);

    ls_stream_list_free(list);
    return st;
}

static ls_status call_open(handles *of)
{
    ls_stream *stream;
    ls_status st = ls_stream_open(of->store, STREAM, &stream);

    return st == LS_OK ? ls_stream_close(stream) : st;
}

static ls_status call_describe(handles *of)
{
    ls_stream_description *description = NULL;
    ls_status st = ls_stream_describe(of->stream, &description);

    ls_stream_description_free(description);
    return st;
}

static ls_status call_shards(handles *of)
{
    ls_shard_list *list = NULL;
    ls_status st = ls_stream_list_shards(of->stream, NULL, &list);

    ls_shard_list_free(list);
    return st;
}

static ls_status call_tags(handles *of)
{
    ls_tag_list *list = NULL;
    ls_status st = ls_stream_list_tags(of->stream, NULL, 0, &list);

    ls_tag_list_free(list);
    return st;
}

static ls_status call_consumer_info(handles *of)
{
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;

    return ls_consumer_describe(of->stream, CONSUMER, &info);
}

static ls_status call_consumers(handles *of)
{
    ls_consumer_list *list = NULL;
    ls_status st = ls_stream_list_consumers(of->stream, NULL, 0, &list);

    ls_consumer_list_free(list);
    return st;
}

static ls_status call_new_delivery(handles *of)
{
    const ls_position position = {.kind = LS_TRIM_HORIZON};
    ls_delivery_options options = LS_DELIVERY_OPTIONS_INIT;

    options.flags = LS_DELIVERY_TO_CALLBACK;
    return ls_delivery_create(of->stream, "files", &position, &options);
}

static ls_status call_change_delivery(handles *of)
{
    ls_delivery_options options = LS_DELIVERY_OPTIONS_INIT;

    options.flags = LS_DELIVERY_TO_CALLBACK;
    return ls_delivery_update(of->stream, "files", LS_DELIVERY_ANY_VERSION, &options);
}

static ls_status call_delete_delivery(handles *of) { return ls_delivery_delete(of->stream, "files"); }

static ls_status call_delivery(handles *of)
{
    ls_delivery_description *description = NULL;
    ls_status st = ls_delivery_describe(of->stream, "none", &description);

    ls_delivery_description_free(description);
    return st;
}

static ls_status call_open_delivery(handles *of)
{
    ls_delivery *delivery = NULL;
    ls_status st = ls_delivery_open(of->stream, "none", &delivery);

    return st == LS_OK ? ls_delivery_close(delivery) : st;
}

static ls_status call_deliveries(handles *of)
{
    ls_delivery_list *list = NULL;
    ls_status st = ls_stream_list_deliveries(of->stream, NULL, 0, &list);

    ls_delivery_list_free(list);
    return st;
}

static ls_status call_mapping(handles *of)
{
    ls_mapping_description *description = NULL;
    ls_status st = ls_mapping_describe(of->stream, "none", &description);

    ls_mapping_description_free(description);
    return st;
}

static ls_status call_open_mapping(handles *of)
{
    ls_mapping *mapping = NULL;
    ls_status st = ls_mapping_open(of->stream, "none", &mapping);

    return st == LS_OK ? ls_mapping_close(mapping) : st;
}

static ls_window_answer take_nothing(const ls_window_result *result, void *user)
{
    (void)result;
    (void)user;
    return LS_WINDOW_GO_ON;
}

static ls_status call_open_window(handles *of)
{
    ls_window_options options = LS_WINDOW_OPTIONS_INIT;
    ls_window *window = NULL;
    ls_status st;

    options.kind = LS_WINDOW_TUMBLING;
    options.size_ms = 1;
    options.result = take_nothing;
    st = ls_window_open(of->stream, "kept", &options, &window);
    return st == LS_OK ? ls_window_close(window) : st;
}

static ls_status call_delete_window(handles *of)
{
    return ls_window_delete(of->stream, "none");
}

static ls_status call_new_alert(handles *of)
{
    ls_alert_options options = LS_ALERT_OPTIONS_INIT;

    options.metric = "libstream_put_records_total";
    options.comparison = LS_ALERT_GREATER;
    return ls_alert_create(of->stream, "new", &options);
}

static ls_status call_change_alert(handles *of)
{
    ls_alert_options options = LS_ALERT_OPTIONS_INIT;

    options.metric = "libstream_put_records_total";
    options.comparison = LS_ALERT_LESS;
    return ls_alert_update(of->stream, "new", &options);
}

static ls_status call_delete_alert(handles *of) { return ls_alert_delete(of->stream, "new"); }

static ls_status call_alert(handles *of)
{
    ls_alert_description *description = NULL;
    ls_status st = ls_alert_describe(of->stream, "none", &description);

    ls_alert_description_free(description);
    return st;
}

static ls_status call_alert_list(handles *of)
{
    ls_alert_list *list = NULL;
    ls_status st = ls_stream_list_alerts(of->stream, &list);

    ls_alert_list_free(list);
    return st;
}

static int32_t hear_nothing(const ls_alert *alert, void *user)
{
    (void)alert;
    (void)user;
    return 0;
}

static ls_status call_alerts(handles *of)
{
    ls_alerts *alerts = NULL;
    ls_status st = ls_alerts_open(of->stream, hear_nothing, NULL, &alerts);

    return st == LS_OK ? ls_alerts_close(alerts) : st;
}

static ls_status call_mappings(handles *of)
{
    ls_mapping_list *list = NULL;
    ls_status st = ls_stream_list_mappings(of->stream, NULL, 0, &list);

    ls_mapping_list_free(list);
    return st;
}

static ls_status call_consumer(handles *of)
{
    ls_consumer *consumer = NULL;
    ls_status st = ls_consumer_open(of->stream, CONSUMER, &consumer);

    return st == LS_OK ? ls_consumer_close(consumer) : st;
}

static ls_push_answer stop_at_once(const ls_batch *batch, void *user)
{
    (void)batch;
    (void)user;
    return LS_PUSH_STOP;
}

static ls_status call_subscribe(handles *of)
{
    return ls_consumer_subscribe(of->consumer, 0, NULL, NULL, stop_at_once, NULL);
}

static ls_status call_subscribe_all(handles *of)
{
    return ls_consumer_subscribe_all(of->consumer, NULL, NULL, stop_at_once, NULL);
}

static ls_status call_subscribe_place(handles *of)
{
    ls_status st = LS_ERR_INVALID_ARGUMENT; /* it is so for no consumer, and for no place */

    if (of->consumer != NULL) {
        st = ls_consumer_subscribe_place(of->consumer, "no place", NULL, stop_at_once, NULL);
        st = st == LS_ERR_INVALID_ARGUMENT ? LS_OK : st; /* It came as far as to look at it. */
    }
    return st;
}

static ls_status call_durability(handles *of)
{
    return ls_store_durability(of->store) == LS_DURABILITY_SYNC ? LS_OK : LS_ERR_STATE;
}

static ls_status call_put(handles *of) { return ls_producer_put(of->producer, text("k"), text("d"), NULL, NULL); }
static ls_status call_batch(handles *of) { return ls_producer_put_batch(of->producer, NULL, 0, NULL, NULL, NULL); }
static ls_status call_flush(handles *of) { return ls_producer_flush(of->producer); }

static ls_status call_next(handles *of)
{
    const ls_batch *batch;

    return ls_iterator_next(of->iterator, NULL, &batch);
}

static ls_status call_seek(handles *of)
{
    const ls_position first = {.kind = LS_TRIM_HORIZON};

    return ls_iterator_seek(of->iterator, &first);
}

static ls_status call_place(handles *of)
{
    char place[1024];

    return ls_iterator_place(of->iterator, place, sizeof place, NULL);
}

static ls_status call_event_fd(handles *of)
{
    int32_t fd;

    return ls_iterator_event_fd(of->iterator, &fd);
}

static ls_status call_group(handles *of)
{
    ls_group *group = NULL;
    ls_status st = ls_group_open(of->stream, "group", NULL, &group);

    return st == LS_OK ? ls_group_close(group) : st;
}

static ls_status call_leases(handles *of)
{
    ls_lease_list *list = NULL;
    ls_status st = ls_stream_list_leases(of->stream, "group", &list);

    ls_lease_list_free(list);
    return st;
}

static ls_status call_metric(handles *of)
{
    ls_metric *metric;

    return ls_metric_define(of->store, "calls_total", LS_METRIC_COUNTER, "Calls.", NULL, &metric);
}

static ls_status call_snapshot(handles *of)
{
    ls_metrics_snapshot *snapshot = NULL;
    ls_status st = ls_metrics_snapshot_take(of->store, &snapshot);

    ls_metrics_snapshot_free(snapshot);
    return st;
}

static ls_status pass(const char *bytes, size_t size, void *user)
{
    (void)bytes;
    (void)size;
    (void)user;
    return LS_OK;
}

static ls_status call_text(handles *of) { return ls_metrics_write_text(of->store, pass, NULL); }

static ls_status call_text_file(handles *of)
{
    char path[sizeof of->copy + 8];

    snprintf(path, sizeof path, "%s.prom", of->copy);
    return ls_metrics_write_file(of->store, path);
}

static ls_status call_ungroup(handles *of) { return ls_group_delete(of->stream, "group"); }

enum { ANY = LSI_MAY_READ | LSI_MAY_PUT | LSI_MAY_CHANGE };

static const struct {
    const char *name;
    ls_status (*call)(handles *of); /* NULL: touches no store, or needs what another gave and is called there */
    uint32_t right;
    bool is_of_handle; /* of a producer or iterator, which there is only with the right */
} functions[] = {
    {"ls_stream_create", call_create, LSI_MAY_CHANGE, false},
    {"ls_stream_delete", call_delete, LSI_MAY_CHANGE, false},
    {"ls_stream_reset_shard", call_reset, LSI_MAY_CHANGE, false},
    {"ls_stream_split", call_split, LSI_MAY_CHANGE, false},
    {"ls_stream_merge", call_merge, LSI_MAY_CHANGE, false},
    {"ls_stream_update_shard_count", call_scale, LSI_MAY_CHANGE, false},
    {"ls_stream_start_encryption", call_encrypt, LSI_MAY_CHANGE, false},
    {"ls_stream_stop_encryption", call_decrypt, LSI_MAY_CHANGE, false},
    {"ls_stream_set_compression", call_compress, LSI_MAY_CHANGE, false},
    {"ls_stream_increase_retention", call_longer, LSI_MAY_CHANGE, false},
    {"ls_stream_decrease_retention", call_shorter, LSI_MAY_CHANGE, false},
    {"ls_stream_set_retention_bytes", call_cap, LSI_MAY_CHANGE, false},
    {"ls_stream_set_mode", call_mode, LSI_MAY_CHANGE, false},
    {"ls_stream_set_limits", call_limits, LSI_MAY_CHANGE, false},
    {"ls_stream_recompress", call_recompress, LSI_MAY_CHANGE, false},
    {"ls_stream_set_recompression", call_recompression, LSI_MAY_CHANGE, false},
    {"ls_stream_set_record_bytes_max", call_record_max, LSI_MAY_CHANGE, false},
    {"ls_stream_set_auto_scaling", call_auto, LSI_MAY_CHANGE, false},
    {"ls_stream_add_tags", call_add_tags, LSI_MAY_CHANGE, false},
    {"ls_stream_remove_tags", call_remove_tags, LSI_MAY_CHANGE, false},
    {"ls_stream_delete_with_consumers", call_delete_all, LSI_MAY_CHANGE, false},
    {"ls_consumer_register", call_register, LSI_MAY_CHANGE, false},
    {"ls_consumer_deregister", call_deregister, LSI_MAY_CHANGE, false},
    {"ls_group_open", call_group, LSI_MAY_CONSUME, false},
    {"ls_stream_list_leases", call_leases, ANY, false},
    {"ls_group_delete", call_ungroup, LSI_MAY_CHANGE, false},
    {"ls_mapping_create", call_map, LSI_MAY_CHANGE, false},
    {"ls_mapping_update", call_remap, LSI_MAY_CHANGE, false},
    {"ls_mapping_pause", call_pause, LSI_MAY_CHANGE, false},
    {"ls_mapping_resume", call_resume, LSI_MAY_CHANGE, false},
    {"ls_mapping_seek", call_move, LSI_MAY_CHANGE, false},
    {"ls_mapping_delete", call_unmap, LSI_MAY_CHANGE, false},
    {"ls_producer_open", call_producer, LSI_MAY_PUT, false},
    {"ls_async_producer_open", call_async_producer, LSI_MAY_PUT, false},
    {"ls_async_producer_cancel", NULL, ANY, false},
    {"ls_async_producer_close", NULL, ANY, false},
    {"ls_async_producer_flush", NULL, ANY, false},
    {"ls_async_producer_put", NULL, ANY, false},
    {"ls_async_producer_wait", NULL, ANY, false},
    {"ls_txn_begin", call_txn, LSI_MAY_PUT, false},
    {"ls_store_sync", call_sync, LSI_MAY_PUT, false},
    {"ls_iterator_open", call_iterator, LSI_MAY_READ, false},
    {"ls_iterator_open_all", call_iterator_all, LSI_MAY_READ, false},
    {"ls_iterator_open_place", call_iterator_place, LSI_MAY_READ, false},
    {"ls_consumer_open", call_consumer, LSI_MAY_READ, false},
    {"ls_store_backup", call_backup, LSI_MAY_READ, false},
    {"ls_store_maintain", call_maintain, ANY, false},
    {"ls_store_list_streams", call_list, ANY, false},
    {"ls_store_durability", call_durability, ANY, false},
    {"ls_stream_open", call_open, ANY, false},
    {"ls_stream_describe", call_describe, ANY, false},
    {"ls_stream_list_shards", call_shards, ANY, false},
    {"ls_stream_list_tags", call_tags, ANY, false},
    {"ls_consumer_describe", call_consumer_info, ANY, false},
    {"ls_stream_list_consumers", call_consumers, ANY, false},
    {"ls_delivery_create", call_new_delivery, LSI_MAY_CHANGE, false},
    {"ls_delivery_update", call_change_delivery, LSI_MAY_CHANGE, false},
    {"ls_delivery_delete", call_delete_delivery, LSI_MAY_CHANGE, false},
    {"ls_delivery_describe", call_delivery, ANY, false},
    {"ls_delivery_open", call_open_delivery, LSI_MAY_CONSUME, false},
    {"ls_stream_list_deliveries", call_deliveries, ANY, false},
    {"ls_mapping_describe", call_mapping, ANY, false},
    {"ls_stream_list_mappings", call_mappings, ANY, false},
    {"ls_alert_create", call_new_alert, LSI_MAY_CHANGE, false},
    {"ls_alert_update", call_change_alert, LSI_MAY_CHANGE, false},
    {"ls_alert_delete", call_delete_alert, LSI_MAY_CHANGE, false},
    {"ls_alert_describe", call_alert, ANY, false},
    {"ls_stream_list_alerts", call_alert_list, ANY, false},
    {"ls_alerts_open", call_alerts, LSI_MAY_CONSUME, false},
    {"ls_alerts_check", NULL, ANY, false},
    {"ls_alerts_close", NULL, ANY, false},
    {"ls_alerts_observe", NULL, ANY, false},
    {"ls_mapping_open", call_open_mapping, LSI_MAY_CONSUME, false},
    {"ls_window_open", call_open_window, LSI_MAY_CONSUME, false}, /* under a name */
    {"ls_window_delete", call_delete_window, LSI_MAY_CHANGE, false},
    {"ls_user_records_close", NULL, ANY, false},
    {"ls_user_records_next", NULL, ANY, false},
    {"ls_user_records_open", NULL, ANY, false},
    {"ls_user_records_set", NULL, ANY, false},
    {"ls_window_add", NULL, ANY, false},
    {"ls_window_add_shard", NULL, ANY, false},
    {"ls_window_close", NULL, ANY, false},
    {"ls_window_describe", NULL, ANY, false},
    {"ls_window_finish", NULL, ANY, false},
    {"ls_window_flush", NULL, ANY, false},
    {"ls_window_position", NULL, ANY, false},
    {"ls_window_run", NULL, ANY, false},
    {"ls_window_stop", NULL, ANY, false},
    {"ls_window_store", NULL, ANY, false},
    {"ls_window_tip", NULL, ANY, false},
    {"ls_metric_define", call_metric, ANY, false},
    {"ls_metrics_snapshot_take", call_snapshot, ANY, false},
    {"ls_metrics_write_text", call_text, ANY, false},
    {"ls_metrics_write_file", call_text_file, ANY, false},
    {"ls_metric_series", NULL, ANY, false},
    {"ls_series_add", NULL, ANY, false},
    {"ls_series_set", NULL, ANY, false},
    {"ls_series_observe", NULL, ANY, false},
    {"ls_delivery_run", NULL, ANY, false},
    {"ls_delivery_stop", NULL, ANY, false},
    {"ls_delivery_wait", NULL, ANY, false},
    {"ls_delivery_close", NULL, ANY, false},
    {"ls_mapping_run", NULL, ANY, false},
    {"ls_mapping_stop", NULL, ANY, false},
    {"ls_mapping_wait", NULL, ANY, false},
    {"ls_mapping_close", NULL, ANY, false},
    {"ls_producer_put", call_put, LSI_MAY_PUT, true},
    {"ls_producer_put_batch", call_batch, LSI_MAY_PUT, true},
    {"ls_producer_flush", call_flush, LSI_MAY_PUT, true},
    {"ls_producer_repeats", NULL, ANY, false},
    {"ls_iterator_next", call_next, LSI_MAY_READ, true},
    {"ls_iterator_seek", call_seek, LSI_MAY_READ, true},
    {"ls_iterator_place", call_place, LSI_MAY_READ, true},
    {"ls_iterator_event_fd", call_event_fd, LSI_MAY_READ, true},
    {"ls_consumer_subscribe", call_subscribe, LSI_MAY_READ, true},
    {"ls_consumer_subscribe_all", call_subscribe_all, LSI_MAY_READ, true},
    {"ls_consumer_subscribe_place", call_subscribe_place, LSI_MAY_READ, true},
    {"ls_consumer_cancel", NULL, ANY, false},
    {"ls_consumer_close", NULL, ANY, false},
    {"ls_aggregate_add", NULL, ANY, false},
    {"ls_aggregate_bytes", NULL, ANY, false},
    {"ls_aggregate_clear", NULL, ANY, false},
    {"ls_aggregate_close", NULL, ANY, false},
    {"ls_aggregate_count", NULL, ANY, false},
    {"ls_aggregate_open", NULL, ANY, false},
    {"ls_aggregate_record", NULL, ANY, false},
    {"ls_filter_close", NULL, ANY, false},
    {"ls_filter_matches", NULL, ANY, false},
    {"ls_filter_not_json", NULL, ANY, false},
    {"ls_filter_open", NULL, ANY, false},
    {"ls_group_cancel", NULL, ANY, false},
    {"ls_group_close", NULL, ANY, false},
    {"ls_group_next", NULL, ANY, false},
    {"ls_group_renew", NULL, ANY, false},
    {"ls_lease_checkpoint", NULL, ANY, false},
    {"ls_lease_close", NULL, ANY, false},
    {"ls_lease_describe", NULL, ANY, false},
    {"ls_lease_end", NULL, ANY, false},
    {"ls_lease_prepare", NULL, ANY, false},
    {"ls_iterator_cancel", NULL, ANY, false},
    {"ls_iterator_close", NULL, ANY, false},
    {"ls_key_from_file", NULL, ANY, false},
    {"ls_producer_close", NULL, ANY, false},
    {"ls_txn_put", NULL, ANY, false},
    {"ls_txn_checkpoint", NULL, ANY, false},
    {"ls_txn_commit", NULL, ANY, false},
    {"ls_txn_abort", NULL, ANY, false},
    {"ls_txn_close", NULL, ANY, false},
    {"ls_store_close", NULL, ANY, false},
    {"ls_store_open", NULL, ANY, false},
    {"ls_stream_close", NULL, ANY, false},
};
/* Views of what a call gave, and what has nothing to do with a store that is open. */
static const char *const harmless[] = {"ls_alert_description_", "ls_alert_list_", "ls_batch_", "ls_consumer_list_",
                                       "ls_handler_", "ls_inspect_", "ls_last_error_",
                                       "ls_lease_list_", "ls_mapping_description_", "ls_mapping_list_",
                                       "ls_delivery_description_", "ls_delivery_list_", "ls_transform_",
                                       "ls_metrics_snapshot_at", "ls_metrics_snapshot_count", "ls_metrics_snapshot_free",
                                       "ls_shard_list_", "ls_status_",
                                       "ls_stream_description_", "ls_stream_list_at", "ls_stream_list_count",
                                       "ls_stream_list_free", "ls_stream_list_has_more", "ls_tag_list_", "ls_version_"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void every_exported_function_has_its_place_in_the_table(void **state)
{
    FILE *symbols = fopen(SYMBOLS, "r");
    char line[200];
    int known = 0;

    (void)state;
    assert_non_null(symbols);
    while (fgets(line, sizeof line, symbols) != NULL) {
        char *name = strstr(line, "ls_");
        bool found = name == NULL;

        if (name != NULL)
            name[strcspn(name, ";")] = '\0';
        for (size_t i = 0; i < COUNT(functions) && !found; i++)
            found = strcmp(functions[i].name, name) == 0;
        for (size_t i = 0; i < COUNT(harmless) && !found; i++)
            found = strncmp(harmless[i], name, strlen(harmless[i])) == 0;
        if (!found)
            fail_msg("%s is exported, and nobody says which role may call it", name);
        known += name != NULL;
    }
    fclose(symbols);
    assert_true(known > 50);
}

static void open_as(fixture *fx, const role *as, handles *of)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    lsi_env env;

    memset(of, 0, sizeof *of);
    snprintf(of->path, sizeof of->path, "%s", temp_path(&fx->temp, "store"));
    snprintf(of->copy, sizeof of->copy, "%s", temp_path(&fx->temp, as->word));
    lsi_env_default(&env);
    watched = lsi_files_system;
    real_open = watched.open;
    watched.open = watched_open;
    env.files = &watched;
    opened_for_writing[0] = '\0';
    options.flags = as->flags;
    assert_int_equal(lsi_store_open_env(of->path, &options, &env, &of->store), LS_OK);
    assert_int_equal(ls_stream_open(of->store, STREAM, &of->stream), LS_OK);
    if ((as->rights & LSI_MAY_PUT) != 0)
        assert_int_equal(ls_producer_open(of->stream, NULL, &of->producer), LS_OK);
    if ((as->rights & LSI_MAY_READ) != 0) {
        assert_int_equal(ls_iterator_open(of->stream, 0, NULL, NULL, &of->iterator), LS_OK);
        assert_int_equal(ls_consumer_open(of->stream, CONSUMER, &of->consumer), LS_OK);
    }
}

static void close_all(handles *of)
{
    ls_iterator_close(of->iterator);
    assert_int_equal(ls_consumer_close(of->consumer), LS_OK);
    assert_int_equal(ls_producer_close(of->producer), LS_OK);
    assert_int_equal(ls_stream_close(of->stream), LS_OK);
    assert_int_equal(ls_store_close(of->store), LS_OK);
}

static void each_role_may_do_what_is_part_of_it_and_nothing_else(void **state)
{
    fixture *fx = *state;

    for (size_t r = 0; r < COUNT(roles); r++) {
        const role *as = &roles[r];
        handles of;

        open_as(fx, as, &of);
        for (size_t i = 0; i < COUNT(functions); i++) {
            uint32_t opened_before = opened;
            ls_status st, wanted;

            if (functions[i].call == NULL)
                continue;
            st = functions[i].call(&of);
            wanted = (functions[i].right & as->rights) != 0 ? LS_OK
                : functions[i].is_of_handle                 ? LS_ERR_INVALID_ARGUMENT
                                                            : as->refusal;
            if (wanted == LS_OK) {
                /* Whether it did its work is not the question here, but whether it was let in. */
                if (st == LS_ERR_READ_ONLY || (st != LS_OK && as->refusal == st))
                    fail_msg("%s for %s: %s", functions[i].name, as->word, ls_last_error_message());
                continue;
            }
            if (st != wanted)
                fail_msg("%s for %s is %s, not %s", functions[i].name, as->word, ls_status_name(st),
                         ls_status_name(wanted));
            assert_int_equal(opened, opened_before);
            if (!functions[i].is_of_handle)
                assert_true(says(functions[i].name) && says(as->word));
        }
        close_all(&of);
    }
}

/* Method: the system's files, told of each file that is opened. */
static void who_only_reads_opens_nothing_but_the_control_file_for_writing(void **state)
{
    fixture *fx = *state;

    handles of;

    open_as(fx, &roles[1], &of);
    assert_int_equal(call_next(&of), LS_OK);
    assert_int_equal(call_describe(&of), LS_OK);
    assert_int_equal(call_maintain(&of), LS_OK);
    assert_int_equal(call_list(&of), LS_OK);
    close_all(&of);
    assert_string_equal(opened_for_writing, "control ");
}

/* ---- consuming ---- */

#define MAPPING "audit"

static ls_handler_answer put_from_a_handler(const ls_batch *batch, ls_handler_context *context, void *user)
{
    handles *of = user;

    if (ls_batch_count(batch) != 1 ||
        ls_handler_put(context, 0, of->stream, (ls_bytes){"k", 1}, (ls_bytes){"d", 1}, NULL) != LS_ERR_READ_ONLY ||
        !says("consuming only"))
        return LS_HANDLER_STOP;
    return LS_HANDLER_DONE;
}

/* A worker's lease, with its shard's checkpoint behind `seqno`. */
static void work_up_to(ls_stream *stream, uint32_t shard, ls_seqno seqno)
{
    ls_group_event event = LS_GROUP_EVENT_INIT;
    ls_lease_info info = LS_LEASE_INFO_INIT;
    ls_group *group = NULL;

    assert_int_equal(ls_group_open(stream, "workers", NULL, &group), LS_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ls_group_next(group, 1000, &event), LS_OK);
        assert_int_equal(event.kind, LS_GROUP_TAKEN);
        assert_int_equal(ls_lease_describe(event.lease, &info), LS_OK);
        if (info.shard == shard)
            assert_int_equal(ls_lease_checkpoint(event.lease, seqno, UINT32_MAX), LS_OK);
    }
    assert_int_equal(ls_group_close(group), LS_OK);
}

static void assert_worked_up_to(ls_stream *stream, const char *group, uint32_t shard, ls_seqno seqno)
{
    ls_lease_info info = LS_LEASE_INFO_INIT;
    ls_lease_list *list = NULL;

    assert_int_equal(ls_stream_list_leases(stream, group, &list), LS_OK);
    assert_true(ls_lease_list_count(list) > shard);
    assert_int_equal(ls_lease_list_at(list, shard, &info), LS_OK);
    assert_int_equal(info.shard, shard);
    assert_int_equal(info.seqno, seqno);
    ls_lease_list_free(list);
}

/* Who consumes only keeps how far he came, by himself or in runs of what others made, and puts and changes nothing. */
static void who_only_consumes_keeps_how_far_he_came(void **state)
{
    ls_mapping_run_options how = LS_MAPPING_RUN_OPTIONS_INIT;
    ls_mapping_options settings = LS_MAPPING_OPTIONS_INIT;
    const ls_position oldest = {.kind = LS_TRIM_HORIZON};
    ls_mapping *mapping = NULL;
    fixture *fx = *state;
    ls_producer *producer = NULL;
    ls_stream *stream = NULL;
    ls_record_id id;
    handles of;

    assert_int_equal(ls_stream_open(fx->store, STREAM, &stream), LS_OK);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text("e"), NULL, &id), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    settings.records_max = 1;
    settings.flags = LS_MAPPING_EXACTLY_ONCE;
    assert_int_equal(ls_mapping_create(stream, MAPPING, &oldest, &settings), LS_OK);

    open_as(fx, &roles[2], &of);
    work_up_to(of.stream, id.shard, id.seqno);
    assert_int_equal(ls_group_delete(of.stream, "workers"), LS_ERR_READ_ONLY);
    assert_int_equal(ls_mapping_open(of.stream, MAPPING, &mapping), LS_OK);
    how.flags = LS_RUN_UNTIL_CAUGHT_UP;
    assert_int_equal(ls_mapping_run(mapping, &how, put_from_a_handler, &of), LS_OK);
    assert_int_equal(ls_mapping_close(mapping), LS_OK);
    assert_int_equal(ls_mapping_delete(of.stream, MAPPING), LS_ERR_READ_ONLY);
    close_all(&of);

    assert_worked_up_to(stream, "workers", id.shard, id.seqno);
    assert_worked_up_to(stream, MAPPING, id.shard, id.seqno);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static void a_store_is_not_made_by_who_may_not(void **state)
{
    fixture *fx = *state;
    ls_store *store = NULL;

    for (size_t r = 1; r < COUNT(roles); r++) {
        ls_store_options options = LS_STORE_OPTIONS_INIT;

        options.flags = roles[r].flags;
        assert_int_equal(ls_store_open(temp_path(&fx->temp, "none"), &options, &store), LS_ERR_NOT_FOUND);
        options.flags = roles[r].flags | roles[r % 3 + 1].flags;
        assert_int_equal(ls_store_open(fx->location, &options, &store), LS_ERR_INVALID_ARGUMENT);
        assert_true(says("exclude each other"));
    }
}

static void who_only_puts_or_consumes_does_not_change_the_durability(void **state)
{
    fixture *fx = *state;

    for (size_t r = 2; r < COUNT(roles); r++) {
        ls_store_options options = LS_STORE_OPTIONS_INIT;
        ls_store *store = NULL;

        options.flags = roles[r].flags;
        options.durability = LS_DURABILITY_KERNEL;
        assert_int_equal(ls_store_open(fx->location, &options, &store), LS_ERR_INVALID_ARGUMENT);
        assert_true(says(roles[r].word));
        options.durability = LS_DURABILITY_DEFAULT;
        options.sync_interval_ms = 50;
        assert_int_equal(ls_store_open(fx->location, &options, &store), LS_ERR_INVALID_ARGUMENT);
    }
}

/* The stream is there, with a record, before any role comes. */
static int begin_with_stream(void **state)
{
    ls_producer *producer = NULL;
    ls_stream *stream;
    fixture *fx;
    int result = begin(state);

    if (result != 0)
        return result;
    fx = *state;
    stream = make_stream(fx, STREAM, 3);
    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    assert_int_equal(ls_producer_put(producer, text("k"), text("d"), NULL, NULL), LS_OK);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_consumer_register(stream, CONSUMER, NULL), LS_OK);
    return ls_stream_close(stream) == LS_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_exported_function_has_its_place_in_the_table),
        cmocka_unit_test_setup_teardown(each_role_may_do_what_is_part_of_it_and_nothing_else, begin_with_stream, end),
        cmocka_unit_test_setup_teardown(who_only_reads_opens_nothing_but_the_control_file_for_writing,
                                        begin_with_stream, end),
        cmocka_unit_test_setup_teardown(a_store_is_not_made_by_who_may_not, begin_with_stream, end),
        cmocka_unit_test_setup_teardown(who_only_consumes_keeps_how_far_he_came, begin_with_stream, end),
        cmocka_unit_test_setup_teardown(who_only_puts_or_consumes_does_not_change_the_durability, begin_with_stream,
                                        end),
    };

    in_memory = false;
    return cmocka_run_group_tests_name("roles", tests, NULL, NULL);
}
