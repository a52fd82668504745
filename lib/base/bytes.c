/* Cursors over bytes: a reader that cannot leave its buffer and says so once, and a writer for buffers that are large
 * enough by construction.
 *
 * The reader serves bytes from disk, which are never believed: past the end it sets `bad`, gives zeros and stays where
 * it is, so a decoder reads all its fields and checks once. The writer serves sizes the library computed itself: being
 * wrong there is a defect, hence an assertion. */
#include "base/bytes.h"

#include <assert.h>
#include <stddef.h>

bool lsi_is_zero(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;

    /* The first 8 by hand; after that the run is zero exactly when it equals itself 8 bytes later. */
    for (size_t i = 0; i < 8; i++) {
        if (i == size)
            return true;
        if (at[i] != 0)
            return false;
    }
    return memcmp(at, at + 8, size - 8) == 0;
}

const unsigned char *lsi_take_bytes(lsi_cursor *from, size_t size)
{
    const unsigned char *at = from->at;

    if (from->bad || size > (size_t)(from->end - from->at)) {
        from->bad = true;
        return NULL;
    }
    from->at += size;
    return at;
}

uint8_t lsi_take_u8(lsi_cursor *from)
{
    const unsigned char *at = lsi_take_bytes(from, 1);

    return at == NULL ? 0 : *at;
}

uint16_t lsi_take_u16(lsi_cursor *from)
{
    const unsigned char *at = lsi_take_bytes(from, 2);

    return at == NULL ? (uint16_t)0 : lsi_read_u16le(at);
}

uint32_t lsi_take_u32(lsi_cursor *from)
{
    const unsigned char *at = lsi_take_bytes(from, 4);

    return at == NULL ? 0 : lsi_read_u32le(at);
}

uint64_t lsi_take_u64(lsi_cursor *from)
{
    const unsigned char *at = lsi_take_bytes(from, 8);

    return at == NULL ? 0 : lsi_read_u64le(at);
}

/* Where the next `size` bytes go. */
static unsigned char *make_room(lsi_writer *to, size_t size)
{
    unsigned char *at = to->at;

    assert(size <= (size_t)(to->end - to->at));
    to->at += size;
    return at;
}

void lsi_put_u8(lsi_writer *to, uint8_t v)
{
    *make_room(to, 1) = v;
}

void lsi_put_u16(lsi_writer *to, uint16_t v)
{
    lsi_write_u16le(make_room(to, 2), v);
}

void lsi_put_u32(lsi_writer *to, uint32_t v)
{
    lsi_write_u32le(make_room(to, 4), v);
}

void lsi_put_u64(lsi_writer *to, uint64_t v)
{
    lsi_write_u64le(make_room(to, 8), v);
}

void lsi_put_bytes(lsi_writer *to, const void *bytes, size_t size)
{
    unsigned char *at = make_room(to, size);

    if (size != 0) /* An empty run may have no address. */
        memcpy(at, bytes, size);
}

void lsi_put_zero(lsi_writer *to, size_t size)
{
    unsigned char *at = make_room(to, size);

    if (size != 0)
        memset(at, 0, size);
}
