/* The bytes a reader reads: pages of its own, filled by `pread`, each with a run of positions of one segment.
 *
 * A page begins where the reader stands. A frame that a page cuts off is read again, whole, at the beginning of the
 * next: its bytes are in the processor's cache by then, and nothing is ever moved in memory. Views point into pages, so
 * none is filled again while the caller holds views of it: the next page of the ring is taken, and the ring grows when
 * all of it is shown.
 *
 * How large? A page doubles as long as it comes back full, so that who reads the tail has a small one. Its bound has a
 * reason that is measured (bench/README.md): the kernel copies a third faster into memory that is not in the
 * processor's second-level cache. Two pages of 512 KiB, taken in turn, push each other out of a cache of 1 MiB, and are
 * still in the next one when they are checked. A reader that is one of many has smaller ones: the others' pages push
 * them out.
 *
 * A reader that maps (LSI_READ_MAPPED) has for pages ranges of the files, one a segment as a rule, and its run is what
 * of that is published and lies in the file. Where a file cannot be mapped, as one in blocks, pages are read. */
#include "storage/reader.h"

#include "base/status.h"

void lsi_reader_drop(lsi_log_reader *reader)
{
    reader->run_at = reader->run_end = 0;
}

static void free_page(lsi_log_reader *reader, lsi_page *page)
{
    if (page->mapped != NULL) {
        page->mapped->file.files->unmap(&page->mapped->file, page->bytes, page->capacity);
        lsi_segment_unref(page->mapped);
    } else {
        lsi_free(&reader->log->config.env->memory, page->bytes);
    }
    *page = (lsi_page){0};
}

void lsi_reader_free_pages(lsi_log_reader *reader)
{
    for (uint32_t i = 0; i < reader->page_count; i++)
        free_page(reader, &reader->pages[i]);
    lsi_free(&reader->log->config.env->memory, reader->pages);
}

/* A page that nothing is shown of becomes the current one. */
static ls_status turn_page(lsi_log_reader *reader, bool made)
{
    const lsi_memory *memory = &reader->log->config.env->memory;

    if (made && reader->pages_shown < reader->page_count) {
        reader->page = (reader->page + 1) % reader->page_count;
        reader->pages_shown++;
        return LS_OK;
    }
    if (!made && reader->page_count > 0) {
        reader->page = (reader->page + 1) % reader->page_count;
        reader->pages_shown = 1;
        return LS_OK;
    }
    void *pages = reader->pages;
    if (!lsi_grow(memory, &pages, &reader->page_capacity, (size_t)reader->page_count + 1, sizeof(lsi_page)))
        return lsi_fail(LS_ERR_NO_MEMORY, "%s: a page to read into: no memory", reader->log->config.label);
    reader->pages = pages;
    /* Behind the current one: those that are shown stay next to each other. */
    uint32_t to = reader->page_count == 0 ? 0 : reader->page + 1;
    for (uint32_t i = reader->page_count; i > to; i--)
        reader->pages[i] = reader->pages[i - 1];
    reader->pages[to] = (lsi_page){0};
    reader->page_count++;
    reader->page = to;
    reader->pages_shown = made ? reader->pages_shown + 1 : 1;
    return LS_OK;
}

/* What is mapped of a file at once: a segment of the default size, with its header, is mapped whole. */
#define MAP_BYTES (((size_t)64 << 20) + MAP_ALIGNMENT)
#define MAP_ALIGNMENT ((size_t)64 << 10) /* a multiple of every page size in use */

static uint64_t offset_here(const lsi_log_reader *reader)
{
    return reader->at - reader->segment->header.base + LSI_SEGMENT_HEADER_BYTES;
}

static bool page_has(const lsi_log_reader *reader, const lsi_page *page, size_t size)
{
    uint64_t offset = offset_here(reader);

    return page->mapped == reader->segment && offset >= page->offset && size <= page->capacity &&
           offset - page->offset <= page->capacity - size;
}

/* Maps a range with the `size` bytes from reader->at, in the place of what `page` was. False: it cannot be. */
static bool map_page(lsi_log_reader *reader, lsi_page *page, size_t size)
{
    const lsi_file *file = &reader->segment->file;
    uint64_t offset = offset_here(reader);
    uint64_t from = offset - offset % MAP_ALIGNMENT, file_bytes;
    size_t capacity = size + (size_t)(offset - from) > MAP_BYTES ? size + (size_t)(offset - from) : MAP_BYTES;
    void *map;

    if (file->files->map == NULL || file->files->size(file, &file_bytes) != 0 ||
        file->files->map(file, from, capacity, false, &map) != 0)
        return false;
    free_page(reader, page);
    *page = (lsi_page){map, capacity, lsi_segment_ref(reader->segment), from, file_bytes};
    return true;
}

/* Makes the run what is mapped, published and in the file. `*done` false: it cannot be mapped, and pages are read. */
static ls_status fetch_mapped(lsi_log_reader *reader, size_t size, uint64_t stop, bool made, bool *done)
{
    lsi_page *page = reader->page_count > 0 ? &reader->pages[reader->page] : NULL;
    uint64_t offset, end;

    *done = true;
    if (page == NULL || !page_has(reader, page, size)) {
        ls_status st = turn_page(reader, made);
        if (st != LS_OK)
            return st;
        page = &reader->pages[reader->page];
        *done = map_page(reader, page, size);
        if (!*done) {
            if (page->mapped != NULL)
                free_page(reader, page);
            return LS_OK;
        }
    }
    offset = offset_here(reader);
    end = offset + (stop - reader->at);
    if (end > page->file_bytes && page->mapped->file.files->size(&page->mapped->file, &page->file_bytes) != 0)
        page->file_bytes = 0; /* Nothing of it may be touched. */
    if (end > page->file_bytes)
        end = page->file_bytes;
    if (end > page->offset + page->capacity)
        end = page->offset + page->capacity;
    reader->run = page->bytes + (offset - page->offset);
    reader->run_at = reader->at;
    reader->run_end = end > offset ? reader->at + (end - offset) : reader->at;
    return LS_OK;
}

ls_status lsi_reader_fetch(lsi_log_reader *reader, size_t size, uint64_t stop, bool made)
{
    const lsi_env *env = reader->log->config.env;
    ls_status st;

    if (lsi_reader_held(reader) >= size)
        return LS_OK;
    size_t want = size > reader->page_bytes ? size : reader->page_bytes;
    if (want > stop - reader->at)
        want = (size_t)(stop - reader->at);
    lsi_reader_drop(reader);
    bool is_mapped = false;
    st = reader->is_mapped ? fetch_mapped(reader, size, stop, made, &is_mapped) : turn_page(reader, made);
    if (st != LS_OK || is_mapped)
        return st;
    lsi_page *page = &reader->pages[reader->page];
    if (page->capacity < want) {
        size_t capacity = want > reader->page_bytes ? want : reader->page_bytes;
        free_page(reader, page);
        *page = (lsi_page){.bytes = lsi_alloc(&env->memory, capacity), .capacity = capacity};
        if (page->bytes == NULL) {
            page->capacity = 0;
            return lsi_fail(LS_ERR_NO_MEMORY, "%s: %zu bytes to read into: no memory", reader->log->config.label,
                            capacity);
        }
    }
    const lsi_file *file = &reader->segment->file;
    uint64_t offset = offset_here(reader);
    int64_t got = file->files->read(file, page->bytes, want, offset);
    if (got < 0)
        return lsi_fail_errno((int)-got, "%s: reading %s at 0x%llx", reader->log->config.label, reader->segment->name,
                              (unsigned long long)offset);
    reader->run = page->bytes;
    reader->run_at = reader->at;
    reader->run_end = reader->at + (uint64_t)got;
    if (want == reader->page_bytes && reader->page_bytes < reader->page_bytes_max)
        reader->page_bytes *= 2;
    return LS_OK;
}
