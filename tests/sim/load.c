/* Users: they submit, ask how it goes, cancel; and try again elsewhere when nobody answers. */
#include "tests/sim/sim.h"

#include "node/store/arena.h"
#include "node/store/summary.h"
#include "proto/base/mem.h"

#include <inttypes.h>
#include <string.h>

#define ANSWER_US (14 * SIM_S) /* a node says yes or no in 10 s; disks are slow */
#define TRIES_MAX 4
#define PROBE_US  (3 * SIM_S) /* into the calm, one more is submitted: the mesh must work again */

enum user_act { USER_SUBMIT, USER_WAITS, USER_ASK, USER_CANCEL, USER_PROBE };

static void plan_act(struct sim *self, uint64_t at_us, enum user_act act, uint64_t eval, uint64_t c)
{
    sim_push(self,
             &(struct sim_event){.at_us = at_us, .kind = SIM_USER, .a = act, .b = eval, .c = c});
}

struct sim_eval *load_find(struct sim *self, uint64_t eval)
{
    for (size_t i = 0; i < self->eval_count; i++)
        if (self->evals[i].id == eval)
            return &self->evals[i];
    return NULL;
}

/* ---- questions ------------------------------------------------------------------------------- */

#define ASKED_MAX_US     (20 * SIM_S)  /* an answer to a reader or a cancel takes no longer, */
#define SUBMITTED_MAX_US (40 * SIM_S)  /* nor one to a submission, whatever goes wrong; or this */
#define KEYED_MAX_US     (110 * SIM_S) /* where its home has to be waited for, and the next one */

static void note_question(struct sim *self, const struct sim_node *node, uint64_t eval,
                          uint64_t token)
{
    if (self->question_count < SIM_QUESTIONS_MAX)
        self->questions[self->question_count++] = (struct sim_question){.token = token,
                                                                        .eval = eval,
                                                                        .node = node->index,
                                                                        .life = node->life,
                                                                        .asked_us = self->now_us};
}

static void note_answer(struct sim *self, const struct sim_node *node, uint64_t eval,
                        uint64_t token)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->question_count; i++) {
        const struct sim_question *question = &self->questions[i];
        bool is_it = question->node == node->index && question->token == token &&
                     (token != 0 || question->eval == eval);
        if (!is_it)
            self->questions[kept++] = *question;
    }
    self->question_count = kept;
}

void load_check_answers(struct sim *self)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->question_count; i++) {
        const struct sim_question *question = &self->questions[i];
        const struct sim_node *node = &self->nodes[question->node];
        const struct sim_eval *eval = load_find(self, question->eval);
        uint64_t submitted_us = eval && eval->req.key ? KEYED_MAX_US : SUBMITTED_MAX_US;
        uint64_t most_us = question->token ? ASKED_MAX_US : submitted_us;
        if (node->life != question->life)
            continue; /* whoever asked saw the connection end */
        if (self->now_us - question->asked_us > most_us) {
            check_violation(self, "L2", "%s has not answered %s about %" PRIu64 " for %u s",
                            node->label, question->token ? "a question" : "a submission",
                            question->eval, (unsigned)(most_us / SIM_S));
            continue;
        }
        self->questions[kept++] = *question;
    }
    self->question_count = kept;
}

/* ---- requests -------------------------------------------------------------------------------- */

static const char *const names[] = {"one", "two", "three", "four"};

struct sim_eval *load_make(struct sim *self, unsigned projects)
{
    if (self->eval_count == SIM_EVALS_MAX)
        return NULL;
    struct sim_eval *eval = &self->evals[self->eval_count++];
    eval->id = 1 + (sim_hash3(self->options.seed, 8, self->eval_count, self->next_eval) &
                    (ID_EVAL_MAX - 1));
    eval->arena = arena_new(1024);
    struct doc_project *list = arena_take_array(eval->arena, projects, sizeof *list);
    for (unsigned p = 0; p < projects; p++) {
        uint64_t chance = sim_hash3(self->options.seed, eval->id, p, 9);
        list[p] = (struct doc_project){.name = names[p], .source = "projects.zip", .files = 3};
        if (chance % 12 == 0)
            list[p].failure = "no tests";
        else
            list[p].bundle = hash_of(&chance, sizeof chance);
    }
    eval->req = (struct doc_req){.kind = DOC_ZIP,
                                 .name = "projects.zip",
                                 .options = {.timeout_s = 10},
                                 .body = hash_of(&eval->id, sizeof eval->id),
                                 .projects = list,
                                 .project_count = projects};
    return eval;
}

/* A request for repositories: nothing is known of them but where they are. */
struct sim_eval *load_make_git(struct sim *self, unsigned projects)
{
    struct sim_eval *eval = load_make(self, projects);
    if (!eval)
        return NULL;
    struct doc_project *list = arena_take_array(eval->arena, projects, sizeof *list);
    uint64_t chance = sim_hash3(self->options.seed, eval->id, 0, 22);
    for (unsigned p = 0; p < projects; p++)
        list[p] = (struct doc_project){
            .name = names[p],
            .source = "https://git.example/o/r",
            .failure = sim_hash3(chance, p, 0, 0) % 16 == 0 ? "no such scheme" : NULL};
    eval->is_git = true;
    eval->req.kind = DOC_GIT;
    eval->req.projects = list;
    if (chance % 3 > 0 && !list[0].failure) /* of nothing but bad URLs there is no evaluation */
        eval->req.secret = hash_of(&chance, sizeof chance);
    return eval;
}

void load_submit(struct sim *self, struct sim_eval *eval, unsigned at)
{
    struct sim_node *node = &self->nodes[at];
    for (size_t p = 0; p < eval->req.project_count; p++)
        if (doc_hash_is_set(&eval->req.projects[p].bundle))
            disk_add_blob(&node->disk, &eval->req.projects[p].bundle);
    if (doc_hash_is_set(&eval->req.secret)) {
        disk_add_blob(&node->disk, &eval->req.secret);
        check_may_hold(self, node->id, eval->id);
    }
    if (eval->req.created_ms == 0 || self->swarm.has_dates) /* another node, another clock */
        eval->req.created_ms = node_wall_ms(self, node);
    if (eval->tries > 0)
        SOMETIMES(SUBMITTED_AGAIN);
    eval->tries++;
    eval->at = at;
    eval->at_life = node->life;
    eval->is_pending = true;
    eval->is_alone = !check_knows_others(node);
    SIM_CHART(self, "user submits %" PRIu64 " at %s", eval->id, node->label);
    struct delta delta = {.id = eval->id, .req = &eval->req};
    note_question(self, node, eval->id, 0);
    node_step(self, node,
              &(struct mesh_event){.kind = MESH_SUBMIT, .eval = eval->id, .delta = &delta});
}

/* ---- acts ------------------------------------------------------------------------------------ */

/* Any that runs; NULL when none does. */
static struct sim_node *any_node(struct sim *self)
{
    unsigned first = (unsigned)rand_below(&self->user_rand, self->node_count);
    for (unsigned i = 0; i < self->node_count; i++) {
        struct sim_node *node = &self->nodes[(first + i) % self->node_count];
        if (node->is_up && node->paused_until_us <= self->now_us)
            return node;
    }
    return NULL;
}

static void submit(struct sim *self, struct sim_eval *eval)
{
    if (!eval || eval->is_acked)
        return;
    struct sim_node *node = any_node(self);
    if (!node) {
        plan_act(self, self->now_us + SIM_S, USER_SUBMIT, eval->id, 0);
        return;
    }
    plan_act(self, self->now_us + ANSWER_US, USER_WAITS, eval->id, eval->tries + 1);
    load_submit(self, eval, node->index);
}

/* No answer, or no: once more under its key, or another one for who has none. */
static void try_again(struct sim *self, struct sim_eval *eval, uint64_t after_us)
{
    eval->is_pending = false;
    if (eval->tries >= TRIES_MAX && !self->is_calm)
        return;
    struct sim_eval *next = eval;
    if (!eval->is_keyed) {
        unsigned projects = (unsigned)eval->req.project_count;
        next = eval->is_git ? load_make_git(self, projects) : load_make(self, projects);
        if (!next)
            return;
        next->is_probe = eval->is_probe;
        eval->is_probe = false;
    }
    plan_act(self, self->now_us + after_us, USER_SUBMIT, next->id, 0);
}

static void ask(struct sim *self)
{
    load_check_answers(self);
    if (!self->is_over)
        plan_act(self, self->now_us + sim_draw(&self->user_rand, 100 * SIM_MS, 2 * SIM_S), USER_ASK,
                 0, 0);
    struct sim_node *node = any_node(self);
    if (!node || self->eval_count == 0)
        return;
    const struct sim_eval *eval = &self->evals[rand_below(&self->user_rand, self->eval_count)];
    uint64_t token = self->next_token++;
    note_question(self, node, eval->id, token);
    node_step(self, node, &(struct mesh_event){.kind = MESH_ASK, .eval = eval->id, .token = token});
}

void load_cancel(struct sim *self, struct sim_eval *eval)
{
    struct sim_node *node = any_node(self);
    if (!eval || !node || !eval->is_acked || eval->cancel_acked)
        return;
    eval->cancel_wanted = true;
    SIM_CHART(self, "user cancels %" PRIu64 " at %s", eval->id, node->label);
    uint64_t token = self->next_token++;
    note_question(self, node, eval->id, token);
    node_step(self, node,
              &(struct mesh_event){.kind = MESH_CANCEL, .eval = eval->id, .token = token});
}

void load_event(struct sim *self, const struct sim_event *event)
{
    struct sim_eval *eval = load_find(self, event->b);
    switch ((enum user_act)event->a) {
    case USER_SUBMIT:
        submit(self, eval);
        return;
    case USER_WAITS:
        if (!eval || !eval->is_pending || eval->tries != event->c)
            return;
        if (self->nodes[eval->at].life != eval->at_life)
            SOMETIMES(SUBMITTER_KILLED);
        try_again(self, eval, SIM_MS);
        return;
    case USER_ASK:
        ask(self);
        return;
    case USER_CANCEL:
        load_cancel(self, eval);
        return;
    case USER_PROBE:
        eval = self->gone + 1 < self->node_count ? load_make(self, 1) : NULL;
        if (!eval)
            return;
        eval->is_probe = true;
        submit(self, eval);
        return;
    }
}

/* ---- answers --------------------------------------------------------------------------------- */

static void accepted(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    struct sim_eval *eval = load_find(self, effect->eval);
    if (!eval || !eval->is_pending || eval->at != node->index || eval->at_life != node->life)
        return; /* its user is gone */
    SIM_CHART(self, "%s: 202 for %" PRIu64 ", %u replicas", node->label, eval->id,
              effect->replicas);
    if (effect->replicas == 2)
        SOMETIMES(ACCEPTED_2);
    if (effect->replicas == 3)
        SOMETIMES(ACCEPTED_3);
    eval->is_pending = false;
    eval->is_acked = true;
    faults_tempt(self, node);
    eval->replicas = effect->replicas;
}

/* What was meant for a request that is no document is nobody's. One under a key the mesh looks
 * after: others may be asking for it. */
static void forget_refused(struct sim *self, struct sim_node *node, const struct sim_eval *eval)
{
    const struct doc *doc = disk_find(&node->disk, eval->id);
    if (doc_hash_is_set(&eval->req.secret) && !eval->is_keyed && !(doc && doc->req))
        cloner_forget(self, node, &eval->req.secret);
}

static void refused(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    struct sim_eval *eval = load_find(self, effect->eval);
    if (eval)
        forget_refused(self, node, eval);
    if (!eval || !eval->is_pending || eval->at != node->index || eval->at_life != node->life)
        return;
    SOMETIMES(REFUSED);
    SIM_CHART(self, "%s: no to %" PRIu64 ": %s", node->label, eval->id,
              effect->reason ? effect->reason : "-");
    if (effect->reason && strcmp(effect->reason, "id-taken") == 0)
        eval->is_keyed = false; /* what came of the first one is told by the API; take another */
    try_again(self, eval, (1 + effect->retry_s) * SIM_S);
}

void load_effect(struct sim *self, struct sim_node *node, const struct mesh_effect *effect)
{
    struct sim_eval *eval = load_find(self, effect->eval);
    if (effect->kind != MESH_FINAL)
        note_answer(self, node, effect->eval, effect->token);
    if (effect->kind == MESH_ACCEPTED) {
        accepted(self, node, effect);
    } else if (effect->kind == MESH_REFUSED) {
        refused(self, node, effect);
    } else if (effect->kind == MESH_ANSWER) {
        check_read(self, node, effect->eval);
    } else if (effect->kind == MESH_CANCELLED && effect->is_ok && eval) {
        SOMETIMES(CANCELLED);
        eval->cancel_acked = true;
    }
}

/* ---- the plan -------------------------------------------------------------------------------- */

static void plan_git(struct sim *self)
{
    struct rand *rand = &self->git_rand;
    unsigned count = self->swarm.has_git ? (unsigned)sim_draw(rand, 1, 4) : 0;
    for (unsigned i = 0; i < count; i++) {
        struct sim_eval *eval = load_make_git(self, (unsigned)sim_draw(rand, 1, 3));
        eval->is_keyed = sim_chance(rand, 300000);
        eval->req.key = eval->is_keyed ? "key" : NULL; /* its home takes it in */
        uint64_t at = sim_draw(rand, SIM_S, self->swarm.fault_us);
        plan_act(self, at, USER_SUBMIT, eval->id, 0);
        if (sim_chance(rand, 120000))
            plan_act(self, at + sim_draw(rand, 10 * SIM_MS, 4 * SIM_S), USER_CANCEL, eval->id, 0);
    }
}

void load_init(struct sim *self)
{
    if (self->options.is_scripted)
        return;
    const struct sim_swarm *swarm = &self->swarm;
    for (unsigned i = 0; i < swarm->evals; i++) {
        struct sim_eval *eval = load_make(self, (unsigned)sim_draw(&self->user_rand, 1, 3));
        eval->is_keyed = sim_chance(&self->user_rand, 300000);
        uint64_t at = sim_draw(&self->user_rand, SIM_S, swarm->fault_us);
        plan_act(self, at, USER_SUBMIT, eval->id, 0);
        if (i < swarm->cancels)
            plan_act(self, at + sim_draw(&self->user_rand, 10 * SIM_MS, 8 * SIM_S), USER_CANCEL,
                     eval->id, 0);
    }
    plan_git(self);
    plan_act(self, SIM_S, USER_ASK, 0, 0);
    plan_act(self, swarm->fault_us + PROBE_US, USER_PROBE, 0, 0);
}

void load_fini(struct sim *self)
{
    for (size_t i = 0; i < self->eval_count; i++)
        arena_free(self->evals[i].arena);
}
