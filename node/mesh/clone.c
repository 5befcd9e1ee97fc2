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
#include "node/mesh/clone.h"

#include "proto/base/mem.h"

#include <string.h>

#define ADOPT_MOST 64 /* sources in one delta */

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
                            .wait_ms = CLONE_REST_MS,
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

/* ---- looking --------------------------------------------------------------------------------- */

static bool is_missing(const struct mesh *self, const struct doc *doc, const struct led *led,
                       uint32_t p)
{
    const struct doc_source *source = doc_source(doc, p);
    if (doc_is_uncloned(doc, p))
        return led;
    return source && !mesh_has_blob(self, &source->bundle) &&
           (mesh_is_replica(self, doc) || (led && !doc_project_is_complete(doc, p)));
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
    bool is_another = !mesh_is_same_hash(bundle, &clone->bundle);
    bool is_ours = led && work_ballot_compare(led->ballot, clone->work.ballot) == 0;
    clone->bundle = *bundle;
    clone->is_in_vain = clone->is_in_vain && !is_another;
    if (!led)
        clone->since_ms = self->now_ms;
    if (clone->stage == CLONE_RUNS && (is_another || !is_ours))
        stop(self, clone);
    if (clone->stage == CLONE_RESTS && (is_another || clone->at_ms <= self->now_ms))
        clone_go_on(self, doc, led, clone);
}

/* What another owner found and is here, or needs nothing more, is made ours. */
static bool is_to_adopt(const struct mesh *self, const struct doc *doc, const struct led *led,
                        uint32_t p)
{
    const struct doc_source *source = doc_source(doc, p);
    if (!source || work_ballot_compare(mesh_ballot(source->ballot), led->ballot) >= 0)
        return false;
    return mesh_has_blob(self, &source->bundle) || doc_project_is_complete(doc, p);
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
    if (!mesh_is_git(doc))
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
    if (mesh_is_git(doc) && !mesh_is_over(doc))
        look_at(self, doc, &delta);
}

void mesh_look_sources(struct mesh *self, const struct delta *delta)
{
    const struct doc *doc = mesh_doc(self, delta->id);
    if (!mesh_is_git(doc) || mesh_is_over(doc))
        return;
    for (size_t i = 0; i < delta->source_count; i++)
        mesh_tree_changed(self, doc, delta->sources[i].p);
    look_at(self, doc, delta);
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
        clone_write(self, clone, &delta->sources[0]);
    else
        clone_rest(self, clone);
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
    clone_rest(self, clone);
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
        clone_rest(self, clone);
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
