/* Print the made-up table of books as CSV: the same bytes for the same seed. The program `books` uses the same rows
 * when it is given no file.
 *
 *   books_generate [--seed N] [--rows N] > books.csv */
#include "book_rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: books_generate [--seed N] [--rows N]\n"
    "\n"
    "Prints a made-up table of books as CSV: Title, Author(s), Price, Description.\n"
    "\n"
    "  --seed N   another table; the same one for the same N (default 1)\n"
    "  --rows N   this many rows (default 8786)\n"
    "  --help     this text\n";

static int number(const char *option, const char *text, uint64_t *out)
{
    char *end;

    errno = 0;
    if (text != NULL && *text >= '0' && *text <= '9') {
        *out = strtoull(text, &end, 10);
        if (errno == 0 && *end == 0)
            return 0;
    }
    (void)fprintf(stderr, "books_generate: %s wants a whole number, not '%s'\n", option, text == NULL ? "" : text);
    return -1;
}

int main(int argc, char **argv)
{
    static book_rows rows;
    static char bytes[1 << 16];
    uint64_t seed = BOOK_ROWS_SEED_DEFAULT, count = BOOK_ROWS_DEFAULT;
    ptrdiff_t got;

    for (int i = 1; i < argc; i += 2) {
        uint64_t *to = strcmp(argv[i], "--seed") == 0 ? &seed : strcmp(argv[i], "--rows") == 0 ? &count : NULL;

        if (strcmp(argv[i], "--help") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        }
        if (to == NULL) {
            (void)fprintf(stderr, "books_generate: unknown argument '%s'\n%s", argv[i], usage);
            return 2;
        }
        if (number(argv[i], i + 1 < argc ? argv[i + 1] : NULL, to) != 0)
            return 2;
    }
    book_rows_begin(&rows, seed, count);
    while ((got = book_rows_read(&rows, bytes, sizeof(bytes))) > 0)
        if (fwrite(bytes, 1, (size_t)got, stdout) != (size_t)got)
            break;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        (void)fprintf(stderr, "books_generate: cannot write: %s\n", strerror(errno));
        return 1;
    }
    return 0;
}
