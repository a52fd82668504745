/* An engine in memory for the tests of produce and consume: one stream, whose shards can be split, merged, trimmed,
 * dropped and made to fail at will, and which writes down what was asked of it.
 *
 *     memory_engine *engine = memory_engine_new(2, LS_DURABILITY_SYNC);
 *     lsi_engine_stream *stream = memory_engine_stream(engine);
 *     ... lsi_producer_open(stream, &producer) ...
 *     assert_string_equal(memory_engine_trace(engine), "append 0 x2; append 1 x1; commit 0; commit 1; ");
 *
 * What is appended is visible at once. Numbers rise by 1 in an append and by 10 between two, so that nothing can hang
 * on their being consecutive. The clock is the system's until memory_engine_stop_clock(). Any thread. */
#ifndef LST_MEMORY_ENGINE_H
#define LST_MEMORY_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "support/sim_memory.h"

typedef struct memory_engine memory_engine;

memory_engine *memory_engine_new(uint32_t shard_count, ls_durability durability);
void memory_engine_free(memory_engine *engine); /* Fails the test when appenders or readers are still open. */
lsi_engine_stream *memory_engine_stream(memory_engine *engine);
sim_memory *memory_engine_memory(memory_engine *engine); /* what the code under test allocates from */
void memory_engine_set_read_only(memory_engine *engine);
void memory_engine_set_record_bytes_max(memory_engine *engine, uint32_t bytes);
void memory_engine_set_rates(memory_engine *engine, ls_stream_mode mode, lsi_rates rates);
void memory_engine_set_faults(memory_engine *engine, lsi_faults faults); /* for producers opened from now on */
void memory_engine_set_busy_timeout(memory_engine *engine, uint32_t ms);

/* ---- time ---- */

/* From now on both clocks stand at `wall_us`, and sleeping moves them at once instead of waiting. */
void memory_engine_stop_clock(memory_engine *engine, int64_t wall_us);
void memory_engine_advance(memory_engine *engine, int64_t us);
int64_t memory_engine_slept_us(memory_engine *engine); /* all sleeps together, of a stopped clock */

/* ---- the stream ---- */

/* As if another process had put: the record's number. */
ls_seqno memory_engine_append(memory_engine *engine, uint32_t shard, const char *key, const char *data);
/* The same by a process that is killed before it wakes anybody. */
ls_seqno memory_engine_append_silently(memory_engine *engine, uint32_t shard, const char *key, const char *data);
/* Closes the shard and gives it two children; the index of the first, the second follows it. */
uint32_t memory_engine_split(memory_engine *engine, uint32_t shard);
/* Closes both and gives them one child: its index. `a` holds the lower keys. */
uint32_t memory_engine_merge(memory_engine *engine, uint32_t a, uint32_t b);
/* While hidden, info() and generation() go on showing what was there before. */
void memory_engine_hide_changes(memory_engine *engine, bool hidden);
/* Records below `oldest` can no longer be read. */
void memory_engine_trim(memory_engine *engine, uint32_t shard, ls_seqno oldest);
/* The shard is no longer listed, as after its last record was trimmed. */
void memory_engine_forget(memory_engine *engine, uint32_t shard);
void memory_engine_delete_stream(memory_engine *engine);
/* How many records the shard holds, and the data of the one at `index`, a view. */
size_t memory_engine_count(memory_engine *engine, uint32_t shard);
const char *memory_engine_data(memory_engine *engine, uint32_t shard, size_t index);

/* The process that drew this ticket last is known to be gone. */
void memory_engine_bury(memory_engine *engine, uint64_t ticket);
uint64_t memory_engine_tickets(memory_engine *engine); /* the last one that was drawn */
/* As if so many bytes had been written into the shard. */
void memory_engine_write(memory_engine *engine, uint32_t shard, uint64_t bytes);

/* ---- trouble ---- */

typedef enum memory_engine_call {
    MEMORY_ENGINE_APPEND,
    MEMORY_ENGINE_COMMIT,
    MEMORY_ENGINE_READ,
    MEMORY_ENGINE_SEEK,
    MEMORY_ENGINE_INFO,
    MEMORY_ENGINE_STATE_READ,
    MEMORY_ENGINE_STATE_WRITE, /* with `accepted`: it is made, and its answer is lost */
    MEMORY_ENGINE_CALL_COUNT
} memory_engine_call;

/* The next `times` calls of the kind on the shard (LSI_NO_SHARD: any) answer `status`; an append accepts the first
 * `accepted` records before. */
void memory_engine_fail(memory_engine *engine, memory_engine_call call, uint32_t shard, ls_status status,
                        uint32_t times, uint32_t accepted);
/* The next sleep answers LSI_INTERRUPTED. */
void memory_engine_interrupt(memory_engine *engine);
/* Calls `hook` in each sleep, before it begins. */
void memory_engine_on_sleep(memory_engine *engine, void (*hook)(void *user), void *user);
/* The same in each arming. */
void memory_engine_on_arm(memory_engine *engine, void (*hook)(void *user), void *user);

/* ---- what was asked ---- */

const char *memory_engine_trace(memory_engine *engine); /* appends and commits since the last clear */
void memory_engine_trace_clear(memory_engine *engine);
uint32_t memory_engine_sleep_count(memory_engine *engine);

#endif
