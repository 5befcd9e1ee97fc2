/* Whom to ask for a blob. */
#include "node/net/blobs_inner.h"
#include "proto/base/mem.h"

#define FAULTS_MAX  2
#define BACKOFF_MS  100
#define BACKOFF_MAX 2000

void source_add(struct fetch *self, uint64_t nid)
{
    if (nid == 0 || nid == self->blobs->config.net->nid)
        return;
    for (size_t i = 0; i < self->source_count; i++) {
        if (self->sources[i].nid == nid)
            return;
    }
    if (self->source_count == BLOBS_SOURCES_MAX)
        return;
    size_t current = self->current ? (size_t)(self->current - self->sources) : 0;
    self->sources =
        mem_grow(self->sources, &self->source_room, self->source_count + 1, sizeof *self->sources);
    if (self->current)
        self->current = self->sources + current;
    self->sources[self->source_count++] = (struct source){.nid = nid};
}

static bool may_ask(const struct source *source)
{
    return !source->is_banned && !source->is_absent && !source->is_oversized;
}

/* Who sent nothing wrong goes first, then who was not found busy or away, then the order given. */
static bool is_better(const struct source *a, const struct source *b)
{
    return a->faults != b->faults ? a->faults < b->faults : a->backoff_ms < b->backoff_ms;
}

struct source *source_choose(const struct fetch *self, uint64_t now_ms)
{
    struct source *best = NULL;
    for (size_t i = 0; i < self->source_count; i++) {
        struct source *at = &self->sources[i];
        if (may_ask(at) && at->not_before_ms <= now_ms && (!best || is_better(at, best)))
            best = at;
    }
    return best;
}

void source_defer(struct fetch *self, struct source *source, uint64_t now_ms, uint32_t at_least_ms)
{
    uint32_t backoff = source->backoff_ms == 0 ? BACKOFF_MS : source->backoff_ms * 2;
    source->backoff_ms = backoff > BACKOFF_MAX ? BACKOFF_MAX : backoff;
    uint32_t wait = source->backoff_ms > at_least_ms ? source->backoff_ms : at_least_ms;
    source->not_before_ms = now_ms + wait / 2 + rand_below(&self->blobs->rand, wait);
}

enum err_code source_verdict(const struct fetch *self)
{
    enum err_code verdict = ERR_NOT_FOUND;
    for (size_t i = 0; i < self->source_count; i++) {
        const struct source *at = &self->sources[i];
        if (may_ask(at))
            return ERR_NONE;
        if (at->is_banned)
            verdict = ERR_CORRUPT;
        else if (at->is_oversized && verdict == ERR_NOT_FOUND)
            verdict = ERR_TOO_LARGE;
    }
    return verdict;
}

bool source_any_known(const struct fetch *self)
{
    const struct blobs_config *config = &self->blobs->config;
    struct wire_addr addr;
    for (size_t i = 0; i < self->source_count; i++) {
        const struct source *at = &self->sources[i];
        if (may_ask(at) &&
            (net_has_link(config->net, at->nid) || config->locate(config->arg, at->nid, &addr)))
            return true;
    }
    return false;
}

void source_blame(struct fetch *self)
{
    size_t parts = 0;
    for (size_t i = 0; i < self->source_count; i++)
        parts += self->sources[i].is_in_part;
    for (size_t i = 0; i < self->source_count; i++) {
        struct source *at = &self->sources[i];
        if (!at->is_in_part)
            continue;
        at->faults++;
        at->is_banned = parts == 1 || at->faults >= FAULTS_MAX;
    }
}
