/* Documents in memory, as the machines read them. */
#ifndef TESTS_FAKE_DOCS_H
#define TESTS_FAKE_DOCS_H

#include "node/own/docs.h"
#include "proto/base/mem.h"

#include <string.h>

struct fake_docs {
    struct doc **docs; /* in order of creation */
    size_t count, room;
    struct doc **slots; /* by id */
    size_t slot_room;
    uint64_t buckets[DOCS_BUCKETS];
    bool lacks_blobs;
    bool keeps_first_seal; /* a wrong join, to see that it is noticed */
    struct docs read;
};

static inline struct doc *fake_find(const struct fake_docs *self, uint64_t id)
{
    if (self->count == 0)
        return NULL;
    size_t at = (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (self->slot_room - 1);
    while (self->slots[at] && self->slots[at]->id != id)
        at = (at + 1) & (self->slot_room - 1);
    return self->slots[at];
}

static inline void fake_index(struct fake_docs *self)
{
    if (self->count * 2 <= self->slot_room && self->slot_room > 0) {
        struct doc *doc = self->docs[self->count - 1];
        size_t at = (size_t)(doc->id * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (self->slot_room - 1);
        while (self->slots[at])
            at = (at + 1) & (self->slot_room - 1);
        self->slots[at] = doc;
        return;
    }
    free(self->slots);
    self->slot_room = self->slot_room ? self->slot_room * 4 : 64;
    self->slots = mem_new_array(self->slot_room, sizeof *self->slots);
    size_t count = self->count;
    for (self->count = 1; self->count <= count; self->count++)
        fake_index(self);
    self->count = count;
}

static inline const struct doc *fake_read_find(void *arg, uint64_t id)
{
    return fake_find(arg, id);
}

static inline struct docs_info fake_info_of(const struct doc *doc)
{
    return (struct docs_info){.id = doc->id,
                              .digest = doc->digest,
                              .created_ms = doc->req ? doc->req->created_ms : 0,
                              .is_final = doc_is_final(doc)};
}

static inline bool fake_read_info(void *arg, uint64_t id, struct docs_info *out)
{
    const struct doc *doc = fake_find(arg, id);
    if (doc)
        *out = fake_info_of(doc);
    return doc != NULL;
}

static inline void fake_read_each_open(void *arg, docs_doc_fn *fn, void *fn_arg)
{
    const struct fake_docs *self = arg;
    for (size_t i = 0; i < self->count; i++)
        if (!doc_is_final(self->docs[i]))
            fn(fn_arg, self->docs[i]);
}

static inline void fake_read_each(void *arg, docs_info_fn *fn, void *fn_arg)
{
    const struct fake_docs *self = arg;
    for (size_t i = 0; i < self->count; i++) {
        struct docs_info info = fake_info_of(self->docs[i]);
        fn(fn_arg, &info);
    }
}

static inline const uint64_t *fake_read_buckets(void *arg)
{
    return ((struct fake_docs *)arg)->buckets;
}

static inline bool fake_read_has_blob(void *arg, const struct hash *blob)
{
    (void)blob;
    return !((struct fake_docs *)arg)->lacks_blobs;
}

static inline void fake_docs_init(struct fake_docs *self)
{
    *self = (struct fake_docs){.read = {.find = fake_read_find,
                                        .info = fake_read_info,
                                        .each_open = fake_read_each_open,
                                        .each = fake_read_each,
                                        .buckets = fake_read_buckets,
                                        .has_blob = fake_read_has_blob,
                                        .arg = self}};
}

static inline void fake_docs_fini(struct fake_docs *self)
{
    for (size_t i = 0; i < self->count; i++)
        doc_free(self->docs[i]);
    free(self->docs);
    free(self->slots);
}

/* Joins: what becomes durable. */
static inline enum err_code fake_apply(struct fake_docs *self, const struct delta *delta,
                                       unsigned *changed)
{
    struct doc *doc = fake_find(self, delta->id);
    struct err err = ERR_INIT;
    if (!doc) {
        doc = doc_new(delta->id);
        self->docs = mem_grow(self->docs, &self->room, self->count + 1, sizeof *self->docs);
        self->docs[self->count++] = doc;
        fake_index(self);
    }
    struct delta joined = *delta;
    uint64_t before = doc->digest;
    if (self->keeps_first_seal && doc->seal)
        joined.seal = NULL;
    int rc = doc_apply(doc, &joined, changed, &err);
    self->buckets[docs_bucket(doc->id)] ^= before ^ doc->digest;
    return rc;
}

#endif
