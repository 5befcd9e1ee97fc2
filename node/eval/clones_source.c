#include "node/eval/clones_source.h"

#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/git/reason.h"

#include <string.h>

static void free_rows(struct doc_ignored *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free((char *)(uintptr_t)rows[i].path);
        free((char *)(uintptr_t)rows[i].why);
    }
    free(rows);
}

static void clear(struct found *self)
{
    free_rows(self->ignored, self->source.ignored_count);
    free_rows(self->remarks, self->source.remark_count);
    free(self->text);
    free(self->failure);
    free(self->path);
    *self = (struct found){.name = self->name};
}

void found_begin(struct found *self, const char *name)
{
    *self = (struct found){.name = mem_strdup(name)};
}

void found_fini(struct found *self)
{
    clear(self);
    free(self->name);
    *self = (struct found){0};
}

/* What does not fit in is one more row, which says how much. Returns owned. */
static struct doc_ignored *rows_of(const char *name, const struct intake_note *notes, size_t count,
                                   size_t more, size_t *row_count)
{
    size_t kept = count < DOC_SOURCE_ROWS_MAX ? count : DOC_SOURCE_ROWS_MAX - 1;
    struct doc_ignored *rows = mem_new_array(kept + 1, sizeof *rows);
    for (size_t i = 0; i < kept; i++)
        rows[i] = (struct doc_ignored){.path = mem_printf("%s/%s", name, notes[i].path),
                                       .why = mem_strdup(notes[i].why)};
    *row_count = kept;
    if (count - kept + more > 0 && kept < DOC_SOURCE_ROWS_MAX)
        rows[(*row_count)++] = (struct doc_ignored){
            .path = mem_strdup(name), .why = mem_printf("and %zu more", count - kept + more)};
    return rows;
}

void found_take(struct found *self, const char *text, const struct intake_result *result)
{
    const struct intake_project *project = &result->projects[0];
    struct doc_source *source = &self->source;
    clear(self);
    self->text = mem_strdup(text);
    if (project->failure)
        self->failure = mem_printf("%s (%s)", project->failure, project->reason);
    if (project->path)
        self->path = mem_strdup(project->path);
    else if (!self->failure)
        self->failure = mem_strdup("nothing of it was packed");
    *source = (struct doc_source){.source = self->text,
                                  .bytes = project->source_bytes,
                                  .files = project->file_count,
                                  .failure = self->failure,
                                  .is_clusters = project->is_clusters};
    if (self->path) { /* a bundle and its tree, or else a failure */
        source->bundle = project->bundle;
        source->tree = project->tree;
    }
    self->ignored = rows_of(self->name, result->ignored, result->ignored_count,
                            result->ignored_more, &source->ignored_count);
    self->remarks = rows_of(self->name, result->remarks, result->remark_count, result->remarks_more,
                            &source->remark_count);
    source->ignored = self->ignored;
    source->remarks = self->remarks;
}

void found_fail(struct found *self, const char *text, const struct err *err)
{
    bool is_projects = git_reason_is_projects(err->reason);
    owned_mem char *kept = mem_strdup(text);
    clear(self);
    self->failure = mem_printf("%s (%s)", err->text, err_name(err));
    self->text = steal_ptr(&kept);
    self->source = (struct doc_source){
        .source = self->text, .failure = self->failure, .is_clusters = !is_projects};
    log_info("repository_failed", "reason=%s blame=%s source=%s text=%s", err_name(err),
             is_projects ? "project" : "cluster", self->text, err->text);
}
