/* Pulling the pieces of one blob from one source after the other. */
#include "node/net/blobs_inner.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <inttypes.h>
#include <string.h>

#define UNKNOWN_MS 500 /* until a source that could not be asked is asked again */

/* ---- its way --------------------------------------------------------------------------------- */

void pull_pause(struct fetch *self)
{
    fetch_set_phase(self, FETCH_PAUSED);
    self->asked = self->have;
    blobs_kick(self->blobs);
}

/* Asks for as much as the window allows. */
static int ask(struct fetch *self)
{
    uint64_t window = self->total == UINT64_MAX ? WIRE_DATA_MAX : BLOBS_WINDOW * WIRE_DATA_MAX;
    bool is_first = self->have == 0 && self->asked == 0;
    while ((is_first || self->asked < self->total) && self->asked - self->have < window) {
        struct wire_msg msg = {
            .kind = WIRE_GET,
            .get = {.hash = self->hash, .off = self->asked, .len = WIRE_DATA_MAX}};
        int rc = blobs_send(self->blobs, self->current->nid, &msg, false);
        if (rc)
            return rc;
        self->asked += WIRE_DATA_MAX;
        is_first = false;
    }
    return 0;
}

static void start_pulling(struct fetch *self, struct source *source, uint64_t now_ms)
{
    fetch_set_phase(self, FETCH_PULLING);
    self->current = source;
    self->asked = self->have;
    self->heard_ms = now_ms;
    if (ask(self) == 0)
        return;
    source_defer(self, source, now_ms, UNKNOWN_MS);
    pull_pause(self);
}

void pull_go_on(struct fetch *self, uint64_t now_ms)
{
    struct err err = ERR_INIT;
    if (self->blobs->active_count >= BLOBS_ACTIVE_MAX) {
        self->progress_ms = now_ms; /* it is our own fault that nothing comes */
        return;
    }
    enum err_code verdict = source_verdict(self);
    if (verdict != ERR_NONE) {
        fetch_fail(self, verdict);
        return;
    }
    struct source *source = source_choose(self, now_ms);
    if (!source) {
        const struct blobs_config *config = &self->blobs->config;
        if (now_ms - self->progress_ms >=
            (source_any_known(self) ? config->give_up_ms : config->lost_ms))
            fetch_fail(self, ERR_UNAVAILABLE);
        return;
    }
    if (part_open(self, &err))
        fetch_finish(self, &err);
    else
        start_pulling(self, source, now_ms);
}

/* ---- what comes ------------------------------------------------------------------------------ */

static void on_adopted(void *arg, const struct err *err, const struct hash *hash)
{
    (void)hash;
    struct adoption *adoption = arg;
    struct fetch *self = adoption->fetch;
    free(adoption);
    if (!self)
        return;
    self->adoption = NULL;
    if (err->code != ERR_NONE)
        self->have = 0; /* so that nothing is kept */
    fetch_finish(self, err);
}

static void adopt(struct fetch *self)
{
    part_close(self);
    fetch_set_phase(self, FETCH_ADOPTING);
    self->adoption = mem_new(sizeof *self->adoption);
    self->adoption->fetch = self;
    store_adopt_blob(self->blobs->config.store, self->path, &self->hash, self->ext, on_adopted,
                     self->adoption);
    blobs_kick(self->blobs); /* there is room for another */
}

/* Begins anew, with others first. */
static void distrust(struct fetch *self)
{
    struct err err = ERR_INIT;
    char hex[HASH_HEX];
    blobs_stats(self->blobs)->blobs_corrupt++;
    log_warn("blob_corrupt", "blob=%.16s node=%016" PRIx64, hash_hex(&self->hash, hex),
             self->current->nid);
    self->current->is_in_part = true;
    source_blame(self);
    if (part_restart(self, &err))
        fetch_finish(self, &err);
    else
        pull_pause(self);
}

static void check_whole(struct fetch *self)
{
    struct hash_state state = self->state;
    struct hash found;
    hash_final(&state, &found);
    if (memcmp(&found, &self->hash, sizeof found) == 0)
        adopt(self);
    else
        distrust(self);
}

/* Says whether a piece is as every piece must be: 256 KiB, or the rest. */
static bool is_whole_piece(const struct wire_data *data)
{
    if (data->off > data->total)
        return false;
    uint64_t rest = data->total - data->off;
    return data->bytes.len == (rest < WIRE_DATA_MAX ? rest : WIRE_DATA_MAX);
}

static void take_piece(struct fetch *self, const struct wire_data *data)
{
    struct err err = ERR_INIT;
    struct net_stats *stats = blobs_stats(self->blobs);
    uint64_t nid = self->current->nid;
    stats->blobs_resumed += self->last_nid != 0 && self->last_nid != nid;
    stats->blob_bytes_in += data->bytes.len;
    self->last_nid = nid;
    self->current->is_in_part = true;
    self->current->backoff_ms = 0;
    self->total = data->total;
    if (part_write(self, data->bytes.data, data->bytes.len, &err)) {
        fetch_finish(self, &err);
        return;
    }
    self->heard_ms = self->progress_ms = clock_mono_ms();
    if (self->have == self->total) {
        check_whole(self);
    } else if (ask(self)) {
        source_defer(self, self->current, self->heard_ms, UNKNOWN_MS);
        pull_pause(self);
    }
}

/* The fetch that waits for something of this node; NULL when there is none. */
static struct fetch *find_pulling(struct blobs *self, uint64_t nid, const struct hash *hash)
{
    struct fetch *fetch = fetch_find(self, hash);
    if (fetch && fetch->phase == FETCH_PULLING && fetch->current->nid == nid)
        return fetch;
    blobs_stats(self)->blobs_unasked++;
    return NULL;
}

void pull_data(struct blobs *self, uint64_t nid, const struct wire_data *data)
{
    struct fetch *fetch = find_pulling(self, nid, &data->hash);
    if (!fetch)
        return;
    if (data->off != fetch->have || fetch->asked <= fetch->have) {
        blobs_stats(self)->blobs_unasked++; /* of an earlier request, which was given up */
    } else if (data->total > self->config.bytes_max) {
        fetch->current->is_oversized = true;
        pull_pause(fetch);
    } else if (!is_whole_piece(data) ||
               (fetch->total != UINT64_MAX && fetch->total != data->total)) {
        blobs_stats(self)->blobs_malformed++;
        distrust(fetch);
    } else {
        take_piece(fetch, data);
    }
}

void pull_refused(struct blobs *self, uint64_t nid, const struct wire_blob_err *why)
{
    struct fetch *fetch = find_pulling(self, nid, &why->hash);
    if (!fetch)
        return;
    if (why->why == WIRE_BLOB_NONE)
        fetch->current->is_absent = true;
    else
        source_defer(fetch, fetch->current, clock_mono_ms(), 0);
    for (size_t i = 0; i < why->other_count; i++)
        source_add(fetch, why->others[i]);
    pull_pause(fetch);
}

void pull_link_down(struct blobs *self, uint64_t nid)
{
    struct fetch *at;
    TAILQ_FOREACH(at, &self->fetches, links)
    {
        if (at->phase != FETCH_PULLING || at->current->nid != nid)
            continue;
        source_defer(at, at->current, clock_mono_ms(), UNKNOWN_MS);
        pull_pause(at);
    }
}
