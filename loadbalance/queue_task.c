#include "loadbalance/queue_inner.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <string.h>

/* ---- projects -------------------------------------------------------------------------------- */

struct queue_project *queue_project_find(const struct queue_eval *eval, uint32_t p)
{
    return p < eval->project_count && eval->projects[p].is_known ? &eval->projects[p] : NULL;
}

struct queue_project *queue_project_add(struct queue_eval *eval, uint32_t p)
{
    if (p >= WORK_PROJECTS_MAX)
        return NULL;
    if (p >= eval->project_count) {
        eval->projects = mem_grow(eval->projects, &eval->project_capacity, (size_t)p + 1,
                                  sizeof *eval->projects);
        memset(&eval->projects[eval->project_count], 0,
               (p + 1 - eval->project_count) * sizeof *eval->projects);
        eval->project_count = (size_t)p + 1;
    }
    eval->projects[p].p = p;
    eval->projects[p].is_known = true;
    return &eval->projects[p];
}

void queue_project_free(struct queue_project *self)
{
    free(self->modules);
    free(self->heap);
}

void queue_project_refresh(struct queue_eval *eval, struct queue_project *project)
{
    bool has_use = !project->has_plan || project->waiting > 0;
    bool is_unready = has_use && !project->is_over && project->chore.state != TASK_GIVEN_UP &&
                      project->held_until_ms == 0 && project->ready == 0 && project->preparing == 0;
    if (is_unready == project->is_unready)
        return;
    project->is_unready = is_unready;
    if (is_unready) {
        eval->unready++;
        eval->is_news = true;
    } else {
        eval->unready--;
    }
}

void queue_project_hold(struct queue_eval *eval, struct queue_project *project, uint64_t until_ms)
{
    eval->held += project->held_until_ms == 0;
    project->held_until_ms = until_ms;
    queue_project_refresh(eval, project);
}

/* ---- modules --------------------------------------------------------------------------------- */

struct queue_task *queue_task_find(const struct queue_eval *eval, const struct work *work)
{
    struct queue_project *project = queue_project_find(eval, work->p);
    if (!project)
        return NULL;
    if (work->m == WORK_CHORE)
        return &project->chore;
    if (work->m >= project->module_capacity || project->modules[work->m].state == TASK_NONE)
        return NULL;
    return &project->modules[work->m];
}

struct queue_task *queue_task_add(struct queue_project *project, uint32_t m)
{
    if (m >= WORK_MODULES_MAX)
        return NULL;
    size_t before = project->module_capacity;
    if (m >= before) {
        project->modules = mem_grow(project->modules, &project->module_capacity, (size_t)m + 1,
                                    sizeof *project->modules);
        memset(&project->modules[before], 0,
               (project->module_capacity - before) * sizeof *project->modules);
    }
    return &project->modules[m];
}

uint64_t queue_task_rank(const struct queue_task *task)
{
    uint64_t rank = (uint64_t)task->estimate_ms << 1 | !task->is_measured;
    return task->losses > 0 ? rank | UINT64_C(1) << 33 : rank;
}

/* Equal ones go in the order of the plan, so that every run of the machine is the same. */
static bool goes_before(const struct queue_project *project, uint32_t a, uint32_t b)
{
    uint64_t rank_a = queue_task_rank(&project->modules[a]);
    uint64_t rank_b = queue_task_rank(&project->modules[b]);
    return rank_a != rank_b ? rank_a > rank_b : a < b;
}

static void sift_up(struct queue_project *project, size_t at, uint32_t m)
{
    while (at > 0 && goes_before(project, m, project->heap[(at - 1) / 2])) {
        project->heap[at] = project->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    project->heap[at] = m;
}

static void heap_push(struct queue_project *project, uint32_t m)
{
    project->heap = mem_grow(project->heap, &project->heap_capacity, project->heap_count + 1,
                             sizeof *project->heap);
    sift_up(project, project->heap_count++, m);
}

static void heap_remove(struct queue_project *project, size_t at)
{
    uint32_t last = project->heap[--project->heap_count];
    if (at == project->heap_count)
        return;
    for (size_t child = 2 * at + 1; child < project->heap_count; child = 2 * at + 1) {
        if (child + 1 < project->heap_count &&
            goes_before(project, project->heap[child + 1], project->heap[child]))
            child++;
        if (!goes_before(project, project->heap[child], last))
            break;
        project->heap[at] = project->heap[child];
        at = child;
    }
    sift_up(project, at, last);
}

static void heap_find_and_remove(struct queue_project *project, uint32_t m)
{
    for (size_t i = 0; i < project->heap_count; i++) {
        if (project->heap[i] == m) {
            heap_remove(project, i);
            return;
        }
    }
}

bool queue_task_is_suspect(const struct queue_task *task)
{
    return task->node_losses + 1 >= QUEUE_NODE_LOSSES;
}

bool queue_project_head(struct queue_project *project, uint32_t *m)
{
    while (project->heap_count > 0) {
        const struct queue_task *task = &project->modules[project->heap[0]];
        if (task->state == TASK_WAITING) {
            *m = project->heap[0];
            return true;
        }
        heap_remove(project, 0);
    }
    return false;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void add_suspect(struct queue_eval *eval, const struct work *work)
{
    eval->suspects = mem_grow(eval->suspects, &eval->suspect_capacity, eval->suspect_count + 1,
                              sizeof *eval->suspects);
    eval->suspects[eval->suspect_count++] = *work;
}

static void remove_suspect(struct queue_eval *eval, uint32_t p, uint32_t m)
{
    size_t kept = 0;
    for (size_t i = 0; i < eval->suspect_count; i++)
        if (eval->suspects[i].p != p || eval->suspects[i].m != m)
            eval->suspects[kept++] = eval->suspects[i];
    eval->suspect_count = kept;
}

void queue_task_wait(struct queue_eval *eval, struct queue_project *project, uint32_t m)
{
    struct queue_task *task = &project->modules[m];
    assert(task->state != TASK_WAITING);
    task->state = TASK_WAITING;
    task->run = NULL;
    project->waiting++;
    project->waiting_ms += task->estimate_ms;
    eval->waiting++;
    eval->waiting_ms += task->estimate_ms;
    eval->queue->waiting++;
    eval->queue->waiting_ms += task->estimate_ms;
    eval->is_news = true;
    if (queue_task_is_suspect(task)) {
        add_suspect(eval, &(struct work){.eval = eval->id, .p = project->p, .m = m});
    } else {
        uint32_t head;
        heap_push(project, m);
        if (project->ready > 0 && queue_project_head(project, &head) && head == m)
            for (size_t i = 0; i < eval->link_count; i++)
                queue_link_raise(eval, eval->links[i], project->p);
    }
    queue_project_refresh(eval, project);
}

void queue_task_leave(struct queue_eval *eval, struct queue_project *project, uint32_t m,
                      enum task_state state)
{
    struct queue_task *task = &project->modules[m];
    assert(task->state == TASK_WAITING);
    task->state = (uint8_t)state;
    project->waiting--;
    project->waiting_ms -= task->estimate_ms;
    eval->waiting--;
    eval->waiting_ms -= task->estimate_ms;
    eval->queue->waiting--;
    eval->queue->waiting_ms -= task->estimate_ms;
    if (queue_task_is_suspect(task))
        remove_suspect(eval, project->p, m);
    else if (state != TASK_OVER) /* which is for ever, and may stay in the heap until it surfaces */
        heap_find_and_remove(project, m);
    queue_project_refresh(eval, project);
}
