/* Commands that do several things: `lstream COMMAND ACT STREAM [NAME]`. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

int lsi_take_act(const lsi_call *call, const char *const *acts, const char *noun, int *out)
{
    const char *word = call->arguments[0], *meant;
    char all[128];
    size_t size = 0;
    int act = 0;

    while (acts[act] != NULL && strcmp(word, acts[act]) != 0)
        act++;
    if (acts[act] == NULL) {
        for (int i = 0; acts[i] != NULL && size < sizeof(all); i++) /* fits: a few words */
            size += (size_t)snprintf(all + size, sizeof(all) - size, "%s%s", i > 0 ? ", " : "", acts[i]);
        meant = lsi_did_you_mean(word, acts);
        return lsi_usage(call, "'%s' is none of %s%s%s%s", word, all, meant != NULL ? "; did you mean '" : "",
                         meant != NULL ? meant : "", meant != NULL ? "'?" : "");
    }
    if (act != 0 && call->argument_count < 3)
        return lsi_usage(call, "%s which %s?", word, noun);
    if (act == 0 && call->argument_count > 2)
        return lsi_usage(call, "%s takes no name", word);
    *out = act;
    return LSI_EXIT_OK;
}
