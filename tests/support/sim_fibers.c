/* From one stack to another. Whoever has to go on is switched to from where the last one stopped; the loop in
 * sim_machine_run() gets the thread back when somebody ends, dies, or the power goes, since nobody can give up the
 * stack that he stands on. */
#include "support/sim_machine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef UNDER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_BYTES ((size_t)256 << 10) /* the deepest of the library takes 40 KiB, with sanitizers thrice that */
#define GUARD_BYTES ((size_t)4096)

/* ---- who goes on ---- */

sim_fiber *sim_fiber_now(void)
{
    return sim_machine.current != 0 ? sim_machine.fibers[sim_machine.current] : NULL;
}

uint32_t sim_fiber_current(void)
{
    return sim_machine.current;
}

unsigned sim_process_current(void)
{
    return sim_machine.current != 0 ? sim_machine.fibers[sim_machine.current]->process : 0;
}

sim_memory *sim_process_memory(void)
{
    return &sim_machine.processes[sim_process_current()].memory;
}

bool sim_fiber_lives(uint32_t fiber)
{
    return fiber != 0 && fiber <= sim_machine.fiber_count && sim_machine.fibers[fiber]->state != SIM_OVER;
}

uint32_t sim_pick_ready(uint32_t not_this)
{
    uint32_t ready[SIM_FIBERS_MAX], count = 0;

    for (uint32_t i = 0; i < sim_machine.alive_count; i++)
        if (sim_machine.alive[i] != not_this && sim_machine.fibers[sim_machine.alive[i]]->state == SIM_READY)
            ready[count++] = sim_machine.alive[i];
    return count == 0 ? 0 : ready[sim_below(count)];
}

uint32_t sim_pick_any(void)
{
    uint32_t picked = sim_pick_ready(0);

    if (picked != 0)
        return picked;
    sim_wake_due();
    picked = sim_pick_ready(0);
    if (picked != 0 || sim_machine.due_ns == INT64_MAX)
        return picked;
    if (sim_machine.due_ns > sim_machine.now_ns)
        sim_machine.now_ns = sim_machine.due_ns;
    sim_wake_due();
    return sim_pick_ready(0);
}

static _Noreturn void die(void)
{
    sim_leave(SIM_KILLED);
}

/* The thread becomes that fiber: its words, its process. */
static void become(uint32_t next)
{
    sim_machine.current = next;
    sim_thread_words_swap(NULL, sim_machine.fibers[next]->words);
    sim_as_process(sim_machine.fibers[next]->process, die);
}

static void asan_leaves(void **fake_stack, uint32_t next)
{
#ifdef UNDER_ASAN
    if (next != 0)
        __sanitizer_start_switch_fiber(fake_stack, (char *)sim_machine.fibers[next]->stack + GUARD_BYTES, STACK_BYTES);
    else
        __sanitizer_start_switch_fiber(fake_stack, sim_machine.loop_stack, sim_machine.loop_stack_bytes);
#else
    (void)fake_stack;
    (void)next;
#endif
}

static void asan_arrives(void *fake_stack)
{
#ifdef UNDER_ASAN
    const void *bottom;
    size_t bytes;

    __sanitizer_finish_switch_fiber(fake_stack, &bottom, &bytes);
    if (sim_machine.loop_stack == NULL) { /* Nobody arrives before the loop has sent one. */
        sim_machine.loop_stack = bottom;
        sim_machine.loop_stack_bytes = bytes;
    }
#else
    (void)fake_stack;
#endif
}

void sim_switch_to(uint32_t next)
{
    sim_fiber *me = sim_fiber_now();
    void **fake_stack = NULL;

    if (next == sim_machine.current)
        return;
    sim_machine.tally.switches++;
    sim_thread_words_swap(me->words, NULL);
    become(next);
#ifdef UNDER_ASAN
    fake_stack = &me->fake_stack;
#endif
    asan_leaves(fake_stack, next);
    (void)swapcontext(&me->context, &sim_machine.fibers[next]->context); /* Fails on too small a stack alone. */
#ifdef UNDER_ASAN
    asan_arrives(me->fake_stack);
#endif
}

_Noreturn void sim_leave(sim_reason why)
{
    sim_machine.why = why;
    sim_machine.leaving = sim_machine.current;
    asan_leaves(NULL, 0);
    (void)setcontext(&sim_machine.loop);
    abort();
}

void sim_go_on(uint32_t next)
{
    void *volatile fake_stack = NULL; /* The sanitizer's, of this stack. */

    become(next);
    asan_leaves((void **)&fake_stack, next);
    (void)swapcontext(&sim_machine.loop, &sim_machine.fibers[next]->context);
    asan_arrives(fake_stack);
    sim_machine.current = 0;
    sim_as_process(0, NULL);
}

/* ---- fibers ---- */

static void *stack_new(void)
{
    char *made;

    if (sim_machine.stack_count > 0)
        return sim_machine.stacks[--sim_machine.stack_count];
    made = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made == MAP_FAILED || mprotect(made, GUARD_BYTES, PROT_NONE) != 0)
        abort();
    return made;
}

void sim_fiber_over(uint32_t number)
{
    sim_fiber *of = sim_machine.fibers[number];

    of->state = SIM_OVER;
#ifdef UNDER_ASAN
    __asan_unpoison_memory_region((char *)of->stack + GUARD_BYTES, STACK_BYTES);
#endif
    sim_machine.stacks[sim_machine.stack_count++] = of->stack;
    of->stack = NULL;
    for (uint32_t i = 0; i < sim_machine.alive_count; i++)
        if (sim_machine.alive[i] == number) {
            memmove(&sim_machine.alive[i], &sim_machine.alive[i + 1],
                    (sim_machine.alive_count - i - 1) * sizeof sim_machine.alive[0]);
            sim_machine.alive_count--;
            break;
        }
}

static void fiber_main(void)
{
    sim_fiber *me = sim_fiber_now();

    asan_arrives(NULL);
    me->body(me->user);
    sim_leave(SIM_ENDED);
}

uint32_t sim_fiber_new(unsigned process, void (*body)(void *user), void *user)
{
    uint32_t number = sim_machine.fiber_count + 1;
    sim_fiber *of;

    if (number == SIM_FIBERS_MAX)
        abort(); /* More than any run of a seed has. */
    sim_machine.fiber_count = number;
    if (sim_machine.fibers[number] == NULL) {
        sim_machine.fibers[number] = sim_must(malloc(sizeof *of));
        sim_machine.fibers[number]->words = sim_must(malloc(sim_thread_words_bytes()));
    }
    of = sim_machine.fibers[number];
    void *words = of->words;
    memset(of, 0, offsetof(sim_fiber, held));
    of->words = words;
    sim_thread_words_init(words);
    of->process = process;
    of->body = body;
    of->user = user;
    of->stack = stack_new();
    (void)getcontext(&of->context); /* It cannot fail. */
    of->context.uc_stack.ss_sp = (char *)of->stack + GUARD_BYTES;
    of->context.uc_stack.ss_size = STACK_BYTES;
    of->context.uc_link = NULL;
    makecontext(&of->context, fiber_main, 0);
    sim_machine.alive[sim_machine.alive_count++] = number;
    return number;
}

uint32_t sim_fiber_start(void (*body)(void *user), void *user)
{
    return sim_fiber_new(sim_process_current(), body, user);
}

void sim_fiber_join(uint32_t fiber)
{
    while (sim_fiber_lives(fiber))
        sim_wait_now(sim_machine.fibers[fiber], INT64_MAX);
}

void sim_fibers_release(void)
{
    for (uint32_t i = 0; i < SIM_FIBERS_MAX; i++)
        if (sim_machine.fibers[i] != NULL) {
            free(sim_machine.fibers[i]->words);
            free(sim_machine.fibers[i]);
            sim_machine.fibers[i] = NULL;
        }
    while (sim_machine.stack_count > 0)
        (void)munmap(sim_machine.stacks[--sim_machine.stack_count], GUARD_BYTES + STACK_BYTES);
}
