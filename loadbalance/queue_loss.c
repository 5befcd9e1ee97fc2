/* Whose fault a lost attempt is; the rules are in queue.h. */
#include "loadbalance/queue_inner.h"
#include "proto/base/mem.h"

#include <stdlib.h>

void queue_give_up(struct queue *self, struct queue_eval *eval, const struct work *work,
                   enum work_blame blame, struct queue_out *out)
{
    queue_emit(out, QUEUE_GIVE_UP, eval, NULL)->blame = blame;
    queue_emit_item(out, work, 0);
    self->stats.given_up++;
}

static bool was_there(const struct queue_incident *incident, const struct work *work)
{
    for (size_t i = 0; i < incident->count; i++)
        if (incident->works[i].eval == work->eval && incident->works[i].p == work->p &&
            incident->works[i].m == work->m)
            return true;
    return false;
}

bool queue_died_under(const struct queue *self, const struct queue_peer *peer,
                      const struct work *work)
{
    for (size_t i = 0; i < QUEUE_INCIDENTS; i++)
        if (self->incidents[i].at_ms > 0 && self->incidents[i].peer == peer->id &&
            was_there(&self->incidents[i], work))
            return true;
    return false;
}

/* Did nodes die under it far more often than they die of anything else? Where there is a choice of
 * nodes, one alone proves nothing: it may be the node that is ill. */
static bool is_convicted(const struct queue *self, const struct work *work, uint64_t now_ms)
{
    size_t with = 0;
    size_t without = 0;
    uint64_t first = 0;
    bool is_many = self->most_peers <= 2;
    for (size_t i = 0; i < QUEUE_INCIDENTS; i++) {
        const struct queue_incident *incident = &self->incidents[i];
        if (incident->at_ms == 0)
            continue;
        if (was_there(incident, work)) {
            is_many = is_many || (with > 0 && incident->peer != first);
            first = with++ == 0 ? incident->peer : first;
        } else if (incident->at_ms + QUEUE_LOSS_WINDOW_MS > now_ms) {
            without++;
        }
    }
    return is_many && with >= QUEUE_NODE_LOSSES * (without + 1);
}

/* WORK_BLAME_NONE: try it again. */
static enum work_blame judge(const struct queue *self, struct queue_task *task,
                             const struct work *work, enum loss loss, uint64_t now_ms)
{
    enum work_blame own = work->m == WORK_CHORE ? WORK_BLAME_PROJECT : WORK_BLAME_TESTS;
    if (loss == LOSS_NONE)
        return WORK_BLAME_NONE;
    if (task->losses < UINT8_MAX)
        task->losses++;
    task->runner_losses = (uint8_t)(task->runner_losses + (loss == LOSS_RUNNER));
    if ((loss == LOSS_NODE || loss == LOSS_TRIAL) && task->node_losses < UINT8_MAX)
        task->node_losses++;
    if (task->runner_losses >= QUEUE_RUNNER_LOSSES)
        return own;
    if (loss == LOSS_TRIAL && is_convicted(self, work, now_ms))
        return own;
    if (task->node_losses >= QUEUE_NODE_LOSSES_MAX || task->losses >= QUEUE_ATTEMPTS_MAX)
        return WORK_BLAME_CLUSTER;
    return WORK_BLAME_NONE;
}

void queue_lose(struct queue *self, struct queue_run *run, enum loss loss, uint64_t now_ms,
                struct queue_out *out)
{
    struct work work = run->work;
    struct queue_eval *eval = run->eval;
    struct queue_project *project = queue_project_find(eval, work.p);
    struct queue_task *task = queue_task_find(eval, &work);
    if (loss == LOSS_NODE && run->is_apart)
        loss = LOSS_TRIAL;
    queue_run_free(run);
    self->stats.lost += loss != LOSS_NONE;
    if (!task || project->is_over || task->state == TASK_OVER || task->state == TASK_GIVEN_UP)
        return;
    enum work_blame blame = judge(self, task, &work, loss, now_ms);
    if (blame != WORK_BLAME_NONE) {
        task->state = TASK_GIVEN_UP;
        queue_give_up(self, eval, &work, blame, out);
    } else if (work.m != WORK_CHORE) {
        task->not_before_ms = now_ms + QUEUE_WATCH_MS;
        queue_task_wait(eval, project, work.m);
    } else if (queue_task_is_suspect(task)) {
        task->not_before_ms = now_ms + QUEUE_WATCH_MS;
        queue_project_hold(eval, project, now_ms + QUEUE_WATCH_MS);
    }
    queue_project_refresh(eval, project);
}

static void remember(struct queue *self, const struct queue_peer *peer, uint64_t now_ms)
{
    struct queue_incident *incident = &self->incidents[self->incident_next++ % QUEUE_INCIDENTS];
    free(incident->works);
    *incident = (struct queue_incident){.at_ms = now_ms ? now_ms : 1, .peer = peer->id};
    incident->works = mem_new_array(peer->running + 1, sizeof *incident->works);
    for (const struct queue_run *run = peer->first; run; run = run->next)
        if (!run->is_waiting && !run->is_ended)
            incident->works[incident->count++] = run->work;
}

void queue_peer_lose(struct queue *self, struct queue_peer *peer, const struct queue_event *event,
                     struct queue_out *out)
{
    if (event->loss != QUEUE_LEFT)
        remember(self, peer, event->now_ms);
    while (peer->first) {
        struct queue_run *run = peer->first;
        bool is_suspect = event->loss != QUEUE_LEFT && !run->is_waiting && !run->is_ended;
        queue_lose(self, run, is_suspect ? LOSS_NODE : LOSS_NONE, event->now_ms, out);
    }
    queue_peer_remove(self, peer);
}
