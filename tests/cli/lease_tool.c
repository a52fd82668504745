/* For test_cli.py: a worker that has a lease, and goes without giving it back.
 *
 *     lease_tool STORE STREAM GROUP WORKER SEQNO STATE
 *
 * It takes the one shard of the stream, and makes a checkpoint at the shard's first record. Then it prepares one at
 * SEQNO, with STATE, unless SEQNO is 0, and ends. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libstream/libstream.h>

static void check(ls_status st, const char *what)
{
    if (st == LS_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, ls_last_error_message());
    exit(1);
}

int main(int argc, char **argv)
{
    ls_group_options options = LS_GROUP_OPTIONS_INIT;
    ls_group_event event = LS_GROUP_EVENT_INIT;
    ls_stream *stream = NULL;
    ls_group *group = NULL;
    ls_store *store = NULL;
    ls_seqno seqno;

    if (argc != 7)
        return 2;
    options.worker = argv[4];
    check(ls_store_open(argv[1], NULL, &store), "opening the store");
    check(ls_stream_open(store, argv[2], &stream), "opening the stream");
    check(ls_group_open(stream, argv[3], &options, &group), "opening the group");
    check(ls_group_next(group, 30000, &event), "taking");
    if (event.kind != LS_GROUP_TAKEN)
        return 3;
    check(ls_lease_checkpoint(event.lease, 1, UINT32_MAX), "a checkpoint");
    seqno = strtoull(argv[5], NULL, 10);
    if (seqno != LS_SEQNO_NONE)
        check(ls_lease_prepare(event.lease, seqno, UINT32_MAX, (ls_bytes){argv[6], strlen(argv[6])}), "preparing");
    _Exit(0);
}
