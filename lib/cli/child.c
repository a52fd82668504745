/* Running a program for `lstream consume`: bytes to its standard input, its standard output caught or left as ours.
 *
 * It is the leader of a process group, so that a terminal's Ctrl+C ends this tool in order and not the program in the
 * middle of its batch, and so that what it has begun dies with it when its time is over. It dies with the tool, too,
 * else it would go on beside whoever has its batch next; what it has begun does not. Both pipes are served at once:
 * a program may answer before it has read everything. One that does not want its input has said so by not reading. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLICE_MS 50      /* so often its time is looked at */
#define BLIND_SLICE_MS 5 /* where the system does not wake us for its end */
#define READ_BYTES ((size_t)64 << 10)

typedef struct running {
    pid_t id;
    int to, from, end; /* -1: there is none, or no longer. `end` is readable when it has ended */
    bool has_ended;
    const char *in;
    size_t in_bytes;
} running;

static void close_one(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

typedef struct beginning {
    char *const *arguments;
    int in, out; /* out: -1: ours */
    pid_t parent;
} beginning;

static void move_to(int fd, int place)
{
    if (fd == place)
        (void)fcntl(fd, F_SETFD, 0); /* dup2 would leave it to be closed. */
    else if (fd >= 0)
        (void)dup2(fd, place);
}

/* What the tool ignores and its threads block is not the program's to bear. `told` takes why it could not be. */
static _Noreturn void become(const beginning *how, int told)
{
    const struct sigaction usual = {.sa_handler = SIG_DFL};
    sigset_t none;

    /* It comes when the thread ends that began it, and that one waits for the program. Who died before it was asked for
     * is not our parent any more. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != how->parent)
        _exit(EXIT_FAILURE);
    (void)setpgid(0, 0);
    (void)sigaction(SIGPIPE, &usual, NULL);
    (void)sigaction(SIGXFSZ, &usual, NULL);
    move_to(how->in, STDIN_FILENO);
    move_to(how->out, STDOUT_FILENO);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execvp(how->arguments[0], how->arguments);
    const int err = errno;
    (void)!write(told, &err, sizeof err); /* A pipe takes that at once. */
    _exit(EXIT_FAILURE);
}

static pid_t fork_off(const beginning *how, int told)
{
    pid_t id = vfork(); /* posix_spawn knows no signal for a parent's death. */

    if (id == 0)
        become(how, told);
    return id;
}

/* 0 or an errno. */
static int spawn(running *of, char *const *arguments, int in, int out)
{
    const beginning how = {.arguments = arguments, .in = in, .out = out, .parent = getpid()};
    sigset_t all, before;
    int told[2], err = 0;
    pid_t id;

    if (pipe2(told, O_CLOEXEC) != 0) /* Nothing comes of it when the program begins. */
        return errno;
    (void)sigfillset(&all); /* No handler of ours runs in its place. */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    id = fork_off(&how, told[1]);
    if (id < 0)
        err = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    close_one(&told[1]);
    if (id > 0)
        while (read(told[0], &err, sizeof err) < 0 && errno == EINTR)
            continue;
    close_one(&told[0]);
    if (id > 0 && err != 0)
        while (waitpid(id, NULL, 0) < 0 && errno == EINTR)
            continue;
    of->id = id;
    return err;
}

/* 0 or an errno. */
static int begin(running *of, char *const *arguments, bool is_caught)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err = 0;

    if (pipe2(in, O_CLOEXEC) != 0 || (is_caught && pipe2(out, O_CLOEXEC) != 0) ||
        fcntl(in[1], F_SETFL, O_NONBLOCK) != 0)
        err = errno;
    if (err == 0)
        err = spawn(of, arguments, in[0], out[1]);
    close_one(&in[0]);
    close_one(&out[1]);
    if (err != 0) {
        close_one(&in[1]);
        close_one(&out[0]);
        return err;
    }
    of->to = in[1];
    of->from = out[0];
    of->end = -1;
#ifdef SYS_pidfd_open
    of->end = (int)syscall(SYS_pidfd_open, of->id, 0); /* Older systems have it not: then it is asked in slices. */
#endif
    return 0;
}

static void feed(running *of)
{
    ssize_t sent = of->in_bytes == 0 ? 0 : write(of->to, of->in, of->in_bytes);

    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (sent > 0) {
        of->in += sent;
        of->in_bytes -= (size_t)sent;
    }
    if (sent < 0 || of->in_bytes == 0) /* EPIPE: it does not want it. */
        close_one(&of->to);
}

/* False: no memory, or too much. */
static bool catch_some(running *of, lsi_child_output *out)
{
    ssize_t got;

    if (out->capacity - out->size < READ_BYTES) {
        size_t capacity = out->capacity * 2 + READ_BYTES;
        char *grown = realloc(out->text, capacity);

        if (grown == NULL)
            return false;
        out->text = grown;
        out->capacity = capacity;
    }
    got = read(of->from, out->text + out->size, out->capacity - out->size);
    if (got < 0 && errno == EINTR)
        return true;
    if (got <= 0)
        close_one(&of->from);
    else
        out->size += (size_t)got;
    return out->size <= LSI_CHILD_OUTPUT_MAX;
}

/* Waits for one of them. */
static bool serve(running *of, lsi_child_output *out)
{
    struct pollfd fds[3] = {{of->to, POLLOUT, 0}, {of->from, POLLIN, 0}, {of->end, POLLIN, 0}};
    int slice_ms = of->end >= 0 || of->has_ended ? SLICE_MS : BLIND_SLICE_MS;

    if (poll(fds, 3, slice_ms) <= 0) /* A negative descriptor is passed over. */
        return true;
    if (fds[0].revents != 0)
        feed(of);
    return fds[1].revents == 0 || catch_some(of, out);
}

/* It stays to be waited for, so that its number is no other's until we are done with its group. */
static bool has_ended(running *of)
{
    siginfo_t info = {.si_pid = 0};

    if (of->has_ended)
        return true;
    if (waitid(P_PID, (id_t)of->id, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == of->id) {
        of->has_ended = true;
        close_one(&of->end); /* It stays readable, and would end every wait at once. */
    }
    return of->has_ended;
}

lsi_child_end lsi_child_run(char *const *arguments, const void *in, size_t in_bytes, bool (*is_late)(void *user),
                            void *user, lsi_child_output *out)
{
    running of = {.in = in, .in_bytes = in_bytes};
    lsi_child_end end = {.err = begin(&of, arguments, out != NULL)};

    if (out != NULL)
        out->size = 0;
    if (end.err != 0)
        return end;
    /* One that has ended may have left its output to others; that is waited for, as a shell does. */
    while (!has_ended(&of) || of.from >= 0) {
        bool is_good = serve(&of, out);

        end.is_late = is_late(user);
        end.is_too_much = !is_good;
        if (!is_good || end.is_late) {
            (void)kill(-of.id, SIGKILL);
            break;
        }
    }
    close_one(&of.to);
    close_one(&of.from);
    close_one(&of.end);
    while (waitpid(of.id, &end.status, 0) < 0 && errno == EINTR)
        continue;
    return end;
}
