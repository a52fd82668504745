/* Settings that are not given come from the environment, under the names that other tools of AWS read. */
#include "deliver/s3_target.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/env.h"
#include "base/iso_time.h"
#include "base/status.h"

#define REGION_MAX 64u
#define SECRET_MAX 200u

/* `given`, or the first of these variables that is set; NULL: none is. */
static const char *choose(const char *given, const char *variable, const char *other)
{
    const char *value = given;

    if (value == NULL || value[0] == '\0')
        value = lsi_env_variable(variable);
    if ((value == NULL || value[0] == '\0') && other != NULL)
        value = lsi_env_variable(other);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Visible ASCII of at most `most` bytes. The message has no value: it may be a secret. */
static ls_status take(const char *what, const char *value, size_t most, char *out)
{
    size_t size = strlen(value);

    if (size > most)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "delivery to S3: the %s has %zu bytes: at most %zu", what, size, most);
    for (size_t i = 0; i < size; i++)
        if (value[i] <= ' ' || value[i] > '~')
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "delivery to S3: the %s has a byte at %zu that is not visible "
                                                     "ASCII", what, i);
    memcpy(out, value, size + 1);
    return LS_OK;
}

static ls_status take_region(const char *region, char out[LSI_S3_TEXT_MAX + 1])
{
    ls_status st = take("region", region, REGION_MAX, out);

    if (st == LS_OK && strcspn(region, "/@:?#\\") != strlen(region))
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "delivery to S3: region '%s' is none", region);
    return st;
}

static ls_status take_bucket(const char *bucket, char out[LSI_S3_BUCKET_MAX + 1])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    size_t size = bucket != NULL ? strlen(bucket) : 0;

    if (size < 3 || size > LSI_S3_BUCKET_MAX || strspn(bucket, letters) != size || bucket[0] == '.' || bucket[0] == '-')
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "delivery to S3: bucket '%.64s': it has 3 to 255 of 0-9 a-z A-Z . - _",
                        size != 0 ? bucket : "");
    memcpy(out, bucket, size + 1);
    return LS_OK;
}

/* http://HOST or https://HOST, a slash at most behind it. */
static ls_status take_endpoint(const char *endpoint, char scheme[8], char host[LSI_S3_TEXT_MAX + 1])
{
    size_t scheme_size = strncmp(endpoint, "https://", 8) == 0 ? 5 : strncmp(endpoint, "http://", 7) == 0 ? 4 : 0;
    const char *at = endpoint + scheme_size + 3;
    size_t size;
    ls_status st;

    if (scheme_size == 0)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "delivery to S3: endpoint '%.64s': it begins with https:// or http://",
                        endpoint);
    memcpy(scheme, endpoint, scheme_size);
    scheme[scheme_size] = '\0';
    st = take("endpoint", at, LSI_S3_TEXT_MAX, host);
    if (st != LS_OK)
        return st;
    size = strlen(host);
    if (size > 0 && host[size - 1] == '/')
        host[--size] = '\0';
    if (size == 0 || strcspn(host, "/?#@\\") != size)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "delivery to S3: endpoint '%.64s': it is a host, perhaps with a port, "
                                                 "and nothing behind it", endpoint);
    return LS_OK;
}

ls_status lsi_s3_check(const char *bucket, const char *endpoint, const char *region)
{
    char text[LSI_S3_TEXT_MAX + 1], scheme[8];
    ls_status st = take_bucket(bucket, text);

    if (st == LS_OK && endpoint != NULL)
        st = take_endpoint(endpoint, scheme, text);
    return st == LS_OK && region != NULL ? take_region(region, text) : st;
}

static ls_status take_credentials(lsi_s3_target *target, const lsi_s3_options *options)
{
    bool is_given = options->key_id != NULL && options->key_id[0] != '\0';
    const char *key_id = choose(options->key_id, "AWS_ACCESS_KEY_ID", NULL);
    const char *secret = is_given ? options->secret : choose(options->secret, "AWS_SECRET_ACCESS_KEY", NULL);
    const char *token = is_given ? options->session_token : choose(options->session_token, "AWS_SESSION_TOKEN", NULL);
    ls_status st;

    if (key_id == NULL)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "delivery to S3: there is no access key: AWS_ACCESS_KEY_ID is not "
                                                 "set");
    if (secret == NULL || secret[0] == '\0')
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "delivery to S3: there is an access key, and no secret with it");
    st = take("access key", key_id, LSI_S3_TEXT_MAX, target->key_id);
    if (st == LS_OK)
        st = take("secret", secret, SECRET_MAX, target->secret);
    return st == LS_OK ? take("session token", token != NULL ? token : "", LSI_S3_TOKEN_MAX, target->token) : st;
}

ls_status lsi_s3_target_init(lsi_s3_target *target, const lsi_s3_options *options)
{
    const char *endpoint = choose(options->endpoint, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
    const char *region = choose(options->region, "AWS_REGION", "AWS_DEFAULT_REGION");
    char host[LSI_S3_TEXT_MAX + 1], usual[LSI_S3_TEXT_MAX + 64];
    bool is_path_style = options->is_path_style || endpoint != NULL;
    ls_status st = take_bucket(options->bucket, target->bucket);

    if (st == LS_OK)
        st = take_region(region != NULL ? region : "us-east-1", target->region);
    if (st == LS_OK) {
        (void)snprintf(usual, sizeof usual, "https://s3.%s.amazonaws.com", target->region);
        st = take_endpoint(endpoint != NULL ? endpoint : usual, target->scheme, host);
    }
    if (st == LS_OK)
        st = take_credentials(target, options);
    if (st != LS_OK)
        return st;
    is_path_style = is_path_style || strchr(target->bucket, '.') != NULL; /* No certificate covers more points. */
    if (is_path_style) {
        (void)snprintf(target->host, sizeof target->host, "%s", host);
        (void)snprintf(target->root, sizeof target->root, "/%s/", target->bucket);
    } else {
        (void)snprintf(target->host, sizeof target->host, "%s.%s", target->bucket, host);
        (void)snprintf(target->root, sizeof target->root, "/");
    }
    return LS_OK;
}

/* Whether `path`, from some encoding and perhaps cut off, is `name`. */
static bool is_path_of(const char *path, const char *name)
{
    for (; *path != '\0' && *path != '?' && *name != '\0'; name++) {
        char byte = *path++;

        if (byte == '%' && isxdigit((unsigned char)path[0]) && isxdigit((unsigned char)path[1])) {
            byte = (char)strtoul((const char[3]){path[0], path[1], '\0'}, NULL, 16);
            path += 2;
        }
        if (byte != *name)
            return false;
    }
    return *path == '\0' || (*path == '?' && *name == '\0');
}

/* The rest of the URL is the object's name in some encoding, and is sent in ours. */
bool lsi_s3_target_redirect(const lsi_s3_target *from, const char *name, const char *location, const char *region,
                            lsi_s3_target *out)
{
    const char *behind = strstr(location, "://"), *path = behind != NULL ? strchr(behind + 3, '/') : NULL;
    char endpoint[LSI_S3_TEXT_MAX + 16], host[LSI_S3_TEXT_MAX + 1], in_path[sizeof from->root];
    size_t size = path != NULL ? (size_t)(path - location) : sizeof endpoint, bucket_size = strlen(from->bucket);
    lsi_error_state why;
    bool has_bucket; /* the host's name */

    if (size >= sizeof endpoint)
        return false;
    lsi_error_save(&why);
    *out = *from;
    memcpy(endpoint, location, size);
    endpoint[size] = '\0';
    if (take_endpoint(endpoint, out->scheme, host) != LS_OK ||
        (strcmp(from->scheme, "https") == 0 && strcmp(out->scheme, "https") != 0) ||
        (region[0] != '\0' && take_region(region, out->region) != LS_OK)) {
        lsi_error_restore(&why); /* of the answer */
        return false;
    }
    (void)snprintf(in_path, sizeof in_path, "/%s/", from->bucket);
    (void)snprintf(out->host, sizeof out->host, "%s", host);
    has_bucket = strncmp(host, from->bucket, bucket_size) == 0 && host[bucket_size] == '.';
    if (has_bucket && is_path_of(path + 1, name)) /* Also when the name begins as the path of the bucket does. */
        memcpy(out->root, "/", 2);
    else if (strncmp(path, in_path, strlen(in_path)) == 0 && is_path_of(path + strlen(in_path), name))
        memcpy(out->root, in_path, sizeof in_path);
    else
        return false;
    return true;
}

/* ---- a request ---- */

/* Every byte but letters, digits, - . _ ~ and / as %XX, which is the only form whose signature all agree on. */
static void encode(const char *name, char *out)
{
    static const char digits[] = "0123456789ABCDEF";

    for (; *name != '\0'; name++) {
        unsigned char c = (unsigned char)*name;

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~/", c) != NULL) {
            *out++ = (char)c;
        } else {
            *out++ = '%';
            *out++ = digits[c >> 4];
            *out++ = digits[c & 15];
        }
    }
    *out = '\0';
}

static void add_header(lsi_s3_put *put, const char *name, const char *value)
{
    put->headers[put->header_count++] = (lsi_sigv4_header){name, value};
}

ls_status lsi_s3_put_init(lsi_s3_put *put, const lsi_memory *memory, const lsi_s3_target *target, const char *name,
                          ls_bytes content, int64_t now_us)
{
    lsi_sigv4_key key = {target->key_id, target->secret, target->region, "s3"};
    lsi_sigv4_request request = {.method = "PUT", .payload_hash = put->hash};
    int path_at = snprintf(put->url, sizeof put->url, "%s://%s", target->scheme, target->host);
    ls_status st;

    put->header_count = 0;
    put->authorization = NULL;
    (void)snprintf(put->url + path_at, sizeof put->url - (size_t)path_at, "%s", target->root);
    encode(name, put->url + path_at + strlen(target->root));
    request.path = put->url + path_at;
    lsi_sigv4_time(now_us, put->time);
    st = lsi_sigv4_hash(content.data, content.size, put->hash);
    if (st != LS_OK)
        return st;
    add_header(put, "Host", target->host);
    add_header(put, "Content-Type", "application/octet-stream");
    add_header(put, "If-None-Match", "*");
    add_header(put, "x-amz-content-sha256", put->hash);
    add_header(put, "x-amz-date", put->time);
    if (target->token[0] != '\0')
        add_header(put, "x-amz-security-token", target->token);
    request.headers = put->headers;
    request.header_count = put->header_count;
    return lsi_sigv4_sign(memory, &key, put->time, &request, &put->authorization);
}

void lsi_s3_put_free(const lsi_memory *memory, lsi_s3_put *put)
{
    lsi_free(memory, put->authorization);
    put->authorization = NULL;
}

bool lsi_s3_time_read(const char *text, int64_t *us)
{
    char month[4], iso[LSI_ISO_TIME_BYTES];
    unsigned day, year, hour, minute, second;
    int at = 1, end = 0;
    int64_t ms;

    (void)sscanf(text, "%*3s, %2u %3s %4u %2u:%2u:%2u GMT%n", &day, month, &year, &hour, &minute, &second, &end);
    if (end == 0) /* It was not read to there. */
        return false;
    while (at <= 12 && strcmp(lsi_month_name(at), month) != 0)
        at++;
    (void)snprintf(iso, sizeof iso, "%04u-%02d-%02uT%02u:%02u:%02uZ", year, at, day, hour, minute, second);
    if (!lsi_iso_time_read(iso, strlen(iso), &ms))
        return false;
    *us = ms * 1000;
    return true;
}
