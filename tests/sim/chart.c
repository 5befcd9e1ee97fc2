/* What happens, line by line, for people: --trace. */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdarg.h>

static void stamp(const struct sim *self)
{
    fprintf(self->options.trace, "%4" PRIu64 ".%06u  ", self->now_us / SIM_S,
            (unsigned)(self->now_us % SIM_S));
}

void chart_print(const struct sim *self, const char *fmt, ...)
{
    va_list args;
    stamp(self);
    va_start(args, fmt);
    vfprintf(self->options.trace, fmt, args);
    va_end(args);
    fputc('\n', self->options.trace);
}

static int index_of(const struct sim *self, uint64_t id)
{
    for (unsigned i = 0; i < self->node_count; i++)
        if (self->nodes[i].id == id)
            return (int)i;
    return -1;
}

static void show_fence(const struct sim *self, uint64_t eval, struct wire_fence fence)
{
    fprintf(self->options.trace, " %" PRIu64 " (%u, n%d)", eval, fence.epoch,
            index_of(self, fence.owner));
}

static void show_put(FILE *to, const struct wire_put *put)
{
    static const char *const kinds[] = {"?", "submit", "claim", "seal", "cancel", "data"};
    fprintf(to, " %s %" PRIu64 " #%u, %zu bytes", kinds[put->kind > 5 ? 0 : put->kind], put->eid,
            put->rid, put->delta.len);
}

static void show_fields(const struct sim *self, const struct wire_msg *msg)
{
    FILE *to = self->options.trace;
    switch ((int)msg->kind) {
    case WIRE_PING:
    case WIRE_ACK:
    case WIRE_NACK:
        fprintf(to, " #%u", msg->ack.seq);
        return;
    case WIRE_ALIVE:
        fprintf(to, " n%d (%" PRIu64 ", %u)", index_of(self, id_node_short(&msg->alive.node)),
                msg->alive.gen, msg->alive.ver);
        return;
    case WIRE_SUSPECT:
    case WIRE_DEAD:
    case WIRE_LEFT:
        fprintf(to, " n%d (%" PRIu64 ", %u)", index_of(self, msg->suspect.node), msg->suspect.gen,
                msg->suspect.ver);
        return;
    case WIRE_OFFER:
        show_fence(self, msg->offer.eid, msg->offer.fence);
        fprintf(to, " %u wait", msg->offer.queued);
        return;
    case WIRE_WORK:
    case WIRE_NOWORK:
        show_fence(self, msg->work.eid, msg->work.fence);
        fprintf(to, " %u wait", msg->work.queued);
        return;
    case WIRE_FENCE:
        show_fence(self, msg->fence.eid, msg->fence.fence);
        return;
    case WIRE_CLAIM:
        show_fence(self, msg->claim.eid, msg->claim.fence);
        fprintf(to, " %u slots, %u chores, %zu ready", msg->claim.slots, msg->claim.chores,
                msg->claim.ready_count);
        return;
    case WIRE_ASSIGN:
        show_fence(self, msg->assign.eid, msg->assign.fence);
        for (size_t i = 0; i < msg->assign.work_count; i++)
            fprintf(to, " p%u m%d n%u", msg->assign.work[i].p, (int)msg->assign.work[i].m,
                    msg->assign.work[i].n);
        return;
    case WIRE_REFUSE:
        show_fence(self, msg->refuse.eid, msg->refuse.fence);
        fprintf(to, " why %u, %zu", msg->refuse.why, msg->refuse.work_count);
        return;
    case WIRE_RESULT:
        show_fence(self, msg->result.eid, msg->result.fence);
        fprintf(to, " p%u m%d n%u outcome %u blame %u", msg->result.p, (int)msg->result.m,
                msg->result.n, msg->result.outcome, msg->result.blame);
        return;
    case WIRE_RESULT_OK:
        fprintf(to, " %" PRIu64 " %zu", msg->result_ok.eid, msg->result_ok.done_count);
        return;
    case WIRE_BEAT:
        fprintf(to, " %zu run", msg->beat.running_count);
        return;
    case WIRE_CANCEL:
        show_fence(self, msg->cancel.eid, msg->cancel.fence);
        return;
    case WIRE_READ:
        fprintf(to, " %" PRIu64 " #%u", msg->read.eid, msg->read.rid);
        return;
    case WIRE_DOC:
        fprintf(to, " %" PRIu64 " #%u, %zu bytes", msg->doc.eid, msg->doc.rid, msg->doc.delta.len);
        return;
    case WIRE_PUT:
        show_put(to, &msg->put);
        return;
    case WIRE_PUT_OK:
        fprintf(to, " %" PRIu64 " #%u", msg->put_ok.eid, msg->put_ok.rid);
        return;
    case WIRE_PUT_LOW:
        show_fence(self, msg->put_low.eid, msg->put_low.fence);
        return;
    case WIRE_DELTA:
        fprintf(to, " %" PRIu64 ", %zu bytes", msg->delta.eid, msg->delta.delta.len);
        return;
    default:
        return;
    }
}

static void show_head(const struct sim *self, unsigned from, unsigned to, const char *how)
{
    stamp(self);
    fprintf(self->options.trace, "%s %s %s ", self->nodes[from].label, how, self->nodes[to].label);
}

void chart_frame(const struct sim *self, unsigned from, unsigned to, const char *how,
                 const void *bytes, size_t len)
{
    owned_wire_msg msg = {0};
    struct err err = ERR_INIT;
    show_head(self, from, to, how);
    if (wire_decode(bytes, len, &msg, &err) == 0) {
        fputs(wire_kind_name(msg.kind), self->options.trace);
        show_fields(self, &msg);
    }
    fputc('\n', self->options.trace);
}

void chart_packet(const struct sim *self, unsigned from, unsigned to, const char *how,
                  const void *bytes, size_t len)
{
    struct wire_packet_reader reader;
    struct wire_packet_head head;
    struct err err = ERR_INIT;
    show_head(self, from, to, how);
    if (wire_packet_open(&reader, bytes, len, &head, &err) == 0) {
        for (;;) {
            owned_wire_msg msg = {0};
            if (wire_packet_next(&reader, &msg, &err) <= 0)
                break;
            fprintf(self->options.trace, "%s", wire_kind_name(msg.kind));
            show_fields(self, &msg);
            fputs("; ", self->options.trace);
        }
    }
    fputc('\n', self->options.trace);
}
