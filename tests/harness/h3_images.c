/* Harness H3, real file systems: does a store keep its promises on what ext4, xfs and btrfs leave when the power goes?
 *
 *     h3_images [--seed N] [--images N] [--system NAME] [--workload NAME] [--keep DIRECTORY]
 *
 * H2 asks this of a model of disks; here real file systems make them. Each workload of H2 runs on the sim once. What
 * its log says is then done by the system's files on a file system whose disk records what is written and flushed
 * (block_disk.h), so a place in the log is a place in the record. Images are made for places all over the record: what
 * was flushed by then and some of what was not. Each is mounted, so that the file system recovers, and every byte of
 * the store is verified as it lies there, by the library's own calls: nothing may be damaged. Then its files become the
 * disk of a sim, the store is opened there, read whole and held against what had been answered by then (truth.h), as in
 * H2; and once more, when the power goes right after everything was read.
 *
 * `--images` is for each file system. The kernel writes when it likes, so a case cannot be repeated by its name;
 * `--keep` leaves the directory of each one that is not as promised, as it was mounted, in a directory of its own. Exit
 * 77 (skipped) without root, or where no such file system can be had; what a single one lacks is said, and passed
 * over. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libstream/unstable/inspect.h>

#include "harness/h3_systems.h"
#include "harness/workloads.h"
#include "support/block_disk.h"
#include "support/real_play.h"
#include "support/sim_inside.h"

#define IMAGES_DEFAULT 60u
#define IMAGES_LONG 3200u
#define IMAGES_LEAST 5u /* of a workload */
#define SHOWN_MAX 25u

typedef struct campaign {
    uint64_t seed, images;
    const char *keep;
    const h3_system *on;
    block_disk *disk;
    char dir[H3_PATH_BYTES], store[H3_PATH_BYTES + 8]; /* where it is mounted, and the store in it */
    uint64_t cases, violations, equal, verified;
    uint64_t hash; /* of the image before: the next one may be the same */
} campaign;

/* One workload's run: on the sim, and at which places of the disk's record its operations had been done. */
typedef struct recorded {
    const workload *of;
    sim_files *sim;
    truth truth;
    size_t *done; /* [0]: when the store's directory was made; [n]: when n operations were */
    size_t count;
} recorded;

static double now_s(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void violated(campaign *of, const recorded *what, size_t place, size_t prefix, uint64_t seed,
                     const char *complaint)
{
    of->violations++;
    if (of->violations <= SHOWN_MAX)
        printf("violation: %s: %s\n    %s, %zu writes and flushes, which is after operation %zu of %zu, seed %" PRIu64
               "\n", of->on->name, complaint, what->of->name, place, prefix, what->count, seed);
    fflush(stdout);
}

/* ---- the workload, on the sim and on the file system ---- */

static void record_workload(campaign *of, const workload *what, recorded *out)
{
    session first;
    real_play *play;
    int result;

    *out = (recorded){.of = what, .sim = sim_files_new()};
    session_init(&first, out->sim, &out->truth, sim_mix(of->seed));
    first.workload = (size_t)(what - workloads);
    what->run(&first);
    (void)session_close(&first);
    session_free(&first);
    out->count = sim_log_count(out->sim);
    out->done = sim_must(calloc(out->count + 1, sizeof(*out->done)));
    if (first.complaints > 0)
        violated(of, out, 0, 0, 0, first.complaint);

    /* What the workload before left goes away, and its blocks are used again. */
    if (!h3_mount(block_disk_device(of->disk), of->dir, of->on) ||
        !h3_run("rm -rf '%s/store' && sync -f '%s'", of->dir, of->dir)) {
        fprintf(stderr, "h3_images: %s cannot be used: %s\n", of->on->name, strerror(errno));
        exit(2);
    }
    block_disk_record(of->disk);
    result = real_play_begin(out->sim, of->store, &play);
    if (result == 0) {
        out->done[0] = block_disk_here(of->disk);
        for (size_t i = 1; i <= out->count && (result = real_play_next(play)) == 0; i++)
            out->done[i] = block_disk_here(of->disk);
        result = real_play_end(play);
    }
    block_disk_stop(of->disk);
    if (result != 0 || !block_disk_is_whole(of->disk)) {
        fprintf(stderr, "h3_images: %s on %s: %s\n", what->name, of->on->name,
                result != 0 ? strerror(-result) : "it writes more than is recorded");
        exit(2);
    }
    h3_leave(of->dir, of->on);
}

/* ---- images ---- */

static ls_inspect_act note_damage(const ls_finding *finding, void *user)
{
    char *what = user;

    if (finding->severity == LS_FINDING_DAMAGE && what[0] == '\0')
        (void)snprintf(what, 256, "damage where there is none: %s", finding->what);
    return LS_INSPECT_GO_ON;
}

/* As the library finds it on the file system itself. A workload that damages its store has faults. */
static void verify(campaign *of, const recorded *what, char complaint[256])
{
    char finding[256] = "";
    ls_status st;

    if (what->of->has_faults)
        return;
    st = ls_inspect_verify(of->store, NULL, note_damage, NULL, finding);
    if (finding[0] != '\0')
        (void)snprintf(complaint, 256, "%s", finding);
    else if (st != LS_OK && st != LS_ERR_NOT_FOUND) /* There was no store yet. */
        (void)snprintf(complaint, 256, "verify: %s", ls_last_error_message());
    else
        of->verified++;
}

static bool judge(campaign *of, const recorded *what, sim_files *disk, truth *owed, uint64_t seed, size_t *shown_at,
                  char complaint[256])
{
    session now;
    size_t at = sim_log_base(disk);

    of->cases++;
    session_init(&now, disk, owed, sim_mix(seed));
    session_examine(&now, what->of->durability, at > 0 ? at : 1, true, shown_at);
    if (session_close(&now) != LS_OK)
        session_complain(&now, "the store does not close: %s", ls_last_error_message());
    session_free(&now);
    if (now.complaints > 0)
        (void)snprintf(complaint, 256, "%s", now.complaint);
    return now.complaints == 0;
}

/* `prefix` operations had been done when the power went, and the next one perhaps in part. */
static void try_image(campaign *of, const recorded *what, size_t place, size_t prefix, uint64_t seed)
{
    uint64_t hash = block_disk_image(of->disk, place, seed) ^ sim_mix(truth_count(&what->truth, prefix));
    char complaint[256] = "";
    size_t shown_at = NEVER;
    sim_files *disk;
    truth owed;

    if (hash == of->hash) {
        of->equal++;
        return;
    }
    of->hash = hash;
    if (!h3_mount(block_disk_image_device(of->disk), of->dir, of->on)) {
        of->cases++;
        (void)snprintf(complaint, sizeof complaint, "it cannot be mounted: %s", strerror(errno));
        violated(of, what, place, prefix, seed, complaint);
        return;
    }
    verify(of, what, complaint);
    disk = real_load(of->store, complaint);
    if (disk != NULL) {
        owed = truth_after(&what->truth, prefix);
        if (judge(of, what, disk, &owed, prefix ^ seed, &shown_at, complaint) && shown_at != NEVER) {
            sim_files *again = sim_crash_state(disk, shown_at, SIM_SEED_NOTHING);
            truth still = truth_after(&owed, shown_at);

            (void)judge(of, what, again, &still, seed + 1, NULL, complaint);
            of->cases--; /* It is the same image. */
            truth_free(&still);
            sim_files_free(again);
        }
        truth_free(&owed);
        sim_files_free(disk);
    }
    if (complaint[0] != '\0') {
        char kept[H3_PATH_BYTES];

        violated(of, what, place, prefix, seed, complaint);
        (void)snprintf(kept, sizeof kept, "%s/%s-%" PRIu64, of->keep, of->on->name, of->violations);
        if (of->keep != NULL && (mkdir(kept, 0700) != 0 || !h3_run("cp -a '%s/.' '%s'", of->store, kept)))
            fprintf(stderr, "h3_images: '%s' cannot be made\n", kept);
    }
    h3_leave(of->dir, of->on);
}

/* Places from the store's directory on, in order, with the same distance on the average. */
static void explore(campaign *of, const workload *what, uint64_t share)
{
    recorded run;
    size_t end, prefix = 0;

    record_workload(of, what, &run);
    end = block_disk_here(of->disk);
    of->hash = 0;
    for (uint64_t i = 0; i < share; i++) {
        size_t span = end - run.done[0] + 1, step = span / share + 1;
        size_t place = run.done[0] + (size_t)(span * i / share) + sim_mix(of->seed + (i << 32)) % step;
        uint64_t seed = (of->seed + i) % (BLOCK_SEED_RANDOM + 2);

        if (seed >= BLOCK_SEED_RANDOM)
            seed = BLOCK_SEED_RANDOM + sim_mix(of->seed * 31 + i) % 1000000;
        place = place < end ? place : end;
        while (prefix < run.count && run.done[prefix + 1] <= place)
            prefix++;
        try_image(of, &run, place, prefix, seed);
    }
    block_disk_finish(of->disk);
    truth_free(&run.truth);
    sim_files_free(run.sim);
    free(run.done);
}

/* False: it cannot be had here. */
static bool explore_system(campaign *of, const h3_system *on, const char *only)
{
    char why[256];
    uint64_t cases = of->cases, equal = of->equal;
    double began = now_s();
    /* Each run of a workload is recorded, which takes longer than some images: few are of some workloads only. */
    size_t stride = only == NULL && of->images < IMAGES_LEAST * workload_count
                        ? (IMAGES_LEAST * workload_count + of->images - 1) / of->images : 1;
    size_t left = (workload_count + stride - 1) / stride;

    of->on = on;
    of->disk = h3_make(on, of->dir, why);
    if (of->disk == NULL) {
        printf("h3_images: no %s: %s\n", on->name, why);
        return false;
    }
    for (size_t i = of->seed % stride; i < workload_count; i += stride, left -= left > 1) {
        uint64_t had = of->cases - cases;

        if (only != NULL && strcmp(workloads[i].name, only) != 0)
            continue;
        explore(of, &workloads[i],
                of->images <= had ? 1 : (of->images - had) / (only != NULL ? 1 : left));
    }
    block_disk_free(of->disk);
    printf("%-8s %6" PRIu64 " images, %5" PRIu64 " equal ones dropped, %.1f s\n", on->name, of->cases - cases,
           of->equal - equal, now_s() - began);
    fflush(stdout);
    return true;
}

int main(int argc, char **argv)
{
    campaign all = {.seed = 1, .images = IMAGES_DEFAULT, .dir = "/tmp/libstream-images-XXXXXX"};
    const char *only_system = NULL, *only = NULL;
    double began = now_s();
    unsigned had = 0;

    if (getenv("LIBSTREAM_TEST_LONG") != NULL)
        all.images = IMAGES_LONG;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return 2;
        if (strcmp(argv[i], "--seed") == 0)
            all.seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--images") == 0)
            all.images = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--system") == 0)
            only_system = argv[i + 1];
        else if (strcmp(argv[i], "--workload") == 0)
            only = argv[i + 1];
        else if (strcmp(argv[i], "--keep") == 0)
            all.keep = argv[i + 1];
        else
            return 2;
    }
    if (geteuid() != 0) {
        puts("h3_images: only root can mount");
        return 77;
    }
    printf("seed %" PRIu64 "\n", all.seed);
    fflush(stdout);
    if (mkdtemp(all.dir) == NULL) {
        perror(all.dir);
        return 2;
    }
    (void)snprintf(all.store, sizeof all.store, "%s/store", all.dir);
    for (size_t i = 0; i < H3_SYSTEMS; i++)
        if (only_system == NULL || strcmp(only_system, h3_systems[i].name) == 0)
            had += explore_system(&all, &h3_systems[i], only);
    (void)rmdir(all.dir);
    if (had == 0) {
        puts("h3_images: no file system can be had here");
        return 77;
    }
    printf("harness=h3_images seed=%" PRIu64 " cases=%" PRIu64 " violations=%" PRIu64 " verified=%" PRIu64
           " wall_s=%.1f\n", all.seed, all.cases, all.violations, all.verified, now_s() - began);
    return all.violations > 0;
}
