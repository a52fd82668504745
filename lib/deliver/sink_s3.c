/* One request per object, PutObject, that takes effect as a whole or not at all (K1), and only where no object of the
 * name is (If-None-Match: *, K2): 412 says that there is one, which is this object's twin. Its hash is part of what is
 * signed, so that the service stores what was meant or nothing.
 *
 * Nothing is tried again here: a run does that, and can be stopped meanwhile. What is worth it is told: the network,
 * answers that say later or that the service has failed, and those that are not the service's: a 200 without ETag and
 * x-amz- headers is somebody's in between, as of a portal that asks for a login. A 501 stays one.
 *
 * libcurl asks before it sends an object over 1 MiB (Expect: 100-continue), as AWS's SDKs do, so what is refused, is
 * there already or is redirected is not sent in vain. It waits 1 s for the answer: a service that took an object and had
 * never answered that is not asked again.
 *
 * Time is the machine's, whatever clock the store has: the service compares it with its own, and refuses requests that
 * are a quarter of an hour off. What it refuses while its answer has another time than ours is signed anew by that, at
 * once, and so is all that follows. */
#include "deliver/sink_s3.h"

#include <string.h>
#include <strings.h>

#include "base/status.h"

#ifdef LSI_HAVE_S3

#include <stdio.h>

#include "base/sigpipe.h"
#include "deliver/curl.h"
#include "deliver/s3_target.h"

#define CONNECT_MS 10000L
#define STALL_SECONDS 30L
#define ANSWER_BYTES 4096u /* an error is a few hundred; what follows is not looked at */
#define FIELD_BYTES 160u   /* of an error's code or message */
#define LOCATION_BYTES 640u
#define REDIRECTS_MAX 3
#define ASKING_BYTES (1u << 20) /* libcurl's: above it asks, but over HTTP/2 */

/* As the SDKs have it: a clock that is less off than this is not to blame. */
#define CLOCK_IS_OFF_US INT64_C(240000000)

typedef struct answer {
    char text[ANSWER_BYTES + 1];
    size_t size;
    char location[LOCATION_BYTES]; /* where a redirect leads; "" */
    char region[FIELD_BYTES];   /* of the bucket; "": it was not told */
    int64_t date_us;            /* the service's time; 0: it was not told */
    bool is_whole;              /* its head is: libcurl takes one that breaks off for an answer */
    bool is_marked;             /* it has what answers of the service have */
    bool is_awaited;            /* before it another one said: go on, send it */
} answer;

typedef struct s3_sink {
    lsi_sink sink; /* first */
    lsi_memory memory;
    lsi_curl curl;
    CURL *handle; /* keeps its connection from one object to the next */
    lsi_s3_target target;
    lsi_s3_target next; /* where a redirect leads that passes: for one object */
    lsi_s3_put put;
    answer answer;
    bool is_mute;       /* the service does not say whether to go on */
    int64_t clock_us;   /* so much the service's clock is ahead of ours, as far as it matters */
    curl_off_t moved;   /* bytes of this request and its answer, */
    int64_t moved_us;   /* the last of them then, by the machine's monotonic clock */
    char error[CURL_ERROR_SIZE];
} s3_sink;

static size_t take_answer(char *bytes, size_t one, size_t size, void *user)
{
    answer *to = user;
    size_t taken = size < ANSWER_BYTES - to->size ? size : ANSWER_BYTES - to->size;

    memcpy(to->text + to->size, bytes, taken);
    to->size += taken;
    to->text[to->size] = '\0';
    return one * size;
}

/* `name` and a colon begin the line: what is behind them and a space, terminated. False: they do not. */
static bool is_header(const char *bytes, size_t size, const char *name, char *out, size_t most)
{
    size_t at = strlen(name);

    if (size <= at || strncasecmp(bytes, name, at) != 0 || bytes[at] != ':')
        return false;
    for (at++; at < size && (bytes[at] == ' ' || bytes[at] == '\t'); at++)
        ;
    for (; size > at && (bytes[size - 1] == '\r' || bytes[size - 1] == '\n'); size--)
        ;
    (void)snprintf(out, most, "%.*s", (int)(size - at < most ? size - at : most), bytes + at);
    return true;
}

static size_t take_header(char *bytes, size_t one, size_t size, void *user)
{
    answer *to = user;
    char value[FIELD_BYTES];

    if (size >= 5 && memcmp(bytes, "HTTP/", 5) == 0) { /* There may be one that says to go on before. */
        to->is_whole = to->is_marked = false;
        to->is_awaited = to->is_awaited || (size >= 12 && memcmp(bytes + 8, " 100", 4) == 0);
    } else if (size != 0 && (bytes[0] == '\r' || bytes[0] == '\n'))
        to->is_whole = true; /* What comes behind the content changes nothing. */
    if (is_header(bytes, size, "Date", value, sizeof value) && !lsi_s3_time_read(value, &to->date_us))
        to->date_us = 0;
    if (is_header(bytes, size, "ETag", value, sizeof value) || (size > 6 && strncasecmp(bytes, "x-amz-", 6) == 0))
        to->is_marked = true;
    (void)is_header(bytes, size, "Location", to->location, sizeof to->location);
    (void)is_header(bytes, size, "x-amz-bucket-region", to->region, sizeof to->region);
    return one * size;
}

/* The text of an element, up to the next <; "" when there is none. */
static void find_field(const answer *in, const char *element, char out[FIELD_BYTES])
{
    const char *at = strstr(in->text, element);
    size_t size;

    out[0] = '\0';
    if (at == NULL)
        return;
    at += strlen(element);
    size = strcspn(at, "<");
    (void)snprintf(out, FIELD_BYTES, "%.*s", (int)(size < FIELD_BYTES ? size : FIELD_BYTES), at);
}

/* ---- sending ---- */

/* libcurl calls it when something has moved, and about once a second when nothing does. Not 0: the transfer ends. */
static int look(void *user, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
    s3_sink *s3 = user;
    int64_t now_us = lsi_monotonic_us(&lsi_clock_system);

    (void)down_all;
    (void)up_all;
    if (down + up != s3->moved) {
        s3->moved = down + up;
        s3->moved_us = now_us;
    }
    return s3->sink.is_over != NULL && s3->sink.is_over(s3->sink.user, now_us - s3->moved_us) ? 1 : 0;
}

static ls_status no_memory(void)
{
    return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a request to S3");
}

static bool add_header(s3_sink *s3, struct curl_slist **headers, const char *name, const char *value)
{
    char line[LSI_S3_TOKEN_MAX + 64];
    struct curl_slist *longer;

    (void)snprintf(line, sizeof line, "%s: %s", name, value);
    longer = s3->curl.slist_append(*headers, line);
    if (longer != NULL)
        *headers = longer;
    return longer != NULL;
}

/* Sets all of the request. False: an option is not known to this libcurl, or there is no memory. */
static bool prepare(s3_sink *s3, ls_bytes content, struct curl_slist **headers)
{
    CURLcode (*set)(CURL *, CURLoption, ...) = s3->curl.easy_setopt;
    CURL *handle = s3->handle;
    bool is_good = true;

    for (size_t i = 0; i < s3->put.header_count; i++)
        is_good = is_good && add_header(s3, headers, s3->put.headers[i].name, s3->put.headers[i].value);
    is_good = is_good && add_header(s3, headers, "Authorization", s3->put.authorization);
    if (s3->is_mute)
        is_good = is_good && add_header(s3, headers, "Expect", ""); /* which takes libcurl's away */
    s3->curl.easy_reset(handle); /* Connections stay. */
    s3->answer.size = 0;
    s3->answer.date_us = 0;
    s3->answer.location[0] = s3->answer.region[0] = '\0';
    s3->answer.is_whole = s3->answer.is_awaited = false;
    s3->moved = 0;
    s3->moved_us = lsi_monotonic_us(&lsi_clock_system);
    s3->answer.text[0] = s3->error[0] = '\0';
    return is_good && set(handle, CURLOPT_URL, s3->put.url) == CURLE_OK &&
           set(handle, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK && set(handle, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           set(handle, CURLOPT_POSTFIELDS, content.size != 0 ? content.data : "") == CURLE_OK &&
           set(handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)content.size) == CURLE_OK &&
           set(handle, CURLOPT_CUSTOMREQUEST, "PUT") == CURLE_OK &&
           set(handle, CURLOPT_HTTPHEADER, *headers) == CURLE_OK &&
           set(handle, CURLOPT_ERRORBUFFER, s3->error) == CURLE_OK &&
           set(handle, CURLOPT_WRITEFUNCTION, take_answer) == CURLE_OK &&
           set(handle, CURLOPT_WRITEDATA, &s3->answer) == CURLE_OK &&
           set(handle, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
           set(handle, CURLOPT_HEADERDATA, &s3->answer) == CURLE_OK &&
           set(handle, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           set(handle, CURLOPT_XFERINFOFUNCTION, look) == CURLE_OK &&
           set(handle, CURLOPT_XFERINFODATA, s3) == CURLE_OK &&
           set(handle, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS) == CURLE_OK &&
           set(handle, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
           set(handle, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS) == CURLE_OK;
}

/* An answer has come. Whoever refuses at once has not been silent. */
static void learn_manners(s3_sink *s3, size_t size)
{
    curl_off_t sent = 0;

    if (size > ASKING_BYTES && !s3->answer.is_awaited &&
        s3->curl.easy_getinfo(s3->handle, CURLINFO_SIZE_UPLOAD_T, &sent) == CURLE_OK && sent == (curl_off_t)size)
        s3->is_mute = true;
}

/* ---- judging ---- */

/* What is wrong with the certificate, or the address, stays wrong. */
static bool passes(const s3_sink *s3, CURLcode code)
{
    long sent = 0;

    switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL: /* of the URL; or what answered the request speaks another one */
        return s3->curl.easy_getinfo(s3->handle, CURLINFO_REQUEST_SIZE, &sent) == CURLE_OK && sent > 0;
    case CURLE_URL_MALFORMAT:
    case CURLE_NOT_BUILT_IN:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return false;
    default:
        return true;
    }
}

static bool is_one_of(const char *code, const char *const *codes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(code, codes[i]) == 0)
            return true;
    return false;
}

/* Whether the request was refused while our clock was off: then it is known by how much from here on. */
static bool learn_clock(s3_sink *s3, long status, const char *code)
{
    static const char *const codes[] = {"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture",
                                        "SignatureDoesNotMatch", "InvalidSignatureException", "AuthFailure"};
    int64_t off_us = s3->answer.date_us - (lsi_wall_us(&lsi_clock_system) + s3->clock_us);

    if (status < 400 || s3->answer.date_us == 0 || !is_one_of(code, codes, sizeof codes / sizeof codes[0]) ||
        (off_us < CLOCK_IS_OFF_US && off_us > -CLOCK_IS_OFF_US))
        return false;
    s3->clock_us += off_us;
    return true;
}

/* Whether the service says that the object is there (K2). */
static bool is_taken(const s3_sink *s3, long status, const char *code)
{
    return (status >= 200 && status <= 299 && s3->answer.is_marked) ||
        (status == 412 && (s3->answer.is_marked || code[0] != '\0'));
}

static ls_status judge(s3_sink *s3, const lsi_s3_target *target, const char *name, long status, lsi_put_hope *hope,
                       bool *is_clock)
{
    /* Of the 4xx these say later: two requests for one name at once, a body that came too slowly or as another one, too
     * many requests, a clock that is off; and a 307: the bucket is so new that not everybody knows where it is. */
    static const char *const later[] = {"ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "SlowDown",
                                        "Throttling", "ThrottlingException", "TooManyRequests", "BadDigest",
                                        "IncompleteBody", "XAmzContentSHA256Mismatch", "RequestTimeTooSkewed",
                                        "RequestExpired", "RequestInTheFuture"};
    char code[FIELD_BYTES], message[FIELD_BYTES];

    if (!s3->answer.is_whole) {
        *hope = LSI_PUT_LATER;
        return lsi_fail(LS_ERR_IO, "bucket '%s' of %s: the answer to '%.160s' breaks off", target->bucket,
                        target->host, name);
    }
    find_field(&s3->answer, "<Code>", code);
    find_field(&s3->answer, "<Message>", message);
    if (is_taken(s3, status, code))
        return LS_OK;
    *is_clock = learn_clock(s3, status, code);
    /* Without a code it is not the service who answers. */
    if ((status >= 500 && status != 501) || status == 429 || status == 408 || status == 307 || code[0] == '\0' ||
        *is_clock || is_one_of(code, later, sizeof later / sizeof later[0]))
        *hope = LSI_PUT_LATER;
    if (status >= 200 && status <= 299)
        return lsi_fail(LS_ERR_IO, "bucket '%s' of %s: '%.160s' is answered with %ld, without an ETag: that is not S3",
                        target->bucket, target->host, name, status);
    return lsi_fail(LS_ERR_IO, "bucket '%s' of %s: it refuses '%.160s': %ld%s%s%s%s%s%.160s", target->bucket,
                    target->host, name, status, code[0] != '\0' ? " " : "", code, message[0] != '\0' ? ": " : "",
                    message, s3->answer.location[0] != '\0' ? ": it is said to be at " : "", s3->answer.location);
}

/* ---- one object ---- */

/* `*is_clock`: it was refused since our clock is off. `*is_moved`: it was redirected, to what is `next` now. */
static ls_status send_once(s3_sink *s3, const lsi_s3_target *target, const char *name, ls_bytes content,
                           lsi_put_hope *hope, bool *is_clock, bool *is_moved)
{
    struct curl_slist *headers = NULL;
    lsi_sigpipe held;
    CURLcode code = CURLE_OK;
    bool is_passing = false;
    long status = 0;
    ls_status st = lsi_s3_put_init(&s3->put, &s3->memory, target, name, content,
                                   lsi_wall_us(&lsi_clock_system) + s3->clock_us);

    *hope = LSI_PUT_NEVER;
    *is_clock = *is_moved = false;
    if (st == LS_OK && !prepare(s3, content, &headers))
        st = no_memory();
    if (st == LS_OK) {
        lsi_sigpipe_hold(&held);
        code = s3->curl.easy_perform(s3->handle);
        lsi_sigpipe_let_go(&held);
    } else if (st == LS_ERR_NO_MEMORY) {
        *hope = LSI_PUT_LATER;
    }
    if (st == LS_OK && code == CURLE_OK)
        code = s3->curl.easy_getinfo(s3->handle, CURLINFO_RESPONSE_CODE, &status);
    if (st == LS_OK && code == CURLE_OK) {
        learn_manners(s3, content.size);
        st = judge(s3, target, name, status, hope, is_clock);
        is_passing = s3->answer.is_whole && status == 307;
    } else if (st == LS_OK) {
        *hope = passes(s3, code) ? LSI_PUT_LATER : LSI_PUT_NEVER;
        st = lsi_fail(LS_ERR_IO, "bucket '%s' of %s: '%.160s' cannot be sent: %s", target->bucket, target->host,
                      name, code == CURLE_ABORTED_BY_CALLBACK ? "it was not there when the run was to end"
                            : s3->error[0] != '\0'           ? s3->error
                                                             : s3->curl.easy_strerror(code));
    }
    s3->curl.slist_free_all(headers);
    lsi_s3_put_free(&s3->memory, &s3->put);
    if (is_passing) {
        lsi_s3_target leads_to;

        *is_moved = lsi_s3_target_redirect(target, name, s3->answer.location, s3->answer.region, &leads_to);
        if (*is_moved)
            s3->next = leads_to;
        lsi_wipe(&leads_to, sizeof leads_to);
    }
    return st;
}

/* A redirect that passes is followed, signed for where it leads; the next object asks here again, as S3 has it. */
static ls_status s3_put(lsi_sink *sink, const char *name, ls_bytes content, lsi_put_hope *hope)
{
    s3_sink *s3 = (s3_sink *)sink;
    const lsi_s3_target *target = &s3->target;
    bool is_clock, is_moved, was_clock = false;
    int redirects = 0;
    ls_status st;

    *hope = LSI_PUT_NEVER;
    if (content.size > LSI_S3_OBJECT_MAX)
        return lsi_fail(LS_ERR_UNSUPPORTED, "bucket '%s': an object of %zu bytes: at most %llu", s3->target.bucket,
                        content.size, (unsigned long long)LSI_S3_OBJECT_MAX);
    for (;;) {
        st = send_once(s3, target, name, content, hope, &is_clock, &is_moved);
        if (is_moved && redirects++ < REDIRECTS_MAX)
            target = &s3->next;
        else if (is_clock && !was_clock)
            was_clock = true;
        else
            break;
    }
    lsi_wipe(&s3->next, sizeof s3->next);
    return st;
}

/* ---- opening ---- */

static void s3_close(lsi_sink *sink)
{
    s3_sink *s3 = (s3_sink *)sink;
    lsi_memory memory = s3->memory;

    if (s3->handle != NULL) {
        lsi_sigpipe held;

        lsi_sigpipe_hold(&held); /* TLS says good-bye to whoever may be gone. */
        s3->curl.easy_cleanup(s3->handle);
        lsi_sigpipe_let_go(&held);
    }
    lsi_wipe(&s3->target, sizeof s3->target);
    lsi_wipe(&s3->next, sizeof s3->next);
    lsi_free(&memory, s3);
}

ls_status lsi_sink_s3_open(const lsi_env *env, const lsi_s3_options *options, lsi_sink **out)
{
    static const lsi_sink_ops ops = {s3_put, s3_close};
    s3_sink *s3 = lsi_alloc_zero(&env->memory, sizeof *s3);
    ls_status st;

    if (s3 == NULL)
        return no_memory();
    s3->sink.ops = &ops;
    s3->memory = env->memory;
    st = lsi_s3_target_init(&s3->target, options);
    if (st == LS_OK)
        st = lsi_curl_load(&s3->curl);
    if (st == LS_OK) {
        s3->handle = s3->curl.easy_init();
        if (s3->handle == NULL)
            st = no_memory();
    }
    if (st == LS_OK)
        *out = &s3->sink;
    else
        s3_close(&s3->sink);
    return st;
}

#else

ls_status lsi_sink_s3_open(const lsi_env *env, const lsi_s3_options *options, lsi_sink **out)
{
    (void)env;
    (void)options;
    (void)out;
    return lsi_fail(LS_ERR_UNSUPPORTED, "this libstream was built without delivery to S3");
}

#endif
