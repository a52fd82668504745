/* What may be a name, and what becomes of texts that are no UTF-8. */
#include "metrics/inside.h"

#include <string.h>

#include "base/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool lsi_metric_name_is_valid(const char *name)
{
    if (!is_letter(name[0]))
        return false;
    for (const char *at = name + 1; *at != '\0'; at++)
        if (!is_letter(*at) && !(*at >= '0' && *at <= '9'))
            return false;
    return true;
}

bool lsi_ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);

    return size >= end_size && memcmp(text + size - end_size, end, end_size) == 0;
}

bool lsi_metric_name_is_derived(const char *histogram, const char *name)
{
    size_t size = strlen(histogram);

    return strncmp(name, histogram, size) == 0 && (strcmp(name + size, "_bucket") == 0 ||
                                                   strcmp(name + size, "_count") == 0 ||
                                                   strcmp(name + size, "_sum") == 0);
}

size_t lsi_utf8_mended_size(const char *text)
{
    size_t size = 0, left = strlen(text);

    while (left > 0) {
        size_t first = lsi_utf8_first(text, left);

        size += first != 0 ? first : sizeof(REPLACEMENT) - 1;
        first = first != 0 ? first : 1;
        text += first;
        left -= first;
    }
    return size;
}

char *lsi_utf8_mend(const char *text, char *out)
{
    size_t left = strlen(text);

    while (left > 0) {
        size_t first = lsi_utf8_first(text, left);

        if (first != 0) {
            memcpy(out, text, first);
            out += first;
        } else {
            memcpy(out, REPLACEMENT, sizeof(REPLACEMENT) - 1);
            out += sizeof(REPLACEMENT) - 1;
            first = 1;
        }
        text += first;
        left -= first;
    }
    *out = '\0';
    return out + 1;
}
