#include "node/swim/inner.h"

#include "proto/base/mem.h"

#include <assert.h>
#include <string.h>

size_t table_place(const struct swim *self, uint64_t node)
{
    size_t low = 0;
    size_t high = self->member_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->nodes[middle] < node)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct member *table_find(const struct swim *self, uint64_t node)
{
    size_t place = table_place(self, node);
    bool found = place < self->member_count && self->nodes[place] == node;
    return found ? self->members[place] : NULL;
}

int member_compare(const struct member *member, uint64_t gen, uint32_t ver)
{
    if (gen != member->record.gen)
        return gen > member->record.gen ? 1 : -1;
    return (ver > member->record.ver) - (ver < member->record.ver);
}

static const char *text_of(const char *text) { return text ? text : ""; }

bool table_set_attributes(struct member *member, const struct wire_member *from)
{
    struct wire_member *to = &member->record;
    const char *name = text_of(from->name);
    const char *address = text_of(from->address);
    bool same_texts = member->texts && !strcmp(to->name, name) && !strcmp(to->address, address);
    bool is_same = same_texts && wire_addr_compare(&to->addr, &from->addr) == 0 &&
                   to->http == from->http && to->pv.min == from->pv.min &&
                   to->pv.max == from->pv.max && to->feat == from->feat &&
                   to->flags == from->flags && to->caps.slots == from->caps.slots &&
                   to->caps.speed == from->caps.speed && to->caps.mem_mb == from->caps.mem_mb;
    if (is_same)
        return false;
    if (!same_texts) {
        size_t name_size = strlen(name) + 1;
        size_t address_size = strlen(address) + 1;
        char *texts = mem_new(name_size + address_size);
        memcpy(texts, name, name_size);
        memcpy(texts + name_size, address, address_size);
        free(member->texts);
        member->texts = texts;
        to->name = texts;
        to->address = texts + name_size;
    }
    to->addr = from->addr;
    to->http = from->http;
    to->pv = from->pv;
    to->feat = from->feat;
    to->flags = from->flags;
    to->caps = from->caps;
    return true;
}

/* What a member adds to the digest. The dead and those who left add nothing: each node forgets them
 * in its own time. */
static uint32_t hash_of_member(const struct member *member)
{
    if (!member_is_up(member))
        return 0;
    return (uint32_t)wire_member_hash(&member->record);
}

static void count(struct swim *self, struct member *member, int sign)
{
    if (member_is_up(member))
        self->alive_count = sign > 0 ? self->alive_count + 1 : self->alive_count - 1;
    if (member->record.st == WIRE_STATE_SUSPECT)
        self->suspect_count = sign > 0 ? self->suspect_count + 1 : self->suspect_count - 1;
}

static void rehash(struct swim *self, struct member *member, uint32_t hash)
{
    if (hash == member->hash)
        return;
    self->mhash ^= member->hash ^ hash;
    member->hash = hash;
    exchange_table_changed(self);
}

void table_set(struct swim *self, struct member *member, uint64_t gen, uint32_t ver,
               enum wire_state st)
{
    if (member->record.st != st) {
        bool was_up = member_is_up(member);
        count(self, member, -1);
        member->record.st = st;
        member->since_ms = self->now_ms;
        count(self, member, 1);
        if (was_up != member_is_up(member)) {
            self->is_alive_stale = true;
            if (!was_up)
                probe_order_add(self, member->node);
            join_alone(self);
        }
    }
    if (st != WIRE_STATE_SUSPECT)
        suspicion_free(self, member);
    member->record.gen = gen;
    member->record.ver = ver;
    rehash(self, member, hash_of_member(member));
}

struct member *table_add(struct swim *self, const struct wire_member *record)
{
    if (self->member_count == SWIM_NODES_MAX) {
        self->stats.dropped++;
        return NULL;
    }
    struct member *member = mem_new(sizeof(*member));
    member->node = id_node_short(&record->node);
    member->record.node = record->node;
    member->record.st = WIRE_STATE_LEFT; /* until table_set() */
    member->rumor.kind = RUMOR_MEMBER;
    member->since_ms = self->now_ms;
    table_set_attributes(member, record);

    size_t place = table_place(self, member->node);
    assert(place == self->member_count || self->members[place]->node != member->node);
    self->members = mem_grow(self->members, &self->member_capacity, self->member_count + 1,
                             sizeof(struct member *));
    self->nodes =
        mem_grow(self->nodes, &self->node_capacity, self->member_count + 1, sizeof(*self->nodes));
    memmove(self->members + place + 1, self->members + place,
            (self->member_count - place) * sizeof(struct member *));
    memmove(self->nodes + place + 1, self->nodes + place,
            (self->member_count - place) * sizeof(*self->nodes));
    self->members[place] = member;
    self->nodes[place] = member->node;
    self->member_count++;
    table_set(self, member, record->gen, record->ver, record->st);
    return member;
}

static void member_free(struct swim *self, struct member *member)
{
    rumor_drop(self, &member->rumor);
    suspicion_free(self, member);
    free(member->texts);
    free(member->load);
    free(member);
}

void table_remove(struct swim *self, struct member *member)
{
    assert(!member_is_up(member));
    size_t place = table_place(self, member->node);
    memmove(self->members + place, self->members + place + 1,
            (self->member_count - place - 1) * sizeof(struct member *));
    memmove(self->nodes + place, self->nodes + place + 1,
            (self->member_count - place - 1) * sizeof(*self->nodes));
    self->member_count--;
    member_free(self, member);
}

void table_free(struct swim *self)
{
    for (size_t i = 0; i < self->member_count; i++)
        member_free(self, self->members[i]);
    free(self->members);
    free(self->nodes);
    free(self->alive);
}

const uint64_t *table_alive(struct swim *self)
{
    if (!self->is_alive_stale)
        return self->alive;
    self->alive =
        mem_grow(self->alive, &self->alive_capacity, self->alive_count + 1, sizeof(*self->alive));
    size_t count = 0;
    for (size_t i = 0; i < self->member_count; i++)
        if (member_is_up(self->members[i]))
            self->alive[count++] = self->members[i]->node;
    assert(count == self->alive_count);
    self->is_alive_stale = false;
    return self->alive;
}

size_t table_pick(struct swim *self, size_t want, uint64_t but, struct member **out)
{
    const uint64_t *alive = table_alive(self);
    size_t total = self->alive_count;
    size_t start = total ? (size_t)rand_below(&self->rand, total) : 0;
    size_t count = 0;
    for (size_t tries = 0; tries < 3 * want + 6 && count < want && total > 0; tries++) {
        /* Small tables are walked, so that nobody is missed; large ones are drawn from. */
        size_t index = total <= 2 * want + 2 ? (start + tries) % total
                                             : (size_t)rand_below(&self->rand, total);
        uint64_t node = alive[index];
        bool is_taken = node == but || node == self->me->node;
        for (size_t i = 0; i < count; i++)
            is_taken = is_taken || out[i]->node == node;
        if (!is_taken)
            out[count++] = table_find(self, node);
        if (total <= 2 * want + 2 && tries + 1 == total)
            break;
    }
    return count;
}

void table_expire(struct swim *self)
{
    for (size_t i = self->member_count; i-- > 0;) {
        struct member *member = self->members[i];
        if (member_is_up(member) || member == self->me)
            continue;
        uint64_t keep = member->record.st == WIRE_STATE_LEFT ? self->timing.left_keep_ms
                                                             : self->timing.dead_keep_ms;
        if (self->now_ms - member->since_ms >= keep)
            table_remove(self, member);
    }
    for (size_t i = self->ghost_count; i-- > 0;)
        if (self->now_ms >= self->ghosts[i].until_ms)
            self->ghosts[i] = self->ghosts[--self->ghost_count];
}
