#include "node/store/totals.h"

#include "node/store/summary.h"
#include "proto/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts owned texts and frees repetitions. Returns how many are left. */
static size_t keep_different(char **texts, size_t count)
{
    size_t kept = 0;
    if (count > 0)
        qsort(texts, count, sizeof *texts, by_text);
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && strcmp(texts[kept - 1], texts[i]) == 0)
            free(texts[i]);
        else
            texts[kept++] = texts[i];
    }
    return kept;
}

static struct share_node *node_of(struct share *self, const char *name)
{
    size_t low = 0;
    for (; low < self->node_count; low++) {
        int order = strcmp(self->nodes[low].name, name);
        if (order == 0)
            return &self->nodes[low];
        if (order > 0)
            break;
    }
    self->nodes = mem_resize(self->nodes, self->node_count + 1, sizeof *self->nodes);
    memmove(&self->nodes[low + 1], &self->nodes[low],
            (self->node_count - low) * sizeof *self->nodes);
    self->node_count++;
    self->nodes[low] = (struct share_node){.name = mem_strdup(name)};
    return &self->nodes[low];
}

/* Modules come project after project, so that comparing with the last identity is enough. */
static void add_identity(struct share_node *node, const char *identity)
{
    if (node->project_count > 0 && strcmp(node->projects[node->project_count - 1], identity) == 0)
        return;
    node->projects = mem_resize(node->projects, node->project_count + 1, sizeof *node->projects);
    node->projects[node->project_count++] = mem_strdup(identity);
}

/* Sixteen hex digits, "" for nobody. */
static const char *name_of(uint64_t node, char out[TOTALS_NODE_NAME])
{
    out[0] = '\0';
    if (node)
        (void)snprintf(out, TOTALS_NODE_NAME, "%016" PRIx64, node);
    return out;
}

static void add_module(struct share *self, const struct summary_module *module,
                       const char *identity)
{
    if (module->phase != SUMMARY_FINISHED || module->outcome == DOC_CANCELLED ||
        module->blame == DOC_BLAME_CLUSTER)
        return;
    char name[TOTALS_NODE_NAME];
    struct share_node *node = node_of(self, name_of(module->node, name));
    node->passed += summary_good(&module->tally);
    node->failed += summary_bad(&module->tally);
    node->modules++;
    add_identity(node, identity);
}

void share_init(struct share *out, const struct doc *doc)
{
    *out = (struct share){0};
    owned_summary summary;
    summary_init(&summary, doc, NULL);
    out->projects = mem_new_array(summary.project_count + 1, sizeof *out->projects);
    for (uint32_t p = 0; p < summary.project_count; p++) {
        const struct summary_project *project = &summary.projects[p];
        char *identity = out->projects[p] = summary_identity(doc, p);
        for (size_t i = 0; i < project->module_count; i++)
            add_module(out, &summary.modules[project->first_module + i], identity);
    }
    out->project_count = keep_different(out->projects, summary.project_count);
    for (size_t i = 0; i < out->node_count; i++)
        out->nodes[i].project_count =
            keep_different(out->nodes[i].projects, out->nodes[i].project_count);
}

static void free_texts(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

void share_fini(struct share *self)
{
    for (size_t i = 0; i < self->node_count; i++) {
        free(self->nodes[i].name);
        free_texts(self->nodes[i].projects, self->nodes[i].project_count);
    }
    free(self->nodes);
    free_texts(self->projects, self->project_count);
    *self = (struct share){0};
}

static void put_texts(struct json_out *json, char *const *texts, size_t count)
{
    json_out_key(json, "projects");
    json_out_open_array(json);
    for (size_t i = 0; i < count; i++)
        json_out_str(json, texts[i]);
    json_out_close_array(json);
}

void share_encode(const struct share *share, struct json_out *json)
{
    json_out_open_object(json);
    put_texts(json, share->projects, share->project_count);
    json_out_key(json, "nodes");
    json_out_open_array(json);
    for (size_t i = 0; i < share->node_count; i++) {
        const struct share_node *node = &share->nodes[i];
        json_out_open_object(json);
        json_out_key_str(json, "node", node->name);
        json_out_key_uint(json, "passed", node->passed);
        json_out_key_uint(json, "failed", node->failed);
        json_out_key_uint(json, "modules", node->modules);
        put_texts(json, node->projects, node->project_count);
        json_out_close_object(json);
    }
    json_out_close_array(json);
    json_out_close_object(json);
}

static char **take_texts(const json_t *object, size_t *count)
{
    const json_t *array = json_object_get(object, "projects");
    size_t size = json_array_size(array);
    char **texts = mem_new_array(size + 1, sizeof *texts);
    *count = 0;
    for (size_t i = 0; i < size; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (text)
            texts[(*count)++] = mem_strdup(text);
    }
    *count = keep_different(texts, *count);
    return texts;
}

static uint64_t take_count(const json_t *object, const char *key)
{
    int64_t value = json_in_int(object, key, 0);
    return value > 0 ? (uint64_t)value : 0;
}

int share_decode(const json_t *object, struct share *out, struct err *err)
{
    *out = (struct share){0};
    const json_t *nodes = json_object_get(object, "nodes");
    if (!json_is_array(nodes) || json_array_size(nodes) > DOC_RESULTS_MAX)
        return err_set(err, ERR_INVALID, "share: no nodes");
    out->projects = take_texts(object, &out->project_count);
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *from = json_array_get(nodes, i);
        struct share_node *node = node_of(out, json_in_str(from, "node", ""));
        node->passed += take_count(from, "passed");
        node->failed += take_count(from, "failed");
        node->modules += take_count(from, "modules");
        if (!node->projects)
            node->projects = take_texts(from, &node->project_count);
    }
    return 0;
}
