/* Bodies as the records are in them: opened, then decompressed, into memory of one's own.
 *
 * Views of a batch are of several frames, so what was unpacked does not move while they are shown: pages are filled one
 * after another, and begun anew when the caller asks for the next batch. What a body says of its size is checked before
 * a byte is allocated for it (X2). */
#include "storage/numbered.h"
#include "storage/seal.h"

#include <string.h>

#include "base/bytes.h"
#include "base/status.h"

#define CLEAR_PAGE_BYTES ((size_t)256 << 10)
#define BODY_BYTES_MAX (LSI_FRAME_BYTES_MAX - LSI_FRAME_HEADER_BYTES)

void lsi_unpacker_begin(lsi_unpacker *unpacker, const lsi_log_config *config)
{
    *unpacker = (lsi_unpacker){.config = config};
}

void lsi_unpacker_end(lsi_unpacker *unpacker)
{
    const lsi_memory *memory = &unpacker->config->env->memory;

    for (size_t i = 0; i < unpacker->page_count; i++)
        lsi_free(memory, unpacker->pages[i].bytes);
    lsi_free(memory, unpacker->pages);
    lsi_free(memory, unpacker->scratch.bytes);
    lsi_free(memory, unpacker->bound.bytes);
    lsi_cipher_close(unpacker->cipher);
    lsi_decompressor_free(unpacker->decompressor);
}

void lsi_unpacker_reuse(lsi_unpacker *unpacker, bool keep_last)
{
    if (!keep_last) {
        unpacker->filled = 0;
    } else if (unpacker->page != 0) {
        lsi_clear_page last = unpacker->pages[unpacker->page];
        unpacker->pages[unpacker->page] = unpacker->pages[0];
        unpacker->pages[0] = last;
    }
    unpacker->page = 0;
}

static ls_status no_memory(const lsi_unpacker *unpacker, size_t size)
{
    return lsi_fail(LS_ERR_NO_MEMORY, "%s: %zu bytes to unpack into: no memory", unpacker->config->label, size);
}

static ls_status make_capacity(lsi_unpacker *unpacker, lsi_clear_page *page, size_t size)
{
    const lsi_memory *memory = &unpacker->config->env->memory;

    if (page->capacity >= size)
        return LS_OK;
    lsi_free(memory, page->bytes);
    *page = (lsi_clear_page){lsi_alloc(memory, size), size};
    if (page->bytes != NULL)
        return LS_OK;
    page->capacity = 0;
    return no_memory(unpacker, size);
}

/* `size` bytes, a multiple of 8, that stay where they are, with the room of a frame's header before them. */
static ls_status make_place(lsi_unpacker *unpacker, size_t size, unsigned char **out)
{
    size += LSI_FRAME_HEADER_BYTES;
    for (;; unpacker->page++, unpacker->filled = 0) {
        if (unpacker->page == unpacker->page_count) {
            void *pages = unpacker->pages;
            if (!lsi_grow(&unpacker->config->env->memory, &pages, &unpacker->page_capacity, unpacker->page_count + 1,
                          sizeof *unpacker->pages))
                return no_memory(unpacker, size);
            unpacker->pages = pages;
            unpacker->pages[unpacker->page_count++] = (lsi_clear_page){NULL, 0};
        }
        lsi_clear_page *page = &unpacker->pages[unpacker->page];
        if (unpacker->filled == 0) {
            ls_status st = make_capacity(unpacker, page, size > CLEAR_PAGE_BYTES ? size : CLEAR_PAGE_BYTES);
            if (st != LS_OK)
                return st;
        }
        if (page->capacity - unpacker->filled >= size) {
            *out = page->bytes + unpacker->filled + LSI_FRAME_HEADER_BYTES;
            unpacker->filled += size;
            return LS_OK;
        }
    }
}

/* F5: the body, opened. */
static ls_status unseal(lsi_unpacker *unpacker, lsi_segment *segment, const unsigned char *at, const lsi_frame *frame,
                        uint32_t tail_bytes, unsigned char **body, bool *is_right)
{
    unsigned char room[LSI_SEAL_BOUND_BYTES], *bound = room;

    uint32_t size = frame->bytes - LSI_FRAME_HEADER_BYTES - LSI_SEAL_BYTES;
    ls_status st = lsi_segment_find_key(unpacker->config, segment, true);

    if (st == LS_OK && unpacker->cipher == NULL)
        st = lsi_cipher_open(&unpacker->config->env->memory, &unpacker->cipher);
    if (st == LS_OK && frame->codec == LSI_CODEC_PLAIN) {
        st = make_place(unpacker, size, body);
    } else if (st == LS_OK) {
        st = make_capacity(unpacker, &unpacker->scratch, size);
        *body = unpacker->scratch.bytes;
    }
    if (st == LS_OK && tail_bytes != 0) {
        st = make_capacity(unpacker, &unpacker->bound, tail_bytes + (size_t)LSI_SEAL_BOUND_BYTES);
        bound = unpacker->bound.bytes;
    }
    return st == LS_OK
               ? lsi_frame_unseal(unpacker->cipher, segment, at, frame, tail_bytes, bound, *body, is_right)
               : st;
}

/* F6: the body of `packed_bytes` at `packed`, decompressed. */
static ls_status decompress(lsi_unpacker *unpacker, const unsigned char *packed, uint32_t bytes, unsigned char **body,
                            uint32_t *body_bytes, bool *is_right)
{
    *is_right = false;
    if (bytes < LSI_PACK_BYTES)
        return LS_OK;
    uint32_t plain_bytes = lsi_read_u32le(packed), packed_bytes = lsi_read_u32le(packed + 4);
    if (plain_bytes < LSI_RECORD_HEADER_BYTES || plain_bytes % 8 != 0 || plain_bytes > BODY_BYTES_MAX ||
        packed_bytes > bytes - LSI_PACK_BYTES)
        return LS_OK;
    if (unpacker->decompressor == NULL) {
        unpacker->decompressor = lsi_decompressor_new();
        if (unpacker->decompressor == NULL)
            return no_memory(unpacker, plain_bytes);
    }
    ls_status st = make_place(unpacker, plain_bytes, body);
    if (st != LS_OK)
        return st;
    *is_right = lsi_decompress(unpacker->decompressor, packed + LSI_PACK_BYTES, packed_bytes, *body, plain_bytes);
    *body_bytes = plain_bytes;
    return LS_OK;
}

/* F4. A frame that unpacks to megabytes for one small record would cost whoever reads a page of such ones, whose limits
 * count records and what is in them, all his memory (X2). */
static bool fills_its_body(const unsigned char *at, const lsi_frame *frame)
{
    lsi_record_shape shape;
    uint32_t offset;

    if (!lsi_frame_first_record(at, frame, &offset))
        return false;
    for (uint32_t i = 0; i < frame->count; i++) {
        if (!lsi_record_read_shape(at + offset, frame->bytes - offset, &shape))
            return false;
        offset += shape.bytes;
    }
    return offset == frame->bytes;
}

ls_status lsi_unpack(lsi_unpacker *unpacker, lsi_segment *segment, const unsigned char *at, lsi_frame *frame,
                     const unsigned char **clear, bool *is_right)
{
    const uint32_t whole_bytes = frame->bytes;
    bool is_sealed = (frame->flags & LSI_FRAME_SEALED) != 0, is_whole = lsi_frame_take_tail(at, frame);
    uint32_t tail_bytes = whole_bytes - frame->bytes, body_bytes = frame->bytes - LSI_FRAME_HEADER_BYTES;
    const unsigned char *packed = at + LSI_FRAME_HEADER_BYTES;
    unsigned char *body = NULL;
    ls_status st = LS_OK;

    *clear = at;
    *is_right = is_whole && is_sealed == lsi_segment_is_sealed(segment) &&
                (!is_sealed || body_bytes >= LSI_SEAL_BYTES + LSI_RECORD_HEADER_BYTES);
    if (*is_right && is_sealed) {
        st = unseal(unpacker, segment, at, frame, tail_bytes, &body, is_right);
        packed = body;
        body_bytes -= LSI_SEAL_BYTES;
    }
    if (st == LS_OK && *is_right && frame->codec == LSI_CODEC_ZSTD)
        st = decompress(unpacker, packed, body_bytes, &body, &body_bytes, is_right);
    if (st != LS_OK || !*is_right)
        return st;
    if (body != NULL)
        *clear = body - LSI_FRAME_HEADER_BYTES;
    frame->bytes = LSI_FRAME_HEADER_BYTES + body_bytes;
    *is_right = fills_its_body(*clear, frame);
    return LS_OK;
}
