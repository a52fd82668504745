/* Runs a delivery to S3, for s3.py: opens or makes a store with a stream of one shard and the delivery, puts COUNT
 * records, and delivers all there is. Prints what went wrong, and ends with 1. GIVE_UP_MS: of the run; 0: never.
 * STOP_MS: after so long it is stopped; 0: never.
 *
 *     run_s3 STORE COUNT [GIVE_UP_MS STOP_MS] */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libstream/libstream.h>

static int failed(ls_status st)
{
    printf("%s: %s\n", ls_status_name(st), ls_last_error_message());
    return 1;
}

static ls_status put_records(ls_stream *stream, unsigned long count)
{
    ls_producer *producer;
    ls_status st = ls_producer_open(stream, NULL, &producer);

    if (st != LS_OK)
        return st;
    for (unsigned long i = 0; st == LS_OK && i < count; i++) {
        char data[32];
        int size = snprintf(data, sizeof data, "record %lu", i);

        st = ls_producer_put(producer, (ls_bytes){"k", 1}, (ls_bytes){data, (size_t)size}, NULL, NULL);
    }
    (void)ls_producer_close(producer); /* What was put is durable. */
    return st;
}

static ls_status make_delivery(ls_stream *stream)
{
    ls_delivery_options options = LS_DELIVERY_OPTIONS_INIT;
    const ls_position start = {.kind = LS_TRIM_HORIZON};
    ls_status st;

    options.s3_bucket = "bucket";
    options.prefix = "logs/";
    options.delimiter = "\n";
    st = ls_delivery_create(stream, "to-s3", &start, &options);
    return st == LS_ERR_EXISTS ? LS_OK : st;
}

typedef struct stopper {
    ls_delivery *delivery;
    unsigned long ms;
} stopper;

static void *stop(void *user)
{
    const stopper *of = user;
    const struct timespec wait = {(time_t)(of->ms / 1000), (long)(of->ms % 1000) * 1000000};

    (void)nanosleep(&wait, NULL);
    ls_delivery_stop(of->delivery);
    return NULL;
}

static ls_status run(ls_stream *stream, unsigned long give_up_ms, unsigned long stop_ms)
{
    ls_delivery_run_options options = LS_DELIVERY_RUN_OPTIONS_INIT;
    ls_delivery *delivery;
    stopper of = {.ms = stop_ms};
    pthread_t thread;
    ls_status st = ls_delivery_open(stream, "to-s3", &delivery);

    if (st != LS_OK)
        return st;
    options.flags = LS_DELIVERY_UNTIL_CAUGHT_UP;
    options.give_up_ms = (uint32_t)give_up_ms;
    of.delivery = delivery;
    if (stop_ms != 0 && pthread_create(&thread, NULL, stop, &of) != 0)
        abort();
    st = ls_delivery_run(delivery, &options);
    if (stop_ms != 0)
        (void)pthread_join(thread, NULL);
    (void)ls_delivery_close(delivery); /* No run is left. */
    return st;
}

int main(int argc, char **argv)
{
    ls_store *store;
    ls_stream *stream;
    ls_status st;
    int result = 0;

    if (argc != 3 && argc != 5)
        return 2;
    st = ls_store_open(argv[1], NULL, &store);
    if (st != LS_OK)
        return failed(st);
    st = ls_stream_create(store, "events", NULL);
    if (st == LS_OK || st == LS_ERR_EXISTS)
        st = ls_stream_open(store, "events", &stream);
    if (st != LS_OK)
        return failed(st);
    st = make_delivery(stream);
    if (st == LS_OK)
        st = put_records(stream, strtoul(argv[2], NULL, 10));
    if (st == LS_OK)
        st = run(stream, argc > 3 ? strtoul(argv[3], NULL, 10) : 0, argc > 3 ? strtoul(argv[4], NULL, 10) : 0);
    if (st != LS_OK)
        result = failed(st);
    (void)ls_stream_close(stream);
    (void)ls_store_close(store);
    return result;
}
