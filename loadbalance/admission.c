#include "loadbalance/admission.h"

#define RETRY_LEAST_S 1
#define RETRY_MOST_S  60
#define RETRY_SOON_S  2 /* what is missing may be back at any moment */

uint64_t admission_drain_ms(const struct admission_state *state)
{
    uint64_t slots = state->slots ? state->slots : 1;
    if (state->queued_ms > UINT64_MAX - state->running_left_ms)
        return UINT64_MAX / slots;
    return (state->queued_ms + state->running_left_ms) / slots;
}

static uint32_t clamp_s(uint64_t ms)
{
    uint64_t seconds = ms / 1000 + (ms % 1000 != 0);
    if (seconds < RETRY_LEAST_S)
        return RETRY_LEAST_S;
    return seconds < RETRY_MOST_S ? (uint32_t)seconds : RETRY_MOST_S;
}

static struct admission refuse(enum admission_verdict verdict, int status, uint32_t retry_s)
{
    return (struct admission){.verdict = verdict, .status = status, .retry_after_s = retry_s};
}

struct admission admission_judge(const struct admission_state *state)
{
    uint64_t drain_ms = admission_drain_ms(state);
    if (state->is_draining)
        return refuse(ADMISSION_DRAINING, 503, RETRY_SOON_S);
    if (!state->is_writable)
        return refuse(ADMISSION_UNWRITABLE, 503, RETRY_MOST_S);
    if (state->is_repairing)
        return refuse(ADMISSION_REPAIRING, 503, RETRY_SOON_S);
    if (state->replicas < state->replicas_wanted)
        return refuse(ADMISSION_NO_REPLICAS, 503, RETRY_SOON_S);
    if (state->slots == 0)
        return refuse(ADMISSION_NO_SLOTS, 503, RETRY_SOON_S);
    if (state->uploads >= ADMISSION_UPLOADS_MAX)
        return refuse(ADMISSION_UPLOADS, 429, RETRY_LEAST_S);
    if (drain_ms > ADMISSION_DRAIN_MAX_MS || state->queued_modules > ADMISSION_QUEUED_MAX)
        return refuse(ADMISSION_BUSY, 429, clamp_s(drain_ms));
    return (struct admission){.verdict = ADMISSION_OK, .status = 202};
}
