/* Paths of directories that are kept in the store: whoever runs a delivery later may be somewhere else. */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *lsi_path_absolute(const char *path)
{
    char *here, *made = NULL;
    size_t size;

    if (path[0] == '/')
        return strdup(path);
    here = getcwd(NULL, 0);
    if (here == NULL)
        return NULL;
    size = strlen(here) + strlen(path) + sizeof "/";
    made = malloc(size);
    if (made != NULL)
        (void)snprintf(made, size, "%s%s%s", here, here[1] != '\0' ? "/" : "", path);
    else
        errno = ENOMEM;
    free(here);
    return made;
}
