/* What the store's tests are told in: a folder, an open store, statements about an evaluation. */
#ifndef TESTS_STORE_WORLD_H
#define TESTS_STORE_WORLD_H

#include "node/store/disk_ops.h"
#include "node/store/store.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>
#include <unistd.h>

static struct event_base *base;
static char *dir;
static struct store *store;

static inline void open_with(const struct disk_ops *ops, uint64_t segment, uint64_t compact,
                             struct err *err)
{
    store = store_open(&(struct store_options){.dir = dir,
                                               .base = base,
                                               .ops = ops,
                                               .segment_bytes = segment,
                                               .compact_bytes = compact},
                       err);
}

static inline void opened(void)
{
    struct err err = ERR_INIT;
    open_with(NULL, 0, 0, &err);
    if (!store)
        fail_msg("%s", err.text);
}

static inline void closed(void)
{
    store_close(store);
    store = NULL;
}

static inline void reopened(void)
{
    closed();
    opened();
}

static inline int fresh_dir(void **unused)
{
    (void)unused;
    log_setup((enum log_level)(LOG_LEVEL_ERROR + 1), false); /* failures are what we make */
    base = event_base_new();
    /* In memory where that can be: these tests are about order, not about the speed of a disk. */
    char name[64];
    (void)snprintf(name, sizeof name, "%s/testmesh-store-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    dir = mkdtemp(name) ? mem_strdup(name) : NULL;
    return dir ? 0 : -1;
}

static inline int remove_dir(void **unused)
{
    (void)unused;
    struct err err = ERR_INIT;
    closed();
    int rc = file_remove_tree(dir, &err);
    mem_free_at(&dir);
    event_base_free(base);
    return rc;
}

/* ---- statements ------------------------------------------------------------------------------ */

/* A repository, cloned after the request. */
static const struct doc_project world_projects[] = {
    {.name = "anna", .source = "https://host.example/x/anna"}};
static const struct doc_module world_modules[] = {
    {"a.py", 1}, {"b.py", 2}, {"c.py", 3}, {"d.py", 4}};
#define WORLD_BALLOT                                                                               \
    (struct doc_ballot) { 1, 1 }

struct statement {
    struct delta delta;
    struct doc_req req;
    struct doc_fence fence;
    struct doc_source source;
    struct doc_plan plan;
    struct doc_rec rec;
    struct doc_seal seal;
    struct doc_rec vec[4];
    struct id_node rep;
};

static inline struct doc_source world_source(void)
{
    struct doc_source source = {.ballot = WORLD_BALLOT,
                                .source = "https://host.example/x/anna/tree/4a6f",
                                .bundle = {{7}},
                                .tree = {{8}},
                                .files = 4};
    source.hash = doc_source_hash(&source);
    return source;
}

static inline struct doc_plan world_plan(void)
{
    struct doc_plan plan = {.ballot = WORLD_BALLOT,
                            .tree = {{8}},
                            .modules = world_modules,
                            .module_count = countof(world_modules)};
    plan.hash = doc_plan_hash(&plan);
    return plan;
}

static inline struct doc_rec world_rec(uint32_t m)
{
    return (struct doc_rec){.plan = world_plan().hash,
                            .m = m,
                            .ballot = WORLD_BALLOT,
                            .n = 1,
                            .node = 1,
                            .addr = "h:1",
                            .real = true,
                            .outcome = DOC_PASSED,
                            .message = "so long a message that segments fill up soon enough",
                            .start_ms = 1790000000000 + m,
                            .ms = 20,
                            .tally = {.passed = 2}};
}

/* The `step`th thing that is said of an evaluation: submit, clone and plan, four results, seal. */
#define WORLD_STEPS 7
static inline const struct delta *say(struct statement *self, uint64_t id, unsigned step)
{
    *self = (struct statement){.delta = {.id = id}};
    if (step == 0) {
        self->req = (struct doc_req){.created_ms = 1790000000000 + id,
                                     .kind = DOC_GIT,
                                     .name = "class",
                                     .projects = world_projects,
                                     .project_count = 1};
        self->fence = (struct doc_fence){
            .ballot = WORLD_BALLOT, .gen = 1, .reps = &self->rep, .rep_count = 1};
        self->delta.req = &self->req;
        self->delta.fence = &self->fence;
    } else if (step == 1) {
        self->source = world_source();
        self->delta.sources = &self->source;
        self->delta.source_count = 1;
        self->plan = world_plan();
        self->delta.plans = &self->plan;
        self->delta.plan_count = 1;
    } else if (step < 6) {
        self->rec = world_rec(step - 2);
        self->delta.res = &self->rec;
        self->delta.res_count = 1;
    } else {
        for (uint32_t m = 0; m < 4; m++)
            self->vec[m] = world_rec(m);
        self->source = world_source();
        self->plan = world_plan();
        self->seal = (struct doc_seal){.ballot = WORLD_BALLOT,
                                       .gen = 1,
                                       .at_ms = 1790000100000,
                                       .sources = &self->source,
                                       .source_count = 1,
                                       .plans = &self->plan,
                                       .plan_count = 1,
                                       .vec = self->vec,
                                       .vec_count = 4};
        self->delta.seal = &self->seal;
        self->delta.com = WORLD_BALLOT;
    }
    return &self->delta;
}

struct answer {
    bool came;
    enum err_code code;
    unsigned changed;
};

static inline void on_answer(void *arg, const struct err *err, unsigned changed)
{
    *(struct answer *)arg = (struct answer){true, err->code, changed};
}

static inline void said_up_to(uint64_t id, unsigned steps)
{
    for (unsigned step = 0; step < steps; step++) {
        struct statement statement;
        struct answer answer = {0};
        store_apply(store, say(&statement, id, step), on_answer, &answer);
        assert_false(answer.came);
        store_flush(store);
        assert_true(answer.came);
        assert_int_equal(answer.code, ERR_NONE);
    }
}

static inline void ignore_piece(void *arg, const struct delta *piece)
{
    unsigned changed;
    struct err err = ERR_INIT;
    (void)!doc_apply(arg, piece, &changed, &err);
}

/* Says whether the store knows what was said: joining it again must bring nothing new. */
static inline bool knows(uint64_t id, unsigned step)
{
    struct err err = ERR_INIT;
    struct statement statement;
    const struct doc *doc = store_find(store, id, &err);
    if (!doc)
        return false;
    struct doc *copy = doc_new(id);
    doc_split(doc, ignore_piece, copy);
    unsigned changed = 0;
    bool same = doc_apply(copy, say(&statement, id, step), &changed, &err) == 0 && changed == 0;
    doc_free(copy);
    return same;
}

static inline size_t files_in(const char *folder)
{
    owned_mem char *command = mem_printf("find %s/%s -type f | wc -l", dir, folder);
    FILE *pipe = popen(command, "r");
    size_t count = 0;
    if (!pipe || fscanf(pipe, "%zu", &count) != 1)
        abort();
    pclose(pipe);
    return count;
}

#endif
