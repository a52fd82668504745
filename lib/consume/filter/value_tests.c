/* Lists of matchers: compiled from a pattern's JSON, and a leaf held against them.
 *
 * Literals are sorted, so that a long list of them costs a search. Numbers are compared as doubles where the text is
 * what the shortest print of its double says; others, which have too many digits for that, by their text alone. */
#include "consume/filter/filter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fold.h"
#include "base/number.h"
#include "base/status.h"

#define IGNORE_CASE "equals-ignore-case"

static bool is(ls_bytes text, const char *word)
{
    return text.size == strlen(word) && memcmp(text.data, word, text.size) == 0;
}

static int compare_bytes(const void *a, const void *b)
{
    const ls_bytes *first = a, *second = b;

    if (first->size != second->size)
        return first->size < second->size ? -1 : 1;
    return first->size == 0 ? 0 : memcmp(first->data, second->data, first->size);
}

static int compare_doubles(const void *a, const void *b)
{
    double first = *(const double *)a, second = *(const double *)b;

    return (first > second) - (first < second);
}

/* ---- compiling ---- */

static ls_status only_one_key(void)
{
    return lsi_filter_refuse("Only one key allowed in match expression");
}

/* The finite double of a number. */
static bool is_numeric(const lsi_filter_node *node, double *out)
{
    if (node == NULL || node->kind != LSI_JSON_NUMBER)
        return false;
    (void)lsi_number_read(node->text.data, node->text.size, out);
    return isfinite(*out);
}

/* [op, n] or [op, n, op, n] */
static ls_status compile_numeric(const lsi_filter_node *array, lsi_test *out)
{
    const lsi_filter_node *at = array->first;
    ls_bytes op;

    if (array->kind != LSI_JSON_ARRAY_OPEN)
        return lsi_filter_refuse("Value of numeric must be an array.");
    if (at == NULL || at->kind != LSI_JSON_STRING)
        return lsi_filter_refuse("Invalid member in numeric match: %s", at == NULL ? "]" : (const char *)at->text.data);
    op = at->text;
    at = at->next;
    *out = (lsi_test){.kind = LSI_TEST_NUMERIC, .low = -INFINITY, .high = INFINITY, .is_low_in = true,
        .is_high_in = true};
    if (is(op, "=") || is(op, "<") || is(op, "<=")) {
        if (!is_numeric(at, &out->high))
            return lsi_filter_refuse("Value of %s must be numeric", is(op, "=") ? "equals" : (const char *)op.data);
        if (at->next != NULL)
            return lsi_filter_refuse("Too many elements in numeric expression");
        if (is(op, "="))
            out->low = out->high;
        out->is_high_in = !is(op, "<");
        return LS_OK;
    }
    if (!is(op, ">") && !is(op, ">="))
        return lsi_filter_refuse("Unrecognized numeric range operator: %s", (const char *)op.data);
    if (!is_numeric(at, &out->low))
        return lsi_filter_refuse("Value of %s must be numeric", (const char *)op.data);
    out->is_low_in = is(op, ">=");
    at = at->next;
    if (at == NULL)
        return LS_OK;
    if (at->kind != LSI_JSON_STRING)
        return lsi_filter_refuse("Bad value in numeric range: %s", (const char *)at->text.data);
    op = at->text;
    if (!is(op, "<") && !is(op, "<="))
        return lsi_filter_refuse("Bad numeric range operator: %s", (const char *)op.data);
    if (!is_numeric(at->next, &out->high))
        return lsi_filter_refuse("Value of %s must be numeric", (const char *)op.data);
    out->is_high_in = is(op, "<=");
    if (at->next->next != NULL)
        return lsi_filter_refuse("Too many terms in numeric range expression");
    return out->low < out->high ? LS_OK : lsi_filter_refuse("Bottom must be less than top");
}

/* Cuts the text at its stars, undoing escapes on the way. Positions are the service's, which counts the quote before.
 * */
static ls_status compile_wildcard(lsi_filter *filter, ls_bytes text, lsi_test *out)
{
    const char *from = text.data;
    size_t star_count = 0, piece = 0, size = 0;
    char *plain;

    for (size_t i = 0; i < text.size; i++) {
        if (from[i] == '*' && i + 1 < text.size && from[i + 1] == '*')
            return lsi_filter_refuse("Consecutive wildcard characters at pos %zu", i + 1);
        if (from[i] == '\\' && (i + 1 == text.size || (from[i + 1] != '*' && from[i + 1] != '\\')))
            return lsi_filter_refuse("Invalid escape character at pos %zu", i + 1);
        i += from[i] == '\\';
        star_count += from[i] == '*';
    }
    plain = lsi_filter_keep(filter, text.size);
    out->pieces = lsi_filter_keep(filter, (star_count + 1) * sizeof *out->pieces); /* escaped stars are counted too */
    if (plain == NULL || out->pieces == NULL)
        return LS_ERR_NO_MEMORY;
    out->kind = LSI_TEST_WILDCARD;
    for (size_t i = 0; i < text.size; i++) {
        if (from[i] == '*') {
            out->pieces[piece++] = (ls_bytes){plain, size};
            plain += size;
            size = 0;
            continue;
        }
        i += from[i] == '\\';
        plain[size++] = from[i];
    }
    out->pieces[piece++] = (ls_bytes){plain, size};
    out->piece_count = piece;
    return LS_OK;
}

/* A string for one of the operators that take one. */
static ls_status compile_text(lsi_filter *filter, ls_bytes op, ls_bytes text, lsi_test *out)
{
    if (is(op, "wildcard"))
        return compile_wildcard(filter, text, out);
    out->text = text;
    out->kind = is(op, "prefix") ? LSI_TEST_PREFIX : is(op, "suffix") ? LSI_TEST_SUFFIX : LSI_TEST_FOLDED;
    return LS_OK;
}

/* prefix, suffix, equals-ignore-case, wildcard; the first two also take {"equals-ignore-case": text}. */
static ls_status compile_string(lsi_filter *filter, const lsi_filter_node *member, lsi_test *out)
{
    const lsi_filter_node *inner = member->kind == LSI_JSON_OBJECT_OPEN ? member->first : NULL;
    bool is_prefix = is(member->key, "prefix");

    if (member->kind == LSI_JSON_STRING)
        return compile_text(filter, member->key, member->text, out);
    if ((is_prefix || is(member->key, "suffix")) && inner != NULL && is(inner->key, IGNORE_CASE) &&
        inner->kind == LSI_JSON_STRING) {
        out->text = inner->text;
        out->kind = is_prefix ? LSI_TEST_FOLDED_PREFIX : LSI_TEST_FOLDED_SUFFIX;
        return inner->next == NULL ? LS_OK : only_one_key();
    }
    if (member->kind == LSI_JSON_OBJECT_OPEN && inner == NULL)
        return lsi_filter_refuse("Empty objects are not allowed");
    return lsi_filter_refuse("%s match pattern must be a string", (const char *)member->key.data);
}

static ls_status make_matchers(lsi_filter *filter, const lsi_filter_node *array, lsi_matchers **out)
{
    lsi_matchers *made = lsi_filter_keep(filter, sizeof *made);
    size_t count = 1;

    for (const lsi_filter_node *one = array->first; one != NULL; one = one->next)
        count++;
    if (made != NULL) {
        made->strings = lsi_filter_keep(filter, count * sizeof *made->strings);
        made->numbers = lsi_filter_keep(filter, count * sizeof *made->numbers);
        made->texts = lsi_filter_keep(filter, count * sizeof *made->texts);
        made->tests = lsi_filter_keep(filter, count * sizeof *made->tests);
    }
    if (made == NULL || made->strings == NULL || made->numbers == NULL || made->texts == NULL || made->tests == NULL)
        return LS_ERR_NO_MEMORY;
    *out = made;
    return LS_OK;
}

/* A string or number. */
static ls_status add_literal(lsi_matchers *to, const lsi_filter_node *node)
{
    double number;

    if (node->kind == LSI_JSON_STRING)
        to->strings[to->string_count++] = node->text;
    else if (lsi_number_read(node->text.data, node->text.size, &number))
        to->numbers[to->number_count++] = number;
    else if (isfinite(number))
        to->texts[to->text_count++] = node->text;
    else
        return lsi_filter_refuse("Match value must be a finite double, and %s is none", (const char *)node->text.data);
    return LS_OK;
}

static void sort_literals(lsi_matchers *matchers)
{
    qsort(matchers->strings, matchers->string_count, sizeof *matchers->strings, compare_bytes);
    qsort(matchers->numbers, matchers->number_count, sizeof *matchers->numbers, compare_doubles);
    qsort(matchers->texts, matchers->text_count, sizeof *matchers->texts, compare_bytes);
}

/* anything-but of an operator and a string, or several. */
static ls_status compile_but_operator(lsi_filter *filter, const lsi_filter_node *member, lsi_matchers *to)
{
    const char *op = member->key.data;
    bool is_end = is(member->key, "prefix") || is(member->key, "suffix");
    const lsi_filter_node *one = member->kind == LSI_JSON_ARRAY_OPEN ? member->first : member;

    if (!is_end && !is(member->key, IGNORE_CASE) && !is(member->key, "wildcard"))
        return lsi_filter_refuse("Unsupported anything-but pattern: %s", op);
    if (member->kind != LSI_JSON_ARRAY_OPEN && member->kind != LSI_JSON_STRING)
        return lsi_filter_refuse("Value of %s must be an array or single string value.", op);
    if (one == NULL)
        return lsi_filter_refuse("Empty arrays are not allowed");
    for (; one != NULL; one = one->next) {
        ls_status st;

        if (one->kind != LSI_JSON_STRING)
            return lsi_filter_refuse("Inside anything-but %s list, only strings are supported.", op);
        if (is_end && one->text.size == 0)
            return lsi_filter_refuse("Null prefix/suffix not allowed");
        st = compile_text(filter, member->key, one->text, &to->tests[to->test_count]);
        if (st != LS_OK)
            return st;
        to->test_count++;
        if (one == member)
            break; /* A single one: what follows it are other keys. */
    }
    return member->next == NULL ? LS_OK : only_one_key();
}

static ls_status compile_but_list(const lsi_filter_node *array, lsi_matchers *to)
{
    bool has_string = false, has_number = false;
    ls_status st;

    for (const lsi_filter_node *one = array->first; one != NULL; one = one->next) {
        if (one->kind != LSI_JSON_STRING && one->kind != LSI_JSON_NUMBER)
            return lsi_filter_refuse("Inside anything but list, start|null|boolean is not supported.");
        has_string = has_string || one->kind == LSI_JSON_STRING;
        has_number = has_number || one->kind == LSI_JSON_NUMBER;
        st = add_literal(to, one);
        if (st != LS_OK)
            return st;
    }
    return has_string != has_number
               ? LS_OK
               : lsi_filter_refuse("Inside anything but list, either all values are number or string, mixed type is "
                                   "not supported");
}

static ls_status compile_anything_but(lsi_filter *filter, const lsi_filter_node *node, lsi_test *out)
{
    const lsi_filter_node *sized = node; /* has as many elements as there can be matchers */
    ls_status st;

    if (node->kind == LSI_JSON_OBJECT_OPEN && node->first == NULL)
        return lsi_filter_refuse("Empty objects are not allowed");
    if (node->kind == LSI_JSON_OBJECT_OPEN && node->first->kind == LSI_JSON_ARRAY_OPEN)
        sized = node->first;
    st = make_matchers(filter, sized, &out->but);
    if (st != LS_OK)
        return st;
    out->kind = LSI_TEST_ANYTHING_BUT;
    if (node->kind == LSI_JSON_OBJECT_OPEN)
        st = compile_but_operator(filter, node->first, out->but);
    else if (node->kind == LSI_JSON_ARRAY_OPEN)
        st = compile_but_list(node, out->but);
    else if (node->kind == LSI_JSON_STRING || node->kind == LSI_JSON_NUMBER)
        st = add_literal(out->but, node);
    else
        return lsi_filter_refuse("Value of anything-but must be an array or single string/number value.");
    sort_literals(out->but);
    return st;
}

static ls_status compile_cidr(const lsi_filter_node *node, lsi_test *out)
{
    if (node->kind != LSI_JSON_STRING)
        return lsi_filter_refuse("cidr match pattern must be a string");
    out->kind = LSI_TEST_CIDR;
    if (!lsi_address_block_parse(node->text.data, node->text.size, &out->block, &out->bits))
        return lsi_filter_refuse("Malformed CIDR: %s", (const char *)node->text.data);
    return LS_OK;
}

/* {operator: argument} */
static ls_status compile_operator(lsi_filter *filter, const lsi_filter_node *object, lsi_matchers *to)
{
    const lsi_filter_node *member = object->first;
    lsi_test *test = &to->tests[to->test_count];
    ls_status st;

    if (member == NULL)
        return lsi_filter_refuse("Empty objects are not allowed");
    if (is(member->key, "exists")) {
        if (member->kind != LSI_JSON_BOOL)
            return lsi_filter_refuse("exists match pattern must be either true or false.");
        if (is(member->text, "true"))
            to->exists = true;
        else
            to->absent = true;
        return member->next == NULL ? LS_OK : only_one_key();
    }
    if (is(member->key, "prefix") || is(member->key, "suffix") || is(member->key, IGNORE_CASE) ||
        is(member->key, "wildcard"))
        st = compile_string(filter, member, test);
    else if (is(member->key, "anything-but"))
        st = compile_anything_but(filter, member, test);
    else if (is(member->key, "numeric"))
        st = compile_numeric(member, test);
    else if (is(member->key, "cidr"))
        st = compile_cidr(member, test);
    else
        st = lsi_filter_refuse("Unrecognized match type %s", (const char *)member->key.data);
    if (st == LS_OK && member->next != NULL)
        st = only_one_key();
    to->test_count++;
    return st;
}

ls_status lsi_matchers_compile(lsi_filter *filter, const lsi_filter_node *array, lsi_matchers **out)
{
    lsi_matchers *made;
    ls_status st;

    if (array->first == NULL)
        return lsi_filter_refuse("Empty arrays are not allowed");
    st = make_matchers(filter, array, &made);
    for (const lsi_filter_node *one = array->first; st == LS_OK && one != NULL; one = one->next) {
        if (one->kind == LSI_JSON_OBJECT_OPEN)
            st = compile_operator(filter, one, made);
        else if (one->kind == LSI_JSON_ARRAY_OPEN)
            st = lsi_filter_refuse("Match value must be String, number, true, false, or null");
        else if (one->kind == LSI_JSON_NULL)
            made->is_null = true;
        else if (one->kind == LSI_JSON_BOOL && is(one->text, "true"))
            made->is_true = true;
        else if (one->kind == LSI_JSON_BOOL)
            made->is_false = true;
        else
            st = add_literal(made, one);
    }
    if (st != LS_OK)
        return st;
    sort_literals(made);
    *out = made;
    return LS_OK;
}

/* ---- matching ---- */

/* Linear: the first place of each piece behind the one before is as good as any later one. */
static bool wildcard_matches(const lsi_test *test, ls_bytes text)
{
    const char *at = text.data, *end = at + text.size;
    const ls_bytes *first = &test->pieces[0], *last = &test->pieces[test->piece_count - 1];

    if (test->piece_count == 1)
        return compare_bytes(first, &text) == 0;
    if (text.size < first->size || text.size - first->size < last->size || memcmp(at, first->data, first->size) != 0 ||
        memcmp(end - last->size, last->data, last->size) != 0)
        return false;
    at += first->size;
    end -= last->size;
    for (const ls_bytes *piece = first + 1; piece < last; piece++) {
        const char *found = memmem(at, (size_t)(end - at), piece->data, piece->size);

        if (found == NULL)
            return false;
        at = found + piece->size;
    }
    return true;
}

static bool string_passes(const lsi_test *test, ls_bytes text)
{
    const char *own = test->text.data, *at = text.data;
    size_t size = test->text.size;
    lsi_address address;

    switch (test->kind) {
    case LSI_TEST_PREFIX: return text.size >= size && memcmp(at, own, size) == 0;
    case LSI_TEST_SUFFIX: return text.size >= size && memcmp(at + text.size - size, own, size) == 0;
    case LSI_TEST_FOLDED: return lsi_fold_equal(at, text.size, own, size);
    case LSI_TEST_FOLDED_PREFIX: return lsi_fold_starts(at, text.size, own, size);
    case LSI_TEST_FOLDED_SUFFIX: return lsi_fold_ends(at, text.size, own, size);
    case LSI_TEST_WILDCARD: return wildcard_matches(test, text);
    case LSI_TEST_CIDR:
        return lsi_address_parse(at, text.size, &address) && lsi_address_is_in(&address, &test->block, test->bits);
    default: return false; /* NUMERIC: no string is a number. */
    }
}

static bool number_passes(const lsi_test *test, double number)
{
    return test->kind == LSI_TEST_NUMERIC && (number > test->low || (test->is_low_in && number == test->low)) &&
           (number < test->high || (test->is_high_in && number == test->high));
}

bool lsi_matchers_match(const lsi_matchers *matchers, const lsi_filter_value *leaf)
{
    const ls_bytes text = {leaf->text, leaf->text_size};
    bool is_kept = false, found = matchers->exists;
    double number = 0;

    switch (leaf->kind) {
    case LSI_VALUE_NULL: found = found || matchers->is_null; break;
    case LSI_VALUE_TRUE: found = found || matchers->is_true; break;
    case LSI_VALUE_FALSE: found = found || matchers->is_false; break;
    case LSI_VALUE_STRING:
        found = found || (matchers->string_count != 0 && bsearch(&text, matchers->strings, matchers->string_count,
                                                                 sizeof text, compare_bytes) != NULL);
        break;
    default: /* NUMBER: nothing else is a leaf */
        is_kept = lsi_number_read(leaf->text, leaf->text_size, &number);
        if (is_kept)
            found = found || (matchers->number_count != 0 && bsearch(&number, matchers->numbers, matchers->number_count,
                                                                     sizeof number, compare_doubles) != NULL);
        else
            found = found || (matchers->text_count != 0 && bsearch(&text, matchers->texts, matchers->text_count,
                                                                   sizeof text, compare_bytes) != NULL);
    }
    for (size_t i = 0; !found && i < matchers->test_count; i++) {
        const lsi_test *test = &matchers->tests[i];

        if (test->kind == LSI_TEST_ANYTHING_BUT)
            found = !lsi_matchers_match(test->but, leaf); /* Once: there is no anything-but inside of one. */
        else if (leaf->kind == LSI_VALUE_STRING)
            found = string_passes(test, text);
        else if (is_kept)
            found = number_passes(test, number);
    }
    return found;
}
