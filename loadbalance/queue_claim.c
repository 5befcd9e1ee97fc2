/* What a claim gets. */
#include "loadbalance/queue_inner.h"
#include "proto/base/mem.h"

#include <assert.h>

/* A round trip may cost a twentieth of what it brings. */
#define ROUND_TRIPS 20

uint32_t queue_prepare_ms(const struct queue *self, const struct queue_project *project)
{
    return project->prepare_ms ? project->prepare_ms : self->prepare_ms;
}

/* ---- modules --------------------------------------------------------------------------------- */

struct grant {
    struct queue *self;
    struct queue_eval *eval;
    struct queue_peer *peer;
    struct queue_link *link;
    uint64_t now_ms;
    uint32_t want_ms;
    struct queue_out *out;
    size_t given; /* items */
};

static void give(struct grant *grant, uint32_t p, uint32_t m)
{
    struct queue_eval *eval = grant->eval;
    struct queue_task *task =
        m == WORK_CHORE ? &eval->projects[p].chore : &eval->projects[p].modules[m];
    struct work work = {.eval = eval->id, .p = p, .m = m, .n = ++task->n, .ballot = eval->ballot};
    if (grant->given == 0)
        queue_emit(grant->out, QUEUE_ASSIGN, eval, grant->peer);
    grant->given++;
    queue_emit_item(grant->out, &work, task->estimate_ms);
    queue_run_add(grant->self, eval, grant->peer, &work, grant->now_ms);
    if (m == WORK_CHORE)
        return;
    grant->self->stats.assigned++;
    if (eval->served > grant->self->turn)
        grant->self->turn = eval->served;
    eval->served += (task->estimate_ms ? task->estimate_ms : 1) / eval->weight + 1;
}

/* A suspect runs beside no other, after a while, and on a node that it has not been seen to die on:
 * only another node's death tells the module from the node. Where there is none, on the same. */
static bool may_have_suspect(const struct grant *grant, const struct work *work)
{
    const struct queue_task *task = queue_task_find(grant->eval, work);
    if (grant->peer->apart > 0 || task->not_before_ms > grant->now_ms)
        return false;
    return task->not_before_ms + QUEUE_WATCH_MS <= grant->now_ms ||
           !queue_died_under(grant->self, grant->peer, work);
}

static bool give_suspect(struct grant *grant)
{
    struct queue_eval *eval = grant->eval;
    for (size_t i = 0; i < eval->suspect_count; i++) {
        struct work work = eval->suspects[i];
        if (!(queue_link_bits(grant->link, work.p) & LINK_READY) || !may_have_suspect(grant, &work))
            continue;
        queue_task_leave(eval, &eval->projects[work.p], work.m, TASK_RUNNING);
        give(grant, work.p, work.m);
        return true;
    }
    return false;
}

/* One slot's worth: the longest; and more to it where they are so short that asking for each would
 * cost more than a twentieth of them. */
static bool give_slot(struct grant *grant, uint32_t batch_ms)
{
    struct queue_eval *eval = grant->eval;
    uint64_t short_ms = (uint64_t)grant->peer->load.rtt_us * ROUND_TRIPS / 1000;
    uint64_t sum = 0;
    uint32_t p;
    uint32_t m;
    if (give_suspect(grant))
        return true;
    for (size_t count = 0; queue_link_top(eval, grant->link, &p); count++) {
        struct queue_project *project = &eval->projects[p];
        bool has_head = queue_project_head(project, &m);
        assert(has_head);
        (void)has_head;
        const struct queue_task *task = &project->modules[m];
        uint32_t estimate = task->estimate_ms ? task->estimate_ms : 1;
        if (count > 0 && (estimate >= short_ms || sum + estimate > batch_ms || task->losses > 0 ||
                          grant->given >= QUEUE_ASSIGN_MAX))
            return true;
        bool is_alone = estimate >= short_ms || task->losses > 0;
        queue_task_leave(eval, project, m, TASK_RUNNING);
        give(grant, p, m);
        sum += estimate;
        if (is_alone)
            return true;
    }
    return sum > 0;
}

static uint32_t give_modules(struct grant *grant, uint32_t slots)
{
    uint64_t all = grant->self->slots ? grant->self->slots : 1;
    uint64_t batch_ms = grant->eval->waiting_ms / (2 * all);
    if (batch_ms > QUEUE_BATCH_MS)
        batch_ms = QUEUE_BATCH_MS;
    if (grant->want_ms > 0 && batch_ms > grant->want_ms)
        batch_ms = grant->want_ms;
    uint32_t used = 0;
    while (used < slots && grant->given < QUEUE_ASSIGN_MAX && give_slot(grant, (uint32_t)batch_ms))
        used++;
    return used;
}

/* ---- chores ---------------------------------------------------------------------------------- */

/* Is what is ready there done before one more project could be? */
static bool will_run_dry(const struct grant *grant)
{
    uint64_t enough = (uint64_t)grant->self->prepare_ms * grant->peer->load.slots;
    uint64_t sum = 0;
    for (size_t i = 0; i < grant->link->heap_count && sum <= enough; i++) {
        const struct queue_project *project = &grant->eval->projects[grant->link->heap[i].p];
        if (project->slots > 0)
            sum += project->waiting_ms * grant->link->slots / project->slots;
    }
    return sum <= enough;
}

static uint64_t size_of(const struct queue_project *project)
{
    return project->has_plan ? project->waiting_ms : project->estimate_ms;
}

static bool is_at_home(const struct grant *grant, const struct queue_project *project)
{
    return project->home == grant->peer->id;
}

/* A home that is not there is none. */
static bool is_left_to_its_home(const struct grant *grant, const struct queue_project *project)
{
    return project->home && !is_at_home(grant, project) && grant->now_ms < project->home_until_ms &&
           queue_peer_find(grant->self, project->home);
}

static bool is_before(const struct grant *grant, const struct queue_project *a,
                      const struct queue_project *b)
{
    if (is_at_home(grant, a) != is_at_home(grant, b))
        return is_at_home(grant, a);
    return size_of(a) > size_of(b);
}

static const struct queue_project *first_unready(const struct grant *grant)
{
    const struct queue_project *best = NULL;
    if (grant->eval->unready == 0)
        return NULL;
    for (uint32_t p = 0; p < grant->eval->project_count; p++) {
        const struct queue_project *project = &grant->eval->projects[p];
        struct work work = {.eval = grant->eval->id, .p = p, .m = WORK_CHORE};
        bool must_wait = queue_task_is_suspect(&project->chore) && !may_have_suspect(grant, &work);
        if (!project->is_unready || must_wait || is_left_to_its_home(grant, project) ||
            (queue_link_bits(grant->link, p) & LINK_FAILED))
            continue;
        if (!best || is_before(grant, project, best))
            best = project;
    }
    return best;
}

/* What is left of a project, by the prediction and by how wrong that was of what is over, or runs
 * longer than predicted: without history it is a guess. */
static uint64_t left_of(const struct grant *grant, const struct queue_project *project)
{
    uint64_t spent_ms = project->spent_ms;
    uint64_t thought_ms = project->thought_ms;
    for (size_t i = 0; i < grant->self->peer_count; i++)
        for (const struct queue_run *run = grant->self->peers[i]->first; run; run = run->next) {
            if (run->eval != grant->eval || run->work.p != project->p || run->work.m == WORK_CHORE)
                continue;
            uint64_t elapsed_ms = grant->now_ms - run->since_ms;
            uint32_t estimate_ms = project->modules[run->work.m].estimate_ms;
            if (elapsed_ms > estimate_ms) {
                spent_ms += elapsed_ms;
                thought_ms += estimate_ms;
            }
        }
    return thought_ms > 0
               ? (uint64_t)((double)project->waiting_ms * (double)spent_ms / (double)thought_ms)
               : project->waiting_ms;
}

/* The time that the claimant's slots would save, of a project that others have ready. */
static bool is_worth_helping(const struct grant *grant, const struct queue_project *project)
{
    uint64_t mine = grant->peer->load.slots;
    uint64_t theirs = project->slots;
    uint64_t left_ms = left_of(grant, project) / theirs;
    return left_ms * mine / (theirs + mine) > queue_prepare_ms(grant->self, project);
}

static const struct queue_project *most_behind(const struct grant *grant)
{
    const uint8_t not_again = LINK_READY | LINK_PREPARING | LINK_FAILED;
    const struct queue_project *best = NULL;
    for (uint32_t p = 0; p < grant->eval->project_count; p++) {
        const struct queue_project *project = &grant->eval->projects[p];
        if (project->waiting == 0 || project->slots == 0 || project->held_until_ms > 0 ||
            queue_task_is_suspect(&project->chore) || (queue_link_bits(grant->link, p) & not_again))
            continue;
        if (!best || project->waiting_ms / project->slots > best->waiting_ms / best->slots)
            best = project;
    }
    return best && is_worth_helping(grant, best) ? best : NULL;
}

static void give_chores(struct grant *grant, uint32_t chores)
{
    while (chores > 0 && grant->given < QUEUE_ASSIGN_MAX && will_run_dry(grant)) {
        const struct queue_project *project = first_unready(grant);
        if (!project)
            project = most_behind(grant);
        if (!project)
            return;
        uint32_t p = project->p;
        give(grant, p, WORK_CHORE);
        queue_link_set(grant->eval, grant->link, p, LINK_PREPARING, 0);
        grant->self->stats.chores_assigned++;
        chores--;
    }
}

/* ---- whose turn ------------------------------------------------------------------------------ */

/* The evaluation that is furthest behind, of those that the node has asked for and can start. */
static struct queue_eval *furthest_behind(const struct queue *self, const struct queue_peer *peer)
{
    struct queue_eval *best = NULL;
    for (size_t i = 0; i < self->eval_count; i++) {
        struct queue_eval *eval = self->evals[i];
        uint32_t p;
        if (eval->waiting == 0 || (best && eval->served >= best->served))
            continue;
        struct queue_link *link = queue_link_find(eval, peer);
        if (link && link->claimed_ms > 0 && queue_link_top(eval, link, &p))
            best = eval;
    }
    return best;
}

static struct grant grant_of(struct queue *self, struct queue_eval *eval, struct queue_peer *peer,
                             const struct queue_event *event, struct queue_out *out)
{
    return (struct grant){.self = self,
                          .eval = eval,
                          .peer = peer,
                          .link = queue_link_get(eval, peer),
                          .now_ms = event->now_ms,
                          .want_ms = event->want_ms,
                          .out = out};
}

static void refuse(struct queue *self, const struct queue_event *event,
                   const struct queue_eval *eval, struct queue_out *out)
{
    struct queue_effect *effect = queue_emit(out, QUEUE_NOWORK, eval, NULL);
    effect->peer = event->peer;
    effect->eval = event->eval;
    effect->ballot = eval ? eval->ballot : event->ballot;
    effect->queued = eval ? queue_queued(eval) : 0;
    self->stats.nowork++;
}

static uint32_t serve_other(struct queue *self, const struct queue_eval *eval,
                            struct queue_peer *peer, const struct queue_event *event,
                            struct queue_out *out)
{
    struct queue_eval *other = furthest_behind(self, peer);
    if (!other || other == eval || event->now_ms < other->adopt_until_ms ||
        other->served + QUEUE_QUANTUM_MS >= eval->served)
        return 0;
    struct grant grant = grant_of(self, other, peer, event, out);
    return give_modules(&grant, event->slots);
}

void queue_claim(struct queue *self, const struct queue_event *event, struct queue_out *out)
{
    struct queue_eval *eval = queue_eval_find(self, event->eval);
    struct queue_peer *peer = queue_peer_find(self, event->peer);
    if (!peer)
        self->stats.ignored++;
    if (!eval || !peer) {
        refuse(self, event, eval, out);
        return;
    }
    struct grant grant = grant_of(self, eval, peer, event, out);
    grant.link->claimed_ms = event->now_ms ? event->now_ms : 1;
    queue_link_take_ready(eval, grant.link, event);
    if (peer->load.is_draining || event->now_ms < eval->adopt_until_ms) {
        grant.link->is_hungry = true;
        refuse(self, event, eval, out);
        return;
    }
    uint32_t used = serve_other(self, eval, peer, event, out);
    used += give_modules(&grant, event->slots - used);
    give_chores(&grant, event->chores);
    grant.link->is_hungry = used < event->slots;
    if (out->count == 0)
        refuse(self, event, eval, out);
}
