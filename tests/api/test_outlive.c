/* What a store has handed out and the caller owns: each is read to its end and released after the store was closed.
 * What is freed is spoiled, so that whoever still looks at something of the store's finds nothing there. */
#include "api/support.h"

#include <malloc.h>

typedef struct handed {
    ls_stream_description *stream;
    ls_shard_list *shards;
    ls_tag_list *tags;
    ls_stream_list *streams;
    ls_consumer_list *consumers;
    ls_lease_list *leases;
    ls_mapping_description *mapping;
    ls_mapping_list *mappings;
    ls_delivery_description *delivery;
    ls_delivery_list *deliveries;
    ls_alert_description *alert;
    ls_alert_list *alerts;
    ls_metrics_snapshot *metrics;
} handed;

static const ls_position horizon = {.kind = LS_TRIM_HORIZON};

static void fill(ls_store *store)
{
    ls_stream_options about = LS_STREAM_OPTIONS_INIT;
    ls_alert_options rule = LS_ALERT_OPTIONS_INIT;
    ls_delivery_options to = LS_DELIVERY_OPTIONS_INIT;
    ls_consumer_info info = LS_CONSUMER_INFO_INIT;
    const ls_tag tag = {"team", "orders"};
    ls_stream *stream;

    about.shard_count = 3;
    about.tags = &tag;
    about.tag_count = 1;
    rule.comparison = LS_ALERT_GREATER;
    rule.metric = "libstream_puts_total";
    to.flags = LS_DELIVERY_TO_CALLBACK;
    assert_int_equal(ls_stream_create(store, "orders", &about), LS_OK);
    assert_int_equal(ls_stream_open(store, "orders", &stream), LS_OK);
    assert_int_equal(ls_consumer_register(stream, "fast", &info), LS_OK);
    assert_int_equal(ls_mapping_create(stream, "printer", &horizon, NULL), LS_OK);
    assert_int_equal(ls_delivery_create(stream, "files", &horizon, &to), LS_OK);
    assert_int_equal(ls_alert_create(stream, "many", &rule), LS_OK);
    ls_stream_close(stream);
}

static void take(ls_store *store, handed *out)
{
    ls_stream *stream;

    assert_int_equal(ls_stream_open(store, "orders", &stream), LS_OK);
    assert_int_equal(ls_stream_describe(stream, &out->stream), LS_OK);
    assert_int_equal(ls_stream_list_shards(stream, NULL, &out->shards), LS_OK);
    assert_int_equal(ls_stream_list_tags(stream, NULL, 0, &out->tags), LS_OK);
    assert_int_equal(ls_store_list_streams(store, NULL, 0, &out->streams), LS_OK);
    assert_int_equal(ls_stream_list_consumers(stream, NULL, 0, &out->consumers), LS_OK);
    assert_int_equal(ls_stream_list_leases(stream, "printer", &out->leases), LS_OK);
    assert_int_equal(ls_mapping_describe(stream, "printer", &out->mapping), LS_OK);
    assert_int_equal(ls_stream_list_mappings(stream, NULL, 0, &out->mappings), LS_OK);
    assert_int_equal(ls_delivery_describe(stream, "files", &out->delivery), LS_OK);
    assert_int_equal(ls_stream_list_deliveries(stream, NULL, 0, &out->deliveries), LS_OK);
    assert_int_equal(ls_alert_describe(stream, "many", &out->alert), LS_OK);
    assert_int_equal(ls_stream_list_alerts(stream, &out->alerts), LS_OK);
    assert_int_equal(ls_metrics_snapshot_take(store, &out->metrics), LS_OK);
    ls_stream_close(stream);
}

static void read_streams(const handed *all)
{
    ls_shard_info shard = LS_SHARD_INFO_INIT;
    ls_consumer_info consumer = LS_CONSUMER_INFO_INIT;
    ls_metric_sample sample = LS_METRIC_SAMPLE_INIT;

    assert_string_equal(ls_stream_description_name(all->stream), "orders");
    assert_int_equal(ls_stream_description_shard_count(all->stream), 3);
    assert_int_equal(ls_stream_description_shard(all->stream, 2, &shard), LS_OK);
    assert_int_equal(ls_shard_list_count(all->shards), 3);
    assert_int_equal(ls_shard_list_shard(all->shards, 2, &shard), LS_OK);
    assert_int_equal(shard.shard, 2);
    assert_string_equal(ls_tag_list_at(all->tags, 0).value, "orders");
    assert_string_equal(ls_stream_list_at(all->streams, 0), "orders");
    assert_int_equal(ls_consumer_list_at(all->consumers, 0, &consumer), LS_OK);
    assert_string_equal(consumer.name, "fast");
    for (size_t i = 0; i < ls_metrics_snapshot_count(all->metrics); i++) {
        assert_int_equal(ls_metrics_snapshot_at(all->metrics, i, &sample), LS_OK);
        assert_memory_equal(sample.name, "libstream_", 10);
    }
}

static void read_functions(const handed *all)
{
    ls_lease_info lease = LS_LEASE_INFO_INIT;
    ls_mapping_info mapping = LS_MAPPING_INFO_INIT;
    ls_mapping_options how = LS_MAPPING_OPTIONS_INIT;
    ls_delivery_info delivery = LS_DELIVERY_INFO_INIT;
    ls_delivery_options to = LS_DELIVERY_OPTIONS_INIT;
    ls_alert_info alert = LS_ALERT_INFO_INIT;
    ls_alert_options rule = LS_ALERT_OPTIONS_INIT;

    for (uint32_t i = 0; i < ls_lease_list_count(all->leases); i++)
        assert_int_equal(ls_lease_list_at(all->leases, i, &lease), LS_OK);
    assert_int_equal(ls_mapping_description_info(all->mapping, &mapping), LS_OK);
    assert_int_equal(ls_mapping_description_options(all->mapping, &how), LS_OK);
    assert_int_equal(ls_mapping_list_at(all->mappings, 0, &mapping), LS_OK);
    assert_string_equal(mapping.name, "printer");
    assert_int_equal(ls_delivery_description_info(all->delivery, &delivery), LS_OK);
    assert_int_equal(ls_delivery_description_options(all->delivery, &to), LS_OK);
    assert_int_equal(ls_delivery_list_at(all->deliveries, 0, &delivery), LS_OK);
    assert_string_equal(delivery.name, "files");
    assert_int_equal(ls_alert_description_info(all->alert, &alert), LS_OK);
    assert_int_equal(ls_alert_description_options(all->alert, &rule), LS_OK);
    assert_string_equal(rule.metric, "libstream_puts_total");
    assert_int_equal(ls_alert_list_at(all->alerts, 0, &alert), LS_OK);
    assert_string_equal(alert.name, "many");
}

static void release(handed *all)
{
    ls_stream_description_free(all->stream);
    ls_shard_list_free(all->shards);
    ls_tag_list_free(all->tags);
    ls_stream_list_free(all->streams);
    ls_consumer_list_free(all->consumers);
    ls_lease_list_free(all->leases);
    ls_mapping_description_free(all->mapping);
    ls_mapping_list_free(all->mappings);
    ls_delivery_description_free(all->delivery);
    ls_delivery_list_free(all->deliveries);
    ls_alert_description_free(all->alert);
    ls_alert_list_free(all->alerts);
    ls_metrics_snapshot_free(all->metrics);
}

static void what_was_handed_out_outlives_its_store(void **state)
{
    fixture *fx = *state;
    handed all;

    fill(fx->store);
    take(fx->store, &all);
    assert_int_equal(ls_store_close(fx->store), LS_OK);
    fx->store = NULL;
    read_streams(&all);
    read_functions(&all);
    release(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_handed_out_outlives_its_store),
    };

#ifdef M_PERTURB
    (void)mallopt(M_PERTURB, 0xA5); /* Answers nothing but that it knows the word. */
#endif
    run_everywhere("what was handed out", tests);
}
