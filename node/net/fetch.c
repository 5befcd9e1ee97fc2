/* Getting blobs from others. */
#include "node/net/blobs_inner.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <string.h>

#define COLD_MS 600000 /* a partial file is kept so long for somebody who wants it again */

struct fetch *fetch_find(struct blobs *self, const struct hash *hash)
{
    struct fetch *at;
    TAILQ_FOREACH(at, &self->fetches, links)
    if (memcmp(&at->hash, hash, sizeof *hash) == 0)
        return at;
    return NULL;
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void free_fetch(struct fetch *self)
{
    TAILQ_REMOVE(&self->blobs->fetches, self, links);
    store_unpin_blob(self->blobs->config.store, &self->hash);
    if (self->adoption)
        self->adoption->fetch = NULL;
    part_close(self);
    free(self->path);
    free(self->sources);
    free(self);
}

/* Keeps the partial file, for whoever wants the blob again; of several the youngest. */
static void cool(struct fetch *self)
{
    struct blobs *blobs = self->blobs;
    if (self->have == 0) {
        part_remove(self);
        free_fetch(self);
        return;
    }
    part_close(self);
    self->phase = FETCH_COLD;
    self->current = NULL;
    self->progress_ms = clock_mono_ms();
    TAILQ_REMOVE(&blobs->fetches, self, links);
    TAILQ_INSERT_TAIL(&blobs->fetches, self, links);
    size_t cold = 0;
    struct fetch *at, *oldest = NULL;
    TAILQ_FOREACH(at, &blobs->fetches, links)
    {
        if (at->phase == FETCH_COLD && ++cold == 1)
            oldest = at;
    }
    if (cold > BLOBS_COLD_MAX) {
        part_remove(oldest);
        free_fetch(oldest);
    }
}

/* Answers everybody who waits. `self` is gone or cold before the first answer, so that he may ask
 * again. */
void fetch_finish(struct fetch *self, const struct err *err)
{
    struct blobs *blobs = self->blobs;
    struct store *store = blobs->config.store;
    struct hash hash = self->hash;
    struct waiter *at;
    TAILQ_HEAD(, waiter) waiters = TAILQ_HEAD_INITIALIZER(waiters);
    TAILQ_CONCAT(&waiters, &self->waiters, links);
    store_pin_blob(store, &hash);
    if (err->code == ERR_NONE) {
        blobs_stats(blobs)->blobs_fetched++;
        free_fetch(self);
    } else {
        blobs_stats(blobs)->blobs_failed++;
        cool(self);
    }
    blobs_kick(blobs); /* there is room for another */
    while ((at = TAILQ_FIRST(&waiters))) {
        TAILQ_REMOVE(&waiters, at, links);
        at->done(at->arg, &hash, err);
        free(at);
    }
    store_unpin_blob(store, &hash);
}

void fetch_fail(struct fetch *self, enum err_code code)
{
    struct err err = ERR_INIT;
    char hex[HASH_HEX];
    const char *why = code == ERR_NOT_FOUND   ? "no node has it"
                      : code == ERR_CORRUPT   ? "no node sent what its name says"
                      : code == ERR_TOO_LARGE ? "it is larger than is taken"
                                              : "no node that has it could be reached";
    (void)err_set(&err, code, "blob %.16s: %s", hash_hex(&self->hash, hex), why);
    fetch_finish(self, &err);
}

/* ---- its way ------------------------------------------------------------------------------------
 */

static void run_new(struct fetch *self, uint64_t now_ms)
{
    struct err err = ERR_INIT;
    if (store_has_blob(self->blobs->config.store, &self->hash, self->ext)) {
        fetch_finish(self, &err);
        return;
    }
    self->phase = FETCH_PAUSED;
    pull_go_on(self, now_ms);
}

static void run(struct fetch *self, uint64_t now_ms)
{
    if (self->phase == FETCH_NEW) {
        run_new(self, now_ms);
    } else if (self->phase == FETCH_PAUSED) {
        pull_go_on(self, now_ms);
    } else if (self->phase == FETCH_PULLING &&
               now_ms - self->heard_ms >= self->blobs->config.silent_ms) {
        blobs_stats(self->blobs)->blobs_timeouts++;
        source_defer(self, self->current, now_ms, self->blobs->config.silent_ms);
        pull_pause(self);
    } else if (self->phase == FETCH_COLD && now_ms - self->progress_ms >= COLD_MS) {
        part_remove(self);
        free_fetch(self);
    }
}

void fetch_run_all(struct blobs *self, uint64_t now_ms)
{
    /* Answers may start, cancel and end fetches: so each is looked up again. */
    size_t count = 0;
    struct fetch *at;
    TAILQ_FOREACH(at, &self->fetches, links)
    count++;
    if (count == 0)
        return;
    owned_mem struct hash *hashes = mem_new_array(count, sizeof *hashes);
    size_t i = 0;
    TAILQ_FOREACH(at, &self->fetches, links)
    hashes[i++] = at->hash;
    for (i = 0; i < count; i++) {
        if ((at = fetch_find(self, &hashes[i])) != NULL)
            run(at, now_ms);
    }
}

/* ---- for others ------------------------------------------------------------------------------ */

static struct fetch *new_fetch(struct blobs *self, const struct hash *hash, const char *ext)
{
    struct fetch *fetch = mem_new(sizeof *fetch);
    assert(strlen(ext) <= STORE_EXT_MAX);
    fetch->blobs = self;
    fetch->hash = *hash;
    strcpy(fetch->ext, ext);
    fetch->fd = -1;
    TAILQ_INIT(&fetch->waiters);
    TAILQ_INSERT_TAIL(&self->fetches, fetch, links);
    store_pin_blob(self->config.store, hash);
    return fetch;
}

/* What was learnt of sources in vain is forgotten: they may be better now. */
static void warm_up(struct fetch *self)
{
    self->phase = FETCH_NEW;
    self->source_count = 0;
    self->progress_ms = clock_mono_ms();
}

uint64_t blobs_fetch(struct blobs *self, const struct hash *hash, const char *ext,
                     const uint64_t *sources, size_t source_count, blobs_done_fn *done, void *arg)
{
    struct fetch *fetch = fetch_find(self, hash);
    struct waiter *waiter = mem_new(sizeof *waiter);
    if (!fetch)
        fetch = new_fetch(self, hash, ext);
    if (TAILQ_EMPTY(&fetch->waiters) && fetch->phase != FETCH_ADOPTING)
        warm_up(fetch);
    for (size_t i = 0; i < source_count; i++)
        source_add(fetch, sources[i]);
    waiter->ticket = ++self->last_ticket;
    waiter->done = done;
    waiter->arg = arg;
    TAILQ_INSERT_TAIL(&fetch->waiters, waiter, links);
    blobs_kick(self);
    return waiter->ticket;
}

static struct waiter *find_waiter(struct blobs *self, uint64_t ticket, struct fetch **fetch)
{
    struct waiter *at;
    TAILQ_FOREACH(*fetch, &self->fetches, links)
    {
        TAILQ_FOREACH(at, &(*fetch)->waiters, links)
        if (at->ticket == ticket)
            return at;
    }
    return NULL;
}

void blobs_cancel(struct blobs *self, uint64_t ticket)
{
    struct fetch *fetch;
    struct waiter *waiter = find_waiter(self, ticket, &fetch);
    if (!waiter)
        return;
    TAILQ_REMOVE(&fetch->waiters, waiter, links);
    free(waiter);
    if (TAILQ_EMPTY(&fetch->waiters) && fetch->phase != FETCH_ADOPTING)
        cool(fetch);
}

void fetch_free_all(struct blobs *self)
{
    struct fetch *fetch;
    while ((fetch = TAILQ_FIRST(&self->fetches))) {
        struct waiter *waiter;
        while ((waiter = TAILQ_FIRST(&fetch->waiters))) {
            TAILQ_REMOVE(&fetch->waiters, waiter, links);
            free(waiter);
        }
        free_fetch(fetch);
    }
}
