/* What the tests of producers share: an engine, a producer on it, and ways to say a record in few words. */
#ifndef LST_PRODUCE_SUPPORT_H
#define LST_PRODUCE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "produce/produce.h"
#include "support/memory_engine.h"

typedef struct fixture {
    memory_engine *engine;
    lsi_producer *producer;
} fixture;

static inline void begin(fixture *fx, uint32_t shard_count, ls_durability durability)
{
    fx->engine = memory_engine_new(shard_count, durability);
    assert_int_equal(lsi_producer_open(memory_engine_stream(fx->engine), &fx->producer), LS_OK);
}

static inline void end(fixture *fx)
{
    lsi_producer_close(fx->producer);
    memory_engine_free(fx->engine);
}

static inline ls_bytes text(const char *s)
{
    return (ls_bytes){s, strlen(s)};
}

/* A hash key in the `part`th of `count` equal parts of the whole range. */
static inline ls_hash_key key_in(uint32_t part, uint32_t count)
{
    return lsi_hash_range_of(part, count).first;
}

static inline ls_status put(fixture *fx, const char *key, const char *data, ls_record_id *out)
{
    return lsi_producer_put(fx->producer, text(key), text(data), NULL, LS_DURABILITY_DEFAULT, out);
}

static inline ls_status put_at(fixture *fx, ls_hash_key hash, const char *data, ls_record_id *out)
{
    return lsi_producer_put(fx->producer, text("k"), text(data), &hash, LS_DURABILITY_DEFAULT, out);
}

#endif
