/* It is never unloaded: libraries behind it keep threads and handlers. Loading it again only counts. */
#include "deliver/curl.h"

#ifdef LSI_HAVE_S3

#include <dlfcn.h>
#include <string.h>

#include "base/status.h"

#define OLDEST_VERSION 0x075400u /* 7.84.0: from there on curl_global_init may be called by any thread */

static ls_status find(void *library, const char *name, void *out, size_t out_bytes)
{
    void *found = dlsym(library, name);

    if (found == NULL)
        return lsi_fail(LS_ERR_UNSUPPORTED, "delivery to S3: libcurl has no %s", name);
    memcpy(out, &found, out_bytes); /* ISO C has no way from an object's address to a function's, POSIX has this. */
    return LS_OK;
}

ls_status lsi_curl_load(lsi_curl *out)
{
    static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
    void *library = NULL;
    curl_version_info_data *version;

    for (size_t i = 0; library == NULL && i < sizeof names / sizeof names[0]; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return lsi_fail(LS_ERR_UNSUPPORTED, "delivery to S3 needs libcurl: %s", dlerror());

    const struct {
        const char *name;
        void *out;
    } functions[] = {
        {"curl_easy_init", &out->easy_init},       {"curl_easy_setopt", &out->easy_setopt},
        {"curl_easy_perform", &out->easy_perform}, {"curl_easy_getinfo", &out->easy_getinfo},
        {"curl_easy_reset", &out->easy_reset},     {"curl_easy_cleanup", &out->easy_cleanup},
        {"curl_easy_strerror", &out->easy_strerror}, {"curl_slist_append", &out->slist_append},
        {"curl_slist_free_all", &out->slist_free_all}, {"curl_global_init", &out->global_init},
        {"curl_version_info", &out->version_info},
    };
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        ls_status st = find(library, functions[i].name, functions[i].out, sizeof(void *));

        if (st != LS_OK)
            return st;
    }
    version = out->version_info(CURLVERSION_NOW);
    if (version->version_num < OLDEST_VERSION)
        return lsi_fail(LS_ERR_UNSUPPORTED, "delivery to S3 needs libcurl 7.84.0 or later, this is %s",
                        version->version);
    if (out->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return lsi_fail(LS_ERR_NO_MEMORY, "libcurl cannot be initialised");
    return LS_OK;
}

#else

typedef int lsi_curl_is_not_built; /* A file has something in it. */

#endif
