/* Writing. The form is canonical: fixed order, and what is absent or zero is left out, so that
 * equal values have equal text. */
#include "node/store/doc_copy.h"
#include "node/store/doc_json.h"
#include "node/store/doc_part.h"
#include "node/store/put.h"
#include "proto/base/mem.h"

static void put_options(struct json_out *json, const struct doc_options *options)
{
    json_out_key(json, "options");
    json_out_open_object(json);
    put_count(json, "timeout_s", options->timeout_s);
    put_texts(json, "pytest_args", options->pytest_args, options->pytest_arg_count);
    put_count(json, "retries", options->retries);
    if (options->priority)
        json_out_key_int(json, "priority", options->priority);
    put_flag(json, "network", options->network);
    json_out_close_object(json);
}

static void put_project(struct json_out *json, const struct doc_project *project)
{
    json_out_open_object(json);
    json_out_key_str(json, "name", project->name);
    json_out_key_str(json, "source", project->source);
    put_hash(json, "bundle", &project->bundle);
    put_hash(json, "tree", &project->tree);
    put_count(json, "bytes", project->bytes);
    put_count(json, "files", project->files);
    put_optional(json, "failure", project->failure);
    put_flag(json, "clusters", project->is_clusters);
    json_out_close_object(json);
}

static void put_ignored(struct json_out *json, const char *key, const struct doc_ignored *rows,
                        size_t count)
{
    json_out_key(json, key);
    json_out_open_array(json);
    for (size_t i = 0; i < count; i++) {
        json_out_open_object(json);
        json_out_key_str(json, "path", rows[i].path);
        json_out_key_str(json, "why", rows[i].why);
        json_out_close_object(json);
    }
    json_out_close_array(json);
}

static void put_req(struct json_out *json, const struct doc_req *req)
{
    json_out_open_object(json);
    json_out_key_uint(json, "created_ms", req->created_ms);
    json_out_key_str(json, "kind", req->kind == DOC_GIT ? "git" : "zip");
    json_out_key_str(json, "name", req->name);
    put_options(json, &req->options);
    put_hash(json, "body", &req->body);
    put_optional(json, "key", req->key);
    put_hash(json, "overlay", &req->overlay);
    put_hash(json, "secret", &req->secret);
    put_flag(json, "statuses", req->statuses);
    json_out_key(json, "projects");
    json_out_open_array(json);
    for (size_t i = 0; i < req->project_count; i++)
        put_project(json, &req->projects[i]);
    json_out_close_array(json);
    put_ignored(json, "ignored", req->ignored, req->ignored_count);
    if (req->remark_count > 0)
        put_ignored(json, "remarks", req->remarks, req->remark_count);
    json_out_close_object(json);
}

static void put_fence(struct json_out *json, const struct doc_fence *fence)
{
    char text[ID_NODE_HEX];
    json_out_open_object(json);
    put_ballot(json, fence->ballot);
    json_out_key_uint(json, "gen", fence->gen);
    json_out_key(json, "reps");
    json_out_open_array(json);
    for (size_t i = 0; i < fence->rep_count; i++)
        json_out_str(json, id_node_hex(&fence->reps[i], text));
    json_out_close_array(json);
    json_out_close_object(json);
}

static void put_source_content(struct json_out *json, const struct doc_source *source)
{
    json_out_key_str(json, "source", source->source);
    put_hash(json, "bundle", &source->bundle);
    put_hash(json, "tree", &source->tree);
    put_count(json, "bytes", source->bytes);
    put_count(json, "files", source->files);
    put_optional(json, "failure", source->failure);
    put_flag(json, "clusters", source->is_clusters);
    if (source->ignored_count > 0)
        put_ignored(json, "ignored", source->ignored, source->ignored_count);
    if (source->remark_count > 0)
        put_ignored(json, "remarks", source->remarks, source->remark_count);
}

void doc_source_encode_content(const struct doc_source *source, struct buf *out)
{
    struct json_out json;
    json_out_init(&json, out);
    json_out_open_object(&json);
    put_source_content(&json, source);
    json_out_close_object(&json);
}

static void put_source(struct json_out *json, const struct doc_source *source)
{
    json_out_open_object(json);
    json_out_key_uint(json, "p", source->p);
    put_ballot(json, source->ballot);
    put_hex(json, "hash", source->hash);
    put_source_content(json, source);
    json_out_close_object(json);
}

static void put_setup(struct json_out *json, const struct doc_setup *setup)
{
    if (setup->outcome == DOC_NO_OUTCOME && !setup->message && !setup->addr &&
        !doc_hash_is_set(&setup->log))
        return;
    json_out_key(json, "setup");
    json_out_open_object(json);
    if (setup->outcome != DOC_NO_OUTCOME) {
        json_out_key_str(json, "outcome", doc_outcome_name(setup->outcome));
        json_out_key_str(json, "blame", doc_blame_name(setup->blame));
    }
    put_optional(json, "message", setup->message);
    put_optional(json, "addr", setup->addr);
    put_hash(json, "log", &setup->log);
    json_out_close_object(json);
}

static void put_plan_content(struct json_out *json, const struct doc_plan *plan)
{
    put_hash(json, "tree", &plan->tree);
    put_hash(json, "env", &plan->env);
    put_optional(json, "requirements", plan->requirements);
    put_texts(json, "notes", plan->notes, plan->note_count);
    put_setup(json, &plan->setup);
    json_out_key(json, "modules");
    json_out_open_array(json);
    for (size_t i = 0; i < plan->module_count; i++) {
        json_out_open_object(json);
        json_out_key_str(json, "path", plan->modules[i].path);
        put_count(json, "bytes", plan->modules[i].bytes);
        json_out_close_object(json);
    }
    json_out_close_array(json);
}

void doc_plan_encode_content(const struct doc_plan *plan, struct buf *out)
{
    struct json_out json;
    json_out_init(&json, out);
    json_out_open_object(&json);
    put_plan_content(&json, plan);
    json_out_close_object(&json);
}

void doc_plan_encode(const struct doc_plan *plan, struct json_out *json)
{
    json_out_open_object(json);
    json_out_key_uint(json, "p", plan->p);
    put_ballot(json, plan->ballot);
    put_hex(json, "hash", plan->hash);
    put_plan_content(json, plan);
    json_out_close_object(json);
}

static void put_tally(struct json_out *json, const struct doc_tally *tally)
{
    json_out_key_uint(json, "passed", tally->passed);
    json_out_key_uint(json, "failed", tally->failed);
    put_count(json, "errors", tally->errors);
    put_count(json, "skipped", tally->skipped);
    put_count(json, "xfailed", tally->xfailed);
    put_count(json, "xpassed", tally->xpassed);
    put_count(json, "deselected", tally->deselected);
}

static void put_limit(struct json_out *json, const struct doc_limit *limit)
{
    if (!limit->name)
        return;
    json_out_key(json, "limit");
    json_out_open_object(json);
    json_out_key_str(json, "name", limit->name);
    json_out_key_uint(json, "used", limit->used);
    json_out_key_uint(json, "allowed", limit->allowed);
    json_out_close_object(json);
}

void doc_rec_encode(const struct doc_rec *rec, struct json_out *json)
{
    json_out_open_object(json);
    json_out_key_uint(json, "p", rec->p);
    put_hex(json, "plan", rec->plan);
    json_out_key_uint(json, "m", rec->m);
    put_ballot(json, rec->ballot);
    json_out_key_uint(json, "n", rec->n);
    put_hex(json, "node", rec->node);
    json_out_key_str(json, "addr", rec->addr);
    json_out_key_bool(json, "real", rec->real);
    json_out_key_str(json, "outcome", doc_outcome_name(rec->outcome));
    json_out_key_str(json, "blame", doc_blame_name(rec->blame));
    put_optional(json, "message", rec->message);
    json_out_key_uint(json, "start_ms", rec->start_ms);
    json_out_key_uint(json, "ms", rec->ms);
    put_tally(json, &rec->tally);
    if (rec->exit_code)
        json_out_key_int(json, "exit_code", rec->exit_code);
    put_flag(json, "cached", rec->cached);
    if (rec->tier) {
        json_out_key(json, "tier");
        json_out_strn(json, &rec->tier, 1);
    }
    put_limit(json, &rec->limit);
    put_hash(json, "cases", &rec->cases);
    put_hash(json, "out", &rec->out);
    json_out_close_object(json);
}

static void put_recs(struct json_out *json, const char *key, const struct doc_rec *recs,
                     size_t count)
{
    json_out_key(json, key);
    json_out_open_array(json);
    for (size_t i = 0; i < count; i++)
        doc_rec_encode(&recs[i], json);
    json_out_close_array(json);
}

/* A list that is empty is left out, as is the next one. */
static void put_sources(struct json_out *json, const struct doc_source *sources, size_t count)
{
    if (count == 0)
        return;
    json_out_key(json, "sources");
    json_out_open_array(json);
    for (size_t i = 0; i < count; i++)
        put_source(json, &sources[i]);
    json_out_close_array(json);
}

static void put_plans(struct json_out *json, const struct doc_plan *plans, size_t count)
{
    if (count == 0)
        return;
    json_out_key(json, "plans");
    json_out_open_array(json);
    for (size_t i = 0; i < count; i++)
        doc_plan_encode(&plans[i], json);
    json_out_close_array(json);
}

static void put_seal(struct json_out *json, const struct doc_seal *seal)
{
    json_out_open_object(json);
    put_ballot(json, seal->ballot);
    json_out_key_uint(json, "gen", seal->gen);
    json_out_key_uint(json, "at_ms", seal->at_ms);
    put_flag(json, "cancelled", seal->cancelled);
    put_sources(json, seal->sources, seal->source_count);
    put_plans(json, seal->plans, seal->plan_count);
    put_recs(json, "vec", seal->vec, seal->vec_count);
    json_out_close_object(json);
}

static void put_head(struct json_out *json, const struct doc_req *req,
                     const struct doc_fence *fence)
{
    if (req) {
        json_out_key(json, "req");
        put_req(json, req);
    }
    if (fence) {
        json_out_key(json, "fence");
        put_fence(json, fence);
    }
}

static void put_end(struct json_out *json, const struct doc_seal *seal, struct doc_ballot com)
{
    if (seal) {
        json_out_key(json, "seal");
        put_seal(json, seal);
    }
    if (com.epoch > 0) {
        json_out_key(json, "com");
        json_out_open_object(json);
        put_ballot(json, com);
        json_out_close_object(json);
    }
}

void delta_encode(const struct delta *delta, struct buf *out)
{
    struct json_out json;
    json_out_init(&json, out);
    json_out_open_object(&json);
    json_out_key_uint(&json, "id", delta->id);
    put_head(&json, delta->req, delta->fence);
    put_sources(&json, delta->sources, delta->source_count);
    put_plans(&json, delta->plans, delta->plan_count);
    put_flag(&json, "cancel", delta->cancel);
    if (delta->res_count > 0)
        put_recs(&json, "res", delta->res, delta->res_count);
    put_end(&json, delta->seal, delta->com);
    put_flag(&json, "degraded", delta->degraded);
    json_out_close_object(&json);
}

/* What the seal brings is not written twice. */
static void put_registers(struct json_out *json, const struct doc *doc)
{
    if (doc->source_room > 0) {
        json_out_key(json, "sources");
        json_out_open_array(json);
        for (size_t p = 0; p < doc->source_room; p++)
            if (doc->sources[p] && !doc_seal_has_source(doc, doc->sources[p]))
                put_source(json, doc->sources[p]);
        json_out_close_array(json);
    }
    json_out_key(json, "plans");
    json_out_open_array(json);
    for (size_t p = 0; p < doc->plan_room; p++)
        for (const struct doc_tree_plan *at = doc->tree_plans[p]; at; at = at->next)
            if (!doc_seal_has_plan(doc, at->plan))
                doc_plan_encode(at->plan, json);
    json_out_close_array(json);
}

static void put_results(struct json_out *json, const struct doc *doc)
{
    owned_mem const struct doc_rec **all = doc_sorted_results(doc);
    json_out_key(json, "res");
    json_out_open_array(json);
    for (size_t i = 0; i < doc->res_count; i++) {
        const struct doc_rec *sealed = doc->seal ? doc_counted(doc, all[i]->p, all[i]->m) : NULL;
        if (!sealed || sealed->dig != all[i]->dig)
            doc_rec_encode(all[i], json);
    }
    json_out_close_array(json);
}

void doc_encode(const struct doc *doc, struct buf *out)
{
    struct json_out json;
    json_out_init(&json, out);
    json_out_open_object(&json);
    json_out_key_uint(&json, "id", doc->id);
    put_hex(&json, "digest", doc->digest);
    put_head(&json, doc->req, doc->fence);
    put_registers(&json, doc);
    put_flag(&json, "cancel", doc->cancel);
    put_results(&json, doc);
    put_end(&json, doc->seal, doc->com);
    put_flag(&json, "degraded", doc->degraded);
    json_out_close_object(&json);
}
