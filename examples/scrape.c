/* Metrics in a file, each second. */
#include "scrape.h"
#include "pipeline.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct scrape_file {
    ls_store *store;
    char path[PIPELINE_PATH_BYTES];
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t ended;
    bool is_over;
    int result;           /* Of the thread, which ends with the first failure. */
};

static int write_once(scrape_file *scrape)
{
    return ls_metrics_write_file(scrape->store, scrape->path) == LS_OK ? 0 : pipeline_fail_ls("write the metrics");
}

static void *write_each_second(void *user)
{
    scrape_file *scrape = user;
    struct timespec due;

    (void)clock_gettime(CLOCK_REALTIME, &due); /* The condition's clock; when it is set, one second is another one. */
    (void)pthread_mutex_lock(&scrape->lock);
    while (!scrape->is_over && scrape->result == 0) {
        (void)pthread_mutex_unlock(&scrape->lock);
        scrape->result = write_once(scrape);
        due.tv_sec++;
        (void)pthread_mutex_lock(&scrape->lock);
        while (!scrape->is_over && pthread_cond_timedwait(&scrape->ended, &scrape->lock, &due) != ETIMEDOUT)
            ;
    }
    (void)pthread_mutex_unlock(&scrape->lock);
    return NULL;
}

scrape_file *scrape_begin(ls_store *store, const char *path)
{
    scrape_file *made = calloc(1, sizeof(*made));

    if (made == NULL) {
        (void)pipeline_fail("no memory");
        return NULL;
    }
    made->store = store;
    (void)snprintf(made->path, sizeof(made->path), "%s", path);
    (void)pthread_mutex_init(&made->lock, NULL);
    (void)pthread_cond_init(&made->ended, NULL);
    errno = pthread_create(&made->thread, NULL, write_each_second, made);
    if (errno == 0)
        return made;
    (void)pipeline_fail("cannot make a thread: %s", strerror(errno));
    (void)pthread_cond_destroy(&made->ended);
    (void)pthread_mutex_destroy(&made->lock);
    free(made);
    return NULL;
}

int scrape_end(scrape_file *scrape)
{
    int result;

    if (scrape == NULL)
        return 0;
    (void)pthread_mutex_lock(&scrape->lock);
    scrape->is_over = true;
    (void)pthread_cond_signal(&scrape->ended);
    (void)pthread_mutex_unlock(&scrape->lock);
    (void)pthread_join(scrape->thread, NULL);
    result = scrape->result == 0 ? write_once(scrape) : -1;
    (void)pthread_cond_destroy(&scrape->ended);
    (void)pthread_mutex_destroy(&scrape->lock);
    free(scrape);
    return result;
}
