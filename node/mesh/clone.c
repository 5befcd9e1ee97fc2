/* clone: repositories are cloned by who leads their evaluation, after it was acknowledged; their
 * bundles are kept by its replicas, and their secret by who might have to clone.
 *
 * What to do follows from the document alone, and is looked at again whenever something changed:
 *
 *   of a project    where this node leads                          where it is a replica
 *   not cloned      CLONE, under the present ballot                -
 *   cloned, its     FETCH from the replicas, then from all; in     FETCH, again and again
 *   bundle not here vain: CLONE, of the commit that was found
 *   cloned, here    appended under our ballot, if another owner    -
 *                   found it; then fed to the queue
 *
 * Why under our ballot: two owners may have found two commits, and word of the other one may come
 * late. The larger ballot wins, so nobody's commit is taken from under what runs. */
#include "node/mesh/mesh_inner.h"

#include "node/store/doc_copy.h"
#include "proto/base/mem.h"

#include <string.h>

#define REST_MS      2000 /* before what was in vain is tried again; then twice as long, up to */
#define REST_MOST_MS 20000
#define LOST_MS      600000 /* nobody has come back for so long who has the bundle or the secret */
#define SOURCES_MOST 24     /* asked for one bundle */
#define ADOPT_MOST   64     /* sources in one delta */

enum clone_stage {
    CLONE_RESTS,
    CLONE_FETCHES, /* a bundle, or the secret */
    CLONE_RUNS,    /* a CLONE */
    CLONE_WRITES,  /* what it found is being appended */
};

struct clone {
    struct work work; /* n: how many CLONEs there were; the ballot of the last one */
    enum clone_stage stage;
    struct hash bundle; /* the one that counts; all zero: none is known */
    bool is_in_vain;    /* it was not to be had */
    bool is_for_secret; /* FETCHES */
    uint64_t fetch;     /* FETCHES: its token */
    uint64_t since_ms;  /* that it is missing to who leads */
    uint64_t at_ms;     /* RESTS: until */
    uint32_t wait_ms;
    uint32_t fetches;
    struct mesh_clone told;
    struct clone *next;
};

static bool is_git(const struct doc *doc) { return doc && doc->req && doc->req->kind == DOC_GIT; }

static bool is_same(const struct hash *a, const struct hash *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static bool is_here(const struct mesh *self, const struct hash *blob)
{
    const struct docs *docs = self->config.docs;
    return !doc_hash_is_set(blob) || docs->has_blob(docs->arg, blob);
}

static bool is_replica(const struct mesh *self, const struct doc *doc)
{
    for (size_t i = 0; doc->fence && i < doc->fence->rep_count; i++)
        if (id_node_short(&doc->fence->reps[i]) == self->self)
            return true;
    return false;
}

/* ---- the list -------------------------------------------------------------------------------- */

static struct clone *find(const struct mesh *self, uint64_t eval, uint32_t p)
{
    for (struct clone *at = self->clones; at; at = at->next)
        if (at->work.eval == eval && at->work.p == p)
            return at;
    return NULL;
}

static struct clone *add(struct mesh *self, uint64_t eval, uint32_t p)
{
    struct clone *clone = mem_new(sizeof *clone);
    *clone = (struct clone){.work = {.eval = eval, .p = p, .m = WORK_CHORE},
                            .since_ms = self->now_ms,
                            .at_ms = self->now_ms,
                            .wait_ms = REST_MS,
                            .told = {.p = p},
                            .next = self->clones};
    return self->clones = clone;
}

static void stop(struct mesh *self, struct clone *clone)
{
    if (clone->stage == CLONE_RUNS) {
        mesh_effect(self, MESH_CLONE_STOP)->work = clone->work;
        self->counters.clone_stops++;
    }
    clone->stage = CLONE_RESTS;
    clone->at_ms = self->now_ms;
}

static void drop(struct mesh *self, struct clone *clone)
{
    struct clone **at = &self->clones;
    stop(self, clone);
    while (*at != clone)
        at = &(*at)->next;
    *at = clone->next;
    mesh_effect(self, MESH_RUNNING)->eval = clone->work.eval;
    free(clone);
}

static void drop_all(struct mesh *self, uint64_t eval)
{
    for (struct clone *at = self->clones, *next; at; at = next) {
        next = at->next;
        if (at->work.eval == eval)
            drop(self, at);
    }
}

void mesh_free_clones(struct mesh *self)
{
    for (struct clone *at = self->clones, *next; at; at = next) {
        next = at->next;
        free(at);
    }
}

/* ---- one that is missing --------------------------------------------------------------------- */

static void rest(struct mesh *self, struct clone *clone)
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

static void write_down(struct mesh *self, struct clone *clone, const struct doc_source *found)
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
    write_down(self, clone,
               &(struct doc_source){.source = project.source,
                                    .failure = "every node that had its files, or could get them "
                                               "again, is gone",
                                    .is_clusters = true});
}

static void go_on(struct mesh *self, const struct doc *doc, const struct led *led,
                  struct clone *clone)
{
    bool is_known = doc_hash_is_set(&clone->bundle);
    bool is_wanted = led && !doc_project_is_complete(doc, clone->work.p);
    if (is_known && !clone->is_in_vain)
        fetch_bundle(self, doc, clone);
    else if (is_wanted && is_here(self, &doc->req->secret))
        begin(self, led, clone);
    else if (is_wanted && self->now_ms >= clone->since_ms + LOST_MS)
        give_up(self, doc, led, clone);
    else if (is_wanted && is_replica(self, doc))
        fetch_secret(self, doc, clone);
    else
        rest(self, clone);
}

/* ---- looking --------------------------------------------------------------------------------- */

static bool is_missing(const struct mesh *self, const struct doc *doc, const struct led *led,
                       uint32_t p)
{
    const struct doc_source *source = doc_source(doc, p);
    if (doc_is_uncloned(doc, p))
        return led;
    return source && !is_here(self, &source->bundle) &&
           (is_replica(self, doc) || (led && !doc_project_is_complete(doc, p)));
}

static void look(struct mesh *self, const struct doc *doc, struct led *led, uint32_t p)
{
    const struct doc_source *source = doc_source(doc, p);
    struct clone *clone = find(self, doc->id, p);
    if (!is_missing(self, doc, led, p)) {
        if (clone && clone->stage != CLONE_WRITES)
            drop(self, clone);
        if (led && !led->fed[p])
            mesh_feed_project(self, doc, led, p);
        return;
    }
    if (!clone)
        clone = add(self, doc->id, p);
    static const struct hash none;
    const struct hash *bundle = source ? &source->bundle : &none;
    bool is_another = !is_same(bundle, &clone->bundle);
    bool is_ours = led && work_ballot_compare(led->ballot, clone->work.ballot) == 0;
    clone->bundle = *bundle;
    clone->is_in_vain = clone->is_in_vain && !is_another;
    if (!led)
        clone->since_ms = self->now_ms;
    if (clone->stage == CLONE_RUNS && (is_another || !is_ours))
        stop(self, clone);
    if (clone->stage == CLONE_RESTS && (is_another || clone->at_ms <= self->now_ms))
        go_on(self, doc, led, clone);
}

/* What another owner found and is here, or needs nothing more, is made ours. */
static bool is_to_adopt(const struct mesh *self, const struct doc *doc, const struct led *led,
                        uint32_t p)
{
    const struct doc_source *source = doc_source(doc, p);
    if (!source || work_ballot_compare(mesh_ballot(source->ballot), led->ballot) >= 0)
        return false;
    return is_here(self, &source->bundle) || doc_project_is_complete(doc, p);
}

static void adopt(struct mesh *self, const struct doc *doc, struct led *led)
{
    struct doc_source list[ADOPT_MOST];
    size_t count = 0;
    for (uint32_t p = 0; p < led->fed_count && count < ADOPT_MOST && !led->is_adopting; p++) {
        if (!is_to_adopt(self, doc, led, p))
            continue;
        list[count] = *doc_source(doc, p);
        list[count++].ballot = mesh_doc_ballot(led->ballot);
    }
    if (count == 0)
        return;
    led->is_adopting = true;
    mesh_append(self, APPEND_FOR_ADOPT,
                &(struct delta){.id = doc->id, .sources = list, .source_count = count})
        ->ending.work = (struct work){.eval = doc->id, .ballot = led->ballot};
}

/* A source under a higher ballot: somebody else leads, whose fence has not come yet. */
static void hear(struct mesh *self, const struct doc *doc, const struct led *led, uint32_t p)
{
    const struct doc_source *source = doc_source(doc, p);
    if (source && work_ballot_compare(mesh_ballot(source->ballot), led->ballot) > 0)
        mesh_note_own(
            self, (struct own_event){.kind = OWN_HEARD, .id = doc->id, .fence = source->ballot});
}

static void look_at(struct mesh *self, const struct doc *doc, const struct delta *delta)
{
    struct led *led = mesh_led(self, doc->id);
    size_t count = delta ? delta->source_count : doc->req->project_count;
    for (size_t i = 0; i < count; i++) {
        uint32_t p = delta ? delta->sources[i].p : (uint32_t)i;
        if (p >= doc->req->project_count)
            continue;
        if (led)
            hear(self, doc, led, p);
        look(self, doc, led, p);
    }
    if (led)
        adopt(self, doc, led);
    mesh_look_secret(self, doc->id, &doc->req->secret);
}

void mesh_look_clones(struct mesh *self, uint64_t eval)
{
    const struct doc *doc = mesh_doc(self, eval);
    if (!is_git(doc))
        return;
    if (!mesh_is_over(doc)) {
        look_at(self, doc, NULL);
        return;
    }
    drop_all(self, eval);
    mesh_look_secret(self, eval, &doc->req->secret);
}

void mesh_look_project(struct mesh *self, uint64_t eval, uint32_t p)
{
    const struct doc *doc = mesh_doc(self, eval);
    struct doc_source source = {.p = p};
    struct delta delta = {.id = eval, .sources = &source, .source_count = 1};
    if (is_git(doc) && !mesh_is_over(doc))
        look_at(self, doc, &delta);
}

void mesh_look_sources(struct mesh *self, const struct delta *delta)
{
    const struct doc *doc = mesh_doc(self, delta->id);
    if (!is_git(doc) || mesh_is_over(doc))
        return;
    for (size_t i = 0; i < delta->source_count; i++)
        mesh_tree_changed(self, doc, delta->sources[i].p);
    look_at(self, doc, delta);
}

/* ---- the secret ------------------------------------------------------------------------------ */

void mesh_look_secret(struct mesh *self, uint64_t eval, const struct hash *secret)
{
    const struct doc *doc = mesh_doc(self, eval);
    bool is_its = doc && doc->req && is_same(&doc->req->secret, secret);
    if (!doc_hash_is_set(secret) || !is_here(self, secret) ||
        mesh_submission_needs(self, eval, secret) || own_is_taking(self->own, eval))
        return;
    bool is_ours = is_its && (!doc->fence || is_replica(self, doc));
    if (self->config.mutation == OWN_FORGET_EARLY)
        is_ours = is_ours && mesh_led(self, eval);
    if (is_ours && docs_needs_secret(self->config.docs, doc))
        return;
    struct mesh_effect *effect = mesh_effect(self, MESH_FORGET_SECRET);
    effect->eval = eval;
    effect->secret = mesh_copy(self, secret, sizeof *secret);
    self->counters.secrets++;
}

void mesh_look_taken(struct mesh *self)
{
    for (size_t i = 0; i < self->taken_count; i++) {
        const struct doc *doc = mesh_doc(self, self->taken[i]);
        if (is_git(doc))
            mesh_look_secret(self, doc->id, &doc->req->secret);
    }
    self->taken_count = 0;
}

/* ---- what comes of it ------------------------------------------------------------------------ */

/* A CLONE that was stopped may have come to its end before it heard so. */
static struct clone *running(const struct mesh *self, const struct work *work)
{
    struct clone *clone = find(self, work->eval, work->p);
    return clone && clone->stage == CLONE_RUNS && work_is_same(&clone->work, work) ? clone : NULL;
}

void mesh_cloned(struct mesh *self, const struct mesh_event *event)
{
    struct clone *clone = running(self, &event->work);
    const struct delta *delta = event->delta;
    if (!clone)
        return;
    if (delta && delta->source_count == 1)
        write_down(self, clone, &delta->sources[0]);
    else
        rest(self, clone);
}

void mesh_clone_progress(struct mesh *self, const struct mesh_event *event)
{
    struct clone *clone = running(self, &event->work);
    if (!clone)
        return;
    clone->told = event->clone;
    clone->told.p = event->work.p;
    mesh_effect(self, MESH_RUNNING)->eval = event->work.eval;
}

void mesh_clone_appended(struct mesh *self, const struct work *work, bool is_ok)
{
    struct clone *clone = find(self, work->eval, work->p);
    struct led *led = mesh_led(self, work->eval);
    if (work->m != WORK_CHORE) { /* what was adopted */
        if (led && work_ballot_compare(led->ballot, work->ballot) == 0)
            led->is_adopting = false;
        if (is_ok)
            mesh_look_clones(self, work->eval);
        return;
    }
    if (!clone || clone->stage != CLONE_WRITES)
        return;
    rest(self, clone);
    if (is_ok) {
        clone->at_ms = self->now_ms;
        mesh_look_project(self, work->eval, work->p);
    }
}

void mesh_clone_fetched(struct mesh *self, const struct fetch *fetch, bool is_ok)
{
    struct clone *clone = find(self, fetch->work.eval, fetch->work.p);
    if (!clone || clone->stage != CLONE_FETCHES || clone->fetch != fetch->token)
        return;
    self->counters.bundles += is_ok && !clone->is_for_secret;
    clone->stage = CLONE_RESTS;
    clone->at_ms = self->now_ms;
    if (!is_ok && clone->is_for_secret)
        rest(self, clone);
    else if (!is_ok)
        clone->is_in_vain = true;
    mesh_look_project(self, fetch->work.eval, fetch->work.p);
}

void mesh_clones_member(struct mesh *self)
{
    for (struct clone *at = self->clones; at; at = at->next)
        if (at->stage == CLONE_RESTS)
            at->at_ms = self->now_ms;
}

/* ---- time ------------------------------------------------------------------------------------ */

void mesh_tick_clones(struct mesh *self)
{
    for (struct clone *at = self->clones, *next; at; at = next) {
        next = at->next;
        if (at->stage == CLONE_RESTS && at->at_ms <= self->now_ms)
            mesh_look_project(self, at->work.eval, at->work.p);
    }
}

uint64_t mesh_clones_deadline(const struct mesh *self)
{
    uint64_t first = UINT64_MAX;
    for (const struct clone *at = self->clones; at; at = at->next)
        if (at->stage == CLONE_RESTS && at->at_ms < first)
            first = at->at_ms;
    return first;
}

size_t mesh_led_clones(const struct mesh *self, uint64_t eval, struct mesh_clone *out, size_t room)
{
    size_t count = 0;
    if (!mesh_led(self, eval))
        return 0;
    for (const struct clone *at = self->clones; at; at = at->next) {
        if (at->work.eval != eval)
            continue;
        if (count < room) {
            out[count] = at->told;
            out[count].tries = at->told.tries ? at->told.tries : at->work.n;
        }
        count++;
    }
    return count;
}
