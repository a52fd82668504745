/* recordIds, which the request and the response share. Inside the room. */
#ifndef LSI_DELIVER_RECORD_ID_H
#define LSI_DELIVER_RECORD_ID_H

#include "deliver/document.h"

#define LSI_RECORD_ID_INDEX_DIGITS 6u /* at least */
#define LSI_RECORD_ID_BYTES (LSI_TRANSFORM_NUMBER_MAX + 10 + 1)

void lsi_record_id_format(const lsi_transform_record *record, uint32_t index, char text[LSI_RECORD_ID_BYTES]);

#endif
