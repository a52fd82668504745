/* libcurl, which carries objects to S3. It is loaded when the first such delivery runs: it and what it needs are forty
 * libraries, which no program is to load at its start because it has libstream. Inside the room. */
#ifndef LSI_DELIVER_CURL_H
#define LSI_DELIVER_CURL_H

#include <libstream/status.h>

#ifdef LSI_HAVE_S3
#include <curl/curl.h>

/* Its functions by their own names. */
typedef struct lsi_curl {
    CURL *(*easy_init)(void);
    CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
    CURLcode (*easy_perform)(CURL *);
    CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
    void (*easy_reset)(CURL *);
    void (*easy_cleanup)(CURL *);
    const char *(*easy_strerror)(CURLcode);
    struct curl_slist *(*slist_append)(struct curl_slist *, const char *);
    void (*slist_free_all)(struct curl_slist *);
    CURLcode (*global_init)(long);
    curl_version_info_data *(*version_info)(CURLversion);
} lsi_curl;

/* Any thread. UNSUPPORTED: there is none, or one that is too old; the message says what was looked for. */
ls_status lsi_curl_load(lsi_curl *out);
#endif

#endif
