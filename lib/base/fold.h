/* Comparing text without regard to case, as Unicode folds it: one code point for one (CaseFolding.txt, C and S). */
#ifndef LSI_BASE_FOLD_H
#define LSI_BASE_FOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint32_t lsi_fold(uint32_t code_point);

/* All texts are valid UTF-8. */
bool lsi_fold_equal(const char *a, size_t a_size, const char *b, size_t b_size);
bool lsi_fold_starts(const char *text, size_t size, const char *start, size_t start_size);
bool lsi_fold_ends(const char *text, size_t size, const char *end, size_t end_size);

#endif
