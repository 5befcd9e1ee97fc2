#include "proto/wire/senders.h"

#include "proto/base/mem.h"

#include <sodium.h>

#define NONE UINT32_MAX

void senders_init(struct senders *self)
{
    *self = (struct senders){.oldest = NONE, .newest = NONE};
    self->buckets = mem_new_array(SEAL_SENDERS, sizeof *self->buckets);
    for (size_t i = 0; i < SEAL_SENDERS; i++)
        self->buckets[i] = NONE;
}

void senders_fini(struct senders *self)
{
    if (self->list)
        sodium_memzero(self->list, self->capacity * sizeof *self->list);
    free(self->list);
    free(self->buckets);
    *self = (struct senders){0};
}

/* By the node alone: its boots are in one bucket. */
static uint32_t *bucket_of(struct senders *self, uint64_t node)
{
    return &self->buckets[(node * UINT64_C(0x9e3779b97f4a7c15) >> 32) % SEAL_SENDERS];
}

struct sender *senders_find(struct senders *self, uint64_t node, uint64_t boot)
{
    for (uint32_t i = *bucket_of(self, node); i != NONE; i = self->list[i].same_bucket)
        if (self->list[i].node == node && self->list[i].boot == boot)
            return &self->list[i];
    return NULL;
}

static void unlink_age(struct senders *self, struct sender *sender)
{
    *(sender->older == NONE ? &self->oldest : &self->list[sender->older].newer) = sender->newer;
    *(sender->newer == NONE ? &self->newest : &self->list[sender->newer].older) = sender->older;
}

static void link_newest(struct senders *self, struct sender *sender)
{
    uint32_t at = (uint32_t)(sender - self->list);
    sender->older = self->newest;
    sender->newer = NONE;
    *(self->newest == NONE ? &self->oldest : &self->list[self->newest].newer) = at;
    self->newest = at;
}

static void unlink_bucket(struct senders *self, struct sender *sender)
{
    uint32_t at = (uint32_t)(sender - self->list);
    uint32_t *link = bucket_of(self, sender->node);
    while (*link != at)
        link = &self->list[*link].same_bucket;
    *link = sender->same_bucket;
}

/* Returns the one of this node's senders that was unheard for longest, if it has all it may. */
static struct sender *spare_boot(struct senders *self, uint64_t node)
{
    size_t boots = 0;
    for (uint32_t i = *bucket_of(self, node); i != NONE; i = self->list[i].same_bucket)
        boots += self->list[i].node == node;
    if (boots < SEAL_BOOTS)
        return NULL;
    uint32_t i = self->oldest;
    while (self->list[i].node != node)
        i = self->list[i].newer;
    return &self->list[i];
}

static struct sender *make_place(struct senders *self, uint64_t node)
{
    struct sender *place = spare_boot(self, node);
    if (!place && self->count < SEAL_SENDERS) {
        self->list = mem_grow(self->list, &self->capacity, self->count + 1, sizeof *self->list);
        return &self->list[self->count++];
    }
    if (!place)
        place = &self->list[self->oldest];
    unlink_age(self, place);
    unlink_bucket(self, place);
    return place;
}

struct sender *senders_admit(struct senders *self, uint64_t node, uint64_t boot)
{
    struct sender *sender = senders_find(self, node, boot);
    if (sender) {
        unlink_age(self, sender);
        link_newest(self, sender);
        return sender;
    }
    sender = make_place(self, node);
    *sender = (struct sender){.node = node, .boot = boot};
    uint32_t *bucket = bucket_of(self, node);
    sender->same_bucket = *bucket;
    *bucket = (uint32_t)(sender - self->list);
    link_newest(self, sender);
    return sender;
}

enum seal_verdict sender_note(struct sender *self, uint64_t ctr)
{
    if (ctr > self->top) {
        uint64_t step = ctr - self->top;
        self->seen = step < SEAL_WINDOW ? self->seen << step | 1 : 1;
        self->top = ctr;
        return SEAL_OK;
    }
    uint64_t behind = self->top - ctr;
    if (ctr == 0 || behind >= SEAL_WINDOW)
        return SEAL_OLD;
    if (self->seen >> behind & 1)
        return SEAL_REPLAYED;
    self->seen |= UINT64_C(1) << behind;
    return SEAL_OK;
}
