/* What the checker remembers, and the truth of what ran. docs/simulation.md lists what must hold.
 */
#include "tests/sim/check_inner.h"

#include "proto/base/mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define HATCH_US (29 * SIM_S) /* 30 s by a clock that may be a little fast */

struct check *check_new(void) { return mem_new(sizeof(struct check)); }

void check_free(struct check *self_owned)
{
    if (!self_owned)
        return;
    free(self_owned->fences);
    free(self_owned->runs);
    free(self_owned->ran);
    free(self_owned->puts);
    free(self_owned->shown);
    free(self_owned->minted);
    free(self_owned->holders);
    free(self_owned);
}

void check_violation(struct sim *self, const char *id, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    SIM_CHART(self, "VIOLATION %s: %s", id, text);
    sim_mix_bytes(self, text, strlen(text));
    if (self->violations == 0)
        self->first_violation = id;
    if (self->violations++ < CHECK_MAX_SHOWN && !self->options.is_quiet)
        printf("violation %s seed %" PRIu64 " mode %s nodes %u at %" PRIu64 ".%03u s: %s\n", id,
               self->options.seed, sim_mode_name(self->options.mode), self->node_count,
               self->now_us / SIM_S, (unsigned)(self->now_us / SIM_MS % 1000), text);
}

/* ---- ballots --------------------------------------------------------------------------------- */

struct check_fence *check_fence_of(struct sim *self, uint64_t eval, struct doc_ballot ballot)
{
    struct check *check = self->check;
    for (size_t i = 0; i < check->fence_count; i++)
        if (check->fences[i].eval == eval &&
            doc_ballot_compare(check->fences[i].ballot, ballot) == 0)
            return &check->fences[i];
    CHECK_ADD(check, fences, fence_count, fence_room,
              (struct check_fence){.eval = eval, .ballot = ballot, .first_us = self->now_us});
    return &check->fences[check->fence_count - 1];
}

const struct doc_fence *check_newest_fence(struct sim *self, uint64_t eval)
{
    const struct doc_fence *newest = NULL;
    for (unsigned i = 0; i < self->node_count; i++) {
        const struct doc *doc = disk_find(&self->nodes[i].disk, eval);
        if (doc && doc->fence &&
            (!newest || doc_ballot_compare(newest->ballot, doc->fence->ballot) < 0))
            newest = doc->fence;
    }
    return newest;
}

/* Of two replicas one is enough while the other is known not to run: it did not for a moment, since
 * shortly before the ballot was made. */
#define ALONE_US (20 * SIM_S)
static bool is_alone(struct sim *self, const struct doc_fence *fence, uint64_t eval,
                     struct doc_ballot ballot)
{
    uint64_t since_us = check_fence_of(self, eval, ballot)->first_us;
    for (size_t i = 0; i < fence->rep_count; i++) {
        const struct sim_node *node = node_by_id(self, id_node_short(&fence->reps[i]));
        if (node && (!node->is_up || node->up_since_us + ALONE_US > since_us))
            return true;
    }
    return false;
}

bool check_majority(struct sim *self, const struct doc_fence *fence, uint64_t eval,
                    check_rep_fn *fn, struct doc_ballot ballot)
{
    size_t count = 0;
    for (size_t i = 0; i < fence->rep_count; i++) {
        const struct sim_node *node = node_by_id(self, id_node_short(&fence->reps[i]));
        const struct doc *doc = node ? disk_find(&node->disk, eval) : NULL;
        if (!node || (doc && fn(doc, ballot)))
            count++;
    }
    if (fence->rep_count == 2 && count == 1 && is_alone(self, fence, eval, ballot))
        return true;
    return 2 * count > fence->rep_count;
}

bool check_is_hatch_due(struct sim *self, uint64_t eval, struct doc_ballot ballot)
{
    return self->now_us - check_fence_of(self, eval, ballot)->first_us >= HATCH_US;
}

/* ---- what ran -------------------------------------------------------------------------------- */

static struct check_run *run_of(struct sim *self, uint64_t eval, uint32_t p, uint32_t m)
{
    struct check *check = self->check;
    for (size_t i = 0; i < check->run_count; i++) {
        struct check_run *run = &check->runs[i];
        if (run->eval == eval && run->p == p && run->m == m)
            return run;
    }
    CHECK_ADD(check, runs, run_count, run_room, (struct check_run){.eval = eval, .p = p, .m = m});
    return &check->runs[check->run_count - 1];
}

unsigned check_runs(struct sim *self, const struct work *work)
{
    return run_of(self, work->eval, work->p, work->m)->begun;
}

void check_started(struct sim *self, struct sim_node *node, const struct sim_job *job)
{
    if (job->kind == SIM_JOB_MODULE &&
        run_of(self, job->work.eval, job->work.p, job->work.m)->begun++)
        SOMETIMES(MODULE_TWICE);
    if (!job->has_slot)
        return;
    unsigned busy = 0;
    for (size_t i = 0; i < node->job_count; i++) {
        const struct sim_job *other = &node->jobs[i];
        if (!other->has_slot)
            continue;
        busy++;
        if (other->slot == job->slot && other->ticket != job->ticket)
            check_violation(self, "I12", "%s gives slot %u away twice", node->label, job->slot);
    }
    if (busy > node->slots || job->slot >= node->slots)
        check_violation(self, "I12", "%s has %u slots and uses %u (slot %u)", node->label,
                        node->slots, busy, job->slot);
}

void check_ran(struct sim *self, uint64_t eval, const struct doc_rec *rec)
{
    struct check *check = self->check;
    run_of(self, eval, rec->p, rec->m)->finished++;
    CHECK_ADD(check, ran, ran_count, ran_room,
              (struct check_ran){.eval = eval,
                                 .plan = rec->plan,
                                 .node = rec->node,
                                 .p = rec->p,
                                 .m = rec->m,
                                 .n = rec->n,
                                 .ballot = rec->ballot,
                                 .outcome = rec->outcome,
                                 .tally = rec->tally});
}

void check_lost(struct sim *self, uint64_t eval, uint32_t p, uint32_t m)
{
    run_of(self, eval, p, m)->lost++;
}

static bool has_run(const struct check *check, uint64_t eval, const struct doc_rec *rec)
{
    for (size_t i = 0; i < check->ran_count; i++) {
        const struct check_ran *ran = &check->ran[i];
        if (ran->eval == eval && ran->p == rec->p && ran->m == rec->m && ran->n == rec->n &&
            ran->node == rec->node && ran->plan == rec->plan &&
            doc_ballot_compare(ran->ballot, rec->ballot) == 0)
            return ran->outcome == rec->outcome &&
                   memcmp(&ran->tally, &rec->tally, sizeof ran->tally) == 0;
    }
    return false;
}

void check_seal_truth(struct sim *self, struct sim_node *node, const struct doc *doc)
{
    const struct doc_seal *seal = doc->seal;
    for (size_t i = 0; i < seal->vec_count; i++) {
        const struct doc_rec *rec = &seal->vec[i];
        if (i > 0 && (seal->vec[i - 1].p > rec->p ||
                      (seal->vec[i - 1].p == rec->p && seal->vec[i - 1].m >= rec->m)))
            check_violation(self, "I7", "%s: the seal of %" PRIu64 " counts p%u m%u twice",
                            node->label, doc->id, rec->p, rec->m);
        if (rec->real && !has_run(self->check, doc->id, rec))
            check_violation(self, "I4", "%s: %" PRIu64 " p%u m%u n%u: nothing that ran ended so",
                            node->label, doc->id, rec->p, rec->m, rec->n);
        if (rec->real || (seal->cancelled && rec->outcome == DOC_CANCELLED))
            continue;
        SOMETIMES(MODULE_GIVEN_UP);
        const struct check_run *run = run_of(self, doc->id, rec->p, rec->m);
        if (run->lost < 2 && rec->blame != DOC_BLAME_CLUSTER)
            check_violation(self, "I4", "%s: %" PRIu64 " p%u m%u was given up after %u losses",
                            node->label, doc->id, rec->p, rec->m, run->lost);
    }
}
