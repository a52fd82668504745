/* Whose the files of a store are (store.h, FILES; W1-W3 of file_owner.c): whoever makes them, under whatever umask, who
 * is let in by the store's directory is let in to them, and nobody else is.
 *
 * Goal: no combination of who runs, mode of the directory and umask locks the owner or the group out, or lets others
 * in. Method: root makes the directory of a service with each mode, a child becomes each of the persons below and makes
 * a store in it with every kind of file; then owner, group and mode of each are compared with a table, and each person
 * asks the kernel what he may do to each. Without root nobody can become another: skipped. */
#include "processes.h"

#include <errno.h>
#include <ftw.h>
#include <grp.h>
#include <sys/xattr.h>

#include <libstream/unstable/inspect.h>

#define GROUP 4321

typedef struct person {
    const char *name;
    uid_t uid;
    gid_t gid;
    bool is_member; /* of GROUP, besides */
} person;

/* The directory is the service's and its group is GROUP. */
enum { ROOT, SERVICE, SERVICE_IN_GROUP, MEMBER, STRANGER, COLLEAGUE, PERSONS };
static const person persons[PERSONS] = {
    [ROOT] = {"root", 0, 0, false},
    [SERVICE] = {"the service", 1234, 1111, false},
    [SERVICE_IN_GROUP] = {"the service, in the group", 1234, 1111, true},
    [MEMBER] = {"a member", 2345, 2222, true},
    [STRANGER] = {"a stranger", 3456, 3333, false},
    [COLLEAGUE] = {"one of the service's own group", 4567, 1111, false},
};

static const mode_t modes[] = {0700, 0750, 0770, 02700, 02750, 02770, 0755, 02755, 0775, 02775, 0777, 02777, 01777};
static const mode_t umasks[] = {0, 022, 077, 0777};

static void become(int who)
{
    gid_t group = GROUP;

    child_check(setgroups(persons[who].is_member ? 1 : 0, &group) == 0);
    child_check(setresgid(persons[who].gid, persons[who].gid, persons[who].gid) == 0);
    child_check(setresuid(persons[who].uid, persons[who].uid, persons[who].uid) == 0);
}

/* What the directory lets him do: 4 list, 2 change, 1 enter. */
static mode_t granted(int who, mode_t mode)
{
    if (persons[who].uid == persons[SERVICE].uid)
        return mode >> 6 & 7;
    return persons[who].is_member ? mode >> 3 & 7 : mode & 7;
}

/* ---- making a store with every kind of file ---- */

typedef struct trial {
    int maker;
    mode_t mode, mask;
    bool has_lists; /* the file system has access lists */
} trial;
static trial now;

static void put_much(const handles *of)
{
    static char data[30000];

    memset(data, 'x', sizeof data);
    for (int i = 0; i < 7; i++)
        child_check(ls_producer_put(of->producer, (ls_bytes){"key", 3}, (ls_bytes){data, sizeof data}, NULL, NULL) ==
                    LS_OK);
}

static int synced(const lsi_file *file, bool data_only)
{
    (void)file;
    (void)data_only;
    return 0;
}

static int dir_synced(const lsi_root *root, const char *name)
{
    (void)root;
    (void)name;
    return 0;
}

/* Nobody pulls the plug here: without syncs, so that some two hundred stores take seconds. */
static void make_all(fixture *fx)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    hooked_files files;
    handles of;

    (void)umask(now.mask);
    become(now.maker);
    hooked_files_init(&files, NULL, NULL, NULL);
    files.table.sync = synced;
    files.table.sync_dir = dir_synced;
    options.segment_bytes = 64u << 10;
    options.durability = LS_DURABILITY_KERNEL;
    options.prealloc_bytes = LS_PREALLOC_NONE;
    child_check(handles_open(&of, fx->path, &options, &files) == LS_OK);
    put_much(&of);
    child_check(ls_stream_create(of.store, "another", NULL) == LS_OK);
    child_check(handles_close(&of) == LS_OK);
    child_check((umask(0)) == now.mask); /* The application's, and not ours to change. */
}

static const char *const made[] = {
    "manifest", "control", "reserve", "1", "1/0", "1/0/segments", "1/0/00000001.seg", "1/0/00000001.idx",
    "1/0/00000002.seg", "1/0/00000002.idx", "2", "2/0", "2/0/segments", "2/0/00000001.seg",
};
#define MADE (sizeof made / sizeof made[0])

static void path_of(const fixture *fx, const char *name, char path[TEMP_PATH_BYTES * 3])
{
    (void)snprintf(path, TEMP_PATH_BYTES * 3, "%s/%s", fx->path, name);
}

static void begin(fixture *fx, int maker, mode_t mode, mode_t mask)
{
    now = (trial){maker, mode, mask, now.has_lists};
    assert_int_equal(mkdir(fx->path, 0700), 0);
    assert_int_equal(chown(fx->path, persons[SERVICE].uid, GROUP), 0);
    assert_int_equal(chmod(fx->path, mode), 0);
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about;
    (void)where;
    return kind == FTW_DP ? rmdir(path) : unlink(path);
}

static void end(fixture *fx)
{
    assert_int_equal(nftw(fx->path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* ---- what is to be ---- */

static void check_table(const fixture *fx)
{
    const person *maker = &persons[now.maker];
    bool has_group = maker->uid == 0 || maker->is_member || (now.mode & S_ISGID) != 0;
    uid_t uid = maker->uid == 0 ? persons[SERVICE].uid : maker->uid;
    gid_t gid = has_group ? GROUP : maker->gid;
    /* Where the group cannot be given, another one gets what others get. */
    mode_t group = has_group ? now.mode & 070 : (now.mode & 07) << 3;

    for (size_t i = 0; i < MADE; i++) {
        char path[TEMP_PATH_BYTES * 3];
        struct stat about;
        mode_t mode = 0700 | group | (now.mode & 07);

        path_of(fx, made[i], path);
        assert_int_equal(lstat(path, &about), 0);
        if (S_ISDIR(about.st_mode))
            mode |= now.mode & 07000;
        else
            mode &= 0666;
        if (about.st_uid != uid || about.st_gid != gid || (about.st_mode & 07777) != mode)
            fail_msg("%s, directory %04o, umask %03o: %s is %u:%u %04o, not %u:%u %04o", maker->name, now.mode,
                     now.mask, made[i], about.st_uid, about.st_gid, about.st_mode & 07777, uid, gid, mode);
    }
}

/* What he may do, as the kernel says; for directories also whether he may enter. */
static mode_t allowed(const char *path)
{
    return (mode_t)((access(path, R_OK) == 0 ? 4 : 0) | (access(path, W_OK) == 0 ? 2 : 0) |
                    (access(path, X_OK) == 0 ? 1 : 0));
}

static int asking;

static void ask(fixture *fx)
{
    const person *maker = &persons[now.maker];
    /* Nobody but root can give what the group has to a group that he is not in. */
    bool lacks_group = persons[asking].is_member && maker->uid != 0 && !maker->is_member && (now.mode & S_ISGID) == 0;
    /* W3. Where there are no access lists, and where the group has less than the owner. */
    bool lacks_owner = persons[asking].uid == persons[SERVICE].uid && maker->uid != 0 &&
                       maker->uid != persons[SERVICE].uid && (!now.has_lists || lacks_group || (now.mode & 070) != 070);
    mode_t grant = granted(asking, now.mode);

    become(asking);
    for (size_t i = 0; i < MADE; i++) {
        char path[TEMP_PATH_BYTES * 3];
        mode_t may, wanted = strchr(made[i], '.') != NULL || strstr(made[i], "segments") != NULL || i < 3 ? 6 : 7;

        path_of(fx, made[i], path);
        may = allowed(path);
        if (persons[asking].uid == maker->uid)
            continue; /* What he made he may use. */
        if ((may & ~grant) != 0 || (!lacks_group && !lacks_owner && (grant & 1) != 0 && may != (grant & wanted))) {
            fprintf(stderr, "made by %s, directory %04o, umask %03o: %s may do %o to %s; the directory grants %o\n",
                    maker->name, now.mode, now.mask, persons[asking].name, may, made[i], grant);
            _exit(1);
        }
    }
}

/* ---- the tests ---- */

static int set_up_as_root(void **state)
{
    static const unsigned char list[] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 4, 0, 4, 0, 255, 255, 255, 255,
                                         32, 0, 0, 0, 255, 255, 255, 255}; /* rw-r----- */
    int result = set_up(state);
    fixture *fx = *state;

    if (result != 0 || chmod(fx->temp.path, 0755) != 0)
        return 1;
    now.has_lists = setxattr(fx->temp.path, "system.posix_acl_access", list, sizeof list, 0) == 0;
    if (!now.has_lists)
        print_message("the file system has no access lists: what needs them is left out\n");
    return chmod(fx->temp.path, 0755);
}

/* W1, W2 and the umask: every file and directory, against the table, and as each person finds it. */
static void what_is_made_is_the_directorys(void **state)
{
    fixture *fx = *state;

    if (geteuid() != 0)
        skip();
    for (int maker = 0; maker < COLLEAGUE; maker++)
        for (size_t m = 0; m < sizeof modes / sizeof modes[0]; m++)
            for (size_t u = 0; u < sizeof umasks / sizeof umasks[0]; u++) {
                if (maker != ROOT && (granted(maker, modes[m]) & 3) != 3)
                    continue; /* He cannot make anything. */
                begin(fx, maker, modes[m], umasks[u]);
                child_ends_well(child_start(make_all, fx));
                check_table(fx);
                for (asking = SERVICE; asking < PERSONS; asking++)
                    child_ends_well(child_start(ask, fx));
                end(fx);
            }
}

/* A store that the service has open, and root uses it: with `lstream put`, which opens, puts and closes. */
static void use(fixture *fx)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    handles of;

    (void)umask(077);
    become(now.maker);
    options.segment_bytes = 64u << 10;
    child_check(handles_open(&of, fx->path, &options, NULL) == LS_OK);
    put_much(&of); /* More than a segment: lists are replaced. */
    if (ls_stream_delete(of.store, "passing") != LS_OK)
        child_check(ls_stream_create(of.store, "passing", NULL) == LS_OK);
    child_check(handles_close(&of) == LS_OK);
}

static void use_while_others_do(fixture *fx)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    handles of;

    become(SERVICE);
    options.segment_bytes = 64u << 10;
    child_check(handles_open(&of, fx->path, &options, NULL) == LS_OK);
    put_much(&of);
    atomic_store(&fx->share->ready, 1);
    await(&fx->share->release, 1);
    put_much(&of);
    child_check(ls_stream_create(of.store, "of the service", NULL) == LS_ERR_INVALID_ARGUMENT);
    child_check(ls_stream_create(of.store, "of-the-service", NULL) == LS_OK);
    child_check(handles_close(&of) == LS_OK);
}

static void others_use_it(fixture *fx, int who, mode_t mode)
{
    pid_t service;

    begin(fx, who, mode, 0);
    atomic_store(&fx->share->ready, 0);
    atomic_store(&fx->share->release, 0);
    child_ends_well(child_start(use, fx)); /* The store is made by them. */
    service = child_start(use_while_others_do, fx);
    await(&fx->share->ready, 1);
    child_ends_well(child_start(use, fx));
    atomic_store(&fx->share->release, 1);
    child_ends_well(service);
    child_ends_well(child_start(use, fx));
    now.maker = SERVICE;
    child_ends_well(child_start(use, fx));
    end(fx);
}

static void root_uses_the_services_store_and_the_service_goes_on(void **state)
{
    if (geteuid() != 0)
        skip();
    others_use_it(*state, ROOT, 0700);
    others_use_it(*state, ROOT, 0750);
    others_use_it(*state, ROOT, 02770);
}

/* W3: the service is not in the group that it shares its store with. */
static void a_member_uses_the_services_store_and_the_service_goes_on(void **state)
{
    if (geteuid() != 0 || !now.has_lists)
        skip();
    others_use_it(*state, MEMBER, 02770);
}

/* The other side of 2750: who is in the group reads while the service, which is not, writes. */
static void read_all(fixture *fx)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    ls_store *store;
    ls_stream *stream;

    become(MEMBER);
    options.flags = LS_STORE_READ_ONLY;
    child_check(ls_store_open(fx->path, &options, &store) == LS_OK);
    child_check(ls_stream_open(store, STREAM, &stream) == LS_OK);
    child_check(count_readable(stream) > 0);
    child_check(ls_stream_close(stream) == LS_OK && ls_store_close(store) == LS_OK);
}

static void the_group_reads_what_a_service_outside_of_it_writes(void **state)
{
    fixture *fx = *state;

    if (geteuid() != 0)
        skip();
    for (size_t u = 0; u < sizeof umasks / sizeof umasks[0]; u++) {
        begin(fx, SERVICE, 02750, umasks[u]);
        child_ends_well(child_start(make_all, fx));
        child_ends_well(child_start(read_all, fx));
        end(fx);
    }
}

/* ---- repairing ---- */

static void damage_byte(const fixture *fx, const char *name, off_t at)
{
    char path[TEMP_PATH_BYTES * 3];
    FILE *file;

    path_of(fx, name, path);
    file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseeko(file, at, SEEK_SET), 0);
    assert_int_equal(fputc(0xa5, file), 0xa5);
    assert_int_equal(fclose(file), 0);
}

static void repair(fixture *fx)
{
    ls_inspect_summary summary = LS_INSPECT_SUMMARY_INIT;

    (void)umask(077);
    child_check(ls_inspect_repair(fx->path, NULL, 0, NULL, &summary, NULL) == LS_OK);
    child_check(summary.repaired > 0);
}

static const char *found_wrong;

static int check_service(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    static char wrong[TEMP_PATH_BYTES * 3];

    (void)where;
    if (about->st_uid != persons[SERVICE].uid || about->st_gid != GROUP ||
        (about->st_mode & 07777) != (kind == FTW_D ? 02750 : 0640)) {
        (void)snprintf(wrong, sizeof wrong, "%s", path);
        found_wrong = wrong;
    }
    return 0;
}

/* Root repairs a segment list, a header, frames and the control file; what is kept beside is the service's too. */
static void root_repairs_the_services_store_and_the_service_goes_on(void **state)
{
    fixture *fx = *state;

    if (geteuid() != 0)
        skip();
    begin(fx, SERVICE, 02750, 022);
    child_ends_well(child_start(make_all, fx));
    damage_byte(fx, "1/0/00000001.seg", 20); /* its header */
    damage_byte(fx, "1/0/00000002.seg", 4096 + 60); /* its first frame */
    damage_byte(fx, "2/0/segments", 70);
    damage_byte(fx, "control", 3);
    child_ends_well(child_start(repair, fx));
    found_wrong = NULL;
    assert_int_equal(nftw(fx->path, check_service, 16, FTW_PHYS), 0);
    if (found_wrong != NULL)
        fail_msg("%s is not the service's, or not as its directory", found_wrong);
    child_ends_well(child_start(use, fx));
    end(fx);
}

/* What may not be read is LS_ERR_IO with its errno, and what may be read but not written LS_ERR_READ_ONLY: status.h.
 * Method: files that refuse to be opened, since root may open all. */
static const char *the_refused;
static unsigned the_refused_flags; /* 0: in every way */
static int (*open_before)(const lsi_root *root, const char *name, unsigned flags, lsi_file *out);

static int refusing_open(const lsi_root *root, const char *name, unsigned flags, lsi_file *out)
{
    if (the_refused != NULL && strstr(name, the_refused) != NULL && (flags & the_refused_flags) == the_refused_flags)
        return -EACCES;
    return open_before(root, name, flags, out);
}

static void what_may_not_be_read_is_not_read_only(void **state)
{
    fixture *fx = *state;
    static const char *const names[] = {"00000001.seg", "segments", "manifest"};
    hooked_files files;
    handles of;

    assert_int_equal(handles_open(&of, fx->path, NULL, NULL), LS_OK);
    assert_int_equal(put_text(&of, "there", NULL), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
    hooked_files_init(&files, NULL, NULL, NULL);
    open_before = files.table.open;
    files.table.open = refusing_open;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ls_iterator *iterator = NULL;
        const ls_batch *batch = NULL;
        ls_store *store = NULL;
        ls_stream *stream = NULL;
        ls_status st;

        the_refused = names[i];
        the_refused_flags = 0;
        st = open_hooked(fx->path, NULL, &files, &store);
        st = st == LS_OK ? ls_stream_open(store, STREAM, &stream) : st;
        st = st == LS_OK ? ls_iterator_open(stream, 0, NULL, NULL, &iterator) : st;
        st = st == LS_OK ? ls_iterator_next(iterator, NULL, &batch) : st;
        assert_int_equal(st, LS_ERR_IO);
        assert_int_equal(ls_last_error_errno(), EACCES);
        assert_non_null(strstr(ls_last_error_message(), names[i]));
        the_refused = NULL;
        ls_iterator_close(iterator);
        assert_int_equal(ls_stream_close(stream), LS_OK);
        assert_int_equal(ls_store_close(store), LS_OK);
    }
    assert_int_equal(handles_open(&of, fx->path, NULL, &files), LS_OK);
    the_refused = names[0];
    the_refused_flags = LSI_OPEN_WRITE;
    assert_int_equal(put_text(&of, "refused", NULL), LS_ERR_READ_ONLY);
    the_refused = NULL;
    assert_int_equal(put_text(&of, "taken", NULL), LS_OK);
    assert_int_equal(handles_close(&of), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_made_is_the_directorys, set_up_as_root, tear_down),
        cmocka_unit_test_setup_teardown(root_uses_the_services_store_and_the_service_goes_on, set_up_as_root,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_member_uses_the_services_store_and_the_service_goes_on, set_up_as_root,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_group_reads_what_a_service_outside_of_it_writes, set_up_as_root, tear_down),
        cmocka_unit_test_setup_teardown(root_repairs_the_services_store_and_the_service_goes_on, set_up_as_root,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_may_not_be_read_is_not_read_only, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("whose the files are", tests, NULL, NULL);
}
