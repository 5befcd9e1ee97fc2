/* submit: submissions under an Idempotency-Key, which stand for one id on whichever node they
 * arrive. So that two nodes never take in one id side by side, a single node decides: the id's
 * home, first of the live ones by rendezvous hashing. Whoever has the client sends it SUBMIT, and
 * keeps the bundles for it to fetch.
 *
 *   at home    ASKING ─ unknown ─> FETCHING ─> OFFERED (own: accept) ──────────────> answers
 *   (home.c)      └─ known ─> KNOWN: until it is seen to be led ─> CONFIRMING ───────────┘
 *   elsewhere  SENT: until SUBMITTED; when the home goes down, the next one is asked, which finds
 *              what the first one may have left
 *
 * Who leads what was never acknowledged was promised it by a majority, which need not have the
 * bundles: they are put there (CONFIRMING) before a repeat is answered.
 *
 * A home that others see elsewhere costs no safety: the replicas of both have a node in common, and
 * an id has one request (node/store/doc.h). */
#ifndef NODE_MESH_SUBMIT_H
#define NODE_MESH_SUBMIT_H

#include "node/mesh/mesh_inner.h"

#define SUBMISSION_GIVE_UP_MS 15000 /* a little more than own takes to refuse */
#define SUBMISSION_RETRY_S    2
#define SUBMISSION_WAITS_MAX  64
#define SUBMISSION_GONE_MAX   8

enum submission_stage { ASKING, FETCHING, OFFERED, KNOWN, CONFIRMING, SENT };

struct submission_wait { /* for the answer: a client here (no peer), or a node that has one */
    uint64_t peer;
    uint64_t token; /* the client's, or the node's rid */
};

struct submission {
    uint64_t eval;
    struct delta delta; /* owned: the request */
    enum submission_stage stage;
    struct submission_wait waits[SUBMISSION_WAITS_MAX];
    size_t wait_count;
    uint64_t asked;  /* token of the question or fetch that goes on */
    uint64_t ask_ms; /* KNOWN: ask again then; CONFIRMING: send again, or be content */
    uint64_t until_ms;
    uint64_t home;  /* SENT */
    uint32_t rid;   /* SENT, CONFIRMING */
    uint32_t acked; /* CONFIRMING: a bit a replica */
    uint64_t gone[SUBMISSION_GONE_MAX];
    size_t gone_count;
    struct submission *next;
};

/* submit.c: each ends it. */
void submission_accept(struct mesh *self, struct submission *submission, unsigned replicas);
void submission_refuse(struct mesh *self, struct submission *submission,
                       enum wire_why_submitted why);
struct submission *submission_find(const struct mesh *self, uint64_t eval);
bool submission_has_body(const struct submission *self, const struct doc_req *req);

/* home.c */
void home_begin(struct mesh *self, struct submission *submission);
void home_tick(struct mesh *self, struct submission *submission);

#endif
