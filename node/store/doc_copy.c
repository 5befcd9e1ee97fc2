#include "node/store/doc_copy.h"

#include "proto/base/mem.h"

#include <assert.h>
#include <string.h>

/* Every reader of JSON holds integers up to here. */
static uint64_t capped(uint64_t value) { return value < ID_EVAL_MAX ? value : ID_EVAL_MAX; }

static const char *required(struct arena *arena, const char *text, size_t max)
{
    return arena_text(arena, text ? text : "", max);
}

static const char *const *copy_texts(struct arena *arena, const char *const *from, size_t count)
{
    const char **to = arena_take_array(arena, count, sizeof *to);
    for (size_t i = 0; i < count; i++)
        to[i] = required(arena, from[i], DOC_TEXT_MAX);
    return to;
}

static void copy_options(struct arena *arena, struct doc_options *to)
{
    assert(to->pytest_arg_count <= DOC_ARGS_MAX);
    to->pytest_args = copy_texts(arena, to->pytest_args, to->pytest_arg_count);
}

static const struct doc_project *copy_projects(struct arena *arena, const struct doc_req *from)
{
    assert(from->project_count <= DOC_PROJECTS_MAX);
    struct doc_project *to = arena_take_array(arena, from->project_count, sizeof *to);
    for (size_t i = 0; i < from->project_count; i++) {
        to[i] = from->projects[i];
        to[i].name = required(arena, to[i].name, DOC_NAME_MAX);
        to[i].source = required(arena, to[i].source, DOC_TEXT_MAX);
        to[i].failure = arena_text(arena, to[i].failure, DOC_TEXT_MAX);
        to[i].bytes = capped(to[i].bytes);
    }
    return to;
}

static const struct doc_ignored *copy_ignored(struct arena *arena, const struct doc_ignored *from,
                                              size_t count)
{
    assert(count <= DOC_IGNORED_MAX);
    struct doc_ignored *to = arena_take_array(arena, count, sizeof *to);
    for (size_t i = 0; i < count; i++) {
        to[i].path = required(arena, from[i].path, DOC_PATH_MAX);
        to[i].why = required(arena, from[i].why, DOC_TEXT_MAX);
    }
    return to;
}

struct doc_req *doc_copy_req(struct arena *arena, const struct doc_req *from)
{
    struct doc_req *to = arena_take(arena, sizeof *to);
    *to = *from;
    to->created_ms = capped(to->created_ms);
    to->name = required(arena, to->name, DOC_NAME_MAX);
    to->key = arena_text(arena, to->key, DOC_NAME_MAX);
    copy_options(arena, &to->options);
    to->projects = copy_projects(arena, from);
    to->ignored = copy_ignored(arena, from->ignored, from->ignored_count);
    to->remarks = copy_ignored(arena, from->remarks, from->remark_count);
    return to;
}

struct doc_fence *doc_copy_fence(struct arena *arena, const struct doc_fence *from)
{
    assert(from->ballot.epoch > 0 && from->rep_count <= DOC_REPS_MAX);
    struct doc_fence *to = arena_take(arena, sizeof *to);
    *to = *from;
    to->gen = capped(to->gen);
    struct id_node *reps = arena_take_array(arena, from->rep_count, sizeof *reps);
    if (from->rep_count > 0)
        memcpy(reps, from->reps, from->rep_count * sizeof *reps);
    to->reps = reps;
    return to;
}

uint64_t doc_source_hash(const struct doc_source *source)
{
    struct arena *arena = arena_new(1024);
    uint64_t hash = doc_copy_source(arena, source)->hash;
    arena_free(arena);
    return hash;
}

static size_t fewer(size_t count)
{
    return count < DOC_SOURCE_ROWS_MAX ? count : DOC_SOURCE_ROWS_MAX;
}

static void copy_source_to(struct arena *arena, const struct doc_source *from,
                           struct doc_source *to)
{
    assert(from->p < DOC_PROJECTS_MAX && from->ballot.epoch > 0);
    assert(doc_hash_is_set(&from->bundle) == !from->failure);
    assert(doc_hash_is_set(&from->bundle) == doc_hash_is_set(&from->tree));
    *to = *from;
    to->source = required(arena, from->source, DOC_TEXT_MAX);
    to->failure = arena_text(arena, from->failure, DOC_TEXT_MAX);
    to->is_clusters = from->failure && from->is_clusters;
    to->bytes = capped(from->bytes);
    to->ignored_count = fewer(from->ignored_count);
    to->remark_count = fewer(from->remark_count);
    to->ignored = copy_ignored(arena, from->ignored, to->ignored_count);
    to->remarks = copy_ignored(arena, from->remarks, to->remark_count);
    owned_buf content = BUF_INIT;
    doc_source_encode_content(to, &content);
    to->hash = hash_u64(content.data, content.len);
}

struct doc_source *doc_copy_source(struct arena *arena, const struct doc_source *from)
{
    struct doc_source *to = arena_take(arena, sizeof *to);
    copy_source_to(arena, from, to);
    return to;
}

static const struct doc_source *copy_sources(struct arena *arena, const struct doc_source *from,
                                             size_t count)
{
    struct doc_source *to = arena_take_array(arena, count, sizeof *to);
    for (size_t i = 0; i < count; i++)
        copy_source_to(arena, &from[i], &to[i]);
    return to;
}

uint64_t doc_plan_hash(const struct doc_plan *plan)
{
    struct arena *arena = arena_new(1024);
    uint64_t hash = doc_copy_plan(arena, plan)->hash;
    arena_free(arena);
    return hash;
}

struct doc_plan *doc_copy_plan(struct arena *arena, const struct doc_plan *from)
{
    assert(from->p < DOC_PROJECTS_MAX && from->module_count <= DOC_MODULES_MAX);
    assert(from->ballot.epoch > 0 && from->setup.outcome < DOC_OUTCOME_COUNT);
    assert(from->note_count <= DOC_NOTES_MAX);
    struct doc_plan *to = arena_take(arena, sizeof *to);
    *to = *from;
    to->requirements = arena_text(arena, from->requirements, DOC_TEXT_MAX);
    to->notes = copy_texts(arena, from->notes, from->note_count);
    to->setup.message = arena_text(arena, from->setup.message, DOC_TEXT_MAX);
    to->setup.addr = arena_text(arena, from->setup.addr, DOC_ADDR_MAX);
    if (to->setup.outcome == DOC_NO_OUTCOME)
        to->setup.blame = DOC_BLAME_NONE;
    struct doc_module *modules = arena_take_array(arena, from->module_count, sizeof *modules);
    for (size_t i = 0; i < from->module_count; i++) {
        modules[i].path = required(arena, from->modules[i].path, DOC_PATH_MAX);
        modules[i].bytes = capped(from->modules[i].bytes);
    }
    to->modules = modules;
    owned_buf content = BUF_INIT;
    doc_plan_encode_content(to, &content);
    to->hash = hash_u64(content.data, content.len);
    return to;
}

static void copy_rec_to(struct arena *arena, const struct doc_rec *from, struct doc_rec *to)
{
    assert(from->p < DOC_PROJECTS_MAX && from->m < DOC_MODULES_MAX);
    assert(from->ballot.epoch > 0 && from->n > 0);
    assert(from->outcome > DOC_NO_OUTCOME && from->outcome < DOC_OUTCOME_COUNT);
    *to = *from;
    to->addr = required(arena, from->addr, DOC_ADDR_MAX);
    to->message = arena_text(arena, from->message, DOC_TEXT_MAX);
    to->start_ms = capped(from->start_ms);
    to->limit.name = arena_text(arena, from->limit.name, DOC_NAME_MAX);
    to->limit.used = from->limit.name ? capped(from->limit.used) : 0;
    to->limit.allowed = from->limit.name ? capped(from->limit.allowed) : 0;
    to->dig = 0;
}

struct doc_rec *doc_copy_rec(struct arena *arena, const struct doc_rec *from)
{
    struct doc_rec *to = arena_take(arena, sizeof *to);
    copy_rec_to(arena, from, to);
    return to;
}

struct doc_seal *doc_copy_seal(struct arena *arena, const struct doc_seal *from)
{
    assert(from->ballot.epoch > 0);
    struct doc_seal *to = arena_take(arena, sizeof *to);
    *to = *from;
    to->gen = capped(from->gen);
    to->at_ms = capped(from->at_ms);
    to->dig = 0;
    to->sources = copy_sources(arena, from->sources, from->source_count);
    struct doc_plan *plans = arena_take_array(arena, from->plan_count, sizeof *plans);
    for (size_t i = 0; i < from->plan_count; i++)
        plans[i] = *doc_copy_plan(arena, &from->plans[i]);
    to->plans = plans;
    struct doc_rec *vec = arena_take_array(arena, from->vec_count, sizeof *vec);
    for (size_t i = 0; i < from->vec_count; i++)
        copy_rec_to(arena, &from->vec[i], &vec[i]);
    to->vec = vec;
    return to;
}

void delta_copy(const struct delta *from, struct delta *out)
{
    size_t recs = from->res_count + (from->seal ? from->seal->vec_count : 0);
    struct arena *arena = arena_new(1024 + recs * (sizeof(struct doc_rec) + 64));
    *out = (struct delta){.id = from->id,
                          .cancel = from->cancel,
                          .com = from->com,
                          .degraded = from->degraded,
                          .arena = arena};
    if (from->req)
        out->req = doc_copy_req(arena, from->req);
    if (from->fence)
        out->fence = doc_copy_fence(arena, from->fence);
    out->sources = copy_sources(arena, from->sources, from->source_count);
    out->source_count = from->source_count;
    struct doc_plan *plans = arena_take_array(arena, from->plan_count, sizeof *plans);
    for (size_t i = 0; i < from->plan_count; i++)
        plans[i] = *doc_copy_plan(arena, &from->plans[i]);
    out->plans = plans;
    out->plan_count = from->plan_count;
    struct doc_rec *res = arena_take_array(arena, from->res_count, sizeof *res);
    for (size_t i = 0; i < from->res_count; i++)
        copy_rec_to(arena, &from->res[i], &res[i]);
    out->res = res;
    out->res_count = from->res_count;
    if (from->seal)
        out->seal = doc_copy_seal(arena, from->seal);
}
