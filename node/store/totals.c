#include "node/store/totals.h"

#include "proto/base/mem.h"

#include <string.h>

/* Texts that are borrowed until totals_end(); sorted and counted there. */
struct bag {
    const char **texts;
    size_t count, room;
};

struct build_node {
    struct bag projects;
    size_t evaluation_room;
};

struct totals_build {
    struct bag projects;
    struct build_node *nodes; /* as totals.nodes */
    size_t room;
};

static void bag_add(struct bag *self, char *const *texts, size_t count)
{
    self->texts = mem_grow(self->texts, &self->room, self->count + count + 1, sizeof *self->texts);
    for (size_t i = 0; i < count; i++)
        self->texts[self->count++] = texts[i];
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Returns how many different texts there are, and empties the bag. */
static uint64_t bag_end(struct bag *self)
{
    uint64_t different = 0;
    if (self->count > 0)
        qsort(self->texts, self->count, sizeof *self->texts, by_text);
    for (size_t i = 0; i < self->count; i++)
        different += i == 0 || strcmp(self->texts[i - 1], self->texts[i]) != 0;
    free(self->texts);
    *self = (struct bag){0};
    return different;
}

void totals_begin(struct totals *self)
{
    *self = (struct totals){.build = mem_new(sizeof(struct totals_build))};
}

static size_t place_of(const struct totals *self, const char *name, bool *found)
{
    size_t low = 0, high = self->node_count;
    *found = false;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strcmp(self->nodes[mid].name, name);
        if (order == 0) {
            *found = true;
            return mid;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static size_t node_of(struct totals *self, const char *name)
{
    struct totals_build *build = self->build;
    bool found;
    size_t at = place_of(self, name, &found);
    if (found)
        return at;
    size_t after = self->node_count - at, count = self->node_count + 1;
    self->nodes = mem_resize(self->nodes, count, sizeof *self->nodes);
    build->nodes = mem_resize(build->nodes, count, sizeof *build->nodes);
    memmove(&self->nodes[at + 1], &self->nodes[at], after * sizeof *self->nodes);
    memmove(&build->nodes[at + 1], &build->nodes[at], after * sizeof *build->nodes);
    self->nodes[at] = (struct totals_node){.name = mem_strdup(name)};
    build->nodes[at] = (struct build_node){0};
    self->node_count = count;
    return at;
}

static void add_node(struct totals *self, uint64_t id, const struct share_node *share)
{
    self->passed += share->passed;
    self->failed += share->failed;
    if (!share->name[0])
        return;
    size_t at = node_of(self, share->name);
    struct totals_node *node = &self->nodes[at];
    struct build_node *build = &self->build->nodes[at];
    node->passed += share->passed;
    node->failed += share->failed;
    node->modules += share->modules;
    bag_add(&build->projects, share->projects, share->project_count);
    node->evaluations = mem_grow(node->evaluations, &build->evaluation_room,
                                 node->evaluation_count + 1, sizeof *node->evaluations);
    node->evaluations[node->evaluation_count++] = id;
}

void totals_add(struct totals *self, uint64_t id, const struct share *share)
{
    self->evaluations++;
    bag_add(&self->build->projects, share->projects, share->project_count);
    for (size_t i = 0; i < share->node_count; i++)
        add_node(self, id, &share->nodes[i]);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void totals_end(struct totals *self)
{
    struct totals_build *build = self->build;
    self->projects = bag_end(&build->projects);
    for (size_t i = 0; i < self->node_count; i++) {
        self->nodes[i].projects = bag_end(&build->nodes[i].projects);
        qsort(self->nodes[i].evaluations, self->nodes[i].evaluation_count,
              sizeof *self->nodes[i].evaluations, by_value);
    }
    free(build->nodes);
    free(build);
    self->build = NULL;
}

void totals_fini(struct totals *self)
{
    if (self->build)
        totals_end(self);
    for (size_t i = 0; i < self->node_count; i++) {
        free(self->nodes[i].name);
        free(self->nodes[i].evaluations);
    }
    free(self->nodes);
    *self = (struct totals){0};
}
