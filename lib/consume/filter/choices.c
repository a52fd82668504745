/* Choices ("$or") that have to be multiplied out.
 *
 * A choice is tried where it stands, alternative by alternative; that multiplies nothing. But fields that lie under one
 * array lie in one element of it (F3), and when an alternative has an object below a path where its siblings, or
 * another choice, have one too, neither side can be matched without the other:
 *
 *     {"a": {"x": [1]}, "$or": [{"a": {"y": [2]}}, {"b": [3]}]}
 *
 * Those choices become one, whose alternatives are all combinations, each with the siblings merged into it. How many
 * there may be is bounded; few patterns have any. */
#include "consume/filter/filter.h"

#include "base/status.h"

#define COMBINATIONS_MAX 256u /* in one filter */

/* Whether the part, or an alternative in it, has an object of its own at `at`. */
static bool has_object(const lsi_part *part, const lsi_path *at)
{
    for (const lsi_filter_field *field = part->fields; field != NULL; field = field->next)
        if (field->at == at && field->part != NULL)
            return true;
    for (const lsi_choice *choice = part->choices; choice != NULL; choice = choice->next)
        for (const lsi_alternative *one = choice->alternatives; one != NULL; one = one->next)
            if (has_object(one->part, at))
                return true;
    return false;
}

/* Whether an object of `own`, or of an alternative in it, lies where `part` has one too, in what is not of `choice`. */
static bool collides(const lsi_part *own, const lsi_part *part, const lsi_choice *choice)
{
    for (const lsi_filter_field *field = own->fields; field != NULL; field = field->next) {
        if (field->part == NULL)
            continue;
        for (const lsi_filter_field *other = part->fields; other != NULL; other = other->next)
            if (other->at == field->at && other->part != NULL)
                return true;
        for (const lsi_choice *other = part->choices; other != NULL; other = other->next)
            for (const lsi_alternative *one = other->alternatives; other != choice && one != NULL; one = one->next)
                if (has_object(one->part, field->at))
                    return true;
    }
    for (const lsi_choice *inner = own->choices; inner != NULL; inner = inner->next)
        for (const lsi_alternative *one = inner->alternatives; one != NULL; one = one->next)
            if (collides(one->part, part, choice))
                return true;
    return false;
}

static bool choice_collides(const lsi_choice *choice, const lsi_part *part)
{
    for (const lsi_alternative *one = choice->alternatives; one != NULL; one = one->next)
        if (collides(one->part, part, choice))
            return true;
    return false;
}

/* ---- merging: what is merged is copied and never changed, for others have it too ---- */

static ls_status merge(lsi_filter *filter, lsi_part *into, const lsi_part *from);

static ls_status add_field(lsi_filter *filter, lsi_part *into, lsi_path *at, lsi_matchers *matchers, lsi_part *part)
{
    lsi_filter_field *field = lsi_filter_keep(filter, sizeof *field);

    if (field == NULL)
        return LS_ERR_NO_MEMORY;
    *field = (lsi_filter_field){.at = at, .matchers = matchers, .part = part, .next = into->fields};
    into->fields = field;
    return LS_OK;
}

/* Objects at one path become one. */
static ls_status add_object(lsi_filter *filter, lsi_part *into, lsi_path *at, lsi_part *part)
{
    for (lsi_filter_field *field = into->fields; field != NULL; field = field->next) {
        lsi_part *both;
        ls_status st;

        if (field->at != at || field->part == NULL)
            continue;
        both = lsi_filter_keep(filter, sizeof *both);
        if (both == NULL)
            return LS_ERR_NO_MEMORY;
        st = merge(filter, both, field->part);
        field->part = both;
        return st == LS_OK ? merge(filter, both, part) : st;
    }
    return add_field(filter, into, at, NULL, part);
}

static ls_status add_choice(lsi_filter *filter, lsi_part *into, lsi_alternative *alternatives)
{
    lsi_choice *choice = lsi_filter_keep(filter, sizeof *choice);

    if (choice == NULL)
        return LS_ERR_NO_MEMORY;
    *choice = (lsi_choice){.alternatives = alternatives, .next = into->choices};
    into->choices = choice;
    return LS_OK;
}

static ls_status merge(lsi_filter *filter, lsi_part *into, const lsi_part *from)
{
    ls_status st = LS_OK;

    for (const lsi_filter_field *field = from->fields; st == LS_OK && field != NULL; field = field->next) {
        if (field->matchers != NULL) /* Two lists of one path stand side by side: both must match. */
            st = add_field(filter, into, field->at, field->matchers, NULL);
        if (st == LS_OK && field->part != NULL)
            st = add_object(filter, into, field->at, field->part);
    }
    for (const lsi_choice *choice = from->choices; st == LS_OK && choice != NULL; choice = choice->next)
        st = add_choice(filter, into, choice->alternatives);
    return st;
}

/* ---- multiplying ---- */

/* `merged` and one alternative of each choice from `choice` on: appended to `out`, each combination once. Recurses as
 * deep as there are choices, of which each doubles what is bounded. */
static ls_status multiply(lsi_filter *filter, const lsi_part *merged, const lsi_choice *choice, lsi_alternative **out)
{
    if (choice == NULL) {
        lsi_alternative *made = lsi_filter_keep(filter, sizeof *made);

        if (++filter->combination_count > COMBINATIONS_MAX)
            return lsi_filter_refuse("more than %u combinations of " LSI_FILTER_OR " over the same fields",
                                     COMBINATIONS_MAX);
        if (made != NULL)
            made->part = lsi_filter_keep(filter, sizeof *made->part);
        if (made == NULL || made->part == NULL)
            return LS_ERR_NO_MEMORY;
        made->next = *out;
        *out = made;
        return merge(filter, made->part, merged);
    }
    for (const lsi_alternative *one = choice->alternatives; one != NULL; one = one->next) {
        lsi_part *both = lsi_filter_keep(filter, sizeof *both);
        ls_status st = both == NULL ? LS_ERR_NO_MEMORY : merge(filter, both, merged);

        if (st == LS_OK)
            st = merge(filter, both, one->part);
        if (st == LS_OK)
            st = multiply(filter, both, choice->next, out);
        if (st != LS_OK)
            return st;
    }
    return LS_OK;
}

/* Makes one choice of those that collide, and of all the part's fields. */
static ls_status multiply_out(lsi_filter *filter, lsi_part *part)
{
    lsi_choice *apart = NULL, *colliding = NULL, **end = &apart;
    lsi_alternative *combinations = NULL;
    lsi_part fields = {.fields = part->fields};
    ls_status st;

    for (const lsi_choice *choice = part->choices; choice != NULL; choice = choice->next) {
        lsi_choice *copy = lsi_filter_keep(filter, sizeof *copy);

        if (copy == NULL)
            return LS_ERR_NO_MEMORY;
        copy->alternatives = choice->alternatives;
        if (choice_collides(choice, part)) {
            copy->next = colliding;
            colliding = copy;
        } else {
            *end = copy;
            end = &copy->next;
        }
    }
    if (colliding == NULL)
        return LS_OK;
    st = multiply(filter, &fields, colliding, &combinations);
    if (st != LS_OK)
        return st;
    part->fields = NULL;
    part->choices = apart;
    return add_choice(filter, part, combinations);
}

/* Recurses as deep as paths and choices are. */
ls_status lsi_choices_resolve(lsi_filter *filter, lsi_part *part)
{
    ls_status st;

    if (part->is_resolved) /* as one that several combinations have */
        return LS_OK;
    part->is_resolved = true;
    st = multiply_out(filter, part);
    for (lsi_filter_field *field = part->fields; st == LS_OK && field != NULL; field = field->next)
        if (field->part != NULL)
            st = lsi_choices_resolve(filter, field->part);
    for (lsi_choice *choice = part->choices; choice != NULL; choice = choice->next)
        for (lsi_alternative *one = choice->alternatives; st == LS_OK && one != NULL; one = one->next)
            st = lsi_choices_resolve(filter, one->part);
    return st;
}
