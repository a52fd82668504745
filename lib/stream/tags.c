/* Tags: what a stream is labelled with. The rules are the service's: letters, digits, spaces and _ . : / = + - @, no
 * key that begins with "aws:", 50 to a stream.
 *
 * What a letter is beyond ASCII is a table of thousands of entries that changes every year; here every character beyond
 * ASCII that is no control is one, so that no tag is refused which the service takes. */
#include "stream/stream.h"

#include <assert.h>
#include <string.h>

#include "base/status.h"
#include "base/utf8.h"

#define TEXT_BYTES_MAX (4u * LSI_TAG_VALUE_CODE_POINTS_MAX) /* more is too long without counting */

static bool is_tag_character(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80 ||
           (c != '\0' && strchr(" _.:/=+-@", c) != NULL);
}

static ls_status check_text(const char *what, const char *text, uint32_t characters_max)
{
    size_t size = strnlen(text, TEXT_BYTES_MAX + 1), count = 0;

    if (size <= TEXT_BYTES_MAX) {
        count = lsi_utf8_count(text, size);
        if (count == LSI_UTF8_BAD)
            return lsi_fail(LS_ERR_INVALID_ARGUMENT, "tag %s of %zu bytes is not valid UTF-8", what, size);
    }
    if (size > TEXT_BYTES_MAX || count > characters_max)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "tag %s '%.40s...' is longer than %u characters", what, text,
                        characters_max);
    for (size_t i = 0; i < size; i++)
        if (!is_tag_character((unsigned char)text[i]) || lsi_utf8_is_control(text + i))
            return lsi_fail(LS_ERR_INVALID_ARGUMENT,
                            "tag %s '%s': byte 0x%02x at %zu is not of a letter, a digit, a space or one of "
                            "_ . : / = + - @", what, text, (unsigned)(unsigned char)text[i], i);
    return LS_OK;
}

ls_status lsi_check_tag_key(const char *key)
{
    static const char reserved[] = "aws:";
    size_t same = 0;

    if (key == NULL || *key == '\0')
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "tag key is empty: it has 1..%u characters",
                        LSI_TAG_KEY_CODE_POINTS_MAX);
    while (same < 4 && (key[same] | 0x20) == (reserved[same] | 0x20)) /* in any case; ':' has the bit set */
        same++;
    if (same == 4)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "tag key '%.40s' begins with 'aws:', which is reserved", key);
    return check_text("key", key, LSI_TAG_KEY_CODE_POINTS_MAX);
}

ls_status lsi_check_tag_value(const char *value)
{
    return value == NULL ? LS_OK : check_text("value", value, LSI_TAG_VALUE_CODE_POINTS_MAX);
}

bool lsi_tags_next(const lsi_tags *tags, const char **at, ls_tag *out)
{
    const char *key = *at == NULL ? tags->text : *at;

    if (tags->text == NULL || key == tags->text + tags->bytes)
        return false;
    out->key = key;
    out->value = key + strlen(key) + 1;
    *at = out->value + strlen(out->value) + 1;
    return true;
}

/* ---- changing ---- */

/* What the tags will be: views, by key. */
typedef struct tag_list {
    ls_tag of[LSI_TAGS_MAX + LSI_TAGS_ADDED_MAX];
    uint32_t count;
} tag_list;

/* Where `key` is, or would be. */
static uint32_t place_of(const tag_list *list, const char *key, bool *found)
{
    uint32_t low = 0, high = list->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (strcmp(list->of[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < list->count && strcmp(list->of[low].key, key) == 0;
    return low;
}

static void take_present(tag_list *list, const lsi_tags *from)
{
    const char *at = NULL;
    ls_tag tag;

    assert(from->count <= LSI_TAGS_MAX);
    list->count = 0;
    while (lsi_tags_next(from, &at, &tag))
        list->of[list->count++] = tag;
}

static void put(tag_list *list, const ls_tag *tag)
{
    bool found;
    uint32_t place = place_of(list, tag->key, &found);

    if (!found) {
        memmove(&list->of[place + 1], &list->of[place], (list->count - place) * sizeof(*list->of));
        list->count++;
    }
    list->of[place] = *tag;
}

static ls_status pack(const lsi_memory *memory, const tag_list *list, lsi_tags *out)
{
    size_t bytes = 0;
    char *to;

    *out = (lsi_tags){.count = list->count};
    for (uint32_t i = 0; i < list->count; i++)
        bytes += strlen(list->of[i].key) + (list->of[i].value != NULL ? strlen(list->of[i].value) : 0) + 2;
    if (bytes == 0)
        return LS_OK;
    out->bytes = (uint32_t)bytes; /* 50 tags of some hundred characters */
    out->text = to = lsi_alloc(memory, bytes);
    if (to == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for %u tags", list->count);
    for (uint32_t i = 0; i < list->count; i++) {
        const char *texts[2] = {list->of[i].key, list->of[i].value != NULL ? list->of[i].value : ""};

        for (int k = 0; k < 2; k++) {
            size_t size = strlen(texts[k]) + 1;

            memcpy(to, texts[k], size);
            to += size;
        }
    }
    return LS_OK;
}

ls_status lsi_tags_add(const lsi_memory *memory, const lsi_tags *from, const ls_tag *tags, uint32_t count,
                       lsi_tags *out)
{
    tag_list list;

    if (count > LSI_TAGS_ADDED_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "%u tags at once: the most is %u", count, LSI_TAGS_ADDED_MAX);
    take_present(&list, from);
    for (uint32_t i = 0; i < count; i++) {
        ls_status st = lsi_check_tag_key(tags[i].key);

        if (st == LS_OK)
            st = lsi_check_tag_value(tags[i].value);
        if (st != LS_OK)
            return st;
        put(&list, &tags[i]);
    }
    if (list.count > LSI_TAGS_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "it would have %u tags: the most is %u", list.count, LSI_TAGS_MAX);
    return pack(memory, &list, out);
}

ls_status lsi_tags_remove(const lsi_memory *memory, const lsi_tags *from, const char *const *keys, uint32_t count,
                          lsi_tags *out)
{
    tag_list list;

    if (count > LSI_TAG_KEYS_REMOVED_MAX)
        return lsi_fail(LS_ERR_INVALID_ARGUMENT, "%u tag keys at once: the most is %u", count,
                        LSI_TAG_KEYS_REMOVED_MAX);
    take_present(&list, from);
    for (uint32_t i = 0; i < count; i++) {
        ls_status st = lsi_check_tag_key(keys[i]);
        uint32_t place;
        bool found;

        if (st != LS_OK)
            return st;
        place = place_of(&list, keys[i], &found);
        if (!found)
            continue;
        list.count--;
        memmove(&list.of[place], &list.of[place + 1], (list.count - place) * sizeof(*list.of));
    }
    return pack(memory, &list, out);
}
