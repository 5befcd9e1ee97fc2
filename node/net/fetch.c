/* Getting blobs from others. */
#include "node/net/blobs_inner.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <string.h>

#define COLD_MS 600000 /* a partial file is kept so long for somebody who wants it again */

static size_t bucket_of(const struct hash *hash)
{
    return (hash->bytes[0] | (size_t)hash->bytes[1] << 8) % BLOBS_BUCKETS;
}

struct fetch *fetch_find(struct blobs *self, const struct hash *hash)
{
    struct fetch *at;
    LIST_FOREACH(at, &self->by_hash[bucket_of(hash)], chain)
    if (memcmp(&at->hash, hash, sizeof *hash) == 0)
        return at;
    return NULL;
}

void fetch_set_phase(struct fetch *self, enum fetch_phase phase)
{
    struct blobs *blobs = self->blobs;
    bool was_cold = self->phase == FETCH_COLD, is_cold = phase == FETCH_COLD;
    blobs->active_count -= self->phase == FETCH_PULLING;
    blobs->active_count += phase == FETCH_PULLING;
    self->phase = phase;
    if (phase != FETCH_PULLING)
        self->current = NULL;
    if (was_cold == is_cold)
        return;
    TAILQ_REMOVE(was_cold ? &blobs->cold : &blobs->fetches, self, links);
    TAILQ_INSERT_TAIL(is_cold ? &blobs->cold : &blobs->fetches, self, links);
    blobs->cold_count = is_cold ? blobs->cold_count + 1 : blobs->cold_count - 1;
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void free_fetch(struct fetch *self)
{
    fetch_set_phase(self, FETCH_NEW);
    TAILQ_REMOVE(&self->blobs->fetches, self, links);
    LIST_REMOVE(self, chain);
    if (self->adoption)
        self->adoption->fetch = NULL;
    part_close(self);
    free(self->path);
    free(self->sources);
    free(self);
}

static void forget(struct fetch *self)
{
    part_remove(self);
    free_fetch(self);
}

/* Keeps the partial file, for whoever wants the blob again; of many the youngest. */
static void cool(struct fetch *self)
{
    struct blobs *blobs = self->blobs;
    if (self->have == 0) {
        forget(self);
        return;
    }
    part_close(self);
    fetch_set_phase(self, FETCH_COLD);
    self->progress_ms = clock_mono_ms();
    if (blobs->cold_count > BLOBS_COLD_MAX)
        forget(TAILQ_FIRST(&blobs->cold));
}

void fetch_finish(struct fetch *self, const struct err *err)
{
    struct blobs *blobs = self->blobs;
    struct answer *answer = mem_new(sizeof *answer);
    answer->hash = self->hash;
    answer->err = *err;
    TAILQ_INIT(&answer->waiters);
    TAILQ_CONCAT(&answer->waiters, &self->waiters, links);
    TAILQ_INSERT_TAIL(&blobs->answers, answer, links);
    store_pin_blob(blobs->config.store, &answer->hash);
    if (err->code == ERR_NONE) {
        blobs_stats(blobs)->blobs_fetched++;
        free_fetch(self);
    } else {
        blobs_stats(blobs)->blobs_failed++;
        cool(self);
    }
    blobs_kick(blobs);
}

static void free_answer(struct blobs *self, struct answer *answer)
{
    struct waiter *at;
    while ((at = TAILQ_FIRST(&answer->waiters))) {
        TAILQ_REMOVE(&answer->waiters, at, links);
        free(at);
    }
    TAILQ_REMOVE(&self->answers, answer, links);
    store_unpin_blob(self->config.store, &answer->hash);
    free(answer);
}

/* They may ask for more, and cancel each other. */
void fetch_tell_all(struct blobs *self)
{
    struct answer *answer;
    struct waiter *at;
    while ((answer = TAILQ_FIRST(&self->answers))) {
        while ((at = TAILQ_FIRST(&answer->waiters))) {
            TAILQ_REMOVE(&answer->waiters, at, links);
            at->done(at->arg, &answer->hash, &answer->err);
            free(at);
        }
        free_answer(self, answer);
    }
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

/* ---- its way --------------------------------------------------------------------------------- */

static void run_new(struct fetch *self, uint64_t now_ms)
{
    struct err err = ERR_INIT;
    if (store_has_blob(self->blobs->config.store, &self->hash, self->ext)) {
        fetch_finish(self, &err);
        return;
    }
    fetch_set_phase(self, FETCH_PAUSED);
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
    }
}

void fetch_run_all(struct blobs *self, uint64_t now_ms)
{
    struct fetch *at = TAILQ_FIRST(&self->fetches);
    while (at) { /* a step may end its own fetch, no other */
        struct fetch *next = TAILQ_NEXT(at, links);
        run(at, now_ms);
        at = next;
    }
    while ((at = TAILQ_FIRST(&self->cold)) && now_ms - at->progress_ms >= COLD_MS)
        forget(at);
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
    LIST_INSERT_HEAD(&self->by_hash[bucket_of(hash)], fetch, chain);
    return fetch;
}

/* What was learnt of sources in vain is forgotten: they may be better now. */
static void warm_up(struct fetch *self)
{
    fetch_set_phase(self, FETCH_NEW);
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

static bool take_out(struct waiters *waiters, uint64_t ticket)
{
    struct waiter *at;
    TAILQ_FOREACH(at, waiters, links)
    if (at->ticket == ticket)
        break;
    if (!at)
        return false;
    TAILQ_REMOVE(waiters, at, links);
    free(at);
    return true;
}

void blobs_cancel(struct blobs *self, uint64_t ticket)
{
    struct fetch *fetch;
    struct answer *answer;
    TAILQ_FOREACH(answer, &self->answers, links)
    if (take_out(&answer->waiters, ticket))
        return;
    TAILQ_FOREACH(fetch, &self->fetches, links)
    if (take_out(&fetch->waiters, ticket))
        break;
    if (fetch && TAILQ_EMPTY(&fetch->waiters) && fetch->phase != FETCH_ADOPTING)
        cool(fetch);
}

static void free_list(struct fetches *list)
{
    struct fetch *fetch;
    while ((fetch = TAILQ_FIRST(list))) {
        while (!TAILQ_EMPTY(&fetch->waiters))
            (void)take_out(&fetch->waiters, TAILQ_FIRST(&fetch->waiters)->ticket);
        free_fetch(fetch);
    }
}

void fetch_free_all(struct blobs *self)
{
    free_list(&self->fetches);
    free_list(&self->cold);
    while (!TAILQ_EMPTY(&self->answers))
        free_answer(self, TAILQ_FIRST(&self->answers));
}
