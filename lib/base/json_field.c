/* Of a field it is known how many of the objects that are open lie on the way to it: that is all that must be kept. */
#include "base/json_field.h"

#include <string.h>

#include "base/status.h"

int32_t lsi_json_field_init(const lsi_memory *memory, lsi_json_field *field, const char *path)
{
    size_t size;

    *field = (lsi_json_field){.path = NULL};
    if (path == NULL)
        return LS_OK;
    size = strlen(path);
    field->path = lsi_strdup(memory, path);
    field->parts = lsi_alloc(memory, (size + 1) * sizeof *field->parts); /* more than there are */
    if (field->path == NULL || field->parts == NULL)
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for a field of %zu bytes", size);
    for (const char *at = field->path, *end; at != NULL; at = end == NULL ? NULL : end + 1) {
        end = strchr(at, '.');
        field->parts[field->part_count++] = (ls_bytes){at, end == NULL ? strlen(at) : (size_t)(end - at)};
    }
    return LS_OK;
}

void lsi_json_field_free(const lsi_memory *memory, lsi_json_field *field)
{
    lsi_free(memory, field->path);
    lsi_free(memory, field->parts);
    *field = (lsi_json_field){.path = NULL};
}

/* Members of the outermost object have depth 1. */
bool lsi_json_field_is(lsi_json_field *field, lsi_json_kind kind, const char *text, size_t size, unsigned depth)
{
    if (field->part_count == 0 || depth == 0 || kind == LSI_JSON_OBJECT_CLOSE || kind == LSI_JSON_ARRAY_CLOSE)
        return false;
    if (kind != LSI_JSON_KEY)
        return depth == field->part_count && field->level == depth;
    if (field->level >= depth - 1) { /* The objects around it are on the way. */
        bool is_on = depth <= field->part_count && field->parts[depth - 1].size == size &&
                     memcmp(field->parts[depth - 1].data, text, size) == 0;

        field->level = depth - 1 + (is_on ? 1 : 0);
    }
    return false;
}
