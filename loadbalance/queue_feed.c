/* What there is to do, as the documents say it. */
#include "loadbalance/queue_inner.h"
#include "proto/base/mem.h"

void queue_add_project(struct queue *self, const struct queue_event *event)
{
    struct queue_eval *eval = queue_eval_find(self, event->eval);
    if (!eval || queue_project_find(eval, event->p) || !queue_project_add(eval, event->p)) {
        self->stats.ignored++;
        return;
    }
    struct queue_project *project = &eval->projects[event->p];
    project->has_plan = event->has_plan;
    project->estimate_ms = event->estimate_ms;
    project->home = event->home;
    project->home_until_ms = event->now_ms + QUEUE_HOME_MS;
    project->chore.estimate_ms = queue_prepare_ms(self, project);
    queue_project_refresh(eval, project);
}

static void module_over(struct queue_eval *eval, struct queue_project *project, uint32_t m,
                        struct queue_out *out)
{
    struct queue_task *task = &project->modules[m];
    if (task->run) {
        if (!task->run->is_ended)
            queue_cancel(task->run, out);
        queue_run_free(task->run);
    }
    if (task->state == TASK_WAITING)
        queue_task_leave(eval, project, m, TASK_OVER);
    task->state = TASK_OVER;
}

/* The list is all that is left of the project's plan. Another plan may have taken its place (two
 * nodes that prepared it at the same time found different modules): then what was over is to be
 * done again, and what it does not have is over. */
void queue_add_modules(struct queue *self, const struct queue_event *event, struct queue_out *out)
{
    struct queue_eval *eval = queue_eval_find(self, event->eval);
    struct queue_project *project = eval ? queue_project_add(eval, event->p) : NULL;
    if (!project) {
        self->stats.ignored++;
        return;
    }
    project->is_over = false;
    project->has_plan = true;
    project->held_until_ms = 0; /* and its evaluation counts anew with the next tick */
    owned_mem bool *is_left = mem_new_array(project->module_capacity + 1, sizeof *is_left);
    for (size_t i = 0; i < event->module_count; i++)
        if (event->modules[i].m < project->module_capacity)
            is_left[event->modules[i].m] = true;
    for (uint32_t m = 0; m < project->module_capacity; m++)
        if (project->modules[m].state != TASK_NONE && !is_left[m])
            module_over(eval, project, m, out);
    for (size_t i = 0; i < event->module_count; i++) {
        const struct queue_module *module = &event->modules[i];
        struct queue_task *task = queue_task_add(project, module->m);
        if (!task || task->state == TASK_WAITING || task->state == TASK_RUNNING) {
            self->stats.ignored++;
            continue;
        }
        task->estimate_ms = module->estimate_ms;
        task->is_measured = module->is_measured;
        queue_task_wait(eval, project, module->m);
    }
    queue_project_refresh(eval, project);
}

/* How long it took against how long was thought: what is left is judged by it. */
static void learn(struct queue_project *project, uint32_t m, uint64_t now_ms)
{
    const struct queue_task *task = &project->modules[m];
    if (!task->run)
        return;
    project->spent_ms += now_ms - task->run->since_ms;
    project->thought_ms += task->estimate_ms;
}

void queue_module_over(struct queue *self, const struct queue_event *event, struct queue_out *out)
{
    struct queue_eval *eval = queue_eval_find(self, event->eval);
    struct queue_project *project = eval ? queue_project_add(eval, event->p) : NULL;
    if (project && queue_task_add(project, event->m)) {
        learn(project, event->m, event->now_ms);
        module_over(eval, project, event->m, out);
    } else {
        self->stats.ignored++;
    }
}

static void stop_chores(const struct queue_eval *eval, uint32_t p, struct queue_out *out)
{
    for (size_t i = 0; i < eval->link_count; i++) {
        if (!(queue_link_bits(eval->links[i], p) & LINK_PREPARING))
            continue;
        struct queue_run *run = queue_run_find_chore(eval->links[i]->peer, eval->id, p);
        if (!run)
            continue;
        if (!run->is_ended)
            queue_cancel(run, out);
        queue_run_free(run);
    }
}

void queue_project_over(struct queue *self, const struct queue_event *event, struct queue_out *out)
{
    struct queue_eval *eval = queue_eval_find(self, event->eval);
    struct queue_project *project = eval ? queue_project_add(eval, event->p) : NULL;
    if (!project) {
        self->stats.ignored++;
        return;
    }
    project->is_over = true;
    for (uint32_t m = 0; m < project->module_capacity; m++)
        if (project->modules[m].state != TASK_NONE)
            module_over(eval, project, m, out);
    stop_chores(eval, event->p, out);
    queue_project_refresh(eval, project);
}
