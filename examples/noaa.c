/* NOAA's service. Its answers are documents of JSON with lists of rows; what has one row for each station, day and kind
 * of value is turned into one record for each station by SQL, over SQLite's functions for JSON, in memory.
 *
 * The service gives 1,000 rows at most, whatever is asked for; a day of a state has more. So each question is asked
 * page by page until as many rows have come as the answer says that there are. */
#include "noaa.h"
#include "flat_json.h"
#include "pipeline.h"

#ifdef EXAMPLES_HAVE_CURL
#include <curl/curl.h>
#endif
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ANSWER_BYTES_MAX ((size_t)16 << 20) /* 1,000 rows are 150 KB. */
#define PAGE_ROWS 1000
#define TRIES 4                             /* The service is busy now and then, and says so by 503 or 429. */

/* strptime takes spaces for digits. */
static bool has_form(const char *text)
{
    for (int i = 0; i < 10; i++)
        if (i == 4 || i == 7 ? text[i] != '-' : text[i] < '0' || text[i] > '9')
            return false;
    return text[10] == 0;
}

bool noaa_is_day(const char *text)
{
    struct tm date = {0};
    int day;

    if (!has_form(text) || strptime(text, "%Y-%m-%d", &date) == NULL)
        return false;
    day = date.tm_mday;
    (void)timegm(&date);  /* Moves the 31st of a short month into the next one. */
    return date.tm_mday == day;
}

void noaa_day_after(const char *day, char out[NOAA_DAY_BYTES])
{
    struct tm date = {0};

    (void)strptime(day, "%Y-%m-%d", &date);  /* It is one: noaa_is_day, or made here. */
    date.tm_mday++;
    (void)timegm(&date);
    (void)strftime(out, NOAA_DAY_BYTES, "%Y-%m-%d", &date);
}

#ifndef EXAMPLES_HAVE_CURL

noaa *noaa_open(const char *url, const char *token, const char *location, const char *units)
{
    (void)url; (void)token; (void)location; (void)units;
    (void)pipeline_fail("--token: this was built without libcurl (Debian: libcurl4-openssl-dev)");
    return NULL;
}

void noaa_close(noaa *service) { (void)service; }
int noaa_ask(noaa *service, const char *day) { (void)service; (void)day; return -1; }

int noaa_next(noaa *service, bool key_is_name, ls_bytes *key, ls_bytes *json)
{
    (void)service; (void)key_is_name; (void)key; (void)json;
    return -1;
}

#else

struct noaa {
    CURL *curl;
    struct curl_slist *headers;
    char *url, *location, *units;
    sqlite3 *db;
    sqlite3_stmt *next; /* of the day that was asked for */
    char day[NOAA_DAY_BYTES];
    char *answer;
    size_t size;
    flat_json json;
};

static size_t keep_answer(char *bytes, size_t one, size_t count, void *user)
{
    noaa *service = user;
    char *grown;

    (void)one;  /* Always 1, says libcurl. */
    if (count > ANSWER_BYTES_MAX - service->size)
        return 0;
    grown = realloc(service->answer, service->size + count + 1);
    if (grown == NULL)
        return 0;
    memcpy(grown + service->size, bytes, count);
    service->answer = grown;
    service->size += count;
    grown[service->size] = 0;
    return count;
}

/* libcurl asks about once a second, also while nothing comes. */
static int is_interrupted(void *user, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
    (void)user, (void)down_all, (void)down, (void)up_all, (void)up;
    return pipeline_interrupted != 0;
}

/* One page: the answer to `url` is in `service->answer`. */
static int get(noaa *service, const char *url)
{
    for (int try = 1; ; try++) {
        long code = 0;
        CURLcode got;

        service->size = 0;
        (void)curl_easy_setopt(service->curl, CURLOPT_URL, url);
        got = curl_easy_perform(service->curl);
        if (pipeline_interrupted)
            return -1;
        if (got != CURLE_OK)
            return pipeline_fail("cannot ask %s: %s", url, curl_easy_strerror(got));
        (void)curl_easy_getinfo(service->curl, CURLINFO_RESPONSE_CODE, &code);
        if (code == 200)
            return 0;
        if ((code != 503 && code != 429) || try == TRIES)
            return pipeline_fail("%s answers %ld: %.200s", url, code, service->size > 0 ? service->answer : "");
        pipeline_sleep_ms(250u << try);
    }
}

static int say(noaa *service, const char *sql)
{
    if (sqlite3_exec(service->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    return pipeline_fail("cannot hold what the service answers: %s", sqlite3_errmsg(service->db));
}

/* The numbers of a statement whose one parameter is the answer; a failure means that this is not the JSON we know. */
static int read_answer(noaa *service, const char *url, const char *sql, long *first, long *second)
{
    sqlite3_stmt *statement = NULL;
    int step = sqlite3_prepare_v2(service->db, sql, -1, &statement, NULL);

    if (step == SQLITE_OK) {
        (void)sqlite3_bind_text(statement, 1, service->answer, (int)service->size, SQLITE_STATIC);
        step = sqlite3_step(statement);
    }
    if (step == SQLITE_ROW && first != NULL) {
        *first = (long)sqlite3_column_int64(statement, 0);
        *second = (long)sqlite3_column_int64(statement, 1);
    }
    (void)sqlite3_finalize(statement);
    return step == SQLITE_ROW || step == SQLITE_DONE
         ? 0 : pipeline_fail("%s answers what cannot be read: %s", url, sqlite3_errmsg(service->db));
}

/* All pages of a question, each taken in by `take`. */
static int ask(noaa *service, const char *question, const char *take)
{
    long had = 0, count = 0, rows = 0;
    char url[1024];

    do {
        (void)snprintf(url, sizeof(url), "%s&limit=%d&offset=%ld", question, PAGE_ROWS, had + 1); /* From 1. */
        if (get(service, url) != 0)
            return -1;
        if (service->size == 0)
            return pipeline_fail("%s answers nothing", url);
        /* A question without rows is answered by {}. */
        if (read_answer(service, url, "SELECT coalesce(json_extract(?1, '$.metadata.resultset.count'), 0), "
                        "coalesce(json_array_length(?1, '$.results'), 0)", &count, &rows) != 0 ||
            read_answer(service, url, take, NULL, NULL) != 0)
            return -1;
        had += rows;
    } while (had < count && rows > 0 && !pipeline_interrupted);
    return had >= count ? 0 : pipeline_fail("%s gives %ld rows of %ld", url, had, count);
}

noaa *noaa_open(const char *url, const char *token, const char *location, const char *units)
{
    noaa *service = calloc(1, sizeof(*service));
    char question[768], header[256];
    char *escaped = NULL;
    int result = -1;

    if (service == NULL) {
        (void)pipeline_fail("no memory");
        return NULL;
    }
    service->curl = curl_easy_init();
    if (service->curl != NULL)
        escaped = curl_easy_escape(service->curl, location, 0);
    service->url = strdup(url);
    service->units = strdup(units);
    service->location = escaped == NULL ? NULL : strdup(escaped);
    curl_free(escaped);
    (void)snprintf(header, sizeof(header), "token: %s", token);
    service->headers = curl_slist_append(NULL, header);
    if (service->url == NULL || service->units == NULL || service->location == NULL || service->headers == NULL ||
        sqlite3_open(":memory:", &service->db) != SQLITE_OK) {
        (void)pipeline_fail("no memory");
        goto done;
    }
    (void)curl_easy_setopt(service->curl, CURLOPT_HTTPHEADER, service->headers);
    (void)curl_easy_setopt(service->curl, CURLOPT_WRITEFUNCTION, keep_answer);
    (void)curl_easy_setopt(service->curl, CURLOPT_WRITEDATA, service);
    (void)curl_easy_setopt(service->curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(service->curl, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(service->curl, CURLOPT_XFERINFOFUNCTION, is_interrupted);
    (void)curl_easy_setopt(service->curl, CURLOPT_TIMEOUT, 60L);
    (void)curl_easy_setopt(service->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    if ((size_t)snprintf(question, sizeof(question), "%s/stations?locationid=%s", url, service->location) >=
        sizeof(question)) {
        (void)pipeline_fail("--url or --location is too long");
        goto done;
    }
    if (say(service, "CREATE TABLE stations (id TEXT PRIMARY KEY, name TEXT) WITHOUT ROWID; "
            "CREATE TABLE rows (station TEXT, kind TEXT, value)") == 0)
        result = ask(service, question, "INSERT OR REPLACE INTO stations SELECT json_extract(value, '$.id'), "
                     "json_extract(value, '$.name') FROM json_each(?1, '$.results')");
done:
    if (result == 0)
        return service;
    noaa_close(service);
    return NULL;
}

void noaa_close(noaa *service)
{
    if (service == NULL)
        return;
    (void)sqlite3_finalize(service->next);
    (void)sqlite3_close(service->db);
    curl_slist_free_all(service->headers);
    curl_easy_cleanup(service->curl);
    flat_json_free(&service->json);
    free(service->url);
    free(service->location);
    free(service->units);
    free(service->answer);
    free(service);
}

int noaa_ask(noaa *service, const char *day)
{
    char question[768];

    (void)sqlite3_finalize(service->next);
    service->next = NULL;
    (void)snprintf(service->day, sizeof(service->day), "%s", day);
    (void)snprintf(question, sizeof(question), "%s/data?datasetid=GHCND&locationid=%s&startdate=%s&enddate=%s&units=%s",
                   service->url, service->location, day, day, service->units);
    if (say(service, "DELETE FROM rows") != 0 ||
        ask(service, question, "INSERT INTO rows SELECT json_extract(value, '$.station'), "
            "json_extract(value, '$.datatype'), json_extract(value, '$.value') FROM json_each(?1, '$.results')") != 0)
        return -1;
    if (sqlite3_prepare_v2(service->db, "SELECT station, coalesce(name, station), "
                           "max(CASE kind WHEN 'PRCP' THEN value END), max(CASE kind WHEN 'SNOW' THEN value END), "
                           "max(CASE kind WHEN 'TMIN' THEN value END), max(CASE kind WHEN 'TMAX' THEN value END) "
                           "FROM rows LEFT JOIN stations ON station = id GROUP BY station ORDER BY station", -1,
                           &service->next, NULL) != SQLITE_OK)
        return pipeline_fail("cannot hold what the service answers: %s", sqlite3_errmsg(service->db));
    return 0;
}

int noaa_next(noaa *service, bool key_is_name, ls_bytes *key, ls_bytes *json)
{
    static const char *const names[] = {"PRCP", "SNOW", "TMIN", "TMAX"};
    const char *station, *name;
    int step = sqlite3_step(service->next);

    if (step == SQLITE_DONE)
        return 0;
    if (step != SQLITE_ROW)
        return pipeline_fail("cannot hold what the service answers: %s", sqlite3_errmsg(service->db));
    station = (const char *)sqlite3_column_text(service->next, 0);
    name = (const char *)sqlite3_column_text(service->next, 1);
    if (station == NULL || name == NULL)
        return pipeline_fail("the service gives a row of %s without a station", service->day);
    flat_json_begin(&service->json);
    flat_json_member(&service->json, "date", 4, service->day, strlen(service->day));
    flat_json_member(&service->json, "station", 7, station, strlen(station));
    flat_json_member(&service->json, "name", 4, name, strlen(name));
    flat_json_member(&service->json, "units", 5, service->units, strlen(service->units));
    for (int i = 0; i < 4; i++) {
        int type = sqlite3_column_type(service->next, 2 + i);

        if (type == SQLITE_INTEGER || type == SQLITE_FLOAT) {
            const char *text = (const char *)sqlite3_column_text(service->next, 2 + i);

            flat_json_plain(&service->json, names[i], text == NULL ? "null" : text, text == NULL ? 4 : strlen(text));
        }
    }
    flat_json_end(&service->json);
    if (service->json.failed)
        return pipeline_fail("no memory");
    *key = (ls_bytes){key_is_name ? name : station, strlen(key_is_name ? name : station)};
    *json = (ls_bytes){service->json.text, service->json.size};
    return 1;
}

#endif
