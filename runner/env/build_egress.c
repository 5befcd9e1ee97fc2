/* What a build may reach, and what it says when it wanted to reach more. */
#include "proto/base/mem.h"
#include "runner/env/build_inner.h"

#include <string.h>

int build_gate_open(struct build *self, int *fd_owned, struct err *err)
{
    const struct env_config *config = self->spec.config;
    const struct egress_client_spec spec = {.policy = self->spec.reach,
                                            .bytes_max = config->build_max_bytes};
    self->gate = egress_client_new(config->egress, &spec, fd_owned, err);
    return self->gate != NULL ? 0 : (int)err->code;
}

static void put_refusal(const struct egress_refusal *refusal, struct buf *out)
{
    egress_target_put(&refusal->target, out);
    if (refusal->address[0] != '\0')
        buf_printf(out, " (%s)", refusal->address);
    buf_printf(out, ": %s (%s)", egress_verdict_words(refusal->verdict),
               egress_verdict_reason(refusal->verdict));
}

void build_gate_close(struct build *self)
{
    struct build_reached *reached = &self->reached;
    if (self->gate == NULL)
        return;
    const struct egress_refusal *refusals =
        egress_client_refusals(self->gate, &reached->refusal_count);
    memcpy(reached->refusals, refusals, reached->refusal_count * sizeof *refusals);
    reached->failures = egress_client_failures(self->gate);
    reached->is_over = egress_client_is_over(self->gate);
    for (size_t i = 0; i < reached->refusal_count; i++) {
        buf_puts(&self->log, "refused ");
        put_refusal(&refusals[i], &self->log);
        buf_putc(&self->log, '\n');
    }
    egress_client_free(steal_ptr(&self->gate));
}

/* Reasons that may well be what a refusal led to; others stand by themselves. */
static bool may_come_of_it(const char *reason)
{
    return strcmp(reason, "package-build") == 0 || strcmp(reason, "package-install") == 0 ||
           strncmp(reason, "index-", 6) == 0;
}

/* Whether the installer itself was led to another host: by the links of an index, since a project's
 * own URLs are refused before. Where no stranger's code runs there is nobody else; where it may
 * run, an installer that could not fetch says other words than one whose build failed. */
static bool is_index_to_blame(const struct build *self, const struct blame *blame)
{
    return self->step == BUILD_WHEELS || blame->is_cluster;
}

/* Without its page a package looks as if there were none, whatever the installer makes of it. */
static bool is_page_missing(const struct build_reached *reached, const struct blame *blame)
{
    return reached->failures > 0 && (strcmp(blame->reason, "package-not-found") == 0 ||
                                     strcmp(blame->reason, "package-install") == 0);
}

void build_blame_reach(const struct build *self, struct blame *blame, struct buf *message)
{
    const struct build_reached *reached = &self->reached;
    if (reached->is_over) {
        buf_printf(message, "the requirements download more than %llu MiB\n",
                   (unsigned long long)self->spec.config->build_max_bytes >> 20);
        *blame = (struct blame){false, false, "package-too-large"};
        return;
    }
    if (reached->refusal_count == 0 && is_page_missing(reached, blame)) {
        *blame = (struct blame){true, false, "index-unreachable"};
        return;
    }
    if (reached->refusal_count == 0 || (blame->is_cluster && reached->failures > 0))
        return;
    const struct egress_refusal *first = &reached->refusals[0];
    bool is_ours = first->is_allowed_host || is_index_to_blame(self, blame);
    if (may_come_of_it(blame->reason))
        *blame = (struct blame){is_ours, false, egress_verdict_reason(first->verdict)};
    buf_puts(message, is_ours ? "this node's index leads to " : "the requirements tried to reach ");
    put_refusal(first, message);
    if (is_ours && first->verdict == EGRESS_NOT_ALLOWED)
        buf_puts(message, "; its operator allows it with --index-host");
    buf_putc(message, '\n');
}
