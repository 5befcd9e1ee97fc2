/* Scenarios of ownership: two who would lead one evaluation. */
#include "node/store/doc_json.h"
#include "tests/sim/check_inner.h"
#include "tests/sim/scenario.h"

static bool is_sealed(struct sim *sim, void *arg)
{
    const struct doc *doc = scenario_doc(sim, 0, arg);
    return doc && doc->seal;
}

static bool is_done(struct sim *sim, void *arg)
{
    const struct doc *doc = scenario_doc(sim, 0, arg);
    return doc && doc_is_final(doc);
}

static bool is_running(struct sim *sim, void *arg)
{
    const struct doc *doc = scenario_doc(sim, 0, arg);
    return doc && doc_plan(doc, 0) && doc_result(doc, 0, 0) && !doc->seal;
}

/* Two of the others have promised a ballot that is not n0's. */
static bool is_taken_over(struct sim *sim, void *arg)
{
    unsigned count = 0;
    for (unsigned n = 1; n < sim->node_count; n++) {
        const struct doc *doc = scenario_doc(sim, n, arg);
        count += doc && doc->fence && doc->fence->ballot.owner != sim->nodes[0].id;
    }
    return count >= 2;
}

static void cut_off(struct sim *sim, unsigned node)
{
    for (unsigned i = 0; i < sim->node_count; i++)
        if (i != node)
            faults_cut(sim, node, i, true);
}

/* n0 has sealed, and is cut off before its PUTs arrive. The others take over. Then the PUTs come:
 * who has promised a higher ballot must not accept them (I6). */
void play_promise(struct sim *sim)
{
    struct sim_eval *eval = scenario_begin(sim, 0);
    if (!scenario_until(sim, is_sealed, eval, 60 * SIM_S, "n0 seals"))
        return;
    cut_off(sim, 0);
    if (!scenario_until(sim, is_taken_over, eval, 60 * SIM_S, "the others take over"))
        return;
    faults_heal(sim);
    scenario_wait(sim, 5 * SIM_S);
    scenario_end(sim);
}

/* ---- adoption -------------------------------------------------------------------------------- */

/* What n0 says after its seal: that it is committed. */
static bool drops_commit(void *arg, struct sim *sim, unsigned from, unsigned to,
                         const struct wire_msg *msg)
{
    (void)to;
    const struct doc *doc = scenario_doc(sim, from, arg);
    if (from != 0 || !doc || !doc->seal)
        return false;
    return msg->kind == WIRE_DELTA || msg->kind == WIRE_DOC || msg->kind == WIRE_SYNC ||
           msg->kind == WIRE_DIFF || (msg->kind == WIRE_PUT && msg->put.kind == WIRE_PUT_DATA);
}

/* Another execution of a module that was counted, with a larger ballot: a larger record. */
static void bring_record(struct sim *sim, const struct sim_eval *eval, unsigned to, unsigned from)
{
    struct doc_rec rec = scenario_doc(sim, to, eval)->seal->vec[0];
    rec.ballot = (struct doc_ballot){.epoch = 9, .owner = sim->nodes[from].id};
    rec.node = sim->nodes[from].id;
    rec.dig = 0;
    check_ran(sim, eval->id, &rec);
    owned_buf json = BUF_INIT, frame = BUF_INIT;
    delta_encode(&(struct delta){.id = eval->id, .res = &rec, .res_count = 1}, &json);
    wire_encode(&(struct wire_msg){.kind = WIRE_DELTA,
                                   .delta = {.eid = eval->id,
                                             .delta = {.data = (const uint8_t *)buf_str(&json),
                                                       .len = json.len}}},
                &frame);
    node_step(sim, &sim->nodes[to],
              &(struct mesh_event){.kind = MESH_FRAME,
                                   .peer = sim->nodes[from].id,
                                   .bytes = buf_str(&frame),
                                   .len = frame.len});
}

/* n0 shows the result as done, and is gone before it could say so. A better record comes late. Who
 * takes over must count what n0's seal counted (I8). */
void play_adoption(struct sim *sim)
{
    struct sim_eval *eval = scenario_begin(sim, 0);
    struct sim_filter filter = {drops_commit, eval};
    sim->filter = &filter;
    if (!scenario_until(sim, is_done, eval, 60 * SIM_S, "n0 commits"))
        return;
    node_crash(sim, 0, NODE_POWER);
    sim->nodes[0].is_gone = true;
    sim->gone++;
    sim->filter = NULL;
    for (unsigned n = 1; n < sim->node_count; n++)
        if (scenario_doc(sim, n, eval) && scenario_doc(sim, n, eval)->seal)
            bring_record(sim, eval, n, n == 1 ? 2 : 1);
    scenario_end(sim);
}

/* ---- reading before claiming ----------------------------------------------------------------- */

/* n0 owns an evaluation and is away while others take it over. Back again it must ask before it
 * claims: else it takes the work from who does it. */
void play_preread(struct sim *sim)
{
    struct sim_eval *eval = scenario_begin(sim, 0);
    if (!scenario_until(sim, is_running, eval, 60 * SIM_S, "something runs"))
        return;
    node_crash(sim, 0, NODE_POWER);
    if (!scenario_until(sim, is_taken_over, eval, 60 * SIM_S, "the others take over"))
        return;
    scenario_wait(sim, 50 * SIM_MS);
    uint64_t back_us = sim->now_us;
    node_boot(sim, 0);
    scenario_wait(sim, 5 * SIM_S);
    for (size_t i = 0; i < sim->check->fence_count; i++) {
        const struct check_fence *fence = &sim->check->fences[i];
        if (fence->ballot.owner == sim->nodes[0].id && fence->first_us > back_us)
            check_violation(sim, "I6", "n0 claims what another one leads, and did not ask");
    }
    scenario_end(sim);
}
