/* Records that hold several, taken apart: each piece is a record with the key, the number and the time of the one that
 * it came in, and counts as a part of it, as those of an aggregate do. So all that is stored of places holds for
 * pieces. */
#include "deliver/inside.h"
#include "deliver/split.h"

#define PIECES_MAX 10000u /* at a time: so many as a batch may have */

void lsi_pieces_begin(lsi_pieces *pieces, uint32_t part)
{
    pieces->source = 0;
    pieces->part = part;
    pieces->is_inside = false;
}

void lsi_pieces_free(lsi_pieces *pieces)
{
    lsi_free(pieces->memory, pieces->records);
    lsi_free(pieces->memory, pieces->sources);
}

/* The next piece of the record, and whether it is the last one. */
static ls_record take_one(lsi_pieces *pieces, const ls_record *record, const char *delimiter, bool *is_last)
{
    bool ends = (record->flags & LS_RECORD_AGGREGATED) == 0 || record->sub_seqno + 1 == record->sub_count;
    ls_record piece = *record;

    if (!pieces->is_inside) {
        pieces->rest = record->data;
        if (!lsi_split_check(record->data, delimiter)) {
            piece.flags |= LSI_RECORD_UNSPLIT;
            pieces->rest.size = 0;
        }
    }
    if ((piece.flags & LSI_RECORD_UNSPLIT) == 0)
        piece.data = lsi_split_next(&pieces->rest, delimiter);
    *is_last = pieces->rest.size == 0;
    if (!*is_last || !ends || pieces->part != 0) {
        piece.flags |= LS_RECORD_AGGREGATED;
        piece.sub_seqno = pieces->part;
        piece.sub_count = *is_last && ends ? pieces->part + 1 : UINT32_MAX;
    }
    return piece;
}

ls_status lsi_pieces_next(lsi_pieces *pieces, const ls_batch *batch, const char *delimiter)
{
    pieces->count = 0;
    while (pieces->source < batch->count && pieces->count < PIECES_MAX) {
        const ls_record *record = &batch->records[pieces->source];
        bool is_last;

        if (!lsi_grow(pieces->memory, (void **)&pieces->records, &pieces->record_capacity, pieces->count + 1,
                      sizeof *pieces->records) ||
            !lsi_grow(pieces->memory, (void **)&pieces->sources, &pieces->source_capacity, pieces->count + 1,
                      sizeof *pieces->sources))
            return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the pieces of a record");
        pieces->sources[pieces->count] = pieces->is_inside ? NULL : record;
        pieces->records[pieces->count++] = take_one(pieces, record, delimiter, &is_last);
        pieces->is_inside = !is_last;
        pieces->part++;
        if (!is_last)
            continue;
        if (++pieces->source < batch->count && batch->records[pieces->source].seqno != record->seqno)
            pieces->part = 0;
    }
    return LS_OK;
}
