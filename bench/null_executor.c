/* null_executor: an executor (node/eval/executor.h) that runs nothing: a chore finds as many
 * modules as were asked for, and each passes at once. What is left is what the mesh costs. */
#include "bench/null_executor.h"

#include "node/eval/executor.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"

#include <event2/event.h>
#include <stdio.h>

struct deed {
    struct work work;
    bool wants_slot;
    struct deed *next;
};

struct executor {
    struct executor_config config;
    struct deed *first;
    struct deed **end;
    struct event *tell;
};

unsigned null_executor_modules = 1000;

struct name {
    char text[24];
};

static void tell_plan(struct executor *self, const struct work *work)
{
    owned_mem struct doc_module *modules = mem_new_array(null_executor_modules, sizeof *modules);
    owned_mem struct name *names = mem_new_array(null_executor_modules, sizeof *names);
    for (unsigned m = 0; m < null_executor_modules; m++) {
        (void)snprintf(names[m].text, sizeof names[m].text, "test_%06u.py", m);
        modules[m] = (struct doc_module){.path = names[m].text, .bytes = 100};
    }
    struct doc_plan plan = {.p = work->p,
                            .ballot = {.epoch = work->ballot.epoch, .owner = work->ballot.owner},
                            .modules = modules,
                            .module_count = null_executor_modules};
    self->config.events->ended(self->config.arg, work, WORK_DONE, WORK_BLAME_NONE, 1,
                               &(struct delta){.id = work->eval, .plans = &plan, .plan_count = 1});
}

static void tell_record(struct executor *self, const struct work *work)
{
    const struct doc *doc = store_find(self->config.store, work->eval, NULL);
    struct doc_rec rec = {.p = work->p,
                          .plan = doc_plan(doc, work->p)->hash,
                          .m = work->m,
                          .ballot = {.epoch = work->ballot.epoch, .owner = work->ballot.owner},
                          .n = work->n,
                          .node = store_identity(self->config.store)->nid_short,
                          .addr = self->config.address,
                          .real = true,
                          .outcome = DOC_PASSED,
                          .start_ms = clock_wall_ms(),
                          .ms = 1,
                          .tally = {.passed = 1}};
    self->config.events->ended(self->config.arg, work, WORK_DONE, WORK_BLAME_NONE, 0,
                               &(struct delta){.id = work->eval, .res = &rec, .res_count = 1});
}

static void on_tell(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct executor *self = arg;
    while (self->first) {
        owned_mem struct deed *deed = self->first;
        self->first = deed->next;
        if (!self->first)
            self->end = &self->first;
        if (deed->wants_slot)
            self->config.events->wants_slot(self->config.arg, &deed->work);
        else if (deed->work.m == WORK_CHORE)
            tell_plan(self, &deed->work);
        else
            tell_record(self, &deed->work);
    }
}

static void keep(struct executor *self, const struct work *work, bool wants_slot)
{
    struct deed *deed = mem_new(sizeof *deed);
    *deed = (struct deed){.work = *work, .wants_slot = wants_slot};
    *self->end = deed;
    self->end = &deed->next;
    event_active(self->tell, 0, 0);
}

struct executor *executor_new(const struct executor_config *config)
{
    struct executor *self = mem_new(sizeof *self);
    self->config = *config;
    self->end = &self->first;
    self->tell = event_new(config->base, -1, 0, on_tell, self);
    return self;
}

void executor_free(struct executor *self)
{
    if (!self)
        return;
    event_free(self->tell);
    while (self->first) {
        struct deed *next = self->first->next;
        free(self->first);
        self->first = next;
    }
    free(self);
}

/* Nothing runs here. */
const struct executor_stats *executor_stats(const struct executor *self)
{
    static const struct executor_stats none;
    (void)self;
    return &none;
}

void executor_prepare(struct executor *self, const struct work *work) { keep(self, work, true); }

void executor_give_slot(struct executor *self, const struct work *work, unsigned slot)
{
    (void)slot;
    keep(self, work, false);
}

void executor_start(struct executor *self, const struct work *work, unsigned slot)
{
    (void)slot;
    keep(self, work, false);
}

/* What is stopped has ended already. */
void executor_stop(struct executor *self, const struct work *work)
{
    (void)self;
    (void)work;
}

void executor_drop(struct executor *self, uint64_t eval)
{
    (void)self;
    (void)eval;
}

void executor_learn(struct executor *self, const struct delta *delta)
{
    (void)self;
    (void)delta;
}

uint32_t executor_estimate(void *self, const struct doc *doc, uint32_t p, uint32_t m,
                           bool *is_measured)
{
    (void)self;
    (void)doc;
    (void)p;
    (void)m;
    *is_measured = true;
    return 1;
}
