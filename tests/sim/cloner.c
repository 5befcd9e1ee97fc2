/* Repositories: what they hold, how long they take, and what clones run on a node. As with the
 * runner, how it ends follows from the seed, so that the truth is known. */
#include "tests/sim/sim.h"

#include "proto/base/mem.h"

#include <inttypes.h>
#include <string.h>

/* ---- the truth ------------------------------------------------------------------------------- */

enum repo_fate { REPO_IS_THERE, REPO_FAILS, REPO_AWAY };

static uint64_t repo_hash(const struct sim *self, uint64_t eval, uint32_t p)
{
    return sim_hash3(self->options.seed, eval, p, 21);
}

static enum repo_fate fate_of(const struct sim *self, uint64_t eval, uint32_t p)
{
    unsigned chance = (unsigned)(repo_hash(self, eval, p) % 100);
    return chance < 8 ? REPO_FAILS : chance < 12 ? REPO_AWAY : REPO_IS_THERE;
}

bool cloner_is_there(const struct sim *self, uint64_t eval, uint32_t p)
{
    return fate_of(self, eval, p) == REPO_IS_THERE;
}

/* Some branches move to and fro between two commits. */
static unsigned commit_now(const struct sim *self, uint64_t eval, uint32_t p)
{
    uint64_t hash = repo_hash(self, eval, p) / 128;
    if (self->options.is_scripted)
        return self->commit;
    return hash % 2 ? (unsigned)(self->now_us / (400 * SIM_MS + hash % (3 * SIM_S)) % 2) : 0;
}

static uint64_t clone_us(const struct sim *self, const struct work *work)
{
    uint64_t hash = repo_hash(self, work->eval, work->p) / 1024;
    uint64_t usual = 80 * SIM_MS + hash % (600 * SIM_MS);
    return self->options.is_scripted ? 2 * SIM_S : hash % 4 == 0 ? usual * 8 : usual;
}

struct hash cloner_tree(const struct sim *self, uint64_t eval, uint32_t p, unsigned commit)
{
    uint64_t words[] = {self->options.seed, eval, p, commit};
    return hash_of(words, sizeof words);
}

static struct hash bundle_of(const struct hash *tree) { return hash_of(tree, sizeof *tree); }

#define PIN "/tree/"

void cloner_check_source(struct sim *self, const struct sim_node *node, uint64_t eval,
                         const struct doc_source *source)
{
    struct hash trees[2] = {cloner_tree(self, eval, source->p, 0),
                            cloner_tree(self, eval, source->p, 1)};
    bool is_known = memcmp(&trees[0], &source->tree, sizeof *trees) == 0 ||
                    memcmp(&trees[1], &source->tree, sizeof *trees) == 0;
    if (source->failure ? cloner_is_there(self, eval, source->p) : !is_known)
        check_violation(self, "I4", "%s: %" PRIu64 " p%u: the repository holds something else",
                        node->label, eval, source->p);
}

/* ---- clones ---------------------------------------------------------------------------------- */

static struct sim_clone *find(struct sim_node *node, uint64_t eval, uint32_t p)
{
    for (size_t i = 0; i < node->clone_count; i++)
        if (node->clones[i].work.eval == eval && node->clones[i].work.p == p)
            return &node->clones[i];
    return NULL;
}

static void schedule(struct sim *self, struct sim_node *node, const struct sim_clone *clone,
                     enum sim_kind kind, uint64_t after_us)
{
    sim_push(self, &(struct sim_event){.at_us = self->now_us + after_us,
                                       .kind = kind,
                                       .node = node->index,
                                       .life = node->life,
                                       .a = clone->ticket});
}

/* A pinned commit is what it was, wherever the branch is now. */
static unsigned commit_of(struct sim *self, const struct doc *doc, uint32_t p)
{
    struct doc_project project;
    doc_project(doc, p, &project);
    const char *pin = strstr(project.source, PIN);
    if (pin)
        SOMETIMES(CLONED_AGAIN);
    return pin ? (unsigned)(pin[strlen(PIN)] - '0') : commit_now(self, doc->id, p);
}

void cloner_start(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    const struct work *work = &effect->work;
    const struct doc *doc = disk_find(&node->disk, work->eval);
    if (!doc || !doc->req || work->p >= doc->req->project_count ||
        find(node, work->eval, work->p)) {
        check_violation(self, "I17", "%s clones p%u of %" PRIu64 ": unknown, or twice", node->label,
                        work->p, work->eval);
        return;
    }
    if (doc_hash_is_set(&doc->req->secret) && !disk_has_blob(&node->disk, &doc->req->secret))
        check_violation(self, "I17", "%s clones p%u of %" PRIu64 " without its secret", node->label,
                        work->p, work->eval);
    node->clones =
        mem_grow(node->clones, &node->clone_room, node->clone_count + 1, sizeof *node->clones);
    struct sim_clone *clone = &node->clones[node->clone_count++];
    *clone = (struct sim_clone){
        .ticket = self->next_ticket++, .work = *work, .commit = commit_of(self, doc, work->p)};
    SIM_CHART(self, "%s: clones p%u of %" PRIu64 " at commit %u", node->label, work->p, work->eval,
              clone->commit);
    uint64_t takes = clone_us(self, work);
    takes += rand_below(&node->clone_rand, takes / 2 + 1);
    schedule(self, node, clone, SIM_CLONING, takes / 2);
    schedule(self, node, clone, SIM_CLONED, takes);
    SOMETIMES(CLONE_BEGUN);
}

static void remove_clone(struct sim_node *node, struct sim_clone *clone)
{
    *clone = node->clones[--node->clone_count];
}

void cloner_stop(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    struct sim_clone *clone = find(node, effect->work.eval, effect->work.p);
    if (!clone)
        return;
    SOMETIMES(CLONE_STOPPED);
    SIM_CHART(self, "%s: stops to clone p%u of %" PRIu64, node->label, clone->work.p,
              clone->work.eval);
    remove_clone(node, clone);
}

void cloner_crash(struct sim_node *node)
{
    if (node->clone_count > 0)
        SOMETIMES(CLONER_KILLED);
    node->clone_count = 0;
}

static void ended(struct sim *self, struct sim_node *node, const struct sim_clone *clone)
{
    char url[64];
    uint64_t eval = clone->work.eval;
    enum repo_fate fate = fate_of(self, eval, clone->work.p);
    struct doc_source source = {
        .p = clone->work.p,
        .ballot = {.epoch = clone->work.ballot.epoch, .owner = clone->work.ballot.owner},
        .source = url};
    if (fate == REPO_IS_THERE) {
        snprintf(url, sizeof url, "https://git.example/o/r%u" PIN "%u", clone->work.p,
                 clone->commit);
        source.tree = cloner_tree(self, eval, clone->work.p, clone->commit);
        source.bundle = bundle_of(&source.tree);
        source.files = 3;
        disk_add_blob(&node->disk, &source.bundle);
    } else {
        SOMETIMES(CLONE_FAILED);
        snprintf(url, sizeof url, "https://git.example/o/r%u", clone->work.p);
        source.failure = "there is no such repository";
        source.is_clusters = fate == REPO_AWAY;
    }
    SIM_CHART(self, "%s: has cloned p%u of %" PRIu64, node->label, clone->work.p, eval);
    struct delta delta = {.id = eval, .sources = &source, .source_count = 1};
    node_step(self, node,
              &(struct mesh_event){.kind = MESH_CLONED, .work = clone->work, .delta = &delta});
}

void cloner_event(struct sim *self, struct sim_node *node, const struct sim_event *event)
{
    for (size_t i = 0; i < node->clone_count; i++) {
        struct sim_clone clone = node->clones[i];
        if (clone.ticket != event->a)
            continue;
        if (event->kind == SIM_CLONED) {
            remove_clone(node, &node->clones[i]);
            ended(self, node, &clone);
        } else {
            node_step(self, node,
                      &(struct mesh_event){.kind = MESH_CLONE_PROGRESS,
                                           .work = clone.work,
                                           .clone = {.p = clone.work.p,
                                                     .phase = MESH_CLONE_RECEIVING,
                                                     .bytes = 4096,
                                                     .objects = 7,
                                                     .tries = 1}});
        }
        return;
    }
}

/* ---- secrets --------------------------------------------------------------------------------- */

void cloner_forget(struct sim *self, struct sim_node *node, const struct hash *secret)
{
    if (!disk_has_blob(&node->disk, secret))
        return;
    SOMETIMES(SECRET_FORGOTTEN);
    SIM_CHART(self, "%s: forgets a secret", node->label);
    disk_remove_blob(&node->disk, secret);
}

/* A process that starts forgets what no open document names. */
void cloner_sweep(struct sim *self, struct sim_node *node)
{
    for (size_t i = 0; i < self->eval_count; i++) {
        const struct hash *secret = &self->evals[i].req.secret;
        const struct doc *doc = disk_find(&node->disk, self->evals[i].id);
        if (doc_hash_is_set(secret) && (!doc || !doc->req || doc_is_final(doc)))
            cloner_forget(self, node, secret);
    }
}

/* ---- what must hold -------------------------------------------------------------------------- */

/* I17: who clones leads, as far as he knows. */
void cloner_check(struct sim *self, struct sim_node *node)
{
    for (size_t i = 0; i < node->clone_count; i++) {
        const struct work *work = &node->clones[i].work;
        const struct doc *doc = disk_find(&node->disk, work->eval);
        struct doc_ballot ballot = {.epoch = work->ballot.epoch, .owner = work->ballot.owner};
        bool is_wanted = doc && doc->fence && !doc->cancel && !doc_is_final(doc);
        if (is_wanted && doc_ballot_compare(doc->fence->ballot, ballot) <= 0)
            continue;
        check_violation(self, "I17", "%s goes on to clone p%u of %" PRIu64 ", which is not its",
                        node->label, work->p, work->eval);
        node->clone_count = i;
        return;
    }
}
