/* A log without a store around it, on any table of files: what tests of storage begin with. */
#ifndef LST_STORAGE_LOG_STORE_H
#define LST_STORAGE_LOG_STORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "storage/log.h"
#include "storage/storage.h"

typedef struct log_store {
    lsi_env env;
    lsi_root root;
    lsi_control *control;
    lsi_log_config config;
    lsi_log *log;
    lsi_framer *framer;
    int64_t wall_us;
    const lsi_memory *memory; /* NULL: the system's */
} log_store;

static inline int64_t log_store_wall(void *user)
{
    return ((log_store *)user)->wall_us;
}

/* `make`: the log is created, else it must be there. */
static inline void log_store_open(log_store *store, const lsi_files *files, bool make, ls_durability durability,
                                  uint64_t segment_bytes)
{
    bool alone;

    lsi_env_default(&store->env);
    store->env.files = files;
    if (store->memory != NULL)
        store->env.memory = *store->memory;
    store->env.clock.wall_us = log_store_wall;
    store->env.clock.user = store;
    if (store->wall_us == 0)
        store->wall_us = INT64_C(1700000000000000);
    assert_int_equal(files->root_open(files, "store", LSI_ROOT_CREATE | LSI_ROOT_WRITE, &store->root), 0);
    memset(&store->config, 0, sizeof store->config);
    memset(store->config.store_id, 7, sizeof store->config.store_id);
    assert_int_equal(lsi_control_open(&store->env, &store->root, store->config.store_id, false, &store->control,
                                      &alone),
                     LS_OK);
    store->config.env = &store->env;
    store->config.root = &store->root;
    store->config.control = store->control;
    store->config.stream = 1;
    store->config.durability = durability;
    store->config.segment_bytes = segment_bytes;
    store->config.prealloc_bytes = 8u << 20;
    store->config.first_seqno = 1;
    store->config.map_tail = true; /* heeded in KERNEL and INTERVAL */
    (void)snprintf(store->config.dir, sizeof store->config.dir, "1/0");
    (void)snprintf(store->config.label, sizeof store->config.label, "stream 'test' shard 0");
    if (make) {
        (void)files->make_dir(&store->root, "1");
        (void)files->sync_dir(&store->root, "");
        assert_int_equal(lsi_log_create(&store->config), LS_OK);
        assert_int_equal(lsi_log_publish_new(&store->config), LS_OK);
        (void)files->sync_dir(&store->root, "1");
    }
    assert_int_equal(lsi_log_open(&store->config, &store->log), LS_OK);
    assert_int_equal(lsi_framer_open(&store->env, &store->framer), LS_OK);
}

static inline ls_status log_store_close(log_store *store)
{
    lsi_framer_close(store->framer);
    ls_status st = lsi_log_close(store->log);
    lsi_control_close(store->control);
    store->root.files->root_close(&store->root);
    store->log = NULL;
    return st;
}

/* Puts "key-N" -> `size` bytes that begin with N. */
static inline ls_status log_store_put(log_store *store, unsigned n, size_t size, ls_seqno *seqno)
{
    static char data[11u << 20];
    char key[32];
    uint32_t accepted;
    uint64_t end;
    bool closed;

    memset(data, 'a' + (int)(n % 26), size);
    if (size >= sizeof n)
        memcpy(data, &n, sizeof n);
    ls_put_entry entry = {{key, (size_t)snprintf(key, sizeof key, "key-%u", n)}, {data, size}, NULL};
    ls_status st = lsi_log_append(store->log, store->framer, &entry, NULL, 1, false, &accepted, seqno, &end, &closed);
    if (st == LS_OK && store->config.durability == LS_DURABILITY_SYNC)
        st = lsi_log_commit(store->log, end);
    return st;
}

/* Reads everything from the horizon and checks that records are n = first, first + 1, ...; returns how many. */
static inline uint32_t log_store_count(log_store *store, unsigned first)
{
    lsi_log_reader *reader;
    const ls_record *records;
    uint32_t count, total = 0;
    bool tip = false, end;
    ls_seqno last = 0;

    assert_int_equal(lsi_log_reader_open(store->log, LSI_READ_FAST, &reader), LS_OK);
    while (!tip) {
        assert_int_equal(lsi_log_reader_read(reader, 100, 1 << 20, &records, &count, &tip, &end), LS_OK);
        for (uint32_t i = 0; i < count; i++) {
            unsigned n;
            assert_true(records[i].seqno > last);
            last = records[i].seqno;
            memcpy(&n, records[i].data.data, sizeof n);
            assert_int_equal(n, first + total);
            total++;
        }
    }
    lsi_log_reader_close(reader);
    return total;
}

#endif
