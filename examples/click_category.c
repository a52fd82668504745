/* The transform of clicks. */
#include "click_category.h"

#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

const char *const click_category_names[CLICK_CATEGORIES] = {
    "Other", "Clothing", "Instruments", "Electronics", "Books",
};

/* A member's value, as it is to be written again. Of equal names the last one counts. */
static void keep(flat_json *to, json_kind kind, const char *value, size_t size)
{
    to->size = 0;
    if (kind == JSON_STRING)
        flat_json_quoted(to, value, size);
    else if (kind == JSON_NAN || kind == JSON_INFINITE)
        flat_json_text(to, "null", 4);
    else
        flat_json_text(to, value, size);
}

static click_category category_of(int64_t item)
{
    return item >= 100 && item < 250 ? CLICK_CLOTHING : item >= 250 && item < 500 ? CLICK_INSTRUMENTS
         : item >= 500 && item < 750 ? CLICK_ELECTRONICS : CLICK_BOOKS;
}

/* Digits with perhaps a sign, blanks around them, and single underscores between them: what Python's int() takes. What
 * is larger than any item is cut to that. */
static bool read_whole(const char *text, size_t size, int64_t *out)
{
    const char *end = text + size;
    bool negative, digit_before = false;

    while (text < end && isspace((unsigned char)*text))
        text++;
    while (end > text && isspace((unsigned char)end[-1]))
        end--;
    negative = text < end && *text == '-';
    if (text < end && (*text == '-' || *text == '+'))
        text++;
    for (*out = 0; text < end; text++) {
        if (*text == '_' && digit_before) {
            digit_before = false;
            continue;
        }
        if (*text < '0' || *text > '9')
            return false;
        digit_before = true;
        if (*out < INT32_MAX)
            *out = *out * 10 + (*text - '0');
    }
    if (negative)
        *out = -*out;
    return digit_before;
}

struct seen {
    click_transform *transform;
    bool infinite; /* int() of it is an error that the seed does not expect */
};

static void see_item(struct seen *seen, json_kind kind, const char *value, size_t size)
{
    char number[400];
    int64_t whole = 0;
    double real;

    seen->infinite = kind == JSON_INFINITE;
    seen->transform->category = CLICK_OTHER;
    if (kind == JSON_TRUE || kind == JSON_FALSE)
        seen->transform->category = CLICK_BOOKS;  /* 1 and 0 */
    if ((kind == JSON_STRING || kind == JSON_NUMBER) && read_whole(value, size, &whole)) {
        seen->transform->category = category_of(whole);
    } else if (kind == JSON_NUMBER && size < sizeof(number)) {
        memcpy(number, value, size);
        number[size] = 0;
        real = strtod(number, NULL);
        seen->infinite = isinf(real);
        seen->transform->category = fabs(real) < 1e9 ? category_of((int64_t)real) : CLICK_BOOKS;
    }
}

static bool see_member(void *user, const char *name, size_t name_size, json_kind kind, const char *value, size_t size)
{
    struct seen *seen = user;

    if (name_size == 7 && memcmp(name, "user_id", 7) == 0) {
        keep(&seen->transform->user_id, kind, value, size);
    } else if (name_size == 5 && memcmp(name, "price", 5) == 0) {
        keep(&seen->transform->price, kind, value, size);
    } else if (name_size == 7 && memcmp(name, "item_id", 7) == 0) {
        keep(&seen->transform->item_id, kind, value, size);
        see_item(seen, kind, value, size);
    } else if (name_size == 6 && memcmp(name, "action", 6) == 0) {
        const char *drop = seen->transform->drop;

        seen->transform->is_dropped = drop != NULL && kind == JSON_STRING && strlen(drop) == size &&
                                      memcmp(drop, value, size) == 0;
    }
    return true;
}

static void add(click_transform *transform, const char *name, const flat_json *value)
{
    flat_json_plain(&transform->out, name, value->size > 0 ? value->text : "null", value->size > 0 ? value->size : 4);
}

const char *click_transform_event(click_transform *transform, const char *event, size_t size)
{
    struct seen seen = {transform, false};
    const char *category;

    transform->user_id.size = transform->item_id.size = transform->price.size = 0;
    transform->category = CLICK_OTHER;
    transform->is_dropped = false;
    if (!json_members(event, size, true, &transform->scratch, see_member, &seen))
        return transform->scratch.failed ? "no memory" : "it is no JSON object";
    if (seen.infinite)
        return "item_id is infinite";
    category = click_category_names[transform->category];
    flat_json_begin(&transform->out);
    add(transform, "user_id", &transform->user_id);
    add(transform, "item_id", &transform->item_id);
    flat_json_member(&transform->out, "category", 8, category, strlen(category));
    add(transform, "price", &transform->price);
    flat_json_end(&transform->out);
    return transform->out.failed || transform->user_id.failed || transform->item_id.failed || transform->price.failed
         ? "no memory" : NULL;
}

void click_transform_free(click_transform *transform)
{
    flat_json_free(&transform->scratch);
    flat_json_free(&transform->user_id);
    flat_json_free(&transform->item_id);
    flat_json_free(&transform->price);
    flat_json_free(&transform->out);
}
