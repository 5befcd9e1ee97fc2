#include "loadbalance/queue_inner.h"
#include "proto/base/byid.h"
#include "proto/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* ---- nodes ----------------------------------------------------------------------------------- */

struct queue_peer *queue_peer_find(const struct queue *self, uint64_t id)
{
    return byid_find(self->peers, self->peer_count, id);
}

static uint32_t slots_of(const struct queue_peer *peer)
{
    return peer->load.is_draining ? 0 : peer->load.slots;
}

void queue_peer_update(struct queue *self, const struct queue_event *event)
{
    struct queue_peer *peer = queue_peer_find(self, event->peer);
    if (!peer) {
        peer = mem_new(sizeof *peer);
        peer->id = event->peer;
        peer->beat_ms = event->now_ms;
        self->peers = byid_add(self->peers, &self->peer_count, &self->peer_capacity, peer);
        if (self->peer_count > self->most_peers)
            self->most_peers = self->peer_count;
    }
    self->slots -= slots_of(peer);
    peer->load = event->load;
    self->slots += slots_of(peer);
}

static void remove_link(struct queue_eval *eval, const struct queue_peer *peer)
{
    for (size_t i = 0; i < eval->link_count; i++) {
        struct queue_link *link = eval->links[i];
        if (link->peer != peer)
            continue;
        for (uint32_t p = 0; p < link->bit_count; p++)
            queue_link_set(eval, link, p, 0, LINK_READY | LINK_PREPARING);
        queue_link_free(link);
        memmove(&eval->links[i], &eval->links[i + 1],
                (--eval->link_count - i) * sizeof(struct queue_link *));
        return;
    }
}

void queue_peer_remove(struct queue *self, struct queue_peer *peer)
{
    for (size_t i = 0; i < self->eval_count; i++)
        remove_link(self->evals[i], peer);
    self->slots -= slots_of(peer);
    byid_remove(self->peers, &self->peer_count, peer->id);
    free(peer);
}

/* ---- what is ready on them ---------------------------------------------------------------------
 */

static size_t link_place(const struct queue_eval *eval, uint64_t peer)
{
    size_t low = 0;
    size_t high = eval->link_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (eval->links[middle]->peer->id < peer)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct queue_link *queue_link_find(const struct queue_eval *eval, const struct queue_peer *peer)
{
    size_t at = link_place(eval, peer->id);
    return at < eval->link_count && eval->links[at]->peer == peer ? eval->links[at] : NULL;
}

struct queue_link *queue_link_get(struct queue_eval *eval, struct queue_peer *peer)
{
    size_t at = link_place(eval, peer->id);
    if (at < eval->link_count && eval->links[at]->peer == peer)
        return eval->links[at];
    eval->links = mem_grow(eval->links, &eval->link_capacity, eval->link_count + 1,
                           sizeof(struct queue_link *));
    memmove(&eval->links[at + 1], &eval->links[at],
            (eval->link_count - at) * sizeof(struct queue_link *));
    eval->links[at] = mem_new(sizeof **eval->links);
    eval->links[at]->peer = peer;
    eval->links[at]->slots = peer->load.slots;
    eval->link_count++;
    return eval->links[at];
}

void queue_link_free(struct queue_link *self)
{
    free(self->bits);
    free(self->heap);
    free(self);
}

uint8_t queue_link_bits(const struct queue_link *self, uint32_t p)
{
    return p < self->bit_count ? self->bits[p] : 0;
}

static void grow_bits(struct queue_link *link, size_t count)
{
    if (count <= link->bit_count)
        return;
    link->bits = mem_resize(link->bits, count, 1);
    memset(link->bits + link->bit_count, 0, count - link->bit_count);
    link->bit_count = count;
}

static uint32_t has(uint8_t bits, enum link_bit bit) { return (bits & bit) != 0; }

void queue_link_set(struct queue_eval *eval, struct queue_link *link, uint32_t p, uint8_t set,
                    uint8_t clear)
{
    struct queue_project *project = queue_project_find(eval, p);
    if (!project)
        return;
    grow_bits(link, eval->project_count);
    uint8_t before = link->bits[p];
    uint8_t after = (uint8_t)((before & ~clear) | set);
    link->bits[p] = after;
    project->ready += has(after, LINK_READY) - has(before, LINK_READY);
    project->preparing += has(after, LINK_PREPARING) - has(before, LINK_PREPARING);
    if (after & (LINK_READY | LINK_PREPARING))
        project->slots += link->slots;
    if (before & (LINK_READY | LINK_PREPARING))
        project->slots -= link->slots;
    if ((after & LINK_READY) && !(before & LINK_READY)) {
        queue_link_raise(eval, link, p);
        eval->is_news = eval->is_news || project->waiting > 0;
    }
    queue_project_refresh(eval, project);
}

/* The slots of a node changed: what its ready projects can count on changes with them. */
static void recount_slots(struct queue_eval *eval, struct queue_link *link)
{
    if (link->slots == link->peer->load.slots)
        return;
    for (uint32_t p = 0; p < link->bit_count; p++)
        if (link->bits[p] & (LINK_READY | LINK_PREPARING))
            eval->projects[p].slots += link->peer->load.slots - link->slots;
    link->slots = link->peer->load.slots;
}

void queue_link_take_ready(struct queue_eval *eval, struct queue_link *link,
                           const struct queue_event *event)
{
    grow_bits(link, eval->project_count);
    recount_slots(eval, link);
    for (size_t i = 0; i < event->ready_count; i++) {
        uint32_t p = event->ready[i];
        if (!queue_project_find(eval, p))
            continue;
        if (!(link->bits[p] & LINK_READY))
            queue_link_set(eval, link, p, LINK_READY, LINK_FAILED);
        link->bits[p] |= LINK_LISTED;
    }
    for (uint32_t p = 0; p < link->bit_count; p++) {
        if ((link->bits[p] & (LINK_READY | LINK_LISTED)) == LINK_READY)
            queue_link_set(eval, link, p, 0, LINK_READY);
        link->bits[p] &= (uint8_t)~LINK_LISTED;
    }
}

/* ---- the order of the ready ones ---------------------------------------------------------------
 */

static bool is_above(const struct queue_ready *a, const struct queue_ready *b)
{
    return a->rank != b->rank ? a->rank > b->rank : a->p < b->p;
}

static void sift_up(struct queue_link *link, size_t at)
{
    struct queue_ready entry = link->heap[at];
    while (at > 0 && is_above(&entry, &link->heap[(at - 1) / 2])) {
        link->heap[at] = link->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    link->heap[at] = entry;
}

static void sift_down(struct queue_link *link)
{
    struct queue_ready entry = link->heap[0];
    size_t at = 0;
    for (size_t child = 1; child < link->heap_count; child = 2 * at + 1) {
        if (child + 1 < link->heap_count && is_above(&link->heap[child + 1], &link->heap[child]))
            child++;
        if (!is_above(&link->heap[child], &entry))
            break;
        link->heap[at] = link->heap[child];
        at = child;
    }
    link->heap[at] = entry;
}

void queue_link_raise(struct queue_eval *eval, struct queue_link *link, uint32_t p)
{
    uint32_t m;
    struct queue_project *project = &eval->projects[p];
    if (!(queue_link_bits(link, p) & LINK_READY) || !queue_project_head(project, &m))
        return;
    size_t at = 0;
    if (link->bits[p] & LINK_IN_HEAP) {
        while (link->heap[at].p != p)
            at++;
    } else {
        link->heap =
            mem_grow(link->heap, &link->heap_capacity, link->heap_count + 1, sizeof *link->heap);
        at = link->heap_count++;
        link->bits[p] |= LINK_IN_HEAP;
        link->heap[at] = (struct queue_ready){.p = p};
    }
    uint64_t rank = queue_task_rank(&project->modules[m]);
    if (rank > link->heap[at].rank)
        link->heap[at].rank = rank;
    sift_up(link, at);
}

bool queue_link_top(struct queue_eval *eval, struct queue_link *link, uint32_t *p)
{
    while (link->heap_count > 0) {
        struct queue_ready *top = &link->heap[0];
        struct queue_project *project = &eval->projects[top->p];
        uint32_t m;
        if (!(link->bits[top->p] & LINK_READY) || !queue_project_head(project, &m)) {
            link->bits[top->p] &= (uint8_t)~LINK_IN_HEAP;
            *top = link->heap[--link->heap_count];
            if (link->heap_count > 0)
                sift_down(link);
            continue;
        }
        uint64_t rank = queue_task_rank(&project->modules[m]);
        if (rank == top->rank) {
            *p = top->p;
            return true;
        }
        top->rank = rank;
        sift_down(link);
    }
    return false;
}

/* ---- attempts ----------------------------------------------------------------------------------
 */

struct queue_run *queue_run_add(struct queue *self, struct queue_eval *eval,
                                struct queue_peer *peer, const struct work *work, uint64_t now_ms)
{
    struct queue_run *run = mem_new(sizeof *run);
    *run = (struct queue_run){.work = *work,
                              .eval = eval,
                              .peer = peer,
                              .since_ms = now_ms,
                              .beat = self->beat,
                              .previous = peer->last};
    *(peer->last ? &peer->last->next : &peer->first) = run;
    peer->last = run;
    peer->running++;
    eval->running++;
    queue_link_get(eval, peer)->running++;
    struct queue_task *task = queue_task_find(eval, work);
    if (work->m != WORK_CHORE)
        task->run = run;
    run->is_apart = queue_task_is_suspect(task);
    peer->apart += run->is_apart;
    return run;
}

void queue_run_free(struct queue_run *run)
{
    struct queue_peer *peer = run->peer;
    *(run->previous ? &run->previous->next : &peer->first) = run->next;
    *(run->next ? &run->next->previous : &peer->last) = run->previous;
    peer->running--;
    peer->apart -= run->is_apart;
    run->eval->running--;
    struct queue_link *link = queue_link_find(run->eval, peer);
    if (link)
        link->running--;
    struct queue_task *task = queue_task_find(run->eval, &run->work);
    if (run->work.m == WORK_CHORE) {
        if (link)
            queue_link_set(run->eval, link, run->work.p, 0, LINK_PREPARING);
    } else if (task && task->run == run) {
        task->run = NULL;
    }
    free(run);
}

struct queue_run *queue_run_find_chore(const struct queue_peer *peer, uint64_t eval, uint32_t p)
{
    for (struct queue_run *run = peer->first; run; run = run->next)
        if (run->work.m == WORK_CHORE && run->work.p == p && run->work.eval == eval)
            return run;
    return NULL;
}
