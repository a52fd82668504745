/* Puts objects into a bucket, for s3.py: the bucket and whether path style is asked for are arguments, all else is in
 * the environment. Each line of the input is a name and a size; its content is the name, again and again. For each a
 * line is printed: the status, `later` when the same may succeed later or `-`, and the message.
 *
 *     put_s3 BUCKET [path] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deliver/sink_s3.h"

static int put(lsi_sink *sink, const char *name, size_t size)
{
    char *content = malloc(size + 1);
    lsi_put_hope hope = LSI_PUT_NEVER;
    ls_status st;

    if (content == NULL)
        return 1;
    for (size_t i = 0; i < size; i++)
        content[i] = name[i % strlen(name)];
    st = sink->ops->put(sink, name, (ls_bytes){size != 0 ? content : NULL, size}, &hope);
    printf("%s %s %s\n", ls_status_name(st), hope == LSI_PUT_LATER ? "later" : "-",
           st != LS_OK ? ls_last_error_message() : "");
    fflush(stdout);
    free(content);
    return 0;
}

int main(int argc, char **argv)
{
    lsi_s3_options options = {.bucket = argc > 1 ? argv[1] : NULL, .is_path_style = argc > 2};
    lsi_sink *sink = NULL;
    char name[2048];
    lsi_env env;
    size_t size;
    int failed = 0;

    lsi_env_default(&env);
    if (lsi_sink_s3_open(&env, &options, &sink) != LS_OK) {
        printf("%s\n", ls_last_error_message());
        return 1;
    }
    while (failed == 0 && scanf("%2047s %zu", name, &size) == 2)
        failed = put(sink, name, size);
    lsi_sink_close(sink);
    return failed;
}
