/* byid: arrays of pointers to things that have an id, kept in its order: found by halving. For
 * tables of some thousands that live long and grow slowly; adding one moves those behind it.
 *
 * Whose struct begins with its `uint64_t id` can be in one. The array stays its owner's, and typed:
 *
 *     struct thing **things; size_t thing_count, thing_capacity;
 *     struct thing *thing = byid_find(self->things, self->thing_count, id);
 */
#ifndef BASE_BYID_H
#define BASE_BYID_H

#include <stddef.h>
#include <stdint.h>

/* Returns the index of the first whose id is not smaller; `count` when there is none. */
size_t byid_place(const void *array, size_t count, uint64_t id);

/* Returns the one with that id, or NULL. */
void *byid_find(const void *array, size_t count, uint64_t id);

/* Puts `item` in its place, where none with its id may be. Returns the array, grown if need be. */
void *byid_add(void *array_owned, size_t *count, size_t *capacity, void *item);

/* Takes the one with that id out, which must be there; it is the caller's. */
void byid_remove(void *array, size_t *count, uint64_t id);

#endif
