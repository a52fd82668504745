/* A request becomes a canonical text, its hash is signed by a key that holds for a day, a region and a service:
 *
 *     METHOD \n path \n query, sorted \n name:value \n ... \n \n name;name;... \n hash of the payload
 *
 * It is put together in one growing text, without an error path: after the first allocation that fails nothing more is
 * added, and that is looked for at the end. */
#include "base/sigv4.h"

#include <stdio.h>
#include <string.h>

#include "base/iso_time.h"
#include "base/status.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define DATE_CHARACTERS 8

typedef struct text {
    const lsi_memory *memory;
    char *bytes;
    size_t size, capacity;
    bool is_short;
} text;

static void add(text *to, const char *bytes, size_t size)
{
    void *grown = to->bytes;

    if (to->is_short || !lsi_grow(to->memory, &grown, &to->capacity, to->size + size + 1, 1)) {
        to->is_short = true;
        return;
    }
    to->bytes = grown;
    if (size != 0)
        memcpy(to->bytes + to->size, bytes, size);
    to->size += size;
    to->bytes[to->size] = '\0';
}

static void add_text(text *to, const char *more)
{
    add(to, more, strlen(more));
}

static ls_status no_memory(void)
{
    return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a signature");
}

static void to_hex(const unsigned char digest[LSI_SHA256_BYTES], char out[LSI_SIGV4_HASH_BYTES])
{
    for (size_t i = 0; i < LSI_SHA256_BYTES; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

void lsi_sigv4_time(int64_t us, char out[LSI_SIGV4_TIME_BYTES])
{
    lsi_civil when = lsi_civil_of(us);

    (void)snprintf(out, LSI_SIGV4_TIME_BYTES, "%04u%02u%02uT%02u%02u%02uZ", (unsigned)when.year % 10000,
                   (unsigned)when.month % 100, (unsigned)when.day % 100, (unsigned)when.hour % 100,
                   (unsigned)when.minute % 100, (unsigned)when.second % 100);
}

ls_status lsi_sigv4_hash(const void *bytes, size_t size, char out[LSI_SIGV4_HASH_BYTES])
{
    unsigned char digest[LSI_SHA256_BYTES];
    ls_status st = lsi_sha256(bytes, size, digest);

    if (st == LS_OK)
        to_hex(digest, out);
    return st;
}

/* ---- the query: its pairs in byte order ---- */

typedef struct pair {
    const char *at;
    size_t name_size, size; /* `size` with what follows the name, if anything does */
} pair;

static int compare(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);

    return order != 0 ? order : a_size < b_size ? -1 : a_size > b_size;
}

/* The value, without the = before it. */
static ls_bytes value_of(const pair *of)
{
    size_t skip = of->size > of->name_size ? 1 : 0;

    return (ls_bytes){of->at + of->name_size + skip, of->size - of->name_size - skip};
}

static bool is_before(const pair *a, const pair *b)
{
    ls_bytes a_value = value_of(a), b_value = value_of(b);
    int order = compare(a->at, a->name_size, b->at, b->name_size);

    return order != 0 ? order < 0 : compare(a_value.data, a_value.size, b_value.data, b_value.size) < 0;
}

static void add_query(text *to, const char *query)
{
    pair *pairs = NULL;
    size_t count = 0, capacity = 0;

    for (const char *at = query; at != NULL && *at != '\0'; ) {
        size_t size = strcspn(at, "&");
        const char *equals = memchr(at, '=', size);
        pair now = {at, equals != NULL ? (size_t)(equals - at) : size, size};
        void *grown = pairs;
        size_t place;

        at += size + (at[size] == '&');
        if (size == 0)
            continue;
        if (!lsi_grow(to->memory, &grown, &capacity, count + 1, sizeof *pairs)) {
            to->is_short = true;
            break;
        }
        pairs = grown;
        for (place = count++; place > 0 && is_before(&now, &pairs[place - 1]); place--)
            pairs[place] = pairs[place - 1];
        pairs[place] = now;
    }
    for (size_t i = 0; i < count; i++) {
        ls_bytes value = value_of(&pairs[i]);

        add(to, "&", i > 0);
        add(to, pairs[i].at, pairs[i].name_size);
        add(to, "=", 1);
        add(to, value.data, value.size);
    }
    lsi_free(to->memory, pairs);
}

/* ---- headers: their names in lower case and byte order ---- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static int compare_names(const char *a, const char *b)
{
    while (*a != '\0' && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return (unsigned char)lower(*a) - (unsigned char)lower(*b);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Without white space around it, and with one space for each run of it. */
static void add_value(text *to, const char *value)
{
    bool has_word = false;

    while (*value != '\0') {
        size_t size = 0;

        if (is_space(*value)) {
            value++;
            continue;
        }
        while (value[size] != '\0' && !is_space(value[size]))
            size++;
        add(to, " ", has_word);
        add(to, value, size);
        has_word = true;
        value += size;
    }
}

/* Adds the headers and their names; `order` has `count` of them. */
static void add_headers(text *to, const lsi_sigv4_header *const *order, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool is_again = i > 0 && compare_names(order[i]->name, order[i - 1]->name) == 0;

        if (is_again) {
            add(to, ",", 1);
        } else {
            add(to, "\n", i > 0);
            for (const char *name = order[i]->name; *name != '\0'; name++)
                add(to, &(char){lower(*name)}, 1);
            add(to, ":", 1);
        }
        add_value(to, order[i]->value);
    }
    add_text(to, "\n\n");
}

static void add_names(text *to, const lsi_sigv4_header *const *order, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && compare_names(order[i]->name, order[i - 1]->name) == 0)
            continue;
        add(to, ";", i > 0);
        for (const char *name = order[i]->name; *name != '\0'; name++)
            add(to, &(char){lower(*name)}, 1);
    }
}

/* ---- the signature ---- */

/* What is signed, of whom. */
typedef struct scope {
    const char *date; /* of 8 characters */
    ls_bytes region, service;
} scope;

static void add_scope(text *to, const scope *of)
{
    add(to, of->date, DATE_CHARACTERS);
    add(to, "/", 1);
    add(to, of->region.data, of->region.size);
    add(to, "/", 1);
    add(to, of->service.data, of->service.size);
    add_text(to, "/aws4_request");
}

static ls_status hmac_of_secret(const char *secret, const scope *of, unsigned char key[LSI_SHA256_BYTES])
{
    char first[256] = "AWS4";
    size_t size = strlen(secret);
    ls_status st;

    if (size > sizeof first - 5)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "a secret of %zu bytes: at most %zu", size, sizeof first - 5);
    memcpy(first + 4, secret, size);
    st = lsi_hmac_sha256(first, 4 + size, of->date, DATE_CHARACTERS, key);
    lsi_wipe(first, sizeof first);
    if (st == LS_OK)
        st = lsi_hmac_sha256(key, LSI_SHA256_BYTES, of->region.data, of->region.size, key);
    if (st == LS_OK)
        st = lsi_hmac_sha256(key, LSI_SHA256_BYTES, of->service.data, of->service.size, key);
    if (st == LS_OK)
        st = lsi_hmac_sha256(key, LSI_SHA256_BYTES, "aws4_request", strlen("aws4_request"), key);
    return st;
}

/* `order`: the headers that are signed, sorted. */
static ls_status make_signature(const lsi_memory *memory, const char *secret, const scope *of, const char *time,
                                const lsi_sigv4_request *request, const lsi_sigv4_header *const *order, size_t count,
                                char signature[LSI_SIGV4_HASH_BYTES])
{
    unsigned char key[LSI_SHA256_BYTES], digest[LSI_SHA256_BYTES];
    text canonical = {.memory = memory}, to_sign = {.memory = memory};
    char hash[LSI_SIGV4_HASH_BYTES];
    ls_status st;

    add_text(&canonical, request->method);
    add(&canonical, "\n", 1);
    add_text(&canonical, request->path[0] != '\0' ? request->path : "/");
    add(&canonical, "\n", 1);
    add_query(&canonical, request->query);
    add(&canonical, "\n", 1);
    add_headers(&canonical, order, count);
    add_names(&canonical, order, count);
    add(&canonical, "\n", 1);
    add_text(&canonical, request->payload_hash);
    st = canonical.is_short ? no_memory() : lsi_sigv4_hash(canonical.bytes, canonical.size, hash);
    if (st == LS_OK) {
        add_text(&to_sign, ALGORITHM "\n");
        add_text(&to_sign, time);
        add(&to_sign, "\n", 1);
        add_scope(&to_sign, of);
        add(&to_sign, "\n", 1);
        add_text(&to_sign, hash);
        st = to_sign.is_short ? no_memory() : hmac_of_secret(secret, of, key);
    }
    if (st == LS_OK)
        st = lsi_hmac_sha256(key, sizeof key, to_sign.bytes, to_sign.size, digest);
    if (st == LS_OK)
        to_hex(digest, signature);
    lsi_wipe(key, sizeof key);
    lsi_free(memory, canonical.bytes);
    lsi_free(memory, to_sign.bytes);
    return st;
}

/* Those of the request's headers that are `wanted` (NULL: all), sorted; of one name in the order they have. */
static size_t sort_headers(const lsi_sigv4_request *request, bool (*wanted)(const void *user, const char *name),
                           const void *user, const lsi_sigv4_header **order)
{
    size_t count = 0;

    for (size_t i = 0; i < request->header_count; i++) {
        const lsi_sigv4_header *now = &request->headers[i];
        size_t place;

        if (wanted != NULL && !wanted(user, now->name))
            continue;
        for (place = count++; place > 0 && compare_names(now->name, order[place - 1]->name) < 0; place--)
            order[place] = order[place - 1];
        order[place] = now;
    }
    return count;
}

ls_status lsi_sigv4_sign(const lsi_memory *memory, const lsi_sigv4_key *key, const char *time,
                         const lsi_sigv4_request *request, char **authorization)
{
    const lsi_sigv4_header **order = lsi_alloc(memory, (request->header_count + 1) * sizeof *order);
    scope of = {time, {key->region, strlen(key->region)}, {key->service, strlen(key->service)}};
    char signature[LSI_SIGV4_HASH_BYTES];
    text to = {.memory = memory};
    size_t count;
    ls_status st;

    if (order == NULL)
        return no_memory();
    count = sort_headers(request, NULL, NULL, order);
    st = make_signature(memory, key->secret, &of, time, request, order, count, signature);
    if (st == LS_OK) {
        add_text(&to, ALGORITHM " Credential=");
        add_text(&to, key->key_id);
        add(&to, "/", 1);
        add_scope(&to, &of);
        add_text(&to, ", SignedHeaders=");
        add_names(&to, order, count);
        add_text(&to, ", Signature=");
        add_text(&to, signature);
        if (to.is_short) {
            lsi_free(memory, to.bytes);
            st = no_memory();
        } else {
            *authorization = to.bytes;
        }
    }
    lsi_free(memory, order);
    return st;
}

/* ---- verifying ---- */

/* Up to `end`, which is passed over, or to the end of the text when `end` is 0. */
static bool take_until(const char **at, char end, ls_bytes *out)
{
    const char *found = end != '\0' ? strchr(*at, end) : *at + strlen(*at);

    if (found == NULL || found == *at)
        return false;
    *out = (ls_bytes){*at, (size_t)(found - *at)};
    *at = found + (end != '\0');
    return true;
}

static bool take_word(const char **at, const char *word)
{
    size_t size = strlen(word);

    while (**at == ' ')
        (*at)++;
    if (strncmp(*at, word, size) != 0)
        return false;
    *at += size;
    return true;
}

bool lsi_sigv4_claim_read(const char *authorization, lsi_sigv4_claim *out)
{
    const char *at = authorization;
    ls_bytes end;

    return take_word(&at, ALGORITHM " ") && take_word(&at, "Credential=") && take_until(&at, '/', &out->key_id) &&
           take_until(&at, '/', &out->date) && out->date.size == DATE_CHARACTERS &&
           take_until(&at, '/', &out->region) && take_until(&at, '/', &out->service) && take_until(&at, ',', &end) &&
           end.size == strlen("aws4_request") && memcmp(end.data, "aws4_request", end.size) == 0 &&
           take_word(&at, "SignedHeaders=") && take_until(&at, ',', &out->signed_headers) &&
           take_word(&at, "Signature=") && take_until(&at, '\0', &out->signature) &&
           out->signature.size == LSI_SIGV4_HASH_BYTES - 1;
}

/* Whether `name`, of any case, is one of the names in the claim. */
static bool was_signed(const void *user, const char *name)
{
    const lsi_sigv4_claim *claim = user;
    const char *at = claim->signed_headers.data, *end = at + claim->signed_headers.size;

    while (at < end) {
        size_t size = 0;

        while (at + size < end && at[size] != ';')
            size++;
        for (size_t i = 0; i <= size; i++) {
            if (i == size && name[i] == '\0')
                return true;
            if (i == size || at[i] != lower(name[i]))
                break;
        }
        at += size + 1;
    }
    return false;
}

/* The claim's names are exactly those of the headers, host among them. */
static bool names_are_those(const lsi_memory *memory, const lsi_sigv4_claim *claim,
                            const lsi_sigv4_header *const *order, size_t count, bool *is_short)
{
    text names = {.memory = memory};
    bool has_host = false, is_same;

    add_names(&names, order, count);
    for (size_t i = 0; i < count; i++)
        has_host = has_host || compare_names(order[i]->name, "host") == 0;
    *is_short = names.is_short;
    is_same = !names.is_short && names.size == claim->signed_headers.size && names.size != 0 &&
              memcmp(names.bytes, claim->signed_headers.data, names.size) == 0;
    lsi_free(memory, names.bytes);
    return is_same && has_host;
}

ls_status lsi_sigv4_verify(const lsi_memory *memory, const lsi_sigv4_claim *claim, const char *secret, const char *time,
                           const lsi_sigv4_request *request, bool *is_right)
{
    const lsi_sigv4_header **order = lsi_alloc(memory, (request->header_count + 1) * sizeof *order);
    scope of = {time, claim->region, claim->service};
    char signature[LSI_SIGV4_HASH_BYTES];
    unsigned char differs = 0;
    bool is_short = false;
    ls_status st = LS_OK;
    size_t count;

    if (order == NULL)
        return no_memory();
    *is_right = false;
    count = sort_headers(request, was_signed, claim, order);
    if (strlen(time) == LSI_SIGV4_TIME_BYTES - 1 && memcmp(time, claim->date.data, DATE_CHARACTERS) == 0 &&
        names_are_those(memory, claim, order, count, &is_short)) {
        st = make_signature(memory, secret, &of, time, request, order, count, signature);
        if (st == LS_OK) { /* All of it is compared: how long that takes says nothing. */
            for (size_t i = 0; i < LSI_SIGV4_HASH_BYTES - 1; i++)
                differs |= (unsigned char)(signature[i] ^ ((const char *)claim->signature.data)[i]);
            *is_right = differs == 0;
        }
    }
    lsi_free(memory, order);
    return is_short ? no_memory() : st;
}
