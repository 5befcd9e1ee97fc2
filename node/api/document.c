/* document: an evaluation as JSON, as GET /evaluation/<id> gives it. */
#include "node/api/internal.h"

#include "proto/base/clock.h"
#include "proto/base/mem.h"

static void put_percentages(struct json_out *out, const struct summary_marks *marks)
{
    json_out_key_real(out, "%passed", marks->passed_e4 / 1e4, 4);
    json_out_key_real(out, "%failed", marks->failed_e4 / 1e4, 4);
}

void document_put_mark(struct json_out *out, const char *key, bool is_known, uint32_t nota_e5)
{
    json_out_key(out, key);
    if (is_known)
        json_out_real(out, nota_e5 / 1e5, 5);
    else
        json_out_null(out);
}

static void put_seconds(struct json_out *out, const char *key, uint64_t ms)
{
    json_out_key_real(out, key, (double)ms / 1e3, 3);
}

void document_put_time(struct json_out *out, const char *key, uint64_t wall_ms)
{
    char when[CLOCK_TEXT];
    json_out_key_str(out, key, clock_format(wall_ms, when));
}

static void put_limit(struct json_out *out, const struct doc_limit *limit)
{
    if (!limit->name)
        return;
    json_out_key(out, "limit");
    json_out_open_object(out);
    json_out_key_str(out, "name", limit->name);
    json_out_key_uint(out, "used", limit->used);
    json_out_key_uint(out, "allowed", limit->allowed);
    json_out_close_object(out);
}

/* Nobody to blame is null here. */
static const char *blame_name(enum doc_blame blame)
{
    return blame == DOC_BLAME_NONE ? NULL : doc_blame_name(blame);
}

static void put_module(struct json_out *out, const struct summary_module *module)
{
    json_out_open_object(out);
    put_percentages(out, &module->marks);
    json_out_key_uint(out, "passed", module->tally.passed + module->tally.xpassed);
    json_out_key_uint(out, "failed", module->tally.failed);
    json_out_key_uint(out, "errors", module->tally.errors);
    json_out_key_uint(out, "skipped", module->tally.skipped);
    json_out_key_uint(out, "xfailed", module->tally.xfailed);
    json_out_key_uint(out, "xpassed", module->tally.xpassed);
    json_out_key_uint(out, "deselected", module->tally.deselected);
    put_seconds(out, "time", module->ms);
    json_out_key_str(out, "status", summary_phase_name(module->phase));
    json_out_key_str(out, "outcome", doc_outcome_name(module->outcome));
    json_out_key_str(out, "blame", blame_name(module->blame));
    json_out_key_str(out, "node", module->addr);
    json_out_key_uint(out, "attempts", module->attempts);
    json_out_key_bool(out, "cached", module->cached);
    if (module->rec) {
        char tier[2] = {module->rec->tier, '\0'};
        json_out_key_str(out, "message", module->rec->message);
        json_out_key_str(out, "tier", tier[0] ? tier : NULL);
        json_out_key_int(out, "exit_code", module->rec->exit_code);
        put_limit(out, &module->rec->limit);
    }
    json_out_close_object(out);
}

/* How far its clone is; nothing where it is not being cloned. */
static void put_fetch(struct json_out *out, const struct host_live *live, size_t p)
{
    static const char *const phases[MESH_CLONE_PHASES] = {
        [MESH_CLONE_WAITING] = "waiting",
        [MESH_CLONE_CONNECTING] = "connecting",
        [MESH_CLONE_RECEIVING] = "receiving",
        [MESH_CLONE_INDEXING] = "indexing",
    };
    size_t at = 0;
    while (at < live->clone_count && live->clones[at].p != p)
        at++;
    if (at == live->clone_count || (unsigned)live->clones[at].phase >= MESH_CLONE_PHASES)
        return;
    const struct mesh_clone *clone = &live->clones[at];
    json_out_key(out, "fetch");
    json_out_open_object(out);
    json_out_key_str(out, "phase", phases[clone->phase]);
    json_out_key_uint(out, "received_bytes", clone->bytes);
    json_out_key_uint(out, "objects", clone->objects);
    json_out_key_uint(out, "tries", clone->tries);
    json_out_close_object(out);
}

static void put_project(struct json_out *out, const struct summary_project *project,
                        const struct host_live *live, size_t p)
{
    json_out_open_object(out);
    put_percentages(out, &project->marks);
    document_put_mark(out, "nota", project->has_nota, project->marks.nota_e5);
    json_out_key_uint(out, "executed", project->executed);
    json_out_key_uint(out, "executing", project->executing);
    json_out_key_uint(out, "pending", project->pending);
    put_seconds(out, "time", project->ms);
    json_out_key_str(out, "source", project->source);
    json_out_key_str(out, "requirements", project->requirements);
    json_out_key(out, "notes");
    json_out_open_array(out);
    for (size_t i = 0; i < project->note_count; i++)
        json_out_str(out, project->notes[i]);
    json_out_close_array(out);
    json_out_key_uint(out, "passed", summary_good(&project->tally));
    json_out_key_uint(out, "failed", project->tally.failed);
    json_out_key_uint(out, "errors", project->tally.errors);
    json_out_key_uint(out, "skipped", project->tally.skipped);
    json_out_key_str(out, "status", summary_phase_name(project->phase));
    json_out_key_str(out, "outcome", doc_outcome_name(project->outcome));
    json_out_key_str(out, "blame", blame_name(project->blame));
    json_out_key_str(out, "message", project->message);
    put_fetch(out, live, p);
    json_out_close_object(out);
}

static void put_run_info(struct json_out *out, const struct summary *summary)
{
    json_out_key(out, "_run_info");
    json_out_open_object(out);
    json_out_key_uint(out, "errors", summary->tally.errors);
    put_percentages(out, &summary->marks);
    json_out_key_real(out, "nota", summary->marks.nota_e5 / 1e5, 5);
    document_put_mark(out, "mean_nota", summary->has_mean_nota, summary->mean_nota_e5);
    put_seconds(out, "eval_time", summary->eval_ms);
    json_out_close_object(out);
}

static void put_module_results(struct json_out *out, const struct summary *summary)
{
    json_out_key(out, "module_results");
    json_out_open_object(out);
    for (size_t p = 0; p < summary->project_count; p++) {
        const struct summary_project *project = &summary->projects[p];
        json_out_key(out, project->name);
        json_out_open_object(out);
        for (size_t m = 0; m < project->module_count; m++) {
            const struct summary_module *module = &summary->modules[project->first_module + m];
            json_out_key(out, module->path);
            put_module(out, module);
        }
        json_out_close_object(out);
    }
    json_out_close_object(out);
}

struct rows {
    struct json_out *out;
    size_t shown, more;
};

static void put_row(struct rows *self, const char *path, const char *why)
{
    json_out_open_object(self->out);
    json_out_key_str(self->out, "path", path);
    json_out_key_str(self->out, "why", why);
    json_out_close_object(self->out);
}

static void put_rows(struct rows *self, const struct doc_ignored *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (self->shown == DOC_IGNORED_MAX) {
            self->more += count - i;
            return;
        }
        put_row(self, rows[i].path, rows[i].why);
        self->shown++;
    }
}

/* What was found when the request came, and then in each repository. */
static void put_all_rows(struct json_out *out, const struct doc *doc, bool remarks)
{
    struct rows rows = {.out = out};
    const struct doc_req *req = doc->req; /* NULL: lost on a damaged disk */
    json_out_key(out, remarks ? "remarks" : "ignored");
    json_out_open_array(out);
    if (req)
        put_rows(&rows, remarks ? req->remarks : req->ignored,
                 remarks ? req->remark_count : req->ignored_count);
    for (uint32_t p = 0; req && p < req->project_count; p++) {
        const struct doc_source *source = doc_source(doc, p);
        if (source)
            put_rows(&rows, remarks ? source->remarks : source->ignored,
                     remarks ? source->remark_count : source->ignored_count);
    }
    if (rows.more > 0) {
        owned_mem char *why = mem_printf("and %zu more", rows.more);
        put_row(&rows, "", why);
    }
    json_out_close_array(out);
}

static void put_projects(struct json_out *out, const struct summary *summary,
                         const struct host_live *live)
{
    json_out_key(out, "projects");
    json_out_open_object(out);
    for (size_t p = 0; p < summary->project_count; p++) {
        json_out_key(out, summary->projects[p].name);
        put_project(out, &summary->projects[p], live, p);
    }
    json_out_close_object(out);
}

void document_put(struct buf *text, const struct doc *doc, const struct summary *summary,
                  const struct host_live *live, uint64_t stale_ms)
{
    struct json_out out;
    char id[ID_EVAL_TEXT];
    json_out_init(&out, text);
    json_out_open_object(&out);
    json_out_key_str(&out, "id", id_eval_format(summary->id, id));
    json_out_key_str(&out, "name", summary->name);
    json_out_key_str(&out, "status", summary_status_name(summary->status));
    document_put_time(&out, "submitted_at", summary->created_ms);
    put_run_info(&out, summary);
    if (stale_ms > 0)
        json_out_key_uint(&out, "stale_ms", stale_ms);
    if (summary->incomplete)
        json_out_key_bool(&out, "incomplete", true);
    if (summary->degraded)
        json_out_key_bool(&out, "degraded", true);
    json_out_key_uint(&out, "executed", summary->executed);
    json_out_key_uint(&out, "executing", summary->executing);
    json_out_key_uint(&out, "pending", summary->pending);
    put_module_results(&out, summary);
    put_projects(&out, summary, live);
    put_all_rows(&out, doc, false);
    put_all_rows(&out, doc, true);
    json_out_close_object(&out);
    buf_putc(text, '\n');
}
