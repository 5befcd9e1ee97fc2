/* News, once to a few. */
#include "node/sync/sync_inner.h"

#include "node/store/doc_json.h"
#include "proto/base/hash.h"
#include "proto/base/mem.h"

static void add_news(struct sync *self, uint64_t id, struct wire_bytes bytes_owned)
{
    if (self->news_bytes + bytes_owned.len > PUSH_ALL_MAX) {
        self->stats.dropped++;
        free((void *)(uintptr_t)bytes_owned.data);
        return;
    }
    self->news = mem_grow(self->news, &self->news_room, self->news_count + 1, sizeof *self->news);
    self->news[self->news_count++] = (struct news){.id = id, .bytes = bytes_owned};
    self->news_bytes += bytes_owned.len;
    if (self->push_ms == NEVER)
        self->push_ms = self->now_ms + PUSH_AFTER;
}

/* Returns whether it came lately, and remembers it. */
static bool was_seen(struct sync *self, const void *bytes, size_t len)
{
    uint64_t hash = hash_u64(bytes, len);
    uint64_t *place = &self->seen[hash % SEEN_COUNT];
    bool was_there = *place == hash;
    *place = hash;
    return was_there;
}

void push_learned(struct sync *self, const struct delta *delta)
{
    const struct docs *docs = self->config.docs;
    struct delta news = *hold_copy(&self->out->hold, delta);
    struct buf text = BUF_INIT;
    if (self->peer_count == 0)
        return;
    if (news.com.epoch > 0 && !news.seal) { /* says nothing without its seal */
        const struct doc *doc = docs->find(docs->arg, delta->id);
        news.seal = doc ? doc->seal : NULL;
        if (!news.seal || doc_ballot_compare(news.seal->ballot, news.com) < 0)
            return;
    }
    delta_encode(&news, &text);
    if (text.len > PUSH_ONE_MAX) {
        buf_fini(&text);
        return;
    }
    (void)was_seen(self, text.data, text.len);
    size_t len = text.len;
    add_news(self, delta->id, (struct wire_bytes){.data = (uint8_t *)buf_steal(&text), .len = len});
}

void push_delta(struct sync *self, const struct wire_delta *message)
{
    const struct docs *docs = self->config.docs;
    owned_delta delta = {0};
    struct err err = ERR_INIT;
    if (was_seen(self, message->delta.data, message->delta.len))
        return;
    if (delta_decode((const char *)message->delta.data, message->delta.len, &delta, &err) ||
        delta.id != message->eid) {
        self->stats.ignored++;
        return;
    }
    const struct doc *doc = docs->find(docs->arg, delta.id);
    if (doc && doc_has(doc, &delta))
        return;
    if (self->append_count - self->append_first >= APPENDS_MAX) {
        self->stats.dropped++;
        return;
    }
    struct append *append = sync_append(self, &delta);
    if (message->delta.len <= PUSH_ONE_MAX)
        append->news = (struct wire_bytes){.data = mem_dup(message->delta.data, message->delta.len),
                                           .len = message->delta.len};
}

void push_appended(struct sync *self, struct append *append, bool is_ok, unsigned changed)
{
    if (is_ok && changed && append->news.len > 0)
        add_news(self, append->id, append->news);
    else
        free((void *)(uintptr_t)append->news.data);
}

static void drop_news(struct sync *self)
{
    for (size_t i = 0; i < self->news_count; i++)
        free((void *)(uintptr_t)self->news[i].bytes.data);
    self->news_count = self->news_bytes = 0;
    self->push_ms = NEVER;
}

void push_free(struct sync *self)
{
    drop_news(self);
    free(self->news);
    for (size_t i = self->append_first; i < self->append_count; i++)
        free((void *)(uintptr_t)self->appends[i].news.data);
}

/* Fills `out` with up to PUSH_PEERS different members. */
static size_t choose(struct sync *self, uint64_t out[PUSH_PEERS])
{
    size_t seen = 0, count = 0;
    for (size_t i = 0; i < self->peer_count; i++) {
        if (!self->peers[i]->is_alive)
            continue;
        seen++; /* reservoir sampling (Vitter 1985, algorithm R) */
        if (count < PUSH_PEERS) {
            out[count++] = self->peers[i]->id;
        } else {
            uint64_t at = rand_below(&self->rand, seen);
            if (at < PUSH_PEERS)
                out[at] = self->peers[i]->id;
        }
    }
    return count;
}

void push_tick(struct sync *self)
{
    uint64_t to[PUSH_PEERS];
    if (self->now_ms < self->push_ms)
        return;
    size_t count = choose(self, to);
    for (size_t i = 0; i < self->news_count && count > 0; i++) {
        struct news *news = &self->news[i];
        hold_memory(&self->out->hold, (void *)(uintptr_t)news->bytes.data);
        for (size_t k = 0; k < count; k++) {
            struct wire_msg *msg = sync_send(self, to[k], WIRE_DELTA);
            msg->delta = (struct wire_delta){.eid = news->id, .delta = news->bytes};
            self->stats.pushed++;
        }
        news->bytes = (struct wire_bytes){0};
    }
    drop_news(self);
}
