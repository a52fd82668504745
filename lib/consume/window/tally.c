/* The fold of numbers. Neumaier's sum carries what each addition rounds off; plain addition would show in its last
 * digits in which order shards were read. */
#include "consume/window/window.h"

#include <math.h>

static void tally_init(void *user, void *sum)
{
    (void)user; /* The fold has no settings. */
    *(lsi_tally *)sum = (lsi_tally){.least = INFINITY, .greatest = -INFINITY};
}

static void add_number(lsi_tally *tally, double number)
{
    double sum = tally->sum + number;

    if (fabs(tally->sum) >= fabs(number))
        tally->compensation += (tally->sum - sum) + number;
    else
        tally->compensation += (number - sum) + tally->sum;
    tally->sum = sum;
}

static void tally_add(void *user, void *sum, const void *element)
{
    lsi_tally *tally = sum;
    double number = *(const double *)element;

    (void)user;
    add_number(tally, number);
    tally->count++;
    tally->least = number < tally->least ? number : tally->least;
    tally->greatest = number > tally->greatest ? number : tally->greatest;
}

static void tally_merge(void *user, void *sum, const void *other)
{
    lsi_tally *tally = sum;
    const lsi_tally *from = other;

    (void)user;
    add_number(tally, from->sum);
    tally->compensation += from->compensation;
    tally->count += from->count;
    tally->least = from->least < tally->least ? from->least : tally->least;
    tally->greatest = from->greatest > tally->greatest ? from->greatest : tally->greatest;
}

const lsi_windows_fold lsi_tally_fold = {sizeof(lsi_tally), tally_init, tally_add, tally_merge, NULL};

double lsi_tally_sum(const lsi_tally *tally)
{
    double sum = tally->sum + tally->compensation;

    return isfinite(tally->sum) && isfinite(sum) ? sum : tally->sum; /* Infinities have no rest to carry. */
}
