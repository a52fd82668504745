/* An object while it is collected: its bytes, and which records they are of. */
#include "deliver/inside.h"

#include <string.h>

#include "base/hash.h"

ls_status lsi_buffer_new(const lsi_memory *memory, ls_delivery_kind kind, const char *target, const char *prefix,
                         lsi_buffer **out)
{
    lsi_buffer *buffer = lsi_alloc_zero(memory, sizeof *buffer);

    if (buffer != NULL) {
        buffer->memory = memory;
        buffer->kind = kind;
        buffer->target = lsi_strdup(memory, target);
        buffer->prefix = lsi_strdup(memory, prefix);
    }
    if (buffer == NULL || buffer->target == NULL || buffer->prefix == NULL) {
        lsi_buffer_free(buffer);
        return lsi_fail(LS_ERR_NO_MEMORY, "no memory for an object");
    }
    buffer->target_sum = lsi_buffer_target_sum(kind, target);
    *out = buffer;
    return LS_OK;
}

void lsi_buffer_free(lsi_buffer *buffer)
{
    const lsi_memory *memory;

    if (buffer == NULL)
        return;
    memory = buffer->memory;
    lsi_free(memory, buffer->target);
    lsi_free(memory, buffer->prefix);
    lsi_free(memory, buffer->name);
    lsi_free(memory, buffer->bytes);
    lsi_free(memory, buffer->ordinals);
    lsi_free(memory, buffer);
}

uint64_t lsi_buffer_target_sum(ls_delivery_kind kind, const char *target)
{
    return lsi_sum64(target, strlen(target), (uint64_t)kind);
}

bool lsi_buffer_grow(lsi_buffer *buffer, size_t size)
{
    return size <= buffer->capacity - buffer->size ||
        (size < SIZE_MAX / 4 && lsi_grow(buffer->memory, (void **)&buffer->bytes, &buffer->capacity,
                                         buffer->size + size, 1));
}

ls_status lsi_buffer_reserve(lsi_buffer *buffer, size_t size)
{
    return lsi_buffer_grow(buffer, size)
               ? LS_OK
               : lsi_fail(LS_ERR_NO_MEMORY, "no memory for an object of %zu bytes", buffer->size + size);
}

bool lsi_buffer_note(lsi_buffer *buffer, uint64_t ordinal, ls_seqno seqno)
{
    lsi_ordinals *last = buffer->ordinal_count == 0 ? NULL : &buffer->ordinals[buffer->ordinal_count - 1];

    if (last != NULL && last->to == ordinal) {
        last->to++;
    } else {
        if (!lsi_grow(buffer->memory, (void **)&buffer->ordinals, &buffer->ordinal_capacity, buffer->ordinal_count + 1,
                      sizeof *buffer->ordinals))
            return false;
        buffer->ordinals[buffer->ordinal_count++] = (lsi_ordinals){ordinal, ordinal + 1};
    }
    if (buffer->record_count++ == 0) {
        buffer->first_seqno = seqno;
        buffer->first_ordinal = ordinal;
    }
    buffer->last_seqno = seqno;
    return true;
}
