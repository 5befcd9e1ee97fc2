/* notes: what a step holds, and what the machines have to say to each other until all of it is
 * said. */
#include "node/mesh/mesh_inner.h"

#include "proto/base/mem.h"

#include <assert.h>
#include <string.h>

/* ---- what lives for a step ------------------------------------------------------------------- */

void mesh_hold(struct mesh *self, void *what, void (*fini)(void *what))
{
    self->holds =
        mem_grow(self->holds, &self->hold_capacity, self->hold_count + 1, sizeof *self->holds);
    self->holds[self->hold_count++] = (struct hold){.fini = fini, .what = what};
}

void mesh_release_holds(struct mesh *self)
{
    for (size_t i = 0; i < self->hold_count; i++) {
        self->holds[i].fini(self->holds[i].what);
        free(self->holds[i].what);
    }
    self->hold_count = 0;
}

void *mesh_scratch(struct mesh *self, size_t bytes) { return arena_take(self->out->arena, bytes); }

void *mesh_copy(struct mesh *self, const void *bytes, size_t len)
{
    void *copy = mesh_scratch(self, len + 1);
    return len ? memcpy(copy, bytes, len) : copy;
}

struct mesh_effect *mesh_effect(struct mesh *self, enum mesh_effect_kind kind)
{
    struct mesh_out *out = self->out;
    out->effects = mem_grow(out->effects, &out->capacity, out->count + 1, sizeof *out->effects);
    struct mesh_effect *effect = &out->effects[out->count++];
    *effect = (struct mesh_effect){.kind = kind};
    return effect;
}

void mesh_out_fini(struct mesh_out *self)
{
    free(self->effects);
    if (self->arena)
        arena_free(self->arena);
    *self = (struct mesh_out){0};
}

/* ---- notes ----------------------------------------------------------------------------------- */

void mesh_note(struct mesh *self, const struct note *note)
{
    self->notes =
        mem_grow(self->notes, &self->note_capacity, self->note_count + 1, sizeof *self->notes);
    self->notes[self->note_count++] = *note;
}

void mesh_note_own(struct mesh *self, struct own_event event)
{
    event.now_ms = self->now_ms;
    event.wall_ms = self->wall_ms;
    mesh_note(self, &(struct note){.kind = NOTE_OWN, .own = event});
}

void mesh_note_agent(struct mesh *self, struct agent_event event)
{
    event.now_ms = self->now_ms;
    mesh_note(self, &(struct note){.kind = NOTE_AGENT, .agent = event});
}

void mesh_note_queue(struct mesh *self, struct queue_event event)
{
    event.now_ms = self->now_ms;
    mesh_note(self, &(struct note){.kind = NOTE_QUEUE, .queue = event});
}

void mesh_note_swim(struct mesh *self, struct swim_event event)
{
    event.now_ms = self->now_ms;
    mesh_note(self, &(struct note){.kind = NOTE_SWIM, .swim = event});
}

void mesh_note_sync(struct mesh *self, struct sync_event event)
{
    event.now_ms = self->now_ms;
    mesh_note(self, &(struct note){.kind = NOTE_SYNC, .sync = event});
}

void mesh_take_notes(struct mesh *self)
{
    while (self->note_next < self->note_count) {
        struct note note = self->notes[self->note_next++];
        switch (note.kind) {
        case NOTE_SWIM:
            mesh_swim(self, &note.swim);
            break;
        case NOTE_OWN:
            mesh_own(self, &note.own);
            break;
        case NOTE_QUEUE:
            mesh_queue(self, &note.queue);
            break;
        case NOTE_AGENT:
            mesh_agent(self, &note.agent);
            break;
        case NOTE_SYNC:
            mesh_sync(self, &note.sync);
            break;
        }
    }
    self->note_next = self->note_count = 0;
}

void mesh_send_to(struct mesh *self, uint64_t peer, const struct wire_addr *addr,
                  const struct wire_msg *msg)
{
    owned_buf bytes = BUF_INIT;
    assert(peer != self->self);
    wire_encode(msg, &bytes);
    struct mesh_effect *effect = mesh_effect(self, MESH_SEND_FRAME);
    effect->peer = peer;
    effect->addr = *addr;
    effect->bytes = mesh_copy(self, bytes.data, bytes.len);
    effect->len = bytes.len;
}

void mesh_send(struct mesh *self, uint64_t peer, const struct wire_msg *msg)
{
    struct swim_view view;
    if (swim_member(self->swim, peer, &view))
        mesh_send_to(self, peer, &view.member.addr, msg);
}

const struct wire_ref *mesh_refs(struct mesh *self, const struct work_item *items, size_t count)
{
    struct wire_ref *refs = mesh_scratch(self, (count + 1) * sizeof *refs);
    for (size_t i = 0; i < count; i++)
        refs[i] = (struct wire_ref){
            .p = items[i].work.p, .m = items[i].work.m, .n = (uint16_t)items[i].work.n};
    return refs;
}
