/* Reading a delta. The parts are handed out only if nothing was wrong (take.h). */
#include "node/store/arena.h"
#include "node/store/doc_copy.h"
#include "node/store/doc_json.h"
#include "node/store/take.h"
#include "proto/base/mem.h"

#include <inttypes.h>
#include <string.h>

/* ---- request --------------------------------------------------------------------------------- */

static void take_options(struct take *in, const json_t *req, struct doc_options *out)
{
    const json_t *object = take_object(in, req, "options");
    out->timeout_s = (uint32_t)take_uint(in, object, "timeout_s", UINT32_MAX);
    out->retries = (uint32_t)take_uint(in, object, "retries", UINT32_MAX);
    out->priority = take_int(in, object, "priority", INT32_MAX);
    out->network = take_flag(in, object, "network");
    out->pytest_args = take_texts(in, object, "pytest_args", DOC_ARGS_MAX, &out->pytest_arg_count);
}

static void take_projects(struct take *in, const json_t *req, struct doc_req *out)
{
    const json_t *array = take_array(in, req, "projects", DOC_PROJECTS_MAX, &out->project_count);
    struct doc_project *to = arena_take_array(in->arena, out->project_count, sizeof *to);
    for (size_t i = 0; i < out->project_count; i++) {
        const json_t *from = json_array_get(array, i);
        to[i].name = take_text(in, from, "name", DOC_NAME_MAX);
        to[i].source = take_text(in, from, "source", DOC_TEXT_MAX);
        to[i].bundle = take_hash(in, from, "bundle");
        to[i].tree = take_hash(in, from, "tree");
        to[i].bytes = take_uint(in, from, "bytes", ID_EVAL_MAX);
        to[i].files = (uint32_t)take_uint(in, from, "files", UINT32_MAX);
        to[i].failure = take_optional(in, from, "failure", DOC_TEXT_MAX);
        to[i].is_clusters = take_flag(in, from, "clusters");
    }
    out->projects = to;
}

static const struct doc_ignored *take_ignored(struct take *in, const json_t *object,
                                              const char *key, size_t max, size_t *count)
{
    const json_t *array = take_array(in, object, key, max, count);
    struct doc_ignored *to = arena_take_array(in->arena, *count, sizeof *to);
    for (size_t i = 0; i < *count; i++) {
        const json_t *from = json_array_get(array, i);
        to[i].path = take_text(in, from, "path", DOC_PATH_MAX);
        to[i].why = take_text(in, from, "why", DOC_TEXT_MAX);
    }
    return to;
}

static const struct doc_req *take_req(struct take *in, const json_t *delta)
{
    const json_t *from = take_object(in, delta, "req");
    if (!from)
        return NULL;
    struct doc_req *to = arena_take(in->arena, sizeof *to);
    const char *kind = json_in_str(from, "kind", "");
    if (strcmp(kind, "zip") != 0 && strcmp(kind, "git") != 0)
        take_refuse(in, "kind", "is neither zip nor git");
    to->kind = strcmp(kind, "git") == 0 ? DOC_GIT : DOC_ZIP;
    to->created_ms = take_uint(in, from, "created_ms", ID_EVAL_MAX);
    to->name = take_text(in, from, "name", DOC_NAME_MAX);
    take_options(in, from, &to->options);
    to->body = take_hash(in, from, "body");
    to->key = take_optional(in, from, "key", DOC_NAME_MAX);
    to->overlay = take_hash(in, from, "overlay");
    to->secret = take_hash(in, from, "secret");
    to->statuses = take_flag(in, from, "statuses");
    take_projects(in, from, to);
    to->ignored = take_ignored(in, from, "ignored", DOC_IGNORED_MAX, &to->ignored_count);
    to->remarks = take_ignored(in, from, "remarks", DOC_IGNORED_MAX, &to->remark_count);
    return to;
}

/* ---- fence, sources, plans
 * ---------------------------------------------------------------------------- */

static const struct doc_fence *take_fence(struct take *in, const json_t *delta)
{
    const json_t *from = take_object(in, delta, "fence");
    if (!from)
        return NULL;
    struct doc_fence *to = arena_take(in->arena, sizeof *to);
    to->ballot = take_ballot(in, from);
    to->gen = take_uint(in, from, "gen", ID_EVAL_MAX);
    const json_t *array = take_array(in, from, "reps", DOC_REPS_MAX, &to->rep_count);
    struct id_node *reps = arena_take_array(in->arena, to->rep_count, sizeof *reps);
    for (size_t i = 0; i < to->rep_count; i++) {
        const char *hex = json_string_value(json_array_get(array, i));
        if (!hex || !id_node_parse(hex, &reps[i]))
            take_refuse(in, "reps", "holds what is no node");
    }
    to->reps = reps;
    return to;
}

static void take_source(struct take *in, const json_t *from, struct doc_source *to)
{
    to->p = (uint32_t)take_uint(in, from, "p", DOC_PROJECTS_MAX - 1);
    to->ballot = take_ballot(in, from);
    uint64_t claimed = take_hex(in, from, "hash");
    to->source = take_text(in, from, "source", DOC_TEXT_MAX);
    to->bundle = take_hash(in, from, "bundle");
    to->tree = take_hash(in, from, "tree");
    to->bytes = take_uint(in, from, "bytes", ID_EVAL_MAX);
    to->files = (uint32_t)take_uint(in, from, "files", UINT32_MAX);
    to->failure = take_optional(in, from, "failure", DOC_TEXT_MAX);
    to->is_clusters = take_flag(in, from, "clusters");
    to->ignored = take_ignored(in, from, "ignored", DOC_SOURCE_ROWS_MAX, &to->ignored_count);
    to->remarks = take_ignored(in, from, "remarks", DOC_SOURCE_ROWS_MAX, &to->remark_count);
    if (doc_hash_is_set(&to->bundle) == (to->failure != NULL))
        take_refuse(in, "bundle", "is there without success, or is missing");
    if (doc_hash_is_set(&to->bundle) != doc_hash_is_set(&to->tree))
        take_refuse(in, "tree", "is there without its bundle, or is missing");
    if (in->err.code != ERR_NONE)
        return;
    to->hash = doc_source_hash(to);
    if (to->hash != claimed)
        take_refuse(in, "hash", "is not the source's");
}

static const struct doc_source *take_sources(struct take *in, const json_t *object, size_t *count)
{
    const json_t *array = take_array(in, object, "sources", DOC_PROJECTS_MAX, count);
    struct doc_source *to = arena_take_array(in->arena, *count, sizeof *to);
    for (size_t i = 0; i < *count && in->err.code == ERR_NONE; i++)
        take_source(in, json_array_get(array, i), &to[i]);
    return to;
}

static void take_setup(struct take *in, const json_t *plan, struct doc_setup *out)
{
    const json_t *from = take_object(in, plan, "setup");
    if (!from)
        return;
    if (json_object_get(from, "outcome")) {
        out->outcome = take_outcome(in, from);
        out->blame = take_blame(in, from);
    }
    out->message = take_optional(in, from, "message", DOC_TEXT_MAX);
    out->addr = take_optional(in, from, "addr", DOC_ADDR_MAX);
    out->log = take_hash(in, from, "log");
}

static void take_plan(struct take *in, const json_t *from, struct doc_plan *to)
{
    to->p = (uint32_t)take_uint(in, from, "p", DOC_PROJECTS_MAX - 1);
    to->ballot = take_ballot(in, from);
    uint64_t claimed = take_hex(in, from, "hash");
    to->tree = take_hash(in, from, "tree");
    to->env = take_hash(in, from, "env");
    to->requirements = take_optional(in, from, "requirements", DOC_TEXT_MAX);
    to->notes = take_texts(in, from, "notes", DOC_NOTES_MAX, &to->note_count);
    take_setup(in, from, &to->setup);
    const json_t *array = take_array(in, from, "modules", DOC_MODULES_MAX, &to->module_count);
    struct doc_module *modules = arena_take_array(in->arena, to->module_count, sizeof *modules);
    for (size_t i = 0; i < to->module_count; i++) {
        const json_t *module = json_array_get(array, i);
        modules[i].path = take_text(in, module, "path", DOC_PATH_MAX);
        modules[i].bytes = take_uint(in, module, "bytes", ID_EVAL_MAX);
    }
    to->modules = modules;
    if (in->err.code != ERR_NONE)
        return;
    to->hash = doc_plan_hash(to);
    if (to->hash != claimed)
        take_refuse(in, "hash", "is not the plan's");
}

static const struct doc_plan *take_plans(struct take *in, const json_t *object, size_t *count)
{
    const json_t *array = take_array(in, object, "plans", DOC_PROJECTS_MAX, count);
    struct doc_plan *to = arena_take_array(in->arena, *count, sizeof *to);
    for (size_t i = 0; i < *count && in->err.code == ERR_NONE; i++)
        take_plan(in, json_array_get(array, i), &to[i]);
    return to;
}

/* ---- results, seal --------------------------------------------------------------------------- */

static void take_tally(struct take *in, const json_t *from, struct doc_tally *to)
{
    to->passed = (uint32_t)take_uint(in, from, "passed", UINT32_MAX);
    to->failed = (uint32_t)take_uint(in, from, "failed", UINT32_MAX);
    to->errors = (uint32_t)take_uint(in, from, "errors", UINT32_MAX);
    to->skipped = (uint32_t)take_uint(in, from, "skipped", UINT32_MAX);
    to->xfailed = (uint32_t)take_uint(in, from, "xfailed", UINT32_MAX);
    to->xpassed = (uint32_t)take_uint(in, from, "xpassed", UINT32_MAX);
    to->deselected = (uint32_t)take_uint(in, from, "deselected", UINT32_MAX);
}

static char take_tier(struct take *in, const json_t *from)
{
    const char *tier = take_optional(in, from, "tier", 1);
    if (tier && (*tier < 'A' || *tier > 'Z'))
        take_refuse(in, "tier", "is no letter");
    return tier ? *tier : '\0';
}

static void take_limit(struct take *in, const json_t *rec, struct doc_limit *to)
{
    const json_t *from = take_object(in, rec, "limit");
    if (!from)
        return;
    to->name = take_text(in, from, "name", DOC_NAME_MAX);
    to->used = take_uint(in, from, "used", ID_EVAL_MAX);
    to->allowed = take_uint(in, from, "allowed", ID_EVAL_MAX);
}

static void take_rec(struct take *in, const json_t *from, struct doc_rec *to)
{
    to->p = (uint32_t)take_uint(in, from, "p", DOC_PROJECTS_MAX - 1);
    to->plan = take_hex(in, from, "plan");
    to->m = (uint32_t)take_uint(in, from, "m", DOC_MODULES_MAX - 1);
    to->ballot = take_ballot(in, from);
    to->n = (uint32_t)take_uint(in, from, "n", UINT32_MAX);
    if (to->n == 0)
        take_refuse(in, "n", "is missing");
    to->node = take_hex(in, from, "node");
    to->addr = take_text(in, from, "addr", DOC_ADDR_MAX);
    to->real = take_flag(in, from, "real");
    to->outcome = take_outcome(in, from);
    to->blame = take_blame(in, from);
    to->message = take_optional(in, from, "message", DOC_TEXT_MAX);
    to->start_ms = take_uint(in, from, "start_ms", ID_EVAL_MAX);
    to->ms = (uint32_t)take_uint(in, from, "ms", UINT32_MAX);
    take_tally(in, from, &to->tally);
    to->exit_code = take_int(in, from, "exit_code", INT32_MAX);
    to->cached = take_flag(in, from, "cached");
    to->tier = take_tier(in, from);
    take_limit(in, from, &to->limit);
    to->cases = take_hash(in, from, "cases");
    to->out = take_hash(in, from, "out");
}

static const struct doc_rec *take_recs(struct take *in, const json_t *object, const char *key,
                                       size_t *count)
{
    const json_t *array = take_array(in, object, key, DOC_RESULTS_MAX, count);
    struct doc_rec *to = arena_take_array(in->arena, *count, sizeof *to);
    for (size_t i = 0; i < *count && in->err.code == ERR_NONE; i++)
        take_rec(in, json_array_get(array, i), &to[i]);
    return to;
}

static const struct doc_seal *take_seal(struct take *in, const json_t *delta)
{
    const json_t *from = take_object(in, delta, "seal");
    if (!from)
        return NULL;
    struct doc_seal *to = arena_take(in->arena, sizeof *to);
    to->ballot = take_ballot(in, from);
    to->gen = take_uint(in, from, "gen", ID_EVAL_MAX);
    to->at_ms = take_uint(in, from, "at_ms", ID_EVAL_MAX);
    to->cancelled = take_flag(in, from, "cancelled");
    to->sources = take_sources(in, from, &to->source_count);
    for (size_t i = 1; i < to->source_count; i++)
        if (to->sources[i - 1].p >= to->sources[i].p)
            take_refuse(in, "sources", "is out of order");
    to->plans = take_plans(in, from, &to->plan_count);
    for (size_t i = 1; i < to->plan_count; i++)
        if (to->plans[i - 1].p >= to->plans[i].p)
            take_refuse(in, "plans", "is out of order");
    to->vec = take_recs(in, from, "vec", &to->vec_count);
    for (size_t i = 1; i < to->vec_count; i++) {
        const struct doc_rec *a = &to->vec[i - 1], *b = &to->vec[i];
        if (a->p > b->p || (a->p == b->p && a->m >= b->m))
            take_refuse(in, "vec", "is out of order");
    }
    return to;
}

static void take_delta(struct take *in, const json_t *object, struct delta *out)
{
    out->arena = in->arena;
    out->id = take_uint(in, object, "id", ID_EVAL_MAX);
    if (out->id == 0)
        take_refuse(in, "id", "is missing");
    out->req = take_req(in, object);
    out->fence = take_fence(in, object);
    out->sources = take_sources(in, object, &out->source_count);
    out->plans = take_plans(in, object, &out->plan_count);
    out->cancel = take_flag(in, object, "cancel");
    out->res = take_recs(in, object, "res", &out->res_count);
    out->seal = take_seal(in, object);
    const json_t *com = take_object(in, object, "com");
    if (com)
        out->com = take_ballot(in, com);
    out->degraded = take_flag(in, object, "degraded");
}

static int delta_from(const json_t *object, size_t text_len, struct delta *out, struct err *err)
{
    struct take in = {.arena = arena_new(text_len < 65536 ? text_len * 2 + 512 : 131072),
                      .err = ERR_INIT};
    struct delta delta = {0};
    take_delta(&in, object, &delta);
    if (in.err.code != ERR_NONE) {
        arena_free(in.arena);
        return err_set(err, in.err.code, "delta: %s", in.err.text);
    }
    *out = delta;
    return 0;
}

int delta_decode(const char *text, size_t len, struct delta *out, struct err *err)
{
    owned_json *object = json_in_parse(text, len, err);
    if (!object)
        return err_wrap(err, "delta");
    return delta_from(object, len, out, err);
}

struct doc *doc_decode(const char *text, size_t len, struct err *err)
{
    owned_json *object = json_in_parse(text, len, err);
    owned_delta delta = {0};
    if (!object || delta_from(object, len, &delta, err))
        return NULL;
    struct take in = {.err = ERR_INIT};
    uint64_t claimed = take_hex(&in, object, "digest");
    struct doc *doc = doc_new(delta.id);
    unsigned changed;
    int rc = doc_apply(doc, &delta, &changed, err);
    if (!rc && (in.err.code != ERR_NONE || doc->digest != claimed))
        rc = err_set(err, ERR_CORRUPT, "evaluation %" PRIu64 ": the digest differs", delta.id);
    if (rc) {
        doc_free(doc);
        return NULL;
    }
    return doc;
}
