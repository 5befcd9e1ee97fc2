/* What people of this node ask: the newest of a document, its end. */
#include "node/own/own_inner.h"

#include "proto/base/mem.h"

#include <string.h>

static uint64_t stale_ms(const struct own *self, uint64_t id)
{
    const struct eval *eval = evals_find(self, id);
    if (!eval || eval->is_told)
        return 0;
    uint64_t age = self->now_ms - eval->fresh_ms;
    return age > 0 ? age : 1;
}

static void answer(struct own *self, uint64_t token, uint64_t id, bool is_newest)
{
    struct docs_info info;
    struct own_effect *effect = own_emit(self, OWN_ANSWER, id);
    effect->token = token;
    effect->is_ok = self->config.docs->info(self->config.docs->arg, id, &info);
    effect->stale_ms = !effect->is_ok || info.is_final || is_newest ? 0 : stale_ms(self, id);
}

static void read_from(struct own *self, struct ask *ask, uint64_t peer, uint32_t wait_ms)
{
    ask->reads += reads_begin(self, &(struct read){.purpose = READ_ASK,
                                                   .id = ask->id,
                                                   .peer = peer,
                                                   .ask = ask->number,
                                                   .wait_ms = wait_ms});
}

/* From the owner; where nothing is known, from those who would be its replicas. */
static void begin_reads(struct own *self, struct ask *ask, const struct doc *doc)
{
    struct id_node best[3];
    if (doc && doc->fence) {
        if (doc->fence->ballot.owner != self->self &&
            peers_reachable(self, doc->fence->ballot.owner))
            read_from(self, ask, doc->fence->ballot.owner, ASK_OWNER);
        return;
    }
    size_t count = peers_best(self, ask->id, NULL, best, countof(best));
    for (size_t i = 0; i < count; i++)
        read_from(self, ask, id_node_short(&best[i]), ASK_ANYBODY);
}

void ask_begin(struct own *self, const struct own_event *event)
{
    const struct doc *doc = own_doc(self, event->id);
    bool is_local = own_is_final(self, event->id) || own_is_active(self, event->id, NULL);
    struct ask ask = {.number = ++self->last_ask, .token = event->token, .id = event->id};
    if (!is_local && self->ask_count < ASKS_MAX)
        begin_reads(self, &ask, doc);
    if (ask.reads == 0) {
        answer(self, ask.token, ask.id, is_local);
        return;
    }
    self->asks = mem_grow(self->asks, &self->ask_room, self->ask_count + 1, sizeof *self->asks);
    self->asks[self->ask_count++] = ask;
}

void ask_read_ended(struct own *self, const struct read *read, bool is_ok)
{
    size_t i = 0;
    while (i < self->ask_count && self->asks[i].number != read->ask)
        i++;
    if (i == self->ask_count)
        return;
    self->asks[i].reads--;
    if (!is_ok && self->asks[i].reads > 0)
        return;
    struct ask ask = self->asks[i];
    self->ask_count--;
    memmove(&self->asks[i], &self->asks[i + 1], (self->ask_count - i) * sizeof ask);
    answer(self, ask.token, ask.id, is_ok);
}

/* ---- cancel ---------------------------------------------------------------------------------- */

void ask_cancel(struct own *self, const struct own_event *event)
{
    struct docs_info info = {0};
    if (!self->config.docs->info(self->config.docs->arg, event->id, &info) || info.is_final) {
        struct own_effect *effect = own_emit(self, OWN_CANCELLED, event->id);
        effect->token = event->token;
        effect->is_ok = info.is_final;
        return;
    }
    own_append(self, APPEND_CANCEL, &(struct delta){.id = event->id, .cancel = true})->ask =
        event->token;
}

static void tell(struct own *self, uint64_t id, uint64_t peer, struct wire_bytes bytes)
{
    if (peer == self->self || !peers_reachable(self, peer))
        return;
    struct wire_msg *msg = own_send(self, peer, WIRE_PUT);
    msg->put =
        (struct wire_put){.rid = own_rid(self), .eid = id, .kind = WIRE_PUT_CANCEL, .delta = bytes};
}

/* Durable here, it will reach the owner some time; this makes it soon. */
void ask_cancelled(struct own *self, const struct append *append, enum err_code code)
{
    struct own_effect *effect = own_emit(self, OWN_CANCELLED, append->id);
    effect->token = append->ask;
    effect->is_ok = code == ERR_NONE;
    const struct doc *doc = own_doc(self, append->id);
    if (code || !doc || !doc->fence)
        return;
    struct delta delta = {.id = append->id, .cancel = true};
    struct wire_bytes bytes = hold_encoded(&self->out->hold, &delta);
    if (fence_index(doc->fence, doc->fence->ballot.owner) < 0)
        tell(self, append->id, doc->fence->ballot.owner, bytes);
    for (size_t i = 0; i < doc->fence->rep_count; i++)
        tell(self, append->id, id_node_short(&doc->fence->reps[i]), bytes);
}
