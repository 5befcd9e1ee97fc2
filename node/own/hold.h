/* hold: what the effects of one step borrow; lives until the next. */
#ifndef NODE_OWN_HOLD_H
#define NODE_OWN_HOLD_H

#include "node/store/doc.h"
#include "proto/wire/message.h"

struct own_hold;

/* Each makes the hold if there is none. What they return belongs to it. */

/* An empty delta, to be filled with one that owns its parts. */
struct delta *hold_delta(struct own_hold **self);

/* A deep copy. */
const struct delta *hold_copy(struct own_hold **self, const struct delta *delta);

/* The delta as it is sent. */
struct wire_bytes hold_encoded(struct own_hold **self, const struct delta *delta);

/* Memory, owned by the caller until now. Returns it. */
void *hold_memory(struct own_hold **self, void *memory_owned);

void hold_clear(struct own_hold *self);
void hold_free(struct own_hold *self_owned);

#endif
