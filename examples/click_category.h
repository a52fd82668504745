/* What the seed's transform makes of a click: {"user_id", "item_id", "category", "price"}, the category by the item's
 * number. Its rules are those of the Python that the seed runs: numbers in strings count, fractions are cut off, true
 * is 1; no number at all is `Other`. */
#ifndef EXAMPLES_CLICK_CATEGORY_H
#define EXAMPLES_CLICK_CATEGORY_H

#include "flat_json.h"

typedef enum click_category {
    CLICK_OTHER, CLICK_CLOTHING, CLICK_INSTRUMENTS, CLICK_ELECTRONICS, CLICK_BOOKS, CLICK_CATEGORIES
} click_category;
extern const char *const click_category_names[CLICK_CATEGORIES];

/* Working memory, zero at first, kept between clicks. */
typedef struct click_transform {
    flat_json scratch, user_id, item_id, price;
    flat_json out;           /* what a click has become; not what Python calls NaN: that is null here */
    click_category category;
    const char *drop;        /* The rule, which the seed has not: a click of this action is dropped. NULL: none is. */
    bool is_dropped;         /* of the last click */
} click_transform;

/* NULL: it is in `out`, perhaps to be dropped. Else why it has failed. */
const char *click_transform_event(click_transform *transform, const char *event, size_t size);
void click_transform_free(click_transform *transform);

#endif
