/* H4, the storm over an asynchronous producer: is a record lost, stored twice or out of its key's order, when whoever
 * puts it is killed at any instruction, and whoever comes next puts again what has no outcome?
 *
 * One process after another opens the store and an asynchronous producer of the same id, whose first ticket is the
 * first that nobody was told of, and puts the record of each ticket from there on. A parent kills it at random times;
 * besides, a hook in its file layer kills most of them at the Nth call, before it, behind it or in the middle of a
 * write. Meanwhile shards are split.
 *
 * Packed, most of the processes put aggregates, each of other sizes, and the others records by themselves: so what was
 * stored before a kill is put again cut at other places, and by shards that were others then.
 *
 * The oracle is memory outside the store: which tickets were told LS_OK, and where. At the end each ticket is in the
 * stream once, whether it was told or not, at the place that was told each time, and a key's are in order.
 *
 *     h4_async [--seed N] [--kills N] [--mode sync|kernel] [--form plain|packed] [--keep]
 *
 * Without --mode and --form the kills are shared out to all of them. The last line is `harness=h4_async seed=..
 * cases=.. violations=.. wall_s=..`; the status is 1 if there were violations. */
#include "harness/h4.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "support/temp.h"

#define TICKETS_MAX (UINT64_C(1) << 21)
#define TICKETS_A_LIFE 3000u
#define KEYS 16u
#define SPLITS 3u /* of shards 0, 1 and 2 */

/* Where a record was told to be. */
typedef struct place {
    ls_seqno seqno;
    uint32_t shard, sub_seqno, sub_count;
} place;

typedef struct diary {
    _Atomic uint64_t put;  /* the highest ticket that was put */
    _Atomic uint64_t told; /* how many were told LS_OK for the first time */
    _Atomic uint64_t again; /* ... or once more */
    _Atomic uint64_t packed; /* of all of these, how often in an aggregate */
    place places[TICKETS_MAX + 1]; /* good once the ticket is told */
    _Atomic unsigned char is_told[TICKETS_MAX + 1];
} diary;

static diary *notes;
static bool is_packed; /* the form of this run */

/* ---- a producer's life ---- */

static bool are_same(const place *a, const place *b)
{
    return a->seqno == b->seqno && a->shard == b->shard && a->sub_seqno == b->sub_seqno && a->sub_count == b->sub_count;
}

static void tell(const ls_async_outcome *outcome, void *user)
{
    bool was_told = atomic_load(&notes->is_told[outcome->ticket]) != 0;
    const place at = {outcome->seqno, outcome->shard, outcome->sub_seqno, outcome->sub_count};

    (void)user;
    if (outcome->status == LS_ERR_EXPIRED && was_told)
        return; /* So long ago that nobody remembers; it is there, says the diary. */
    if (outcome->status != LS_OK) {
        storm_violation("ticket %" PRIu64 " came out as %s: %s", outcome->ticket, ls_status_name(outcome->status),
                        ls_last_error_message());
        return;
    }
    if (was_told && !are_same(&at, &notes->places[outcome->ticket]))
        storm_violation("ticket %" PRIu64 " was told another place, %" PRIu64 ".%u of %u in shard %u, not %" PRIu64
                        ".%u of %u in %u", outcome->ticket, at.seqno, at.sub_seqno, at.sub_count, at.shard,
                        notes->places[outcome->ticket].seqno, notes->places[outcome->ticket].sub_seqno,
                        notes->places[outcome->ticket].sub_count, notes->places[outcome->ticket].shard);
    notes->places[outcome->ticket] = at;
    atomic_store(&notes->is_told[outcome->ticket], 1);
    atomic_fetch_add(was_told ? &notes->again : &notes->told, 1);
    atomic_fetch_add(&notes->packed, outcome->sub_count > 0);
}

static uint64_t first_untold(void)
{
    uint64_t ticket = 1;

    while (ticket <= TICKETS_MAX && atomic_load(&notes->is_told[ticket]) != 0)
        ticket++;
    return ticket;
}

static void fail(const char *what)
{
    storm_violation("%s: %s", what, ls_last_error_message());
    _exit(3);
}

static ls_store *open_store(const storm_plan *plan, ls_stream **stream)
{
    ls_store *store = NULL;
    lsi_env env;

    lsi_env_default(&env);
    if (plan != NULL)
        env.files = &plan->files.table;
    if (lsi_store_open_env(storm_set.dir, NULL, &env, &store) != LS_OK ||
        ls_stream_open(store, STORM_STREAM, stream) != LS_OK)
        fail("opening");
    return store;
}

/* In a packed run each life cuts its own way, and a quarter of them do not cut at all. */
static void draw_form(ls_async_options *options, uint64_t *random)
{
    if (storm_random_below(random, 4) == 0)
        return;
    options->flags |= LS_ASYNC_AGGREGATE;
    options->aggregate_bytes_max = 1024u + (uint32_t)storm_random_below(random, 1024);
    options->batch_records_max = 16u + (uint32_t)storm_random_below(random, 300);
}

static void live(storm_plan *plan, uint64_t count, uint64_t *random)
{
    ls_async_options options = LS_ASYNC_OPTIONS_INIT;
    uint64_t first = first_untold(), end = first + count;
    ls_async_producer *producer = NULL;
    ls_stream *stream = NULL;
    ls_store *store = open_store(plan, &stream);

    options.flags = LS_ASYNC_IDEMPOTENT;
    options.producer = (ls_producer_id){storm_set.seed, 1};
    options.first_ticket = first;
    options.linger_ms = 1;
    options.batch_records_max = 64;
    if (is_packed)
        draw_form(&options, random);
    if (ls_async_producer_open(stream, &options, &producer, tell, NULL) != LS_OK)
        fail("opening the producer");
    /* Whoever was killed had put tickets beyond those that were told: they come again, all of them. */
    if (end <= atomic_load(&notes->put))
        end = atomic_load(&notes->put) + 1;
    for (uint64_t ticket = first; ticket < end && ticket <= TICKETS_MAX; ticket++) {
        char key[8];
        ls_put_entry entry = {{key, (size_t)snprintf(key, sizeof key, "k%u", (unsigned)(ticket % KEYS))},
                              {&ticket, sizeof ticket}, NULL};

        if (atomic_load(&notes->put) < ticket)
            atomic_store(&notes->put, ticket);
        if (ls_async_producer_put(producer, &entry, NULL, -1, NULL) != LS_OK)
            fail("putting");
    }
    if (ls_async_producer_close(producer, -1) != LS_OK || ls_stream_close(stream) != LS_OK ||
        ls_store_close(store) != LS_OK)
        fail("closing");
}

/* ---- the parent ---- */

static pid_t spawn(uint64_t *random, bool is_last)
{
    uint64_t own = storm_random(random);
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)alarm(120);

    static storm_plan plan;
    storm_plan_init(&plan, &own);
    if (is_last)
        plan.countdown = -1;
    live(&plan, is_last ? 0 : TICKETS_A_LIFE, &own);
    _exit(0);
}

static bool bury(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) != pid)
        continue;
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
        storm_violation("a producer died of signal %d", WTERMSIG(status));
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0 && atomic_load(&storm->violations) == 0)
        storm_violation("a producer ended with %d", WEXITSTATUS(status));
    return WIFSIGNALED(status);
}

/* By a process of its own: the parent has no store open when it forks. */
static void split(uint32_t shard)
{
    pid_t pid = fork();

    if (pid == 0) {
        ls_stream *stream = NULL;
        ls_store *store = open_store(NULL, &stream);

        if (ls_stream_split(stream, shard, NULL, NULL, NULL) != LS_OK || ls_stream_close(stream) != LS_OK ||
            ls_store_close(store) != LS_OK)
            fail("splitting");
        _exit(0);
    }
    (void)bury(pid);
}

static uint64_t rage(uint64_t *random)
{
    uint64_t kills = 0;
    uint32_t splits = 0;

    while (kills < storm_set.kills && atomic_load(&storm->violations) == 0 && first_untold() < TICKETS_MAX / 2) {
        pid_t pid = spawn(random, false);

        (void)usleep((useconds_t)storm_random_below(random, 25000));
        if (splits < SPLITS && kills >= (splits + 1) * storm_set.kills / (SPLITS + 1))
            split(splits++); /* while it puts */
        (void)kill(pid, SIGKILL);
        kills += bury(pid);
    }
    (void)bury(spawn(random, true));
    return kills;
}

/* ---- what is there ---- */

static void judge(void)
{
    uint64_t put = atomic_load(&notes->put), last[KEYS] = {0}, stored = 0;
    unsigned char *seen = calloc(put + 1, 1);
    ls_iterator_options reading = LS_ITERATOR_OPTIONS_INIT;
    ls_iterator *iterator = NULL;
    const ls_batch *batch = NULL;
    ls_stream *stream = NULL;
    ls_store *store = open_store(NULL, &stream);
    unsigned empty = 0;

    if (seen == NULL)
        abort();
    reading.flags = LS_ITERATOR_DEAGGREGATE;
    if (ls_iterator_open_all(stream, NULL, &reading, &iterator) != LS_OK)
        fail("reading");
    while (empty < 20) {
        if (ls_iterator_next(iterator, NULL, &batch) != LS_OK)
            fail("reading");
        empty = ls_batch_count(batch) == 0 ? empty + 1 : 0;
        for (size_t i = 0; i < ls_batch_count(batch); i++, stored++) {
            const ls_record *record = ls_batch_at(batch, i);
            const place at = {record->seqno, record->shard, record->sub_seqno, record->sub_count};
            uint64_t ticket;

            memcpy(&ticket, record->data.data, sizeof ticket);
            if (ticket == 0 || ticket > put)
                storm_violation("ticket %" PRIu64 " was never put", ticket);
            else if (seen[ticket]++ != 0)
                storm_violation("ticket %" PRIu64 " is there twice", ticket);
            else if (ticket < last[ticket % KEYS])
                storm_violation("ticket %" PRIu64 " comes after %" PRIu64 ", of the same key", ticket,
                                last[ticket % KEYS]);
            else if (atomic_load(&notes->is_told[ticket]) && !are_same(&at, &notes->places[ticket]))
                storm_violation("ticket %" PRIu64 " is not where it was told to be", ticket);
            else if ((record->flags & LS_RECORD_OUTSIDE_SHARD) != 0)
                storm_violation("ticket %" PRIu64 " is outside of its shard", ticket);
            last[ticket % KEYS] = ticket;
        }
    }
    for (uint64_t ticket = 1; ticket <= put; ticket++)
        if (seen[ticket] == 0 || atomic_load(&notes->is_told[ticket]) == 0)
            storm_violation("ticket %" PRIu64 " is %s, and was %stold", ticket, seen[ticket] ? "there" : "not there",
                            atomic_load(&notes->is_told[ticket]) ? "" : "not ");
    ls_iterator_close(iterator);
    if (ls_stream_close(stream) != LS_OK || ls_store_close(store) != LS_OK)
        fail("closing");
    free(seen);
}

static void prepare(void)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_stream_options of_stream = LS_STREAM_OPTIONS_INIT;
    ls_store *store = NULL;

    options.durability = storm_set.durability;
    options.segment_bytes = STORM_SEGMENT_BYTES;
    of_stream.shard_count = 2;
    if (ls_store_open(storm_set.dir, &options, &store) != LS_OK ||
        ls_stream_create(store, STORM_STREAM, &of_stream) != LS_OK || ls_store_close(store) != LS_OK) {
        fprintf(stderr, "h4_async: %s\n", ls_last_error_message());
        exit(2);
    }
}

static void *map_memory(size_t bytes)
{
    void *made = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (made == MAP_FAILED)
        abort();
    return made;
}

static uint64_t run(const char *mode, const char *form, bool keep, uint64_t *violations)
{
    uint64_t random = storm_set.seed ^ (uint64_t)storm_set.durability << 32, kills;
    char store[TEMP_PATH_BYTES * 2];
    temp_dir temp;

    temp_make(&temp);
    snprintf(store, sizeof store, "%s", temp_path(&temp, "store"));
    storm_set.dir = store;
    storm = map_memory(sizeof *storm);
    notes = map_memory(sizeof *notes);
    prepare();
    kills = rage(&random);
    if (atomic_load(&storm->violations) == 0)
        judge();
    printf("h4_async mode=%s form=%s kills=%" PRIu64 " hooked=%" PRIu64 " holders=%" PRIu64 " put=%" PRIu64
           " told=%" PRIu64 " again=%" PRIu64 " packed=%" PRIu64 "\n",
           mode, form, kills, atomic_load(&storm->hooked_kills), atomic_load(&storm->holders), atomic_load(&notes->put),
           atomic_load(&notes->told), atomic_load(&notes->again), atomic_load(&notes->packed));
    if (is_packed && kills > 2 && atomic_load(&notes->packed) == 0)
        storm_violation("no record went in an aggregate");
    *violations += storm_end(&temp, keep);
    (void)munmap(notes, sizeof *notes);
    return kills;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"seed", required_argument, NULL, 's'}, {"kills", required_argument, NULL, 'k'},
        {"mode", required_argument, NULL, 'm'}, {"form", required_argument, NULL, 'f'},
        {"keep", no_argument, NULL, 'K'}, {NULL, 0, NULL, 0}};
    static const struct { const char *name; ls_durability durability; } modes[] = {
        {"sync", LS_DURABILITY_SYNC}, {"kernel", LS_DURABILITY_KERNEL}};
    uint64_t kills = getenv("LIBSTREAM_TEST_LONG") != NULL ? 6000 : 40, cases = 0, violations = 0;
    static const char *const forms[] = {"plain", "packed"};
    const char *mode = NULL, *form = NULL;
    int64_t from = storm_now_us();
    bool keep = false;
    int option;

    storm_set.seed = (uint64_t)time(NULL);
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
        switch (option) {
        case 's': storm_set.seed = strtoull(optarg, NULL, 0); break;
        case 'k': kills = strtoull(optarg, NULL, 0); break;
        case 'm': mode = optarg; break;
        case 'f': form = optarg; break;
        case 'K': keep = true; break;
        default: return 2;
        }
    storm_set.kills = mode != NULL ? kills : (kills + 1) / 2;
    storm_set.kills = form != NULL ? storm_set.kills : (storm_set.kills + 1) / 2;
    printf("h4_async seed=%" PRIu64 "\n", storm_set.seed);
    (void)fflush(stdout);
    for (size_t i = 0; i < 4; i++) {
        const char *this_mode = modes[i / 2].name;

        if ((mode != NULL && strcmp(mode, this_mode) != 0) || (form != NULL && strcmp(form, forms[i % 2]) != 0))
            continue;
        storm_set.durability = modes[i / 2].durability;
        is_packed = i % 2 == 1;
        cases += run(this_mode, forms[i % 2], keep, &violations);
        (void)fflush(stdout);
    }
    printf("harness=h4_async seed=%" PRIu64 " cases=%" PRIu64 " violations=%" PRIu64 " wall_s=%.1f\n", storm_set.seed,
           cases, violations, (double)(storm_now_us() - from) / 1e6);
    return violations != 0;
}
