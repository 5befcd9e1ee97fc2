/* What a simulated node does with its machines, and what must hold of its documents. */
#ifndef TESTS_CLUSTER_NODE_H
#define TESTS_CLUSTER_NODE_H

static const struct doc_project sim_projects[] = {{.name = "anna", .source = "a", .bundle = {{1}}},
                                                  {.name = "bob", .source = "b", .bundle = {{2}}}};

/* ---- invariants ------------------------------------------------------------------------------ */

static inline uint64_t vec_of(const struct doc *doc)
{
    uint64_t sum = doc->seal->cancelled;
    for (size_t i = 0; i < doc->seal->vec_count; i++)
        sum = sum * 31 + doc->seal->vec[i].dig;
    for (size_t i = 0; i < doc->seal->plan_count; i++)
        sum = sum * 31 + doc->seal->plans[i].hash;
    return sum;
}

static inline bool is_degraded(const struct world *self, uint64_t id)
{
    for (unsigned n = 0; n < self->count; n++) {
        const struct doc *doc = fake_find(&self->nodes[n].docs, id);
        if (doc && doc->degraded)
            return true;
    }
    return false;
}

static inline uint64_t terminal_of(const struct doc *doc)
{
    uint64_t count = 0;
    for (uint32_t p = 0; p < 2; p++)
        for (uint32_t m = 0; m < MODULES; m++)
            count += doc_counted(doc, p, m) != NULL;
    return count;
}

/* I3 and I7: each module of a seal once, and nothing else. */
static inline void check_seal(struct world *self, const struct doc *doc)
{
    size_t modules = 0;
    for (size_t i = 0; i < doc->seal->plan_count; i++)
        modules += doc->seal->plans[i].module_count;
    if (!doc->seal->cancelled && doc->seal->vec_count != modules)
        violate(self, "I7: %zu of %zu modules sealed", doc->seal->vec_count, modules);
    for (size_t i = 0; i < doc->seal->vec_count; i++) {
        const struct doc_rec *rec = &doc->seal->vec[i];
        const struct doc_plan *plan = doc_plan(doc, rec->p);
        if (!plan || plan->hash != rec->plan || rec->m >= plan->module_count)
            violate(self, "I3: a record that counts is of no plan that counts");
    }
}

static inline void check_doc(struct world *self, unsigned n, uint64_t id)
{
    const struct doc *doc = fake_find(&self->nodes[n].docs, id);
    struct sim_eval *eval = world_eval(self, id);
    if (!eval)
        return;
    uint64_t *terminal = &self->nodes[n].terminal[eval - self->evals], now = terminal_of(doc);
    bool is_cancelled = doc->cancel || (doc->seal && doc->seal->cancelled);
    if (now < *terminal && !is_cancelled && !self->vary_plans && !is_degraded(self, id))
        violate(self, "I9: %llu goes back from %llu to %llu on node %u", (unsigned long long)id,
                (unsigned long long)*terminal, (unsigned long long)now, n);
    *terminal = now;
    if (doc->seal)
        check_seal(self, doc);
    if (!doc_is_final(doc))
        return;
    uint64_t vec = vec_of(doc);
    TRACE(self, "n%u: %llu final %llx by %u/%llx", n, (unsigned long long)id,
          (unsigned long long)vec, doc->seal->ballot.epoch,
          (unsigned long long)doc->seal->ballot.owner);
    if (eval->is_final && eval->vec != vec && !is_degraded(self, id))
        violate(self, "I8: the result of %llu changed on node %u", (unsigned long long)id, n);
    eval->is_final = true;
    eval->vec = vec;
}

/* I6: one process life for one ballot; of those that became durable, which is before they are used.
 */
static inline void check_minted(struct world *self, unsigned n, const struct delta *delta)
{
    const struct doc_fence *fence = delta->fence;
    if (!fence || fence->ballot.owner != self->nodes[n].id)
        return;
    for (size_t i = 0; i < self->minted_count; i++)
        if (self->minted[i].id == delta->id &&
            doc_ballot_compare(self->minted[i].ballot, fence->ballot) == 0) {
            if (self->minted[i].gen != fence->gen)
                violate(self, "I6: two lives under one fence");
            return;
        }
    if (self->minted_count < countof(self->minted)) {
        self->minted[self->minted_count].id = delta->id;
        self->minted[self->minted_count].gen = fence->gen;
        self->minted[self->minted_count++].ballot = fence->ballot;
    }
}

/* I1: so many nodes have it on their disks, whoever of them is up. */
static inline void on_accepted(struct world *self, const struct own_effect *effect)
{
    struct sim_eval *eval = world_eval(self, effect->id);
    unsigned copies = 0;
    for (unsigned n = 0; n < self->count; n++) {
        const struct doc *doc = fake_find(&self->nodes[n].docs, effect->id);
        copies += doc && doc->req && doc->fence;
    }
    eval->replicas = effect->replicas;
    if (copies < effect->replicas)
        violate(self, "I1: %u copies, not %u", copies, effect->replicas);
    if (effect->replicas < 2)
        violate(self, "I1: one copy");
}

/* ---- effects --------------------------------------------------------------------------------- */

static inline void step_own(struct world *self, unsigned n, const struct own_event *event);

static inline void spread_rumor(struct world *self, unsigned from, const struct own_effect *effect)
{
    for (unsigned n = 0; n < self->count; n++) {
        if (n == from || !can_talk(self, from, n) || chance(self, 5) == 0)
            continue;
        struct happening *it = later(self, 20 + chance(self, 300), A_RUMOR, n);
        it->id = effect->id;
        it->fence = effect->fence;
    }
}

static inline void on_active(struct world *self, unsigned n, const struct own_effect *effect)
{
    const struct doc *doc = fake_find(&self->nodes[n].docs, effect->id);
    struct sim_eval *eval = world_eval(self, effect->id);
    TRACE(self, "n%u: %llu active %u", n, (unsigned long long)effect->id, effect->fence.epoch);
    if (doc_ballot_compare(doc->fence->ballot, effect->fence) > 0)
        violate(self, "I6: active below its fence");
    if (!eval->replicas && !eval->is_refused && effect->fence.epoch == 1 &&
        effect->fence.owner == self->nodes[n].id)
        violate(self, "a submission without acknowledgement started itself");
    self->nodes[n].active[eval - self->evals] = effect->fence;
}

static inline void do_own(struct world *self, unsigned n, const struct own_effect *effect)
{
    struct sim_node *node = &self->nodes[n];
    struct sim_eval *eval = world_eval(self, effect->id);
    switch (effect->kind) {
    case OWN_APPEND:
        write_later(self, n, OF_OWN, effect->token, effect->delta);
        break;
    case OWN_SEND:
        post(self, n, effect->peer, &effect->msg);
        break;
    case OWN_FETCH:
        later(self, 5 + chance(self, 100), A_FETCH, n)->token = effect->token;
        break;
    case OWN_ACCEPTED:
        TRACE(self, "n%u: %llu accepted", n, (unsigned long long)effect->id);
        on_accepted(self, effect);
        break;
    case OWN_REFUSED:
        eval->is_refused = true;
        break;
    case OWN_ACTIVE:
        on_active(self, n, effect);
        break;
    case OWN_STEPPED_DOWN:
        node->active[eval - self->evals] = (struct doc_ballot){0};
        break;
    case OWN_NEWS:
        spread_rumor(self, n, effect);
        break;
    case OWN_HANDED_OVER:
        node->leave_ms = self->now;
        break;
    case OWN_FINAL:
    case OWN_CANCELLED:
    case OWN_ANSWER:
        break;
    }
}

static inline void step_own(struct world *self, unsigned n, const struct own_event *event)
{
    struct sim_node *node = &self->nodes[n];
    struct own_event with_time = *event;
    with_time.now_ms = self->now;
    with_time.wall_ms = 1790000000000 + self->now;
    own_step(node->own, &with_time, &node->own_out);
    for (size_t i = 0; i < node->own_out.count; i++)
        do_own(self, n, &node->own_out.effects[i]);
}

static inline void step_sync(struct world *self, unsigned n, const struct sync_event *event)
{
    struct sim_node *node = &self->nodes[n];
    struct sync_event with_time = *event;
    with_time.now_ms = self->now;
    sync_step(node->sync, &with_time, &node->sync_out);
    for (size_t i = 0; i < node->sync_out.count; i++) {
        const struct sync_effect *effect = &node->sync_out.effects[i];
        if (effect->kind == SYNC_APPEND)
            write_later(self, n, OF_SYNC, effect->token, effect->delta);
        else if (effect->kind == SYNC_SEND)
            post(self, n, effect->peer, &effect->msg);
        else if (effect->kind == SYNC_SYNCED)
            step_own(self, n, &(struct own_event){.kind = OWN_SYNCED, .peer = effect->peer});
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static inline void send_result(struct world *self, unsigned n, const struct delta *delta)
{
    const struct doc *doc = fake_find(&self->nodes[n].docs, delta->id);
    if (!doc->fence || doc->fence->ballot.owner == self->nodes[n].id)
        return;
    struct own_hold *hold = NULL;
    struct wire_msg msg = {.kind = WIRE_DELTA};
    msg.delta = (struct wire_delta){.eid = delta->id, .delta = hold_encoded(&hold, delta)};
    post(self, n, doc->fence->ballot.owner, &msg);
    hold_free(hold);
}

static inline void on_write(struct world *self, unsigned n)
{
    struct sim_node *node = &self->nodes[n];
    struct write *write = next_write(node);
    unsigned changed = 0;
    enum err_code code = fake_apply(&node->docs, &write->delta, &changed);
    uint64_t id = write->delta.id;
    check_minted(self, n, &write->delta);
    if (changed)
        check_doc(self, n, id);
    if (write->machine == OF_OWN)
        step_own(self, n,
                 &(struct own_event){.kind = OWN_APPENDED, .token = write->token, .code = code});
    if (changed)
        step_own(self, n, &(struct own_event){.kind = OWN_CHANGED, .id = id, .changed = changed});
    if (write->machine == OF_SYNC)
        step_sync(self, n,
                  &(struct sync_event){.kind = SYNC_APPENDED,
                                       .token = write->token,
                                       .is_ok = code == ERR_NONE,
                                       .changed = changed});
    else if (changed)
        step_sync(self, n, &(struct sync_event){.kind = SYNC_LEARNED, .delta = &write->delta});
    if (write->machine == OF_RUNNER && changed)
        send_result(self, n, &write->delta);
    write_free(write);
}

static inline bool is_for_sync(const struct wire_msg *msg)
{
    return msg->kind == WIRE_SYNC || msg->kind == WIRE_DIFF || msg->kind == WIRE_DELTA ||
           (msg->kind == WIRE_DOC && msg->doc.rid & OWN_RID_SYNC);
}

static inline void on_message(struct world *self, unsigned n, const struct happening *it)
{
    uint64_t peer = self->nodes[it->from].id;
    if (self->side[n] != self->side[it->from])
        return;
    if (is_for_sync(&it->msg))
        step_sync(self, n,
                  &(struct sync_event){.kind = SYNC_MESSAGE, .peer = peer, .msg = &it->msg});
    else
        step_own(self, n, &(struct own_event){.kind = OWN_MESSAGE, .peer = peer, .msg = &it->msg});
}

static inline void on_submit(struct world *self, unsigned n, uint64_t id)
{
    struct doc_req req = {.created_ms = 1790000000000 + self->now,
                          .name = "class",
                          .projects = sim_projects,
                          .project_count = 2};
    step_own(
        self, n,
        &(struct own_event){.kind = OWN_SUBMIT, .delta = &(struct delta){.id = id, .req = &req}});
}

/* ---- the runner ------------------------------------------------------------------------------ */

static const struct doc_module sim_modules[MODULES] = {{"a", 1}, {"b", 2}, {"c", 3}};

/* What an execution of (p, m) gives; each one differs from all others. */
static inline void run_result(struct world *self, unsigned n, struct happening *it)
{
    const struct sim_node *node = &self->nodes[n];
    const struct doc *doc = fake_find(&node->docs, it->id);
    uint32_t p = (uint32_t)(it->token >> 8), m = (uint32_t)(it->token & 0xff);
    static const char *const notes[] = {"one", "two"};
    struct doc_plan plan = {.p = p,
                            .ballot = it->fence,
                            .modules = sim_modules,
                            .module_count = MODULES,
                            .notes = &notes[self->vary_plans ? chance(self, 2) : 0],
                            .note_count = 1};
    if (!doc || !doc->req)
        return;
    if (m == MODULES) {
        write_later(self, n, OF_RUNNER, 0,
                    &(struct delta){.id = it->id, .plans = &plan, .plan_count = 1});
        return;
    }
    const struct doc_plan *known = doc_plan(doc, p);
    if (!known)
        return;
    struct doc_rec rec = {.p = p,
                          .plan = known->hash,
                          .m = m,
                          .ballot = it->fence,
                          .n = ++self->attempts,
                          .node = node->id,
                          .real = true,
                          .outcome = DOC_PASSED,
                          .tally = {.passed = self->attempts}};
    write_later(self, n, OF_RUNNER, 0, &(struct delta){.id = it->id, .res = &rec, .res_count = 1});
}

/* An owner gives out something that is missing, perhaps for the second time, to whoever it sees. */
static inline void dispatch(struct world *self, unsigned n, unsigned e)
{
    const struct doc *doc = fake_find(&self->nodes[n].docs, self->evals[e].id);
    uint32_t p = (uint32_t)chance(self, 2), m = MODULES;
    if (doc_plan(doc, p))
        m = (uint32_t)chance(self, MODULES);
    if (doc_is_final(doc) || (m < MODULES && doc_result(doc, p, m)))
        return;
    unsigned to = (unsigned)chance(self, self->count);
    if (!can_talk(self, n, to))
        return;
    struct happening *it = later(self, 20 + chance(self, 1500), A_RUN, to);
    it->id = self->evals[e].id;
    it->fence = self->nodes[n].active[e];
    it->token = (uint64_t)p << 8 | m;
}

#endif
