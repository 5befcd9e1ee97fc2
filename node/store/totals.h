/* totals: what /stats says, summed from documents, so that there are no counters to drift.
 *
 * A share is what one evaluation adds: for each executing node its tests, modules and
 * projects. Shares of sealed evaluations are kept beside their summaries; the sum is made when
 * somebody asks. */
#ifndef NODE_STORE_TOTALS_H
#define NODE_STORE_TOTALS_H

#include "node/store/doc.h"
#include "proto/base/json.h"

#define TOTALS_NODE_NAME 17

struct share_node {
    char *name;      /* id_node_short() in hex: addresses change, nodes stay; "" for nobody */
    uint64_t passed; /* with xpassed */
    uint64_t failed; /* with errors */
    uint64_t modules;
    char **projects; /* identities, sorted, each once */
    size_t project_count;
};

struct share {
    struct share_node *nodes; /* sorted by name */
    size_t node_count;
    char **projects; /* identities of the whole evaluation, sorted, each once */
    size_t project_count;
};

/* Fills `out` (share_fini) with what the document adds to the totals by now. */
void share_init(struct share *out, const struct doc *doc);
void share_fini(struct share *self);

void share_encode(const struct share *share, struct json_out *out);
int share_decode(const json_t *object, struct share *out, struct err *err) ERR_CHECKED;

struct totals_node {
    char *name; /* as in struct share_node */
    uint64_t passed, failed, modules;
    uint64_t projects;     /* different ones */
    uint64_t *evaluations; /* ids, ascending */
    size_t evaluation_count;
};

struct totals {
    uint64_t passed, failed;
    uint64_t projects; /* different ones */
    uint64_t evaluations;
    struct totals_node *nodes; /* sorted by name; also of nodes that are gone; never "" */
    size_t node_count;
    struct totals_build *build; /* private */
};

/* totals_begin(), then totals_add() each evaluation once, then totals_end() and read. */
void totals_begin(struct totals *self);
void totals_add(struct totals *self, uint64_t id, const struct share *share);
void totals_end(struct totals *self);
void totals_fini(struct totals *self);
#define owned_totals __attribute__((cleanup(totals_fini))) struct totals

#endif
