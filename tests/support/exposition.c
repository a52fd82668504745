/* Line by line; what a line may be depends on the family that is open: its HELP, its TYPE, then its samples, and never
 * again. Histograms are judged when their series ends. */
#include "support/exposition.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define LABELS_BYTES 16384
#define LABELS_MAX 40

typedef struct sample {
    char *name;
    char *labels; /* sorted, without le */
    double value;
    double le; /* NaN: none */
} sample;

typedef struct family {
    char *name;
    char type[16]; /* "": no TYPE line yet */
    bool has_samples;
} family;

struct exposition {
    sample *samples;
    size_t sample_count;
    family *families; /* the open one is the last */
    size_t family_count;
};

typedef struct label {
    char *name, *value;
} label;

static bool is_name(const char *text, size_t size, bool with_colon)
{
    for (size_t i = 0; i < size; i++) {
        char c = text[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (with_colon && c == ':') ||
              (i > 0 && c >= '0' && c <= '9')))
            return false;
    }
    return size > 0;
}

static family *family_of(const exposition *of, const char *name, size_t size)
{
    for (size_t i = 0; i < of->family_count; i++)
        if (strlen(of->families[i].name) == size && memcmp(of->families[i].name, name, size) == 0)
            return &of->families[i];
    return NULL;
}

/* "# HELP name text" or "# TYPE name type". */
static const char *read_comment(exposition *of, const char *line)
{
    bool is_help = strncmp(line, "# HELP ", 7) == 0;
    const char *name = line + 7, *rest;
    family *at;
    size_t size;

    if (!is_help && strncmp(line, "# TYPE ", 7) != 0)
        return "a comment that is neither HELP nor TYPE";
    size = strcspn(name, " ");
    rest = name + size + 1;
    if (name[size] == '\0' || *rest == '\0' || !is_name(name, size, true))
        return "a name and a text are wanted";
    at = family_of(of, name, size);
    if (is_help) {
        if (at != NULL)
            return "HELP is there twice";
        for (const char *c = rest; *c != '\0'; c++)
            if (*c == '\\' && *++c != '\\' && *c != 'n')
                return "an unknown escape in HELP";
        of->families = realloc(of->families, (of->family_count + 1) * sizeof *of->families);
        of->families[of->family_count++] = (family){.name = strndup(name, size)};
        return NULL;
    }
    if (at == NULL || at != &of->families[of->family_count - 1])
        return "TYPE does not follow its HELP";
    if (at->type[0] != '\0' || at->has_samples)
        return "TYPE is there twice, or behind a sample";
    if (strcmp(rest, "counter") != 0 && strcmp(rest, "gauge") != 0 && strcmp(rest, "histogram") != 0)
        return "an unknown type";
    snprintf(at->type, sizeof at->type, "%s", rest);
    return NULL;
}

/* `name="value",...}`; moves `*at` behind it. */
static const char *read_labels(const char **at, label *labels, size_t *count)
{
    const char *from = *at;

    for (;; from++) {
        size_t size = strcspn(from, "=");
        char *to;

        if (!is_name(from, size, false) || strncmp(from, "__", 2) == 0)
            return "a label's name";
        if (*count == LABELS_MAX)
            return "too many labels";
        for (size_t i = 0; i < *count; i++)
            if (strlen(labels[i].name) == size && memcmp(labels[i].name, from, size) == 0)
                return "a label is there twice";
        labels[*count] = (label){.name = strndup(from, size), .value = to = malloc(strlen(from) + 1)};
        (*count)++;
        from += size + 1;
        if (*from++ != '"')
            return "a label's value has no quotation mark";
        for (; *from != '"'; from++) {
            if (*from == '\0')
                return "a label's value does not end";
            if (*from != '\\')
                *to++ = *from;
            else if (*++from == '\\' || *from == '"')
                *to++ = *from;
            else if (*from == 'n')
                *to++ = '\n';
            else
                return "an unknown escape in a label's value";
        }
        *to = '\0';
        if (labels[*count - 1].value[0] == '\0')
            return "an empty label";
        from++;
        if (*from == '}')
            break;
        if (*from != ',')
            return "a comma is wanted between labels";
    }
    *at = from + 1;
    return NULL;
}

/* What Go's ParseFloat takes and the library may write. */
static bool read_number(const char *text, double *out)
{
    char *end;

    if (strcmp(text, "NaN") == 0 || strcmp(text, "+Inf") == 0 || strcmp(text, "-Inf") == 0) {
        *out = text[0] == 'N' ? NAN : text[0] == '+' ? INFINITY : -INFINITY;
        return true;
    }
    if (text[0] == '\0' || strspn(text, "0123456789.e+-") != strlen(text))
        return false;
    *out = strtod(text, &end);
    return *end == '\0';
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const label *)a)->name, ((const label *)b)->name);
}

/* Sorted, without `le`, which goes to `*le`. */
static const char *join(label *labels, size_t count, char *out, double *le)
{
    size_t used = 0;

    *le = NAN;
    out[0] = '\0';
    qsort(labels, count, sizeof *labels, by_name);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(labels[i].name, "le") == 0) {
            if (!read_number(labels[i].value, le))
                return "le is no number";
            continue;
        }
        used += (size_t)snprintf(out + used, LABELS_BYTES - used, "%s%s=\"%s\"", used > 0 ? "," : "", labels[i].name,
                                 labels[i].value);
        if (used >= LABELS_BYTES)
            return "labels that are too long for this reader";
    }
    return NULL;
}

static const char *check_in_family(const exposition *of, const char *name, double le)
{
    family *at = of->family_count > 0 ? &of->families[of->family_count - 1] : NULL;
    size_t size = at != NULL ? strlen(at->name) : 0;
    bool is_histogram = at != NULL && strcmp(at->type, "histogram") == 0, is_bucket;

    if (at == NULL || at->type[0] == '\0' || strncmp(name, at->name, size) != 0)
        return "a sample that is not of the family whose TYPE is open";
    is_bucket = strcmp(name + size, "_bucket") == 0;
    if (is_histogram ? !is_bucket && strcmp(name + size, "_sum") != 0 && strcmp(name + size, "_count") != 0
                     : name[size] != '\0')
        return "a sample that is not of the family whose TYPE is open";
    if (is_histogram && is_bucket != !isnan(le))
        return "le is for buckets";
    at->has_samples = true;
    return NULL;
}

static const char *read_sample(exposition *of, const char *line)
{
    char joined[LABELS_BYTES];
    label labels[LABELS_MAX];
    size_t count = 0, size = strcspn(line, "{ ");
    const char *at = line + size, *why = NULL;
    double value = 0, le = NAN;
    char *name = strndup(line, size);

    if (!is_name(name, size, true))
        why = "a name is wanted";
    if (why == NULL && *at == '{') {
        at++;
        why = read_labels(&at, labels, &count);
    }
    if (why == NULL && *at++ != ' ')
        why = "a space is wanted before the value";
    if (why == NULL && !read_number(at, &value))
        why = "the value is no number";
    if (why == NULL)
        why = join(labels, count, joined, &le);
    if (why == NULL)
        why = check_in_family(of, name, le);
    if (why == NULL && strcmp(of->families[of->family_count - 1].type, "counter") == 0 &&
        strspn(at, "0123456789") != strlen(at))
        why = "a counter that is no whole number";
    for (size_t i = 0; i < count; i++) {
        free(labels[i].name);
        free(labels[i].value);
    }
    for (size_t i = 0; why == NULL && i < of->sample_count; i++) {
        const sample *other = &of->samples[i];

        if (strcmp(other->name, name) == 0 && strcmp(other->labels, joined) == 0 &&
            (isnan(le) || other->le == le))
            why = "a sample is there twice";
    }
    if (why != NULL) {
        free(name);
        return why;
    }
    of->samples = realloc(of->samples, (of->sample_count + 1) * sizeof *of->samples);
    of->samples[of->sample_count++] = (sample){name, strdup(joined), value, le};
    return NULL;
}

/* From `first` on, which is a histogram's first bucket. */
static const char *check_histogram(const exposition *of, size_t first)
{
    const sample *from = &of->samples[first];
    size_t base = strlen(from->name) - strlen("_bucket"), i = first + 1;

    for (; i < of->sample_count && strcmp(of->samples[i].name, from->name) == 0 &&
           strcmp(of->samples[i].labels, from->labels) == 0; i++) {
        if (of->samples[i].le <= of->samples[i - 1].le)
            return "le does not rise";
        if (of->samples[i].value < of->samples[i - 1].value)
            return "buckets are not cumulative";
    }
    if (!isinf(of->samples[i - 1].le))
        return "the last bucket is not +Inf";
    if (of->sample_count - i < 2 || strncmp(of->samples[i].name, from->name, base) != 0 ||
        strcmp(of->samples[i].name + base, "_sum") != 0 || strcmp(of->samples[i].labels, from->labels) != 0 ||
        strncmp(of->samples[i + 1].name, from->name, base) != 0 ||
        strcmp(of->samples[i + 1].name + base, "_count") != 0 ||
        strcmp(of->samples[i + 1].labels, from->labels) != 0)
        return "sum and count do not follow the buckets";
    if (of->samples[i + 1].value != of->samples[i - 1].value)
        return "count is not the +Inf bucket";
    return NULL;
}

static const char *check_histograms(const exposition *of)
{
    const char *why = NULL;

    for (size_t i = 0; why == NULL && i < of->sample_count; i++)
        if (!isnan(of->samples[i].le) &&
            (i == 0 || isnan(of->samples[i - 1].le) || strcmp(of->samples[i].name, of->samples[i - 1].name) != 0 ||
             strcmp(of->samples[i].labels, of->samples[i - 1].labels) != 0))
            why = check_histogram(of, i);
    return why;
}

exposition *exposition_read(const char *text, size_t size, char why[EXPOSITION_WHY_BYTES])
{
    exposition *of = calloc(1, sizeof *of);
    const char *said = NULL;
    size_t line_number = 0;

    if (lsi_utf8_count(text, size) == LSI_UTF8_BAD || memchr(text, '\0', size) != NULL)
        said = "no UTF-8";
    else if (size == 0 || text[size - 1] != '\n')
        said = "the last line does not end";
    for (const char *at = text; said == NULL && at < text + size;) {
        size_t line_size = (size_t)((const char *)memchr(at, '\n', (size_t)(text + size - at)) - at);
        char *line = calloc(1, line_size + 1);

        memcpy(line, at, line_size);
        line_number++;
        said = line[0] == '#' ? read_comment(of, line) : read_sample(of, line);
        free(line);
        at += line_size + 1;
    }
    if (said == NULL)
        said = check_histograms(of);
    if (said == NULL)
        return of;
    snprintf(why, EXPOSITION_WHY_BYTES, "line %zu: %s", line_number, said);
    exposition_free(of);
    return NULL;
}

void exposition_free(exposition *of)
{
    if (of == NULL)
        return;
    for (size_t i = 0; i < of->sample_count; i++) {
        free(of->samples[i].name);
        free(of->samples[i].labels);
    }
    for (size_t i = 0; i < of->family_count; i++)
        free(of->families[i].name);
    free(of->samples);
    free(of->families);
    free(of);
}

double exposition_value(const exposition *of, const char *name, const char *labels)
{
    for (size_t i = 0; i < of->sample_count; i++)
        if (strcmp(of->samples[i].name, name) == 0 && strcmp(of->samples[i].labels, labels) == 0)
            return of->samples[i].value;
    return NAN;
}

double exposition_sum(const exposition *of, const char *name, const char *part, size_t *count)
{
    size_t found = 0;
    double sum = 0;

    for (size_t i = 0; i < of->sample_count; i++)
        if (strcmp(of->samples[i].name, name) == 0 && strstr(of->samples[i].labels, part) != NULL) {
            sum += of->samples[i].value;
            found++;
        }
    if (count != NULL)
        *count = found;
    return sum;
}

const char *exposition_type(const exposition *of, const char *name)
{
    const family *found = family_of(of, name, strlen(name));

    return found != NULL ? found->type : NULL;
}
