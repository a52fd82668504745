/* Points at atomic accesses. The rooms that share memory between processes are compiled once more for the simulator,
 * as for the thread sanitizer, which calls a function at each access: these are the functions, and nothing else of the
 * sanitizer is there. So a fiber may be left, or killed, between any two steps of what is done without a lock.
 *
 * An access is done at once and sequentially consistent, behind the point. Plain accesses are no points: what they
 * touch is private, or guarded by a lock. The names are the compiler's. */
#include <stdbool.h>
#include <stdint.h>

#include "support/sim_fibers.h"

void __tsan_init(void);
void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller);
void __tsan_func_entry(void *caller)
{
    (void)caller;
}

void __tsan_func_exit(void);
void __tsan_func_exit(void)
{
}

#define PLAIN(name)         \
    void name(void *where); \
    void name(void *where)  \
    {                       \
        (void)where;        \
    }
#define PLAINS(bytes)                  \
    PLAIN(__tsan_read##bytes)          \
    PLAIN(__tsan_write##bytes)         \
    PLAIN(__tsan_unaligned_read##bytes) \
    PLAIN(__tsan_unaligned_write##bytes) \
    PLAIN(__tsan_volatile_read##bytes) \
    PLAIN(__tsan_volatile_write##bytes)
PLAINS(1)
PLAINS(2)
PLAINS(4)
PLAINS(8)
PLAINS(16)

#define RANGE(name)                              \
    void name(void *where, __SIZE_TYPE__ bytes); \
    void name(void *where, __SIZE_TYPE__ bytes)  \
    {                                            \
        (void)where;                             \
        (void)bytes;                             \
    }
RANGE(__tsan_read_range)
RANGE(__tsan_write_range)

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order)
{
    (void)order;
    sim_point(SIM_POINT_WORD);
}

void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order)
{
    (void)order;
}

#define CHANGE(bits, name, how)                                                                \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile void *at, uint##bits##_t by, int order); \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile void *at, uint##bits##_t by, int order)  \
    {                                                                                          \
        (void)order;                                                                           \
        sim_point(SIM_POINT_WORD);                                                             \
        return how((volatile uint##bits##_t *)at, by, __ATOMIC_SEQ_CST);                       \
    }

#define EXCHANGE_IF(bits, name)                                                                         \
    bool __tsan_atomic##bits##_compare_exchange_##name(volatile void *at, void *expected, uint##bits##_t to, \
                                                       int order, int else_order);                      \
    bool __tsan_atomic##bits##_compare_exchange_##name(volatile void *at, void *expected, uint##bits##_t to, \
                                                       int order, int else_order)                       \
    {                                                                                                   \
        (void)order;                                                                                    \
        (void)else_order;                                                                               \
        sim_point(SIM_POINT_WORD);                                                                      \
        return __atomic_compare_exchange_n((volatile uint##bits##_t *)at, (uint##bits##_t *)expected, to, false, \
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                         \
    }

#define WORDS(bits)                                                                                   \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile void *at, int order);                    \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile void *at, int order)                     \
    {                                                                                                 \
        (void)order;                                                                                  \
        sim_point(SIM_POINT_WORD);                                                                    \
        return __atomic_load_n((const volatile uint##bits##_t *)at, __ATOMIC_SEQ_CST);                \
    }                                                                                                 \
    void __tsan_atomic##bits##_store(volatile void *at, uint##bits##_t value, int order);             \
    void __tsan_atomic##bits##_store(volatile void *at, uint##bits##_t value, int order)              \
    {                                                                                                 \
        (void)order;                                                                                  \
        sim_point(SIM_POINT_WORD);                                                                    \
        __atomic_store_n((volatile uint##bits##_t *)at, value, __ATOMIC_SEQ_CST);                     \
    }                                                                                                 \
    CHANGE(bits, exchange, __atomic_exchange_n)                                                       \
    CHANGE(bits, fetch_add, __atomic_fetch_add)                                                       \
    CHANGE(bits, fetch_sub, __atomic_fetch_sub)                                                       \
    CHANGE(bits, fetch_and, __atomic_fetch_and)                                                       \
    CHANGE(bits, fetch_or, __atomic_fetch_or)                                                         \
    CHANGE(bits, fetch_xor, __atomic_fetch_xor)                                                       \
    CHANGE(bits, fetch_nand, __atomic_fetch_nand)                                                     \
    EXCHANGE_IF(bits, strong)                                                                         \
    EXCHANGE_IF(bits, weak)
WORDS(8)
WORDS(16)
WORDS(32)
WORDS(64)
