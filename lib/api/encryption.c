/* The exported functions of store.h and stream.h that have to do with keys and compression. */
#include "api/api.h"

#include <string.h>

#include "base/key_file.h"
#include "base/status.h"

/* What every change asks first. */
static ls_status check_change(const ls_store *store, const char *name, const char *call)
{
    LSI_REFUSE_NULL(store);
    LSI_REFUSE_NULL(name);
    LSI_ENTER(store);
    ls_status st = lsi_store_require(store, LSI_MAY_CHANGE, call);
    return st == LS_OK ? lsi_check_stream_name(name) : st;
}

ls_status ls_stream_start_encryption(ls_store *store, const char *name, const char *key_id)
{
    ls_status st = check_change(store, name, __func__);

    if (st != LS_OK)
        return st;
    LSI_REFUSE_NULL(key_id);
    return lsi_error_end(store->engine->ops->start_encryption(store->engine, name, key_id));
}

ls_status ls_stream_stop_encryption(ls_store *store, const char *name)
{
    ls_status st = check_change(store, name, __func__);

    return lsi_error_end(st == LS_OK ? store->engine->ops->stop_encryption(store->engine, name) : st);
}

ls_status ls_stream_set_compression(ls_store *store, const char *name, ls_compression compression)
{
    ls_status st = check_change(store, name, __func__);

    if (st == LS_OK)
        st = lsi_check_compression(compression);
    if (st == LS_OK)
        st = store->engine->ops->set_compression(store->engine, name, (uint32_t)compression);
    return lsi_error_end(st);
}

ls_status lsi_check_compression(ls_compression compression)
{
    return compression == LS_COMPRESSION_NONE || compression == LS_COMPRESSION_ZSTD
               ? LS_OK
               : lsi_fail(LS_ERR_INVALID_ARGUMENT, "compression is %d: it is %d or %d", (int)compression,
                          LS_COMPRESSION_NONE, LS_COMPRESSION_ZSTD);
}

ls_status ls_key_from_file(void *path, const char *key_id, unsigned char key[LS_KEY_BYTES])
{
    LSI_REFUSE_NULL(path);
    LSI_REFUSE_NULL(key_id);
    LSI_REFUSE_NULL(key);
    return lsi_key_file_read(path, key_id, key);
}
