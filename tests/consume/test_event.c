/* The descriptor for event loops: readable when there is something, not readable when there was nothing. */
#include "consume/support.h"

#include <dirent.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONG_MS 10000
#define SHORT_MS 30

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};

    return poll(&one, 1, timeout_ms) == 1;
}

static void begin_real(fixture *fx, uint32_t shard_count)
{
    memset(fx, 0, sizeof *fx);
    fx->engine = memory_engine_new(shard_count, LS_DURABILITY_SYNC);
    fx->stream = memory_engine_stream(fx->engine);
}

static int event_fd(fixture *fx)
{
    int32_t fd = -1;

    assert_int_equal(lsi_iterator_event_fd(fx->iterator, &fd), LS_OK);
    assert_true(fd >= 0);
    return fd;
}

#define LEAVING 0x4ul /* PF_EXITING of the kernel: such a task runs nothing of ours any more */

/* Threads of that name that were not joined. A join returns when the kernel has told the thread's end to whoever waits,
 * which it does while the thread leaves: a moment later, on a busy machine many moments, /proc lists it no more. */
static size_t count_threads(const char *name)
{
    DIR *tasks = opendir("/proc/self/task");
    size_t count = 0;

    assert_non_null(tasks);
    for (struct dirent *one; (one = readdir(tasks)) != NULL;) {
        char path[300], line[512] = "";
        unsigned long flags = 0;
        FILE *file;

        snprintf(path, sizeof path, "/proc/self/task/%s/stat", one->d_name);
        file = fopen(path, "r");
        if (file == NULL)
            continue;
        (void)fgets(line, sizeof line, file); /* Of a task that went meanwhile there is none. */
        fclose(file);
        char *from = strchr(line, '('), *to = strrchr(line, ')'); /* "7 (ls-event) S 1 1 1 0 -1 4194304 ..." */
        if (from == NULL || to == NULL || sscanf(to + 1, " %*c %*d %*d %*d %*d %*d %lu", &flags) != 1)
            continue;
        *to = '\0';
        count += strcmp(from + 1, name) == 0 && (flags & LEAVING) == 0;
    }
    closedir(tasks);
    return count;
}

/* It is level: readable from the append until a call finds nothing, and again after the next append. */
static void it_is_readable_while_there_is_something(void **state)
{
    for (int merged = 0; merged < 2; merged++) {
        fixture fx;
        int fd;

        (void)state;
        begin_real(&fx, 2);
        if (merged)
            open_all(&fx, NULL);
        else
            open_one(&fx, 1, NULL);
        fd = event_fd(&fx);
        assert_false(is_readable(fd, SHORT_MS));
        for (int round = 0; round < 3; round++) {
            append(&fx, 1, "a b");
            assert_true(is_readable(fd, LONG_MS));
            assert_string_equal(next_of(&fx, 1, 0, NULL), "a");
            assert_true(is_readable(fd, 0));
            assert_string_equal(next_of(&fx, 1, 0, NULL), "b");
            assert_string_equal(next(&fx), "");
            assert_false(is_readable(fd, SHORT_MS));
        }
        end(&fx);
    }
}

/* What was there before the descriptor was asked for counts as well. */
static void what_is_there_already_makes_it_readable(void **state)
{
    fixture fx;
    int fd;

    (void)state;
    begin_real(&fx, 1);
    append(&fx, 0, "a");
    open_one(&fx, 0, NULL);
    fd = event_fd(&fx);
    assert_true(is_readable(fd, LONG_MS));
    assert_int_equal(event_fd(&fx), fd); /* asked again: the same */
    end(&fx);
}

/* Records of another shard are nothing for a single iterator. */
static void other_shards_do_not_make_it_readable(void **state)
{
    fixture fx;
    int fd;

    (void)state;
    begin_real(&fx, 2);
    open_one(&fx, 0, NULL);
    fd = event_fd(&fx);
    append(&fx, 1, "a");
    assert_false(is_readable(fd, SHORT_MS));
    end(&fx);
}

/* The end of a shard, new shards and the end of the stream are something too. */
static void changes_of_the_stream_make_it_readable(void **state)
{
    const ls_batch *batch;
    uint32_t child;
    fixture fx;
    int fd;

    (void)state;
    begin_real(&fx, 1);
    open_one(&fx, 0, NULL);
    fd = event_fd(&fx);
    assert_string_equal(next(&fx), "");
    child = memory_engine_split(fx.engine, 0);
    assert_true(is_readable(fd, LONG_MS));
    (void)next_of(&fx, 1, 0, &batch);
    assert_true(batch->is_shard_end);
    lsi_iterator_close(fx.iterator);
    open_all(&fx, NULL);
    fd = event_fd(&fx);
    assert_string_equal(next(&fx), "");
    assert_false(is_readable(fd, SHORT_MS));
    append(&fx, child, "x");
    assert_true(is_readable(fd, LONG_MS));
    assert_string_equal(next(&fx), "x");
    assert_string_equal(next(&fx), "");
    assert_false(is_readable(fd, SHORT_MS));
    memory_engine_delete_stream(fx.engine);
    assert_true(is_readable(fd, LONG_MS));
    assert_int_equal(next_status(&fx, 0), LS_ERR_NOT_FOUND);
    end(&fx);
}

/* After seeking back there is something again; after seeking to the tip there is not. */
static void seeking_moves_what_is_watched(void **state)
{
    const ls_position first = at(LS_TRIM_HORIZON), latest = at(LS_LATEST);
    fixture fx;
    int fd;

    (void)state;
    begin_real(&fx, 1);
    append(&fx, 0, "a");
    open_one(&fx, 0, &latest);
    fd = event_fd(&fx);
    assert_false(is_readable(fd, SHORT_MS));
    assert_int_equal(lsi_iterator_seek(fx.iterator, &first), LS_OK);
    assert_true(is_readable(fd, LONG_MS));
    assert_int_equal(lsi_iterator_seek(fx.iterator, &latest), LS_OK);
    assert_string_equal(next(&fx), "");
    assert_false(is_readable(fd, SHORT_MS));
    end(&fx);
}

/* A record whose writer died before waking anybody shows within a second. */
static void a_record_that_nobody_announced_shows(void **state)
{
    fixture fx;
    int fd;

    (void)state;
    begin_real(&fx, 1);
    open_one(&fx, 0, NULL);
    fd = event_fd(&fx);
    assert_string_equal(next(&fx), "");
    assert_false(is_readable(fd, SHORT_MS));
    (void)memory_engine_append_silently(fx.engine, 0, "k", "orphan");
    assert_true(is_readable(fd, 1000));
    end(&fx);
}

/* Trouble is something too: the iterator will meet it, and tell. Method: whichever call of the thread it is that fails,
 * the descriptor is readable, and after a call that found nothing no more. */
static void trouble_makes_it_readable(void **state)
{
    static const memory_engine_call calls[] = {MEMORY_ENGINE_SEEK, MEMORY_ENGINE_READ};
    const ls_position latest = at(LS_LATEST);

    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        fixture fx;
        int fd;

        begin_real(&fx, 1);
        append(&fx, 0, "a");
        open_one(&fx, 0, &latest);
        memory_engine_fail(fx.engine, calls[i], 0, LS_ERR_CORRUPT, 1, 0);
        fd = event_fd(&fx);
        assert_true(is_readable(fd, LONG_MS));
        assert_string_equal(next(&fx), "");
        assert_false(is_readable(fd, SHORT_MS));
        end(&fx);
    }
}

/* One thread, named ls-event, for those who asked, gone with the iterator; none for others. */
static void it_costs_one_thread_while_the_iterator_is_open(void **state)
{
    fixture fx;

    (void)state;
    begin_real(&fx, 1);
    open_one(&fx, 0, NULL);
    assert_string_equal(next(&fx), "");
    assert_int_equal(count_threads("ls-event"), 0);
    (void)event_fd(&fx);
    (void)event_fd(&fx);
    assert_int_equal(count_threads("ls-event"), 1);
    lsi_iterator_close(fx.iterator);
    fx.iterator = NULL;
    assert_int_equal(count_threads("ls-event"), 0);
    end(&fx);
}

/* In a fork child there is no such thread: closing there does not wait for it. */
static void closing_in_a_fork_child_does_not_wait(void **state)
{
    fixture fx;
    pid_t child;
    int status;

    (void)state;
    begin_real(&fx, 1);
    open_one(&fx, 0, NULL);
    (void)event_fd(&fx);
    assert_string_equal(next(&fx), "");
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(10);
        lsi_iterator_close(fx.iterator);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    append(&fx, 0, "a");
    assert_string_equal(next(&fx), "a"); /* and the parent's goes on */
    end(&fx);
}

/* Walks the failing allocation: NO_MEMORY, no thread, no leak, and the iterator still reads. */
static void every_allocation_may_fail(void **state)
{
    bool succeeded = false;

    (void)state;
    for (uint64_t nth = 1; !succeeded; nth++) {
        int32_t fd = -7;
        fixture fx;
        ls_status st;

        begin_real(&fx, 1);
        append(&fx, 0, "a");
        open_one(&fx, 0, NULL);
        sim_memory_fail(memory_engine_memory(fx.engine), nth, false);
        st = lsi_iterator_event_fd(fx.iterator, &fd);
        succeeded = memory_engine_memory(fx.engine)->failed == 0;
        assert_int_equal(st, succeeded ? LS_OK : LS_ERR_NO_MEMORY);
        if (!succeeded)
            assert_int_equal(fd, -7);
        assert_string_equal(next(&fx), "a");
        end(&fx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_readable_while_there_is_something),
        cmocka_unit_test(what_is_there_already_makes_it_readable),
        cmocka_unit_test(other_shards_do_not_make_it_readable),
        cmocka_unit_test(changes_of_the_stream_make_it_readable),
        cmocka_unit_test(seeking_moves_what_is_watched),
        cmocka_unit_test(trouble_makes_it_readable),
        cmocka_unit_test(a_record_that_nobody_announced_shows),
        cmocka_unit_test(it_costs_one_thread_while_the_iterator_is_open),
        cmocka_unit_test(closing_in_a_fork_child_does_not_wait),
        cmocka_unit_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("the descriptor", tests, NULL, NULL);
}
