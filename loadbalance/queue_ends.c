/* How attempts end, as their nodes report it, and what a beat says of those that have not. */
#include "loadbalance/queue_inner.h"

/* ---- ends ------------------------------------------------------------------------------------ */

/* Did it fail on each node that takes work? */
static bool has_failed_everywhere(const struct queue *self, const struct queue_eval *eval,
                                  uint32_t p)
{
    bool is_anybody = false;
    for (size_t i = 0; i < self->peer_count; i++) {
        const struct queue_peer *peer = self->peers[i];
        const struct queue_link *link = queue_link_find(eval, peer);
        if (peer->load.is_draining)
            continue;
        is_anybody = true;
        if (!link || !(queue_link_bits(link, p) & LINK_FAILED))
            return false;
    }
    return is_anybody;
}

void queue_judge_chore(struct queue *self, struct queue_eval *eval, struct queue_project *project,
                       struct queue_out *out)
{
    if (!project->is_unready ||
        (project->failures < QUEUE_PREPARES_MAX && !has_failed_everywhere(self, eval, project->p)))
        return;
    struct work work = {.eval = eval->id,
                        .p = project->p,
                        .m = WORK_CHORE,
                        .n = project->chore.n,
                        .ballot = eval->ballot};
    project->chore.state = TASK_GIVEN_UP;
    queue_project_refresh(eval, project);
    queue_give_up(self, eval, &work, WORK_BLAME_CLUSTER, out);
}

/* The chore failed on that node; another may do better. */
static void on_unprepared(struct queue *self, struct queue_run *run,
                          const struct queue_event *event, struct queue_out *out)
{
    struct queue_eval *eval = run->eval;
    struct queue_project *project = &eval->projects[run->work.p];
    struct queue_link *link = queue_link_get(eval, run->peer);
    queue_run_free(run);
    if (event->blame == WORK_BLAME_PROJECT) {
        queue_project_hold(eval, project, event->now_ms + QUEUE_HOLD_MS);
        return;
    }
    if (project->ready == 0 && project->failures < QUEUE_PREPARES_MAX)
        project->failures++;
    queue_link_set(eval, link, project->p, LINK_FAILED, 0);
    queue_judge_chore(self, eval, project, out);
}

static void chore_done(struct queue *self, struct queue_run *run, uint32_t took_ms)
{
    struct queue_eval *eval = run->eval;
    struct queue_link *link = queue_link_get(eval, run->peer);
    uint32_t p = run->work.p;
    if (took_ms > 0) {
        self->prepare_ms =
            (uint32_t)(((uint64_t)self->prepare_ms * 7 + (uint64_t)took_ms * 3) / 10);
        eval->projects[p].prepare_ms = took_ms;
    }
    queue_link_set(eval, link, p, LINK_READY, LINK_FAILED);
    queue_run_free(run);
}

static struct queue_run *find_run(const struct queue *self, uint64_t peer_id,
                                  const struct work *work, bool is_refused)
{
    struct queue_peer *peer = queue_peer_find(self, peer_id);
    struct queue_eval *eval = queue_eval_find(self, work->eval);
    if (!peer || !eval)
        return NULL;
    struct queue_run *run = NULL;
    if (work->m == WORK_CHORE) {
        run = queue_run_find_chore(peer, work->eval, work->p);
    } else {
        struct queue_task *task = queue_task_find(eval, work);
        run = task ? task->run : NULL;
    }
    if (!run || run->peer != peer)
        return NULL;
    /* A refusal names no ballot: an adopted attempt may be given back, too. */
    bool is_same = is_refused ? run->work.n == work->n : work_is_same(&run->work, work);
    return is_same ? run : NULL;
}

static void on_refused(struct queue *self, struct queue_run *run, const struct queue_event *event,
                       struct queue_out *out)
{
    struct queue_link *link = queue_link_get(run->eval, run->peer);
    uint32_t p = run->work.p;
    if (event->refusal == WORK_UNREADY && run->work.m != WORK_CHORE)
        queue_link_set(run->eval, link, p, 0, LINK_READY);
    queue_lose(self, run, LOSS_NONE, event->now_ms, out);
}

void queue_ended(struct queue *self, const struct queue_event *event, struct queue_out *out)
{
    struct queue_run *run = find_run(self, event->peer, &event->work, event->end == WORK_REFUSED);
    if (!run) {
        self->stats.duplicates++;
        return;
    }
    bool is_chore = run->work.m == WORK_CHORE;
    switch (event->end) {
    case WORK_DONE:
        if (is_chore) {
            chore_done(self, run, event->prepare_ms);
        } else {
            run->is_ended = true;
            run->since_ms = event->now_ms;
        }
        break;
    case WORK_LOST:
        queue_lose(self, run, event->blame == WORK_BLAME_CLUSTER ? LOSS_CLUSTER : LOSS_RUNNER,
                   event->now_ms, out);
        break;
    case WORK_UNPREPARED:
        if (is_chore)
            on_unprepared(self, run, event, out);
        else
            queue_lose(self, run, LOSS_CLUSTER, event->now_ms, out);
        break;
    case WORK_REFUSED:
        on_refused(self, run, event, out);
        break;
    case WORK_CANCELLED:
        queue_lose(self, run, LOSS_NONE, event->now_ms, out);
        break;
    }
}

/* ---- what the nodes say ---------------------------------------------------------------------- */

static void adopt(struct queue *self, struct queue_peer *peer, const struct work_item *item,
                  uint64_t now_ms, struct queue_out *out)
{
    struct queue_eval *eval = queue_eval_find(self, item->work.eval);
    struct queue_project *project = eval ? queue_project_find(eval, item->work.p) : NULL;
    struct queue_task *task = project ? queue_task_find(eval, &item->work) : NULL;
    if (!task || item->phase == WORK_ENDED)
        return;
    bool is_chore = item->work.m == WORK_CHORE;
    bool is_wanted = is_chore ? !project->is_over : task->state == TASK_WAITING;
    if (!is_wanted) {
        queue_emit(out, QUEUE_CANCEL, eval, peer);
        queue_emit_item(out, &item->work, 0);
        return;
    }
    if (is_chore)
        queue_link_set(eval, queue_link_get(eval, peer), project->p, LINK_PREPARING, 0);
    else
        queue_task_leave(eval, project, item->work.m, TASK_RUNNING);
    struct queue_run *run = queue_run_add(self, eval, peer, &item->work, now_ms);
    run->is_waiting = item->phase == WORK_WAITING;
    self->stats.adopted++;
}

/* The attempt that is known, or is as good: a node runs a module or a chore once. */
static struct queue_run *known_run(struct queue *self, struct queue_peer *peer,
                                   const struct work_item *item)
{
    struct queue_eval *eval = queue_eval_find(self, item->work.eval);
    if (!eval)
        return NULL;
    if (item->work.m == WORK_CHORE)
        return queue_run_find_chore(peer, eval->id, item->work.p);
    struct queue_task *task = queue_task_find(eval, &item->work);
    return task && task->run && task->run->peer == peer ? task->run : NULL;
}

void queue_beat(struct queue *self, const struct queue_event *event, struct queue_out *out)
{
    struct queue_peer *peer = queue_peer_find(self, event->peer);
    if (!peer) {
        self->stats.ignored++;
        return;
    }
    peer->beat_ms = event->now_ms;
    uint64_t beat = ++self->beat;
    for (size_t i = 0; i < event->item_count; i++) {
        const struct work_item *item = &event->items[i];
        struct queue_run *run = known_run(self, peer, item);
        if (run && item->phase == WORK_ENDED && !work_is_same(&run->work, &item->work)) {
            continue; /* an earlier attempt, whose end was taken; its result comes once more */
        } else if (run) {
            run->beat = beat;
            run->work = item->work;
            run->is_waiting = item->phase == WORK_WAITING;
        } else {
            adopt(self, peer, item, event->now_ms, out);
        }
    }
    uint64_t grace = QUEUE_GRACE_MS + 4 * (uint64_t)peer->load.rtt_us / 1000;
    for (struct queue_run *run = peer->first, *next; run; run = next) {
        next = run->next;
        if (run->beat != beat && !run->is_ended && run->since_ms + grace < event->now_ms)
            queue_lose(self, run, LOSS_CLUSTER, event->now_ms, out);
    }
}
