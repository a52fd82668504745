/* The exported functions of version.h: what was compiled into the library, where the header's macros say what the
 * program was compiled against. */
#include <libstream/version.h>

uint32_t ls_version_number(void)
{
    return LS_VERSION_NUMBER;
}

const char *ls_version_string(void)
{
    return LS_VERSION_STRING;
}

const char *ls_version_features(void)
{
#if defined LSI_HAVE_YAJL && defined LSI_HAVE_CRYPTO
    return "json crypto";
#elif defined LSI_HAVE_YAJL
    return "json";
#elif defined LSI_HAVE_CRYPTO
    return "crypto";
#else
    return "";
#endif
}
