/* clone: what clone.c, which says what is missing, and clone_get.c, which gets it, share. */
#ifndef NODE_MESH_CLONE_H
#define NODE_MESH_CLONE_H

#include "node/mesh/mesh_inner.h"

#define CLONE_REST_MS 2000 /* before what was in vain is tried again; then twice as long */

enum clone_stage {
    CLONE_RESTS,
    CLONE_FETCHES, /* a bundle, or the secret */
    CLONE_RUNS,    /* a CLONE */
    CLONE_WRITES,  /* what it found is being appended */
};

struct clone {
    struct work work; /* n: how many CLONEs there were; the ballot of the last one */
    enum clone_stage stage;
    struct hash bundle; /* the one that counts; all zero: none is known */
    bool is_in_vain;    /* it was not to be had */
    bool is_for_secret; /* FETCHES */
    uint64_t fetch;     /* FETCHES: its token */
    uint64_t since_ms;  /* that it is missing to who leads */
    uint64_t at_ms;     /* RESTS: until */
    uint32_t wait_ms;
    uint32_t fetches;
    struct mesh_clone told;
    struct clone *next;
};

/* To be tried again later. */
void clone_rest(struct mesh *self, struct clone *clone);

/* What was found is appended, under the ballot of the clone's work. */
void clone_write(struct mesh *self, struct clone *clone, const struct doc_source *found);

/* One that rests is fetched, cloned or given up, or goes on to rest. `led`: NULL where another one
 * leads. */
void clone_go_on(struct mesh *self, const struct doc *doc, const struct led *led,
                 struct clone *clone);

#endif
