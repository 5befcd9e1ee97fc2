/* secret: what opens an evaluation's repositories is on its replicas, and nowhere else, for as long
 * as they might have to clone. Each node forgets it for itself. */
#include "node/mesh/mesh_inner.h"

bool mesh_is_replica(const struct mesh *self, const struct doc *doc)
{
    for (size_t i = 0; doc->fence && i < doc->fence->rep_count; i++)
        if (id_node_short(&doc->fence->reps[i]) == self->self)
            return true;
    return false;
}

void mesh_look_secret(struct mesh *self, uint64_t eval, const struct hash *secret)
{
    const struct doc *doc = mesh_doc(self, eval);
    bool is_its = doc && doc->req && mesh_is_same_hash(&doc->req->secret, secret);
    if (!doc_hash_is_set(secret) || !mesh_has_blob(self, secret) ||
        mesh_submission_needs(self, eval, secret) || own_is_taking(self->own, eval))
        return;
    bool is_ours = is_its && (!doc->fence || mesh_is_replica(self, doc));
    if (self->config.mutation == OWN_FORGET_EARLY)
        is_ours = is_ours && mesh_led(self, eval);
    if (is_ours && docs_needs_secret(self->config.docs, doc))
        return;
    struct mesh_effect *effect = mesh_effect(self, MESH_FORGET_SECRET);
    effect->eval = eval;
    effect->secret = mesh_copy(self, secret, sizeof *secret);
    self->counters.secrets++;
}

void mesh_look_taken(struct mesh *self)
{
    for (size_t i = 0; i < self->taken_count; i++) {
        const struct doc *doc = mesh_doc(self, self->taken[i]);
        if (mesh_is_git(doc))
            mesh_look_secret(self, doc->id, &doc->req->secret);
    }
    self->taken_count = 0;
}
