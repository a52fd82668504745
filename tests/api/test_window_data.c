/* Windows over published data (the data's README.md says what is in it): skipped where it is absent. */
#include "api/window_support.h"

#define LINE_BYTES 8192
#define CELLS_MAX 16

static sink to;

/* The first cells of a line, their quotes removed; views of it. Those asked for hold no commas. */
static uint32_t cut(char *line, char *cells[CELLS_MAX])
{
    uint32_t count = 0;

    for (char *at = line; at != NULL && count < CELLS_MAX; count++) {
        char *comma = strchr(at, ',');
        size_t size;

        if (comma != NULL)
            *comma = '\0';
        size = strlen(at);
        if (size >= 2 && at[0] == '"' && at[size - 1] == '"') {
            at[size - 1] = '\0';
            at++;
        }
        cells[count] = at;
        at = comma == NULL ? NULL : comma + 1;
    }
    return count;
}

/* Puts a record for each line that `make` knows; answers how many. */
static uint32_t put_file(ls_stream *stream, const char *name,
                         bool (*make)(char *const *cells, char *key, char *data, size_t room))
{
    char path[512], line[LINE_BYTES], key[64], data[512], *cells[CELLS_MAX];
    ls_producer *producer = open_producer(stream);
    uint32_t count = 0;
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", DATA, name);
    file = fopen(path, "r");
    if (file == NULL) {
        assert_int_equal(ls_producer_close(producer), LS_OK);
        return 0;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        if (cut(line, cells) < 7 || !make(cells, key, data, sizeof data))
            continue;
        assert_int_equal(ls_producer_put(producer, text(key), text(data), NULL, NULL), LS_OK);
        count++;
    }
    fclose(file);
    assert_int_equal(ls_producer_close(producer), LS_OK);
    return count;
}

static void close_and_skip_without(ls_stream *stream, uint32_t count)
{
    if (count > 0)
        return;
    assert_int_equal(ls_stream_close(stream), LS_OK);
    skip();
}

/* ---- clicks ---- */

static bool make_click(char *const *cells, char *key, char *data, size_t room)
{
    snprintf(key, 64, "%s", cells[0]);
    snprintf(data, room, "{\"t\": \"%s\", \"type\": \"%s\", \"price\": %s}", cells[1], cells[2], cells[5]);
    return true;
}

/* Test 8 of the spec. Customers over four shards; each minute, of all and of what goes into carts. */
static void clicks_are_counted_by_the_minute(void **state)
{
    static const uint64_t all[] = {458, 1187, 1187, 1187, 981}, carts[] = {133, 483, 463, 269, 412};
    static const int64_t from_ms = INT64_C(1596151020000); /* 2020-07-30T23:17 */
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 4);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, MINUTE, &to);
    uint32_t count = put_file(stream, "clickstream_ibm_a.csv", make_click), seen = 0;
    double sum = 0;
    ls_window *window;

    close_and_skip_without(stream, count);
    assert_int_equal(count, 5000);
    sink_clear(&to);
    options.value_field = NULL;
    window = open_window(stream, NULL, &options);
    assert_int_equal(catch_up(window), LS_OK);
    assert_int_equal(to.row_count, 4); /* The last one is open. */
    assert_int_equal(ls_window_finish(window), LS_OK);
    assert_int_equal(to.late, 0);
    assert_int_equal(to.row_count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(to.rows[i].start_ms, from_ms + i * MINUTE);
        assert_int_equal(to.rows[i].count, all[i]);
    }
    assert_int_equal(ls_window_close(window), LS_OK);

    sink_clear(&to);
    options.value_field = "price";
    options.key_field = "type";
    options.flags = 0;
    window = open_window(stream, NULL, &options);
    assert_int_equal(catch_up(window), LS_OK);
    assert_int_equal(ls_window_finish(window), LS_OK);
    for (uint32_t i = 0; i < to.row_count; i++) {
        if (strcmp(to.rows[i].key, "add_to_cart") != 0)
            continue;
        assert_int_equal(to.rows[i].count, carts[(to.rows[i].start_ms - from_ms) / MINUTE]);
        sum += to.rows[i].sum;
        seen++;
    }
    assert_int_equal(seen, 5);
    assert_true(sum > 13970.535 && sum < 13970.545);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

/* ---- accidents ---- */

static bool make_accident(char *const *cells, char *key, char *data, size_t room)
{
    unsigned month, day, year, hour, minute;

    if (cells[0][0] != 'A' || sscanf(cells[4], "%u/%u/%u %u:%u", &month, &day, &year, &hour, &minute) != 5)
        return false;
    snprintf(key, 64, "%s", cells[3]);
    snprintf(data, room, "{\"ID\": \"%s\", \"Severity\": %s, \"Start_Time\": \"%04u-%02u-%02uT%02u:%02u:00\"}", cells[0],
             cells[3], year, month, day, hour, minute);
    return true;
}

static uint64_t counted(const char *key)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < to.row_count; i++)
        if (key == NULL || strcmp(to.rows[i].key, key) == 0)
            count += to.rows[i].count;
    return count;
}

/* The seed's stream: partitioned by severity, so that of four shards two are silent and one has three records. With
 * never idle shards nothing would ever fire; days of any order are counted by severity all the same. */
static void accidents_are_counted_by_the_day(void **state)
{
    static const struct {
        const char *severity;
        uint64_t count;
    } facts[] = {{"1", 6}, {"2", 2986}, {"3", 2005}, {"4", 3}};
    fixture *fx = *state;
    ls_stream *stream = make_stream(fx, STREAM, 4);
    ls_window_options options = options_of(LS_WINDOW_TUMBLING, 24 * 60 * MINUTE, &to);
    uint32_t count = put_file(stream, "us_accidents_may19_a.csv", make_accident);
    ls_window *window;

    close_and_skip_without(stream, count);
    assert_int_equal(count, 5000);
    sink_clear(&to);
    options.time_field = "Start_Time";
    options.key_field = "Severity";
    options.value_field = NULL;
    options.flags = 0;
    options.idle_timeout_ms = LS_WINDOW_NEVER_IDLE;
    window = open_window(stream, NULL, &options);
    assert_int_equal(catch_up(window), LS_OK);
    assert_int_equal(to.calls, 0);
    assert_int_equal(info_of(window).watermark_ms, LS_WINDOW_WATERMARK_NONE);
    assert_int_equal(ls_window_finish(window), LS_OK);
    assert_int_equal(info_of(window).late_count, 0);
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
        assert_int_equal(counted(facts[i].severity), facts[i].count);
    assert_int_equal(counted(NULL), 5000);
    assert_int_equal(ls_window_close(window), LS_OK);

    sink_clear(&to); /* 5 s, as the seed declares, are not enough for them: what is too late is told. */
    options.idle_timeout_ms = 1;
    options.delay_ms = 5 * SECOND;
    window = open_window(stream, NULL, &options);
    for (uint32_t i = 0; i < 2; i++) /* Everything is read by the shard: two are idle by the second look. */
        assert_int_equal(catch_up(window), LS_OK);
    assert_int_equal(ls_window_finish(window), LS_OK);
    assert_int_equal(counted(NULL) + to.late, 5000);
    assert_int_equal(ls_window_close(window), LS_OK);
    assert_int_equal(ls_stream_close(stream), LS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(clicks_are_counted_by_the_minute),
        TEST(accidents_are_counted_by_the_day),
    };

    in_memory = true;
    return cmocka_run_group_tests_name("windows over published data", tests, NULL, NULL);
}
