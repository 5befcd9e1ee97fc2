/* arena: memory that is freed all at once; what a document's part or a read delta consists of. */
#ifndef NODE_STORE_ARENA_H
#define NODE_STORE_ARENA_H

#include <stddef.h>

struct arena;

/* Makes an arena whose first block holds about `bytes`. Returns owned. */
struct arena *arena_new(size_t bytes);
void arena_free(struct arena *self_owned);

/* Returns zeroed memory, aligned for anything, that lives as long as the arena. */
void *arena_take(struct arena *self, size_t bytes);
void *arena_take_array(struct arena *self, size_t count, size_t size);

/* Copies text that may be no UTF-8, repaired and cut at `max` bytes. NULL stays NULL. */
const char *arena_text(struct arena *self, const char *text, size_t max);

#endif
