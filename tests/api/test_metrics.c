/* metrics.h: every promise of the header. What the text may look like is judged by a strict reader of its own
 * (support/exposition.h). */
#include "api/metrics_support.h"

#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- few words for common calls ---- */

static ls_metric *define(ls_store *store, const char *name, ls_metric_type type, const char *const *labels,
                         uint32_t label_count, uint32_t series_max)
{
    ls_metric_options options = LS_METRIC_OPTIONS_INIT;
    ls_metric *metric = NULL;

    options.labels = labels;
    options.label_count = label_count;
    options.series_max = series_max;
    assert_int_equal(ls_metric_define(store, name, type, "A metric of a test.", &options, &metric), LS_OK);
    return metric;
}

static ls_series *series_of(ls_metric *metric, const char *const *values)
{
    ls_series *series = NULL;

    assert_int_equal(ls_metric_series(metric, values, &series), LS_OK);
    return series;
}

/* ---- the reader ---- */

/* Goal: the reader of the tests notices what it is for. Method: a right document, and the same with one fault each. */
static void the_strict_reader_refuses_what_it_should(void **state)
{
    static const char *const bad[] = {
        "",
        "# HELP a b\n# TYPE a counter\na 1",                              /* the last line does not end */
        "# HELP a b\n# TYPE a counter\n\na 1\n",                          /* an empty line */
        "# TYPE a counter\na 1\n",                                        /* no HELP */
        "# HELP a b\na 1\n",                                              /* no TYPE */
        "# HELP a b\n# TYPE a thing\na 1\n",                              /* no such type */
        "# HELP a b\n# TYPE a counter\na 1\na 1\n",                       /* twice */
        "# HELP a b\n# TYPE a counter\na 1.5\n",                          /* half a count */
        "# HELP a b\n# TYPE a counter\na 1e3\n",                          /* an exponent */
        "# HELP a b\n# TYPE a gauge\na 1,5\n",                            /* a decimal comma */
        "# HELP a b\n# TYPE a gauge\na inf\n",                            /* not Go's */
        "# HELP a b\n# TYPE a gauge\na{x=\"1\",x=\"2\"} 1\n",             /* a label twice */
        "# HELP a b\n# TYPE a gauge\na{x=\"\"} 1\n",                      /* an empty label */
        "# HELP a b\n# TYPE a gauge\na{x=\"\\t\"} 1\n",                   /* an unknown escape */
        "# HELP a b\n# TYPE a gauge\na{__x=\"1\"} 1\n",                   /* a reserved label */
        "# HELP a b\n# TYPE a gauge\na{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 1\n", /* twice, in another order */
        "# HELP a \xff\n# TYPE a gauge\na 1\n",                           /* no UTF-8 */
        "# HELP a b\n# TYPE a gauge\na 1\n# HELP b b\n# TYPE b gauge\nb 1\na{x=\"1\"} 1\n", /* in two groups */
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",       /* no +Inf */
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 2\na_sum 1\na_count 1\n",
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"0\"} 1\na_bucket{le=\"+Inf\"} 1\n",
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 1\n",
    };
    char why[EXPOSITION_WHY_BYTES];

    (void)state;
    exposition_free(parse("# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 2\na_sum 1.5\n"
                          "a_count 2\n# HELP c \\\\\\n\n# TYPE c gauge\nc{x=\"\\\"\\n\\\\\"} -Inf\nc 1e-07\n"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (exposition_read(bad[i], strlen(bad[i]), why) != NULL)
            fail_msg("was taken:\n%s", bad[i]);
}

/* ---- definitions ---- */

static void a_metric_is_defined_once(void **state)
{
    fixture *fx = *state;
    const char *const labels[] = {"city"};
    ls_metric *metric = define(fx->store, "orders_total", LS_METRIC_COUNTER, labels, 1, 0), *again = NULL;
    ls_metric_options options = LS_METRIC_OPTIONS_INIT;

    assert_ptr_equal(define(fx->store, "orders_total", LS_METRIC_COUNTER, labels, 1, 0), metric);
    assert_int_equal(ls_metric_define(fx->store, "orders_total", LS_METRIC_COUNTER, "A metric of a test.", NULL,
                                      &again), LS_ERR_EXISTS);
    assert_true(says("orders_total"));
    options.labels = labels;
    options.label_count = 1;
    assert_int_equal(ls_metric_define(fx->store, "orders_total", LS_METRIC_COUNTER, "Another help.", &options, &again),
                     LS_ERR_EXISTS);
    assert_int_equal(ls_metric_define(fx->store, "took_seconds", LS_METRIC_HISTOGRAM, "h", NULL, &again), LS_OK);
    assert_int_equal(ls_metric_define(fx->store, "took_seconds_sum", LS_METRIC_GAUGE, "h", NULL, &again),
                     LS_ERR_EXISTS);
    assert_int_equal(ls_metric_define(fx->store, "size_count", LS_METRIC_GAUGE, "h", NULL, &again), LS_OK);
    assert_int_equal(ls_metric_define(fx->store, "size", LS_METRIC_HISTOGRAM, "h", NULL, &again), LS_ERR_EXISTS);
    assert_int_equal(ls_metric_define(fx->store, "took_seconds_summary", LS_METRIC_GAUGE, "h", NULL, &again), LS_OK);
}

static void names_and_options_that_break_a_rule_are_refused(void **state)
{
    fixture *fx = *state;
    static const struct {
        const char *name;
        ls_metric_type type;
    } bad[] = {
        {"", LS_METRIC_GAUGE},          {"1a", LS_METRIC_GAUGE},        {"a-b", LS_METRIC_GAUGE},
        {"a:b", LS_METRIC_GAUGE},       {"\xc3\xa9", LS_METRIC_GAUGE},  {"libstream_mine", LS_METRIC_GAUGE},
        {"orders", LS_METRIC_COUNTER},  {"now_total", LS_METRIC_GAUGE}, {"a_total", LS_METRIC_HISTOGRAM},
        {"a", 0},                       {"a", 4},
    };
    static const char *const bad_labels[] = {"", "1a", "a-b", "__a", "a:b"};
    static const double falling[] = {1, 1}, endless[] = {1, INFINITY};
    const char *labels[2] = {"x", "x"};
    ls_metric_options options = LS_METRIC_OPTIONS_INIT;
    ls_metric *metric;
    char long_name[300];

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(ls_metric_define(fx->store, bad[i].name, bad[i].type, "h", NULL, &metric),
                         LS_ERR_INVALID_ARGUMENT);
    memset(long_name, 'a', 201);
    long_name[201] = '\0';
    assert_int_equal(ls_metric_define(fx->store, long_name, LS_METRIC_GAUGE, "h", NULL, &metric),
                     LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_metric_define(fx->store, long_name + 1, LS_METRIC_GAUGE, "h", NULL, &metric), LS_OK);
    assert_int_equal(ls_metric_define(fx->store, "a", LS_METRIC_GAUGE, "", NULL, &metric), LS_ERR_INVALID_ARGUMENT);
    options.labels = labels;
    options.label_count = 2;
    assert_int_equal(ls_metric_define(fx->store, "a", LS_METRIC_GAUGE, "h", &options, &metric),
                     LS_ERR_INVALID_ARGUMENT);
    assert_true(says("twice"));
    for (size_t i = 0; i < sizeof bad_labels / sizeof bad_labels[0]; i++) {
        labels[1] = bad_labels[i];
        assert_int_equal(ls_metric_define(fx->store, "a", LS_METRIC_GAUGE, "h", &options, &metric),
                         LS_ERR_INVALID_ARGUMENT);
    }
    labels[1] = NULL;
    assert_int_equal(ls_metric_define(fx->store, "a", LS_METRIC_GAUGE, "h", &options, &metric),
                     LS_ERR_INVALID_ARGUMENT);
    labels[1] = "le";
    assert_int_equal(ls_metric_define(fx->store, "a", LS_METRIC_HISTOGRAM, "h", &options, &metric),
                     LS_ERR_INVALID_ARGUMENT);
    options.label_count = 31;
    assert_int_equal(ls_metric_define(fx->store, "a", LS_METRIC_GAUGE, "h", &options, &metric),
                     LS_ERR_INVALID_ARGUMENT);
    options = (ls_metric_options)LS_METRIC_OPTIONS_INIT;
    options.label_count = 1;
    assert_int_equal(ls_metric_define(fx->store, "a", LS_METRIC_GAUGE, "h", &options, &metric),
                     LS_ERR_INVALID_ARGUMENT);
    options = (ls_metric_options)LS_METRIC_OPTIONS_INIT;
    options.series_max = 1000001;
    assert_int_equal(ls_metric_define(fx->store, "a", LS_METRIC_GAUGE, "h", &options, &metric),
                     LS_ERR_INVALID_ARGUMENT);
    options = (ls_metric_options)LS_METRIC_OPTIONS_INIT;
    options.bounds = falling;
    options.bound_count = 2;
    assert_int_equal(ls_metric_define(fx->store, "a", LS_METRIC_HISTOGRAM, "h", &options, &metric),
                     LS_ERR_INVALID_ARGUMENT);
    options.bounds = endless;
    assert_int_equal(ls_metric_define(fx->store, "a", LS_METRIC_HISTOGRAM, "h", &options, &metric),
                     LS_ERR_INVALID_ARGUMENT);
    options.bound_count = 1;
    assert_int_equal(ls_metric_define(fx->store, "a", LS_METRIC_GAUGE, "h", &options, &metric),
                     LS_ERR_INVALID_ARGUMENT);
    options.bounds = NULL;
    assert_int_equal(ls_metric_define(fx->store, "a", LS_METRIC_HISTOGRAM, "h", &options, &metric),
                     LS_ERR_INVALID_ARGUMENT);
    options = (ls_metric_options)LS_METRIC_OPTIONS_INIT;
    options.size = 4;
    assert_int_equal(ls_metric_define(fx->store, "a", LS_METRIC_GAUGE, "h", &options, &metric),
                     LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_metric_define(NULL, "a", LS_METRIC_GAUGE, "h", NULL, &metric), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_metric_define(fx->store, NULL, LS_METRIC_GAUGE, "h", NULL, &metric), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_metric_define(fx->store, "a", LS_METRIC_GAUGE, NULL, NULL, &metric), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_metric_define(fx->store, "a", LS_METRIC_GAUGE, "h", NULL, NULL), LS_ERR_INVALID_ARGUMENT);
}

static void a_series_is_counted_in_as_its_type_says(void **state)
{
    fixture *fx = *state;
    const char *const labels[] = {"x"}, *const values[] = {"1"}, *const none[] = {NULL};
    ls_series *counter = series_of(define(fx->store, "c_total", LS_METRIC_COUNTER, labels, 1, 0), values);
    ls_series *gauge = series_of(define(fx->store, "g", LS_METRIC_GAUGE, NULL, 0, 0), NULL);
    ls_series *histogram = series_of(define(fx->store, "h", LS_METRIC_HISTOGRAM, labels, 1, 0), values);
    ls_series *out;
    char long_value[1026];
    const char *const too_long[] = {long_value};
    exposition *read;

    assert_ptr_equal(series_of(define(fx->store, "c_total", LS_METRIC_COUNTER, labels, 1, 0), values), counter);
    assert_int_equal(ls_series_add(counter, 3), LS_OK);
    assert_int_equal(ls_series_add(counter, UINT64_C(9007199254740992)), LS_OK);
    assert_int_equal(ls_series_set(gauge, 1e17), LS_OK);
    assert_int_equal(ls_series_observe(histogram, 0.001), LS_OK);
    assert_int_equal(ls_series_observe(histogram, 0.0011), LS_OK);
    assert_int_equal(ls_series_observe(histogram, 11), LS_OK);
    assert_int_equal(ls_series_observe(histogram, NAN), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_series_set(counter, 1), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_series_observe(counter, 1), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_series_add(gauge, 1), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_series_observe(gauge, 1), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_series_add(histogram, 1), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_series_set(histogram, 1), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_series_add(NULL, 1), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_series_set(NULL, 1), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_series_observe(NULL, 1), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_metric_series(define(fx->store, "h", LS_METRIC_HISTOGRAM, labels, 1, 0), none, &out),
                     LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_metric_series(define(fx->store, "h", LS_METRIC_HISTOGRAM, labels, 1, 0), NULL, &out),
                     LS_ERR_INVALID_ARGUMENT);
    memset(long_value, 'v', 1025);
    long_value[1025] = '\0';
    assert_int_equal(ls_metric_series(define(fx->store, "h", LS_METRIC_HISTOGRAM, labels, 1, 0), too_long, &out),
                     LS_ERR_TOO_LARGE);
    assert_int_equal(ls_metric_series(NULL, NULL, &out), LS_ERR_INVALID_ARGUMENT);

    read = exposition_of(fx->store);
    assert_true(exposition_value(read, "c_total", "x=\"1\"") == 9007199254740995.0);
    assert_true(exposition_value(read, "g", "") == 1e17);
    assert_true(exposition_value(read, "h_count", "x=\"1\"") == 3);
    assert_true(exposition_value(read, "h_sum", "x=\"1\"") == 0.001 + 0.0011 + 11);
    assert_string_equal(exposition_type(read, "h"), "histogram");
    assert_string_equal(exposition_type(read, "c_total"), "counter");
    exposition_free(read);
}

/* ---- the text ---- */

static void labels_of_any_bytes_are_escaped_or_mended(void **state)
{
    fixture *fx = *state;
    const char *const labels[] = {"a", "b"};
    const char *const odd[] = {"q\"b\\n\nz", "\xff" "A\xc3"};
    const char *const mended[] = {"q\"b\\n\nz", "\xef\xbf\xbd" "A\xef\xbf\xbd"};
    const char *const empty[] = {"", "x"};
    ls_metric *metric = define(fx->store, "c_total", LS_METRIC_COUNTER, labels, 2, 0);
    exposition *read;
    char *text;

    assert_int_equal(ls_series_add(series_of(metric, odd), 7), LS_OK);
    assert_int_equal(ls_series_add(series_of(metric, mended), 1), LS_OK); /* as shown it is the same */
    assert_int_equal(ls_series_add(series_of(metric, empty), 2), LS_OK);
    text = text_of(fx->store);
    assert_non_null(strstr(text, "c_total{a=\"q\\\"b\\\\n\\nz\",b=\"\xef\xbf\xbd" "A\xef\xbf\xbd\"} 8\n"));
    assert_non_null(strstr(text, "c_total{b=\"x\"} 2\n"));
    read = parse(text);
    assert_true(exposition_value(read, "c_total", "a=\"q\"b\\n\nz\",b=\"\xef\xbf\xbd" "A\xef\xbf\xbd\"") == 8);
    exposition_free(read);
    free(text);
}

static void numbers_are_those_of_go(void **state)
{
    fixture *fx = *state;
    static const struct {
        double value;
        const char *line;
    } of[] = {
        {0, "g 0\n"}, {-5, "g -5\n"}, {NAN, "g NaN\n"}, {INFINITY, "g +Inf\n"}, {-INFINITY, "g -Inf\n"},
        {0.1, "g 0.1\n"}, {0.1 + 0.2, "g 0.30000000000000004\n"}, {1e15, "g 1000000000000000\n"}, {1e-7, "g 1e-07\n"},
    };
    ls_series *gauge = series_of(define(fx->store, "g", LS_METRIC_GAUGE, NULL, 0, 0), NULL);

    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
        char *text;

        assert_int_equal(ls_series_set(gauge, of[i].value), LS_OK);
        text = text_of(fx->store);
        if (strstr(text, of[i].line) == NULL)
            fail_msg("%s is not in\n%s", of[i].line, text);
        free(text);
    }
}

/* Goal: a decimal comma does not show. Method: a locale of one is made here, for few systems have any. */
static void a_decimal_comma_never_shows(void **state)
{
    fixture *fx = *state;
    ls_series *gauge = series_of(define(fx->store, "g", LS_METRIC_GAUGE, NULL, 0, 0), NULL);
    ls_series *histogram = series_of(define(fx->store, "h", LS_METRIC_HISTOGRAM, NULL, 0, 0), NULL);
    char command[TEMP_PATH_BYTES * 5], *before, *after;
    temp_dir temp;

    temp_make(&temp);
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 '%s' > '%s.log' 2>&1",
             temp_path(&temp, "de_DE.UTF-8"), temp.path);
    assert_int_equal(ls_series_set(gauge, 0.5), LS_OK);
    assert_int_equal(ls_series_observe(histogram, 1.5), LS_OK);
    before = text_of(fx->store);
    if (system(command) == 0)
        setenv("LOCPATH", temp.path, 1);
    snprintf(command, sizeof command, "%s.log", temp.path);
    unlink(command);
    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") == NULL) {
        free(before);
        temp_remove(&temp);
        skip();
    }
    snprintf(command, sizeof command, "%g", 0.5);
    assert_string_equal(command, "0,5");
    after = text_of(fx->store);
    assert_non_null(setlocale(LC_NUMERIC, "C"));
    unsetenv("LOCPATH");
    temp_remove(&temp);
    assert_string_equal(after, before);
    free(before);
    free(after);
}

static void the_text_comes_in_pieces_until_the_callback_ends_it(void **state)
{
    fixture *fx = *state;
    const char *const labels[] = {"n"};
    ls_metric *metric = define(fx->store, "c_total", LS_METRIC_COUNTER, labels, 1, 0);
    gathered all = {0}, some = {.pieces_max = 2};
    char n[12];
    const char *const values[] = {n};

    for (int i = 0; i < 1000; i++) {
        snprintf(n, sizeof n, "%d", i);
        (void)series_of(metric, values);
    }
    assert_int_equal(ls_metrics_write_text(fx->store, gather, &all), LS_OK);
    assert_true(all.pieces > 2);
    assert_true(all.size / all.pieces <= 4096);
    assert_int_equal(ls_metrics_write_text(fx->store, gather, &some), LS_ERR_CANCELLED);
    assert_int_equal(some.pieces, 2);
    free(all.text);
    free(some.text);
    assert_int_equal(ls_metrics_write_text(fx->store, NULL, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_metrics_write_text(NULL, gather, &all), LS_ERR_INVALID_ARGUMENT);
}

/* Prometheus's own tool is asked where it is installed. */
static void promtool_accepts_the_text(void **state)
{
    fixture *fx = *state;
    const char *const labels[] = {"city"}, *const values[] = {"Z\xc3\xbcrich \"1\""};
    char *text;
    FILE *tool;

    if (system("command -v promtool > /dev/null 2>&1") != 0)
        skip();
    assert_int_equal(ls_series_add(series_of(define(fx->store, "o_total", LS_METRIC_COUNTER, labels, 1, 0), values), 1),
                     LS_OK);
    (void)series_of(define(fx->store, "took_seconds", LS_METRIC_HISTOGRAM, labels, 1, 0), values);
    text = text_of(fx->store);
    tool = popen("promtool check metrics", "w");
    assert_non_null(tool);
    assert_int_equal(fwrite(text, 1, strlen(text), tool), strlen(text));
    assert_int_equal(pclose(tool), 0);
    free(text);
}

/* ---- the file ---- */

static int count_files(const char *path)
{
    char command[TEMP_PATH_BYTES * 2];
    int count = -1;
    FILE *list;

    snprintf(command, sizeof command, "ls -A '%s' | wc -l", path);
    list = popen(command, "r");
    assert_non_null(list);
    assert_int_equal(fscanf(list, "%d", &count), 1);
    pclose(list);
    return count;
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void a_file_is_replaced_whole_and_anybody_may_read_it(void **state)
{
    fixture *fx = *state;
    char path[TEMP_PATH_BYTES * 2], read[65536];
    struct stat about;
    temp_dir temp;
    size_t size;
    int lock;
    FILE *file;
    char *text;

    temp_make(&temp);
    snprintf(path, sizeof path, "%s", temp_path(&temp, "libstream.prom"));
    write_text(path, "old\n");
    assert_int_equal(ls_metrics_write_file(fx->store, path), LS_OK);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0644);
    file = fopen(path, "r");
    size = fread(read, 1, sizeof read - 1, file);
    read[size] = '\0';
    fclose(file);
    text = text_of(fx->store);
    assert_non_null(strstr(read, "libstream_build_info{"));
    assert_int_equal(size, strlen(text));
    free(text);
    assert_int_equal(count_files(temp.path), 1);

    /* What a killed writer left is used up; what one that lives is writing is left alone, and so is what a link
     * shows. */
    write_text(temp_path(&temp, "libstream.prom.new"),
               "a document that was longer than the next one will be, perhaps\n");
    assert_int_equal(ls_metrics_write_file(fx->store, path), LS_OK);
    assert_int_equal(count_files(temp.path), 1);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0644);
    write_text(temp_path(&temp, "libstream.prom.new"), "half");
    lock = open(temp_path(&temp, "libstream.prom.new"), O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(ls_metrics_write_file(fx->store, path), LS_OK);
    assert_int_equal(count_files(temp.path), 2);
    assert_int_equal(fstat(lock, &about), 0);
    assert_int_equal(about.st_size, 4);
    close(lock);
    assert_int_equal(unlink(temp_path(&temp, "libstream.prom.new")), 0);
    write_text(temp_path(&temp, "theirs"), "here");
    assert_int_equal(symlink("theirs", temp_path(&temp, "libstream.prom.new")), 0);
    assert_int_equal(ls_metrics_write_file(fx->store, path), LS_OK);
    assert_int_equal(stat(temp_path(&temp, "theirs"), &about), 0);
    assert_int_equal(about.st_size, 4);
    assert_int_equal(unlink(temp_path(&temp, "libstream.prom.new")), 0);
    assert_int_equal(unlink(temp_path(&temp, "theirs")), 0);

    assert_int_equal(mkdir(temp_path(&temp, "taken.prom"), 0700), 0); /* a rename over it cannot be */
    assert_int_equal(ls_metrics_write_file(fx->store, temp_path(&temp, "taken.prom")), LS_ERR_IO);
    assert_true(says("taken.prom"));
    assert_int_equal(count_files(temp.path), 2);
    assert_int_equal(ls_metrics_write_file(fx->store, temp_path(&temp, "no/such/directory.prom")), LS_ERR_IO);
    assert_int_equal(ls_metrics_write_file(fx->store, NULL), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_metrics_write_file(NULL, path), LS_ERR_INVALID_ARGUMENT);
    temp_remove(&temp);
}

/* ---- snapshots ---- */

static void a_snapshot_lasts_longer_than_the_store(void **state)
{
    fixture *fx = *state;
    const char *const labels[] = {"x"}, *const values[] = {"1"};
    static const double bounds[] = {1, 2};
    ls_metric_options options = LS_METRIC_OPTIONS_INIT;
    ls_metrics_snapshot *snapshot = NULL;
    ls_metric_sample sample = LS_METRIC_SAMPLE_INIT;
    ls_metric *metric;
    bool found = false;

    options.labels = labels;
    options.label_count = 1;
    options.bounds = bounds;
    options.bound_count = 2;
    assert_int_equal(ls_metric_define(fx->store, "h", LS_METRIC_HISTOGRAM, "Sizes.", &options, &metric), LS_OK);
    assert_int_equal(ls_series_observe(series_of(metric, values), 1.5), LS_OK);
    assert_int_equal(ls_series_observe(series_of(metric, values), 3), LS_OK);
    assert_int_equal(ls_metrics_snapshot_take(fx->store, &snapshot), LS_OK);
    assert_int_equal(ls_store_close(fx->store), LS_OK);
    for (size_t i = 0; i < ls_metrics_snapshot_count(snapshot); i++) {
        assert_int_equal(ls_metrics_snapshot_at(snapshot, i, &sample), LS_OK);
        assert_non_null(sample.help);
        assert_non_null(sample.cloudwatch_unit);
        if (strcmp(sample.name, "h") != 0)
            continue;
        found = true;
        assert_int_equal(sample.type, LS_METRIC_HISTOGRAM);
        assert_string_equal(sample.help, "Sizes.");
        assert_int_equal(sample.label_count, 1);
        assert_string_equal(sample.labels[0].name, "x");
        assert_string_equal(sample.labels[0].value, "1");
        assert_int_equal(sample.bucket_count, 3);
        assert_true(sample.bounds[0] == 1 && sample.bounds[1] == 2);
        assert_int_equal(sample.buckets[0], 0);
        assert_int_equal(sample.buckets[1], 1);
        assert_int_equal(sample.buckets[2], 2);
        assert_int_equal(sample.count, 2);
        assert_true(sample.sum == 4.5);
        assert_null(sample.cloudwatch_name);
    }
    assert_true(found);
    assert_int_equal(ls_metrics_snapshot_at(snapshot, ls_metrics_snapshot_count(snapshot), &sample),
                     LS_ERR_INVALID_ARGUMENT);
    sample.size = 8;
    assert_int_equal(ls_metrics_snapshot_at(snapshot, 0, &sample), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_metrics_snapshot_at(NULL, 0, &sample), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_metrics_snapshot_at(snapshot, 0, NULL), LS_ERR_INVALID_ARGUMENT);
    ls_metrics_snapshot_free(snapshot);
    ls_metrics_snapshot_free(NULL);
    assert_int_equal(ls_metrics_snapshot_count(NULL), 0);
    assert_int_equal(ls_metrics_snapshot_take(NULL, &snapshot), LS_ERR_INVALID_ARGUMENT);
    assert_int_equal(ls_store_open(fx->location, NULL, &fx->store), LS_OK);
    assert_int_equal(ls_metrics_snapshot_take(fx->store, NULL), LS_ERR_INVALID_ARGUMENT);
}

/* ---- the cap ---- */

static void beyond_the_cap_one_series_is_the_others(void **state)
{
    fixture *fx = *state;
    const char *const labels[] = {"n", "m"};
    ls_metric *metric = define(fx->store, "c_total", LS_METRIC_COUNTER, labels, 2, 0);
    ls_series *last = NULL;
    exposition *read;
    size_t count;
    char n[12];
    const char *const values[] = {n, "m"};

    for (int i = 0; i < 1010; i++) {
        snprintf(n, sizeof n, "%d", i);
        assert_int_equal(ls_series_add(series_of(metric, values), 1), LS_OK);
    }
    snprintf(n, sizeof n, "%d", 5); /* one that is there is still found */
    assert_int_equal(ls_series_add(series_of(metric, values), 1), LS_OK);
    read = exposition_of(fx->store);
    assert_true(exposition_sum(read, "c_total", "n=\"", &count) == 1011); /* nothing is lost */
    assert_int_equal(count, 1001);
    assert_true(exposition_value(read, "c_total", "m=\"other\",n=\"other\"") == 10);
    assert_true(exposition_value(read, "c_total", "m=\"m\",n=\"999\"") == 1);
    assert_true(isnan(exposition_value(read, "c_total", "m=\"m\",n=\"1000\"")));
    assert_true(exposition_value(read, "libstream_metrics_series_dropped_total", "metric=\"c_total\"") == 10);
    exposition_free(read);

    metric = define(fx->store, "d_total", LS_METRIC_COUNTER, labels, 2, 1);
    last = series_of(metric, values);
    snprintf(n, sizeof n, "7");
    assert_true(series_of(metric, values) != last);
    snprintf(n, sizeof n, "8");
    (void)series_of(metric, values);
    read = exposition_of(fx->store);
    assert_true(exposition_value(read, "libstream_metrics_series_dropped_total", "metric=\"d_total\"") == 2);
    exposition_free(read);
}

/* Splits a line of RFC 4180 in place; no field of the sample has a line's end in it. */
static size_t split(char *line, char **fields, size_t fields_max)
{
    size_t count = 0;

    for (char *at = line;; at++) {
        char *to = at;

        assert_true(count < fields_max);
        fields[count++] = to;
        if (*at == '"') {
            for (at++; *at != '\0' && (*at != '"' || *++at == '"'); at++)
                *to++ = *at;
        } else {
            while (*at != '\0' && *at != ',')
                *to++ = *at++;
        }
        if (*at == '\0') {
            *to = '\0';
            return count;
        }
        *to = '\0';
    }
}

/* The count is stated by the sample's README: rows of severity 3 and 4, by severity, city and county. */
static void accidents_make_as_many_series_as_there_are_combinations(void **state)
{
    fixture *fx = *state;
    const char *const labels[] = {"severity", "city", "county"};
    ls_metric *metric = define(fx->store, "accidents_total", LS_METRIC_COUNTER, labels, 3, 0);
    FILE *sample = fopen(SAMPLE, "r");
    size_t severity = 0, city = 0, county = 0, count, rows = 0;
    exposition *read;
    char line[8192], *fields[64];

    if (sample == NULL)
        skip();
    while (fgets(line, sizeof line, sample) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        count = split(line, fields, 64);
        if (county == 0) {
            for (size_t i = 0; i < count; i++) {
                severity = strcmp(fields[i], "Severity") == 0 ? i : severity;
                city = strcmp(fields[i], "City") == 0 ? i : city;
                county = strcmp(fields[i], "County") == 0 ? i : county;
            }
            assert_true(county != 0);
        } else if (atoi(fields[severity]) > 2) {
            const char *const values[] = {fields[severity], fields[city], fields[county]};

            assert_int_equal(ls_series_add(series_of(metric, values), 1), LS_OK);
            rows++;
        }
    }
    fclose(sample);
    assert_int_equal(rows, 2008);
    read = exposition_of(fx->store);
    assert_true(exposition_sum(read, "accidents_total", "severity=", &count) == 2008);
    assert_int_equal(count, 146);
    assert_true(exposition_sum(read, "accidents_total", "city=\"Sacramento\"", NULL) == 187);
    exposition_free(read);
}

/* ---- threads and processes ---- */

#define THREADS 8
#define ROUNDS 20000

typedef struct counting {
    ls_metric *counters, *histograms;
    uint32_t number;
} counting;

static void *count_up(void *user)
{
    counting *of = user;
    char n[12];
    const char *const own[] = {n}, *const shared[] = {"shared"};

    snprintf(n, sizeof n, "%u", of->number);
    for (int i = 0; i < ROUNDS; i++) {
        ls_series *a = NULL, *b = NULL, *c = NULL;

        if (i % 1000 == 0 && (ls_metric_series(of->counters, own, &a) != LS_OK || ls_series_add(a, 1000) != LS_OK))
            return "own";
        if (ls_metric_series(of->counters, shared, &b) != LS_OK || ls_series_add(b, 1) != LS_OK)
            return "shared";
        if (ls_metric_series(of->histograms, shared, &c) != LS_OK || ls_series_observe(c, i % 3) != LS_OK)
            return "observe";
    }
    return NULL;
}

/* Goal: what eight threads count at once is all there, and what is read meanwhile never falls. That the count of a
 * histogram is its last bucket is asked by the reader. */
static void eight_threads_count_while_it_is_read(void **state)
{
    fixture *fx = *state;
    const char *const labels[] = {"n"};
    counting of[THREADS];
    pthread_t threads[THREADS];
    exposition *read;
    double before = 0;

    for (uint32_t i = 0; i < THREADS; i++) {
        of[i] = (counting){define(fx->store, "c_total", LS_METRIC_COUNTER, labels, 1, 0),
                           define(fx->store, "h", LS_METRIC_HISTOGRAM, labels, 1, 0), i};
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &of[i]), 0);
    }
    for (int i = 0; i < 50; i++) {
        double now;

        read = exposition_of(fx->store);
        now = exposition_sum(read, "c_total", "shared", NULL);
        assert_true(now >= before);
        before = now;
        exposition_free(read);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        void *failed;

        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    read = exposition_of(fx->store);
    assert_true(exposition_value(read, "c_total", "n=\"shared\"") == THREADS * ROUNDS);
    assert_true(exposition_sum(read, "c_total", "n=", NULL) == 2 * THREADS * ROUNDS);
    assert_true(exposition_value(read, "h_count", "n=\"shared\"") == THREADS * ROUNDS);
    exposition_free(read);
}

static bool is_refused_in_child(void *user)
{
    fixture *fx = user;
    ls_metric *metric = NULL;
    ls_metrics_snapshot *snapshot = NULL;
    gathered to = {0};

    return ls_metric_define(fx->store, "a", LS_METRIC_GAUGE, "h", NULL, &metric) == LS_ERR_STATE &&
        ls_metrics_snapshot_take(fx->store, &snapshot) == LS_ERR_STATE &&
        ls_metrics_write_text(fx->store, gather, &to) == LS_ERR_STATE &&
        ls_metrics_write_file(fx->store, "/dev/null/none") == LS_ERR_STATE;
}

static void a_fork_child_is_refused(void **state)
{
    in_fork_child(is_refused_in_child, *state);
}

/* ---- what the store counts ---- */

#define SHARD0 "shard=\"shardId-000000000000\",stream=\"s\""

static ls_producer *producer_of(ls_stream *stream)
{
    ls_producer *producer = NULL;

    assert_int_equal(ls_producer_open(stream, NULL, &producer), LS_OK);
    return producer;
}

static void put_some(ls_producer *producer, uint32_t singles, uint32_t batches, uint32_t batch)
{
    ls_put_entry entries[500];

    for (uint32_t i = 0; i < batch; i++)
        entries[i] = (ls_put_entry){text("key"), text("0123456789"), NULL};
    for (uint32_t i = 0; i < singles; i++)
        assert_int_equal(ls_producer_put(producer, text("key"), text("01234"), NULL, NULL), LS_OK);
    for (uint32_t i = 0; i < batches; i++)
        assert_int_equal(ls_producer_put_batch(producer, entries, batch, NULL, NULL, NULL), LS_OK);
}

/* Goal: what is acknowledged is counted, in each mode and by each call, exactly; and so is what is read. */
static void puts_and_reads_are_counted(void **state)
{
    static const ls_durability modes[] = {LS_DURABILITY_SYNC, LS_DURABILITY_KERNEL};
    static char large[60000];

    (void)state;
    for (size_t mode = 0; mode < 2; mode++) {
        ls_store_options options = LS_STORE_OPTIONS_INIT;
        ls_put_options atomic = LS_PUT_OPTIONS_INIT;
        const ls_batch *batch;
        fixture fx = {.store = NULL};
        ls_iterator *iterator = NULL;
        ls_producer *producer;
        exposition *read;
        ls_stream *stream;
        size_t got = 0;

        temp_make(&fx.temp);
        snprintf(fx.location, sizeof fx.location, "%s", in_memory ? "memory:" : temp_path(&fx.temp, "store"));
        options.durability = modes[mode];
        assert_int_equal(ls_store_open(fx.location, &options, &fx.store), LS_OK);
        stream = make_stream(&fx, "s", 1);
        producer = producer_of(stream);
        put_some(producer, 130, 3, 500);
        atomic.flags = LS_PUT_ATOMIC;
        assert_int_equal(ls_producer_put_batch(producer, &(ls_put_entry){text("key"), text("0"), NULL}, 1, &atomic,
                                               NULL, NULL), LS_OK);
        assert_int_equal(ls_producer_put(producer, text("key"), (ls_bytes){large, sizeof large}, NULL, NULL), LS_OK);
        assert_int_equal(ls_producer_put(producer, text(""), text("x"), NULL, NULL), LS_ERR_INVALID_ARGUMENT);
        assert_int_equal(ls_iterator_open(stream, 0, NULL, NULL, &iterator), LS_OK);
        do {
            assert_int_equal(ls_iterator_next(iterator, NULL, &batch), LS_OK);
            got += ls_batch_count(batch);
        } while (ls_batch_count(batch) > 0);
        assert_int_equal(got, 1632);
        ls_iterator_close(iterator);

        read = exposition_of(fx.store);
        assert_true(exposition_value(read, "libstream_put_records_total", SHARD0) == 1632);
        assert_true(exposition_value(read, "libstream_put_bytes_total", SHARD0) == 130 * 8 + 1500 * 13 + 4 + 60003);
        assert_true(exposition_value(read, "libstream_put_payload_units_total", SHARD0) == 1634);
        assert_true(exposition_value(read, "libstream_put_calls_total",
                                     "call=\"put\",result=\"ok\",stream=\"s\"") == 131);
        assert_true(exposition_value(read, "libstream_put_calls_total",
                                     "call=\"put\",result=\"error\",stream=\"s\"") == 1);
        assert_true(exposition_value(read, "libstream_put_calls_total",
                                     "call=\"put_batch\",result=\"ok\",stream=\"s\"") == 4);
        assert_true(exposition_value(read, "libstream_get_records_total", SHARD0) == 1632);
        assert_true(exposition_value(read, "libstream_get_bytes_total", SHARD0) ==
                    exposition_value(read, "libstream_put_bytes_total", SHARD0));
        assert_true(exposition_value(read, "libstream_get_calls_total", "result=\"ok\",stream=\"s\"") >= 2);
        assert_true(exposition_value(read, "libstream_get_duration_seconds_count", "stream=\"s\"") >= 1);
        assert_true(exposition_value(read, "libstream_fan_out_bytes_total", SHARD0) == 0);
        assert_true(exposition_value(read, "libstream_log_bytes", SHARD0) > 80000);
        assert_true(exposition_value(read, "libstream_put_duration_seconds_count", "call=\"put_batch\",stream=\"s\"") >=
                    3);
        assert_true(exposition_value(read, "libstream_put_duration_seconds_count", "call=\"put\",stream=\"s\"") ==
                    (mode == 0 ? 132 : 2));
        assert_true(mode != 0 || exposition_value(read, "libstream_log_sync_duration_seconds_count", "stream=\"s\"") >=
                    135);
        exposition_free(read);
        assert_int_equal(ls_producer_close(producer), LS_OK);
        assert_int_equal(ls_stream_close(stream), LS_OK);
        assert_int_equal(ls_store_close(fx.store), LS_OK);
        temp_remove(&fx.temp);
    }
}

/* Numbered puts: a record counts once, however often it is repeated, and how often is counted. In both modes. */
static void repeats_are_calls_and_not_records_that_were_put(void **state)
{
    const ls_durability modes[] = {LS_DURABILITY_SYNC, LS_DURABILITY_KERNEL};

    (void)state;
    for (size_t mode = 0; mode < 2; mode++) {
        ls_store_options options = LS_STORE_OPTIONS_INIT;
        ls_put_options numbered = LS_PUT_OPTIONS_INIT;
        ls_put_entry entries[3];
        fixture fx = {.store = NULL};
        ls_producer *producer;
        exposition *read;
        ls_stream *stream;
        size_t failed;

        temp_make(&fx.temp);
        snprintf(fx.location, sizeof fx.location, "%s", in_memory ? "memory:" : temp_path(&fx.temp, "store"));
        options.durability = modes[mode];
        assert_int_equal(ls_store_open(fx.location, &options, &fx.store), LS_OK);
        stream = make_stream(&fx, "s", 1);
        producer = producer_of(stream);
        numbered.producer.low = 1;
        for (int i = 0; i < 3; i++)
            entries[i] = (ls_put_entry){text("key"), text("data"), NULL};
        for (numbered.number = 1; numbered.number <= 4; numbered.number += 2) /* 1, 3 */
            for (int i = 0; i < 2; i++)
                assert_int_equal(ls_producer_put(producer, text("key"), text("data"), &numbered, NULL), LS_OK);
        numbered.number = 1;
        assert_int_equal(ls_producer_put_batch(producer, entries, 3, &numbered, NULL, &failed), LS_OK); /* 2 is new */
        assert_int_equal(failed, 0);
        read = exposition_of(fx.store);
        assert_true(exposition_value(read, "libstream_put_records_total", SHARD0) == 3);
        assert_true(exposition_value(read, "libstream_put_bytes_total", SHARD0) == 21);
        assert_true(exposition_value(read, "libstream_put_repeated_records_total", SHARD0) == 4);
        assert_true(exposition_value(read, "libstream_put_calls_total",
                                     "call=\"put\",result=\"ok\",stream=\"s\"") == 4);
        assert_true(exposition_value(read, "libstream_put_calls_total",
                                     "call=\"put_batch\",result=\"ok\",stream=\"s\"") == 1);
        exposition_free(read);
        assert_int_equal(ls_producer_repeats(producer), 4);
        assert_int_equal(ls_producer_close(producer), LS_OK);
        assert_int_equal(ls_stream_close(stream), LS_OK);
        assert_int_equal(ls_store_close(fx.store), LS_OK);
        temp_remove(&fx.temp);
    }
}

/* Goal: records acknowledged are records counted, whatever else fails. Method: puts that are throttled, fail and fail
 * in part on purpose; the results say what was stored. */
static void what_fails_is_not_counted_as_put(void **state)
{
    ls_store_options options = LS_STORE_OPTIONS_INIT;
    size_t stored[3] = {0}, throttled[3] = {0}, put_ok = 0, put_throttled = 0, count;
    ls_put_entry entries[20];
    ls_put_result results[20];
    fixture *fx = *state;
    ls_producer *producer;
    exposition *read;
    ls_stream *stream;
    char keys[20][8];

    assert_int_equal(ls_store_close(fx->store), LS_OK);
    options.fault_seed = 7;
    options.fault_throttled_per_1000 = 200;
    options.fault_failed_per_1000 = 200;
    options.fault_partial_per_1000 = 300;
    assert_int_equal(ls_store_open(fx->location, &options, &fx->store), LS_OK);
    stream = make_stream(fx, "s", 3);
    producer = producer_of(stream);
    for (int i = 0; i < 200; i++) {
        ls_status st;
        ls_record_id id;

        for (uint32_t k = 0; k < 20; k++) {
            snprintf(keys[k], sizeof keys[k], "%d", i * 20 + (int)k);
            entries[k] = (ls_put_entry){text(keys[k]), text("x"), NULL};
        }
        assert_int_equal(ls_producer_put_batch(producer, entries, 20, NULL, results, NULL), LS_OK);
        for (uint32_t k = 0; k < 20; k++) {
            stored[results[k].shard] += results[k].status == LS_OK;
            throttled[results[k].shard] += results[k].status == LS_ERR_THROTTLED;
        }
        st = ls_producer_put(producer, text(keys[0]), text("x"), NULL, &id);
        put_ok += st == LS_OK;
        put_throttled += st == LS_ERR_THROTTLED;
        if (st == LS_OK)
            stored[id.shard]++;
    }
    read = exposition_of(fx->store);
    for (uint32_t shard = 0; shard < 3; shard++) {
        char labels[100];

        snprintf(labels, sizeof labels, "shard=\"shardId-00000000000%u\",stream=\"s\"", shard);
        assert_true(exposition_value(read, "libstream_put_records_total", labels) == (double)stored[shard]);
        assert_true(stored[shard] > 0);
    }
    assert_true(exposition_sum(read, "libstream_put_throttled_records_total", "limit=\"records\"", NULL) ==
                (double)(throttled[0] + throttled[1] + throttled[2] + put_throttled));
    assert_true(exposition_value(read, "libstream_put_calls_total", "call=\"put\",result=\"ok\",stream=\"s\"") ==
                (double)put_ok);
    assert_true(exposition_value(read, "libstream_put_calls_total",
                                 "call=\"put\",result=\"throttled\",stream=\"s\"") == (double)put_throttled);
    assert_true(exposition_sum(read, "libstream_put_calls_total", "call=\"put\",", NULL) == 200);
    assert_true(exposition_sum(read, "libstream_put_calls_total", "call=\"put_batch\",", &count) == 200);
    assert_true(exposition_value(read, "libstream_put_calls_total",
                                 "call=\"put_batch\",result=\"partial\",stream=\"s\"") > 0);
    assert_int_equal(count, 4);
    exposition_free(read);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* A limit of one record a second, and two reads. */
static void limits_that_refuse_are_counted(void **state)
{
    ls_stream_options options = LS_STREAM_OPTIONS_INIT;
    fixture *fx = *state;
    ls_producer *producer;
    ls_stream *stream = NULL;
    exposition *read;

    options.mode = LS_STREAM_PROVISIONED;
    assert_int_equal(ls_stream_create(fx->store, "s", &options), LS_OK);
    assert_int_equal(ls_stream_open(fx->store, "s", &stream), LS_OK);
    producer = producer_of(stream);
    put_some(producer, 0, 2, 500);
    for (int i = 0; i < 3; i++) {
        ls_status st = ls_producer_put_batch(producer, (ls_put_entry[3]){{text("k"), text("x"), NULL},
                                             {text("k"), text("x"), NULL}, {text("k"), text("x"), NULL}}, 3, NULL, NULL,
                                             NULL);

        assert_int_equal(st, LS_OK);
    }
    read = exposition_of(fx->store);
    /* A slow machine has another record in its bucket by then. */
    assert_true(exposition_sum(read, "libstream_put_records_total", "stream=\"s\"", NULL) +
                exposition_value(read, "libstream_put_throttled_records_total",
                                 "limit=\"records\"," SHARD0) == 1009);
    exposition_free(read);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

static bool puts_and_dies(void *user)
{
    fixture *fx = user;
    ls_store *store = NULL;
    ls_stream *stream = NULL;

    if (ls_store_open(fx->location, NULL, &store) != LS_OK || ls_stream_open(store, "s", &stream) != LS_OK)
        return false;
    put_some(producer_of(stream), 10, 1, 20);
    return true; /* nothing is closed */
}

/* Goal: all processes count in the same words, and one that is gone leaves what it counted. */
static void processes_add_up_and_the_dead_stay_counted(void **state)
{
    fixture *fx = *state;
    ls_producer *producer;
    ls_stream *stream;
    exposition *read;

    if (in_memory)
        skip();
    stream = make_stream(fx, "s", 1);
    producer = producer_of(stream);
    put_some(producer, 5, 1, 2);
    in_fork_child(puts_and_dies, fx);
    in_fork_child(puts_and_dies, fx);
    read = exposition_of(fx->store);
    assert_true(exposition_value(read, "libstream_put_records_total", SHARD0) == 67);
    assert_true(exposition_value(read, "libstream_put_calls_total", "call=\"put\",result=\"ok\",stream=\"s\"") == 25);
    exposition_free(read);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- memory ---- */

typedef struct scarce {
    size_t left, live;
} scarce;

static void *scarce_resize(void *user, void *old, size_t bytes)
{
    scarce *of = user;

    if (bytes == 0) {
        of->live -= old != NULL;
        free(old);
        return NULL;
    }
    if (of->left == 0)
        return NULL;
    of->left--;
    of->live += old == NULL;
    return realloc(old, bytes);
}

/* Goal: whatever allocation fails, the call says so, nothing is half there, and nothing leaks. Method: refuse from the
 * 1st, 2nd, ... on until all succeeds. */
static void each_allocation_may_fail(void **state)
{
    const char *const labels[] = {"a"}, *const values[] = {"1"};
    bool was_done = false;

    (void)state;
    for (size_t left = 0; !was_done; left++) {
        scarce memory = {SIZE_MAX, 0};
        ls_store_options options = LS_STORE_OPTIONS_INIT;
        ls_metric_options of = LS_METRIC_OPTIONS_INIT;
        ls_metrics_snapshot *snapshot = NULL;
        ls_metric *metric = NULL;
        ls_series *series = NULL;
        ls_store *store = NULL;
        ls_status st;

        options.resize = scarce_resize;
        options.resize_user = &memory;
        of.labels = labels;
        of.label_count = 1;
        assert_int_equal(ls_store_open("memory:", &options, &store), LS_OK);
        memory.left = left;
        st = ls_metric_define(store, "h", LS_METRIC_HISTOGRAM, "h", &of, &metric);
        if (st == LS_OK)
            st = ls_metric_series(metric, values, &series);
        if (st == LS_OK)
            st = ls_metrics_snapshot_take(store, &snapshot);
        assert_true(st == LS_OK || st == LS_ERR_NO_MEMORY);
        was_done = st == LS_OK;
        memory.left = SIZE_MAX;
        if (!was_done) { /* It can be tried again. */
            assert_int_equal(ls_metric_define(store, "h", LS_METRIC_HISTOGRAM, "h", &of, &metric), LS_OK);
            assert_int_equal(ls_metric_series(metric, values, &series), LS_OK);
            assert_int_equal(ls_metrics_snapshot_take(store, &snapshot), LS_OK);
        }
        ls_metrics_snapshot_free(snapshot);
        assert_int_equal(ls_store_close(store), LS_OK);
        assert_int_equal(memory.live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest metrics[] = {
        TEST(the_strict_reader_refuses_what_it_should),
        TEST(a_metric_is_defined_once),
        TEST(names_and_options_that_break_a_rule_are_refused),
        TEST(a_series_is_counted_in_as_its_type_says),
        TEST(labels_of_any_bytes_are_escaped_or_mended),
        TEST(numbers_are_those_of_go),
        TEST(a_decimal_comma_never_shows),
        TEST(the_text_comes_in_pieces_until_the_callback_ends_it),
        TEST(promtool_accepts_the_text),
        TEST(a_file_is_replaced_whole_and_anybody_may_read_it),
        TEST(a_snapshot_lasts_longer_than_the_store),
        TEST(beyond_the_cap_one_series_is_the_others),
        TEST(accidents_make_as_many_series_as_there_are_combinations),
        TEST(eight_threads_count_while_it_is_read),
        TEST(a_fork_child_is_refused),
        TEST(puts_and_reads_are_counted),
        TEST(repeats_are_calls_and_not_records_that_were_put),
        TEST(what_fails_is_not_counted_as_put),
        TEST(limits_that_refuse_are_counted),
        TEST(processes_add_up_and_the_dead_stay_counted),
        TEST(each_allocation_may_fail),
    };

    run_everywhere("metrics", metrics);
}
