/* The places in records that patterns ask for: a tree of steps, shared by all patterns of a filter. Data is full of
 * keys that nobody asks for, so finding that out has to be quick: those below a path are sorted, shorter ones first. */
#include "consume/filter/filter.h"

#include <stdlib.h>
#include <string.h>

#define FEW 8u /* paths below one, which are looked at one after the other */

static int compare(const char *a, size_t a_size, const char *b, size_t b_size)
{
    if (a_size != b_size)
        return a_size < b_size ? -1 : 1;
    return a_size == 0 ? 0 : memcmp(a, b, a_size);
}

lsi_path *lsi_path_make(lsi_filter *filter, lsi_path *above, const char *step, size_t size)
{
    lsi_path *path;
    char *own;

    for (path = above->first; path != NULL; path = path->next)
        if (compare(path->step, path->step_size, step, size) == 0)
            return path;
    path = lsi_filter_keep(filter, sizeof *path);
    own = lsi_filter_keep(filter, size);
    if (path == NULL || own == NULL)
        return NULL;
    if (size != 0)
        memcpy(own, step, size);
    path->step = own;
    path->step_size = size;
    path->above = above;
    path->depth = above->depth + 1;
    path->next = above->first;
    above->first = path;
    above->first_bytes |= size == 0 ? UINT64_MAX : UINT64_C(1) << (step[0] & 63);
    above->below_count++;
    return path;
}

static int by_step(const void *a, const void *b)
{
    const lsi_path *const *first = a, *const *second = b;

    return compare((*first)->step, (*first)->step_size, (*second)->step, (*second)->step_size);
}

/* Recurses as deep as paths are. */
ls_status lsi_paths_finish(lsi_filter *filter, lsi_path *path)
{
    uint32_t count = 0;

    path->below = lsi_filter_keep(filter, path->below_count * sizeof(lsi_path *));
    path->seen = lsi_filter_keep(filter, path->depth * sizeof *path->seen);
    if (path->below == NULL || path->seen == NULL)
        return LS_ERR_NO_MEMORY;
    for (lsi_path *one = path->first; one != NULL; one = one->next) {
        ls_status st = lsi_paths_finish(filter, one);

        if (st != LS_OK)
            return st;
        path->below[count++] = one;
    }
    qsort(path->below, count, sizeof(lsi_path *), by_step);
    return LS_OK;
}

lsi_path *lsi_path_find(const lsi_path *above, const char *step, size_t size)
{
    uint32_t from = 0, to = above->below_count;

    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        const lsi_path *path = above->below[middle];
        int order = compare(path->step, path->step_size, step, size);

        if (order == 0)
            return above->below[middle];
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

/* The path that a key's first step leads to. Steps have no dots, so it is the one that the key is, or that a dot
 * follows in it: of a few paths that is seen without looking for dots in keys that nobody asks for. */
static lsi_path *find_first(const lsi_path *above, const char *key, size_t size)
{
    const char *dot;

    if (above->below_count > FEW) {
        dot = size == 0 ? NULL : memchr(key, '.', size);
        return lsi_path_find(above, key, dot == NULL ? size : (size_t)(dot - key));
    }
    if (size != 0 && (above->first_bytes >> (key[0] & 63) & 1) == 0)
        return NULL;
    for (uint32_t i = 0; i < above->below_count; i++) {
        lsi_path *path = above->below[i];
        size_t step = path->step_size;

        if ((step == size || (step < size && key[step] == '.')) &&
            (step == 0 || (path->step[0] == key[0] && memcmp(path->step, key, step) == 0)))
            return path;
    }
    return NULL;
}

lsi_path *lsi_path_find_key(const lsi_path *above, const char *key, size_t size, uint32_t *steps)
{
    *steps = 1;
    for (;;) {
        lsi_path *path = find_first(above, key, size);

        if (path == NULL || path->step_size == size)
            return path;
        key += path->step_size + 1;
        size -= path->step_size + 1;
        above = path;
        ++*steps;
    }
}
