/* A pattern's tree against a record's values.
 *
 * Each part of the tree is held against a *set* of values at its path: one in most records, none where there is
 * nothing, several where the data spells a path in several ways. The answer has three values, because of `{"exists":
 * false}` below arrays (F3): a part that is satisfied by what is there holds in one element; one that is satisfied
 * because nothing is there must find nothing in all of them.
 *
 * Sets are lists through the values themselves. A value lies at one path, and sets of one path are made one after the
 * other, so one link is enough. Recursion goes as deep as the pattern and the arrays of the data, both at most 64. */
#include "consume/filter/filter.h"

typedef enum { NO, ABSENT, PRESENT } answer;

static lsi_filter_value *value_at(const lsi_filter *filter, uint32_t index)
{
    return &filter->values[index];
}

/* Appends the members at `path` of the objects of a set, with `deep` also of those in its arrays. */
static void gather(const lsi_filter *filter, uint32_t set, bool is_list, const lsi_path *path, bool deep,
                   uint32_t *first, uint32_t *last)
{
    for (uint32_t i = set; i != 0; i = is_list ? value_at(filter, i)->next : value_at(filter, i)->in_set) {
        const lsi_filter_value *value = value_at(filter, i);

        if (value->kind == LSI_VALUE_ARRAY && deep)
            gather(filter, value->first, true, path, deep, first, last);
        if (value->kind != LSI_VALUE_OBJECT)
            continue;
        for (uint32_t k = value->first; k != 0; k = value_at(filter, k)->next) {
            if (value_at(filter, k)->at != path || value_at(filter, k)->kind == LSI_VALUE_DEAD)
                continue;
            if (*last == 0)
                *first = k;
            else
                value_at(filter, *last)->in_set = k;
            value_at(filter, k)->in_set = 0;
            *last = k;
        }
    }
}

static uint32_t members(const lsi_filter *filter, uint32_t set, const lsi_path *path, bool deep)
{
    uint32_t first = 0, last = 0;

    gather(filter, set, false, path, deep, &first, &last);
    return first;
}

/* F2. `matchers` NULL: whether there is a leaf at all. */
static answer test_leaves(const lsi_filter *filter, uint32_t set, bool is_list, const lsi_matchers *matchers)
{
    answer found = ABSENT;

    for (uint32_t i = set; i != 0; i = is_list ? value_at(filter, i)->next : value_at(filter, i)->in_set) {
        const lsi_filter_value *value = value_at(filter, i);
        answer one = ABSENT;

        if (lsi_value_is_leaf(value))
            one = matchers == NULL || lsi_matchers_match(matchers, value) ? PRESENT : NO;
        else if (value->kind == LSI_VALUE_ARRAY)
            one = test_leaves(filter, value->first, true, matchers);
        if (one == PRESENT)
            return PRESENT;
        if (one == NO)
            found = NO;
    }
    return found;
}

/* Whether the part is satisfied because nothing is there, in all of the set. */
static bool is_absent(const lsi_filter *filter, const lsi_part *part, uint32_t set)
{
    if (!part->may_be_absent)
        return false;
    for (const lsi_filter_field *field = part->fields; field != NULL; field = field->next) {
        uint32_t below = members(filter, set, field->at, true);

        if (field->matchers != NULL && test_leaves(filter, below, false, NULL) != ABSENT)
            return false;
        if (field->part != NULL && !is_absent(filter, field->part, below))
            return false;
    }
    for (const lsi_choice *choice = part->choices; choice != NULL; choice = choice->next) {
        const lsi_alternative *one = choice->alternatives;

        while (one != NULL && !is_absent(filter, one->part, set))
            one = one->next;
        if (one == NULL)
            return false;
    }
    return true;
}

static answer match_set(const lsi_filter *filter, const lsi_part *part, uint32_t set);

static answer match_field(const lsi_filter *filter, const lsi_filter_field *field, uint32_t set)
{
    uint32_t below = members(filter, set, field->at, false);
    answer found = ABSENT;

    if (field->matchers != NULL) {
        found = test_leaves(filter, below, false, field->matchers);
        if (found == NO || (found == ABSENT && !field->matchers->absent))
            return NO;
    }
    if (field->part != NULL) {
        answer of_part = match_set(filter, field->part, below);

        if (of_part == NO)
            return NO;
        if (of_part == PRESENT)
            found = PRESENT;
    }
    return found;
}

/* In the objects of the set, taken together. */
static answer match_objects(const lsi_filter *filter, const lsi_part *part, uint32_t set)
{
    answer found = ABSENT;

    for (const lsi_filter_field *field = part->fields; field != NULL; field = field->next) {
        answer one = match_field(filter, field, set);

        if (one == NO)
            return NO;
        if (one == PRESENT)
            found = PRESENT;
    }
    for (const lsi_choice *choice = part->choices; choice != NULL; choice = choice->next) {
        answer best = NO;

        for (const lsi_alternative *one = choice->alternatives; one != NULL && best != PRESENT; one = one->next) {
            answer of_one = match_objects(filter, one->part, set);

            if (of_one > best)
                best = of_one;
        }
        if (best == NO)
            return NO;
        if (best == PRESENT)
            found = PRESENT;
    }
    return found;
}

/* Whether the part is satisfied by what is there in one of the elements. */
static bool match_an_element(const lsi_filter *filter, const lsi_part *part, uint32_t array)
{
    for (uint32_t i = value_at(filter, array)->first; i != 0; i = value_at(filter, i)->next) {
        lsi_filter_value *element = value_at(filter, i);

        element->in_set = 0;
        if (element->kind == LSI_VALUE_ARRAY && match_an_element(filter, part, i))
            return true;
        if (element->kind == LSI_VALUE_OBJECT && match_objects(filter, part, i) == PRESENT)
            return true;
    }
    return false;
}

/* F3, F5 */
static answer match_set(const lsi_filter *filter, const lsi_part *part, uint32_t set)
{
    bool has_array = false;
    answer outside;

    for (uint32_t i = set; i != 0; i = value_at(filter, i)->in_set) {
        if (value_at(filter, i)->kind != LSI_VALUE_ARRAY)
            continue;
        has_array = true;
        if (match_an_element(filter, part, i))
            return PRESENT;
    }
    outside = match_objects(filter, part, set);
    if (!has_array || outside != ABSENT)
        return outside;
    return is_absent(filter, part, set) ? ABSENT : NO;
}

bool lsi_filter_part_matches(lsi_filter *filter, const lsi_part *part)
{
    return match_set(filter, part, 1) != NO; /* The record, which is no array. */
}
