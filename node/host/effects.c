/* effects: what the mesh wants, done. */
#include "node/host/host_inner.h"

#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <inttypes.h>
#include <string.h>

/* ---- the store ------------------------------------------------------------------------------- */

static void on_appended(void *arg, const struct err *err, unsigned changed)
{
    owned_mem struct pending *pending = arg;
    enum err_code code = err ? err->code : ERR_NONE;
    if (code != ERR_NONE)
        log_error("append_failed", "%s", err->text);
    /* The same record comes from several nodes: once is enough. */
    if ((changed & DOC_CHANGED_RES) && !pending->host->is_gone) {
        host_copy_results(pending->host, pending->delta);
        executor_learn(pending->host->executor, pending->delta);
    }
    host_feed(pending->host, (struct mesh_event){.kind = MESH_APPENDED,
                                                 .token = pending->token,
                                                 .is_ok = code == ERR_NONE,
                                                 .code = code,
                                                 .changed = changed});
}

static void append(struct host *self, const struct mesh_effect *effect)
{
    struct pending *pending = mem_new(sizeof *pending);
    *pending = (struct pending){.host = self, .token = effect->token, .delta = effect->delta};
    store_apply(self->config.store, effect->delta, on_appended, pending);
}

static void persist_generation(struct host *self, uint64_t gen)
{
    struct err err = ERR_INIT;
    if (store_raise_generation(self->config.store, gen, &err))
        log_error("generation_not_written", "%s", err.text);
    else
        host_feed_later(self, (struct mesh_event){.kind = MESH_GEN_PERSISTED, .token = gen});
}

/* ---- blobs ----------------------------------------------------------------------------------- */

static void on_bundle(void *arg, const struct hash *hash, const struct err *err)
{
    struct bundle_fetch *fetch = arg;
    char hex[HASH_HEX];
    if (err && err->code != ERR_NONE) {
        log_warn("bundle_not_fetched", "blob=%s %s", hash_hex(hash, hex), err->text);
        fetch->has_failed = true;
    }
    if (--fetch->missing > 0)
        return;
    host_feed(fetch->host, (struct mesh_event){.kind = MESH_FETCHED,
                                               .token = fetch->token,
                                               .is_ok = !fetch->has_failed});
    free(fetch);
}

static void fetch_bundles(struct host *self, const struct mesh_effect *effect)
{
    struct bundle_fetch *fetch = mem_new(sizeof *fetch);
    *fetch =
        (struct bundle_fetch){.host = self, .token = effect->token, .missing = effect->blob_count};
    for (size_t i = 0; i < effect->blob_count; i++) {
        bool is_secret = effect->secret &&
                         memcmp(effect->secret, &effect->blobs[i], sizeof *effect->secret) == 0;
        blobs_fetch(self->blobs, &effect->blobs[i], is_secret ? SECRET_EXT : "zst", effect->sources,
                    effect->source_count, on_bundle, fetch);
    }
}

/* ---- members --------------------------------------------------------------------------------- */

static const char *word_of(enum swim_what what)
{
    static const char *const words[] = {
        [SWIM_JOIN] = "joined", [SWIM_ALIVE] = "alive_again", [SWIM_SUSPECT] = "suspected",
        [SWIM_DEAD] = "dead",   [SWIM_REJOIN] = "rejoined",   [SWIM_RESTART] = "restarted",
        [SWIM_LEFT] = "left",   [SWIM_CHANGED] = "changed"};
    return words[what];
}

static void on_member(struct host *self, const struct mesh_effect *effect)
{
    struct swim_view view;
    if (!swim_member(mesh_members(self->mesh), effect->peer, &view) || view.is_self)
        return;
    log_info("member", "what=%s address=%s node=%016" PRIx64, word_of(effect->what),
             view.member.address, effect->peer);
    if (!view.is_compatible)
        log_warn("member_incompatible", "address=%s versions=%u-%u ours=%u-%u", view.member.address,
                 view.member.pv.min, view.member.pv.max, WIRE_VERSION_MIN, WIRE_VERSION_MAX);
    if (effect->what == SWIM_DEAD || effect->what == SWIM_RESTART)
        net_drop_link(self->net, effect->peer);
    if (effect->what != SWIM_SUSPECT && effect->what != SWIM_ALIVE)
        host_write_peers(self);
}

static void on_left(void *arg)
{
    struct host *self = arg;
    self->is_gone = true;
    if (self->on_left)
        self->on_left(self->on_left_arg);
}

static void exit_at_once(struct host *self, const char *reason)
{
    log_error("must_exit", "reason=%s", reason);
    if (self->on_exit)
        self->on_exit(self->on_exit_arg, reason);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void send_datagram(struct host *self, const struct mesh_effect *effect)
{
    if (net_send(self->net, &effect->addr, effect->bytes, effect->len))
        host_feed_later(self, (struct mesh_event){.kind = MESH_SEND_FAILED, .addr = effect->addr});
}

static void send_frame(struct host *self, const struct mesh_effect *effect)
{
    int code = net_send_frame(self->net, effect->peer, &effect->addr, effect->bytes, effect->len);
    if (code)
        log_debug("frame_not_sent", "node=%016" PRIx64 " code=%d", effect->peer, code);
}

void host_do(struct host *self, const struct mesh_effect *effect)
{
    switch (effect->kind) {
    case MESH_SEND_DATAGRAM:
        send_datagram(self, effect);
        break;
    case MESH_SEND_FRAME:
        send_frame(self, effect);
        break;
    case MESH_PROBE:
        net_probe(self->net, &effect->addr, (uint32_t)effect->token);
        break;
    case MESH_APPEND:
        append(self, effect);
        break;
    case MESH_FETCH:
        fetch_bundles(self, effect);
        break;
    case MESH_PERSIST_GEN:
        persist_generation(self, effect->gen);
        break;
    case MESH_ACCEPTED:
    case MESH_REFUSED:
    case MESH_CANCELLED:
    case MESH_ANSWER:
        host_note_answer(self, effect);
        break;
    case MESH_CLONE:
        clones_start(self->clones, &effect->work);
        host_touch(self, effect->work.eval);
        break;
    case MESH_CLONE_STOP:
        clones_stop(self->clones, &effect->work);
        break;
    case MESH_FORGET_SECRET:
        host_last_statuses(self, effect->eval);
        store_remove_blob(self->config.store, effect->secret, SECRET_EXT);
        break;
    case MESH_PREPARE:
        executor_prepare(self->executor, &effect->work);
        break;
    case MESH_GIVE_SLOT:
        executor_give_slot(self->executor, &effect->work, effect->slot);
        break;
    case MESH_START:
        executor_start(self->executor, &effect->work, effect->slot);
        host_touch(self, effect->work.eval);
        break;
    case MESH_STOP:
        executor_stop(self->executor, &effect->work);
        break;
    case MESH_DROP:
        executor_drop(self->executor, effect->eval);
        break;
    case MESH_RUNNING:
        host_touch(self, effect->eval);
        break;
    case MESH_FINAL:
        host_note_final(self, effect->eval);
        break;
    case MESH_WHOLE:
        if (store_repairing(self->config.store))
            store_repaired(self->config.store);
        break;
    case MESH_MEMBER:
        on_member(self, effect);
        break;
    case MESH_DRAINED:
        self->is_drained = true;
        if (self->on_left)
            host_leave_after_statuses(self);
        break;
    case MESH_GONE:
        net_leave(self->net, on_left, self);
        break;
    case MESH_EXIT:
        exit_at_once(self, effect->reason);
        break;
    }
}
