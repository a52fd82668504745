/* lstream: the command-line tool of libstream. Finds the command and leaves the rest to it.
 *
 * It is a user of the library like any other: public headers only (and base's JSON writer). */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMANDS(each) \
    each(create) each(delete) each(retention) each(mode) each(limits) each(tag) each(encrypt) each(decrypt) \
    each(compress) each(list) each(describe) each(shards) each(split) each(merge) each(scale) each(consumers) \
    each(leases) each(mapping) each(consume) each(delivery) each(alert) each(put) each(get) each(tail) each(filter) \
    each(status) each(metrics) each(dump) each(verify) each(repair) each(maintain) each(backup) each(apply) \
    each(version) each(help)

#define DECLARE(name) extern const lsi_command lsi_command_##name;
COMMANDS(DECLARE)
#undef DECLARE

#define REFER(name) &lsi_command_##name,
const lsi_command *const lsi_commands[] = {COMMANDS(REFER) NULL};
#undef REFER

const char *lsi_command_meant(const char *word)
{
    const char *names[sizeof(lsi_commands) / sizeof(lsi_commands[0])];
    size_t count = 0;

    for (const lsi_command *const *c = lsi_commands; *c != NULL; c++)
        names[count++] = (*c)->name;
    names[count] = NULL;
    return lsi_did_you_mean(word, names);
}

static int unknown_command(const char *word)
{
    const char *meant = lsi_command_meant(word);

    if (meant != NULL)
        (void)fprintf(stderr, "lstream: there is no command '%s'; did you mean '%s'?\n", word, meant);
    else
        (void)fprintf(stderr, "lstream: there is no command '%s'; `lstream help` lists them\n", word);
    return LSI_EXIT_USAGE;
}

static int dispatch(int argc, char **argv)
{
    const char *word;
    char help[] = "help";
    char *help_argv[] = {help, NULL};

    if (argc < 2) {
        (void)fputs("lstream: which command? `lstream help` lists them\n", stderr);
        return LSI_EXIT_USAGE;
    }
    word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return lsi_command_run(&lsi_command_help, 1, help_argv);
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        word = "version";
    for (const lsi_command *const *c = lsi_commands; *c != NULL; c++)
        if (strcmp((*c)->name, word) == 0)
            return lsi_command_run(*c, argc - 1, argv + 1);
    if (word[0] == '-') {
        (void)fprintf(stderr, "lstream: the command comes first, then its options: lstream COMMAND %s ...\n", word);
        return LSI_EXIT_USAGE;
    }
    return unknown_command(word);
}

/* A standard file that is closed would become the next one that is opened: a pipe to a program, which takes it for its
 * standard output, or is cut off from it. Something stands there that fails as it did. */
static void hold_standard_places(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY); /* the lowest one that is free */
}

int main(int argc, char **argv)
{
    hold_standard_places();
    /* A reader of our output that goes away (`| head`) is told by EPIPE and is no error: see output.c. */
    (void)signal(SIGPIPE, SIG_IGN);
    /* A limit of the shell (ulimit -f) is then EFBIG, which the library tells as a full disk. */
    (void)signal(SIGXFSZ, SIG_IGN);
    return lsi_out_end(dispatch(argc, argv));
}
