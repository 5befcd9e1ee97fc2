/* Scenarios of what must be said again, or at all. */
#include "tests/sim/scenario.h"

#include <inttypes.h>

/* ---- results --------------------------------------------------------------------------------- */

#define RESULTS_MAX 256

struct results {
    struct work sent[RESULTS_MAX];
    size_t count;
    unsigned repeated;
};

/* No confirmation ever arrives; is a result sent again? */
static bool drops_confirmations(void *arg, struct sim *sim, unsigned from, unsigned to,
                                const struct wire_msg *msg)
{
    (void)sim, (void)from, (void)to;
    struct results *self = arg;
    if (msg->kind != WIRE_RESULT)
        return msg->kind == WIRE_RESULT_OK;
    struct work work = {
        .eval = msg->result.eid,
        .p = msg->result.p,
        .m = msg->result.m,
        .n = msg->result.n,
        .ballot = {.epoch = msg->result.fence.epoch, .owner = msg->result.fence.owner}};
    for (size_t i = 0; i < self->count; i++)
        self->repeated += work_is_same(&self->sent[i], &work);
    if (self->count < RESULTS_MAX)
        self->sent[self->count++] = work;
    return false;
}

static bool is_repeated(struct sim *sim, void *arg)
{
    (void)sim;
    return ((struct results *)arg)->repeated > 0;
}

/* An executor whose result is not confirmed says it again. (Results come by other ways, too, so
 * that nothing is lost without; it only takes longer.) */
void play_resend(struct sim *sim)
{
    struct results results = {0};
    struct sim_filter filter = {drops_confirmations, &results};
    for (unsigned i = 0; i < sim->node_count; i++)
        sim->nodes[i].slots = i == 0 ? 1 : 4; /* so that others than the owner get some, too */
    sim->filter = &filter;
    for (unsigned i = 0; i < 4; i++)
        (void)scenario_begin(sim, 0);
    if (!scenario_until(sim, is_repeated, &results, 30 * SIM_S, "a result is sent again"))
        return;
    scenario_end(sim);
}

/* ---- rumors ---------------------------------------------------------------------------------- */

#define MANY 110 /* news of so many do not fit the packets of a round */

struct news {
    uint64_t evals[MANY];
    unsigned told[MANY];
};

static bool counts_news(void *arg, struct sim *sim, unsigned from, unsigned to,
                        const struct wire_msg *msg)
{
    (void)sim, (void)to;
    struct news *self = arg;
    for (size_t i = 0; i < MANY && from == 0 && msg->kind == WIRE_FENCE; i++)
        self->told[i] += self->evals[i] == msg->fence.eid;
    return false;
}

/* Many news at once: each is told as often as it should be, for what did not fit a packet was not
 * told. */
void play_unsent(struct sim *sim)
{
    struct news news = {0};
    struct sim_filter filter = {counts_news, &news};
    scenario_wait(sim, 3 * SIM_S);
    sim->filter = &filter;
    for (size_t i = 0; i < MANY; i++) {
        struct sim_eval *eval = load_make(sim, 1);
        news.evals[i] = eval->id;
        load_submit(sim, eval, 0);
    }
    scenario_wait(sim, 12 * SIM_S);
    for (size_t i = 0; i < MANY; i++) {
        if (news.told[i] >= 4)
            continue;
        check_violation(sim, "L1", "news of %" PRIu64 " were told %u times", news.evals[i],
                        news.told[i]);
        return;
    }
}
