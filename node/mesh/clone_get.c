/* How a repository, or its bundle, is got: one that is missing. */
#include "node/mesh/clone.h"

#define REST_MOST_MS 20000
#define LOST_MS      600000 /* nobody has come back for so long who has the bundle or the secret */
#define SOURCES_MOST 24     /* asked for one bundle */

void clone_rest(struct mesh *self, struct clone *clone)
{
    clone->stage = CLONE_RESTS;
    clone->at_ms = self->now_ms + clone->wait_ms;
    clone->wait_ms = clone->wait_ms * 2 < REST_MOST_MS ? clone->wait_ms * 2 : REST_MOST_MS;
    clone->is_in_vain = false;
}

static void await(struct clone *clone, struct fetch *fetch, bool is_for_secret)
{
    clone->stage = CLONE_FETCHES;
    clone->is_for_secret = is_for_secret;
    clone->fetch = fetch->token;
    fetch->is_clone = true;
    fetch->work = clone->work;
}

static size_t add_source(const struct mesh *self, uint64_t node, uint64_t *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == node)
            return count;
    if (node != self->self && count < SOURCES_MOST)
        list[count++] = node;
    return count;
}

/* Who found it, who leads, the replicas; then all others, which may have got it as executors: some
 * of them each time, where there are many. */
static void fetch_bundle(struct mesh *self, const struct doc *doc, struct clone *clone)
{
    uint64_t list[SOURCES_MOST], reps[WIRE_SOURCES_MAX];
    const struct doc_source *source = doc_source(doc, clone->work.p);
    size_t count = add_source(self, source->ballot.owner, list, 0);
    size_t rep_count = mesh_sources(self, doc, reps), alive_count;
    const uint64_t *alive = swim_alive(self->swim, &alive_count);
    if (doc->fence)
        count = add_source(self, doc->fence->ballot.owner, list, count);
    for (size_t i = 0; i < rep_count; i++)
        count = add_source(self, reps[i], list, count);
    for (size_t i = 0; i < alive_count; i++)
        count = add_source(self, alive[(i + clone->fetches * 8) % alive_count], list, count);
    clone->fetches++;
    struct wanted wanted = {.blobs = &clone->bundle, .count = 1};
    await(clone, mesh_fetch(self, &wanted, list, count), false);
}

/* Only a replica ever asks for it, and only replicas are asked. */
static void fetch_secret(struct mesh *self, const struct doc *doc, struct clone *clone)
{
    uint64_t reps[WIRE_SOURCES_MAX];
    size_t count = mesh_sources(self, doc, reps);
    struct wanted wanted = {.blobs = &doc->req->secret, .count = 1, .has_secret = true};
    await(clone, mesh_fetch(self, &wanted, reps + 1, count - 1), true); /* reps[0] is this node */
}

static void begin(struct mesh *self, const struct led *led, struct clone *clone)
{
    clone->stage = CLONE_RUNS;
    clone->work.ballot = led->ballot;
    clone->work.n++;
    clone->told = (struct mesh_clone){.p = clone->work.p, .phase = MESH_CLONE_WAITING};
    self->counters.clones++;
    mesh_effect(self, MESH_CLONE)->work = clone->work;
    mesh_effect(self, MESH_RUNNING)->eval = clone->work.eval;
}

void clone_write(struct mesh *self, struct clone *clone, const struct doc_source *found)
{
    struct doc_source source = *found;
    source.p = clone->work.p;
    source.ballot = mesh_doc_ballot(clone->work.ballot);
    clone->stage = CLONE_WRITES;
    clone->told.phase = MESH_CLONE_INDEXING;
    mesh_append(self, APPEND_FOR_CLONE,
                &(struct delta){.id = clone->work.eval, .sources = &source, .source_count = 1})
        ->ending.work = clone->work;
}

/* It cannot be cloned here, and nobody has it: all that had it, or its secret, are gone. */
static void give_up(struct mesh *self, const struct doc *doc, const struct led *led,
                    struct clone *clone)
{
    struct doc_project project;
    doc_project(doc, clone->work.p, &project);
    clone->work.ballot = led->ballot;
    clone_write(self, clone,
                &(struct doc_source){.source = project.source,
                                     .failure = "every node that had its files, or could get them "
                                                "again, is gone",
                                     .is_clusters = true});
}

void clone_go_on(struct mesh *self, const struct doc *doc, const struct led *led,
                 struct clone *clone)
{
    bool is_known = doc_hash_is_set(&clone->bundle);
    bool is_wanted = led && !doc_project_is_complete(doc, clone->work.p);
    if (is_known && !clone->is_in_vain)
        fetch_bundle(self, doc, clone);
    else if (is_wanted && mesh_has_blob(self, &doc->req->secret))
        begin(self, led, clone);
    else if (is_wanted && self->now_ms >= clone->since_ms + LOST_MS)
        give_up(self, doc, led, clone);
    else if (is_wanted && mesh_is_replica(self, doc))
        fetch_secret(self, doc, clone);
    else
        clone_rest(self, clone);
}
