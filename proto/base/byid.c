#include "proto/base/byid.h"

#include "proto/base/mem.h"

#include <assert.h>
#include <string.h>

/* The array is of pointers to some struct, and no array of void *: so it is read as bytes. */
static void *item_at(const void *array, size_t index)
{
    void *item;
    memcpy(&item, (const char *)array + index * sizeof item, sizeof item);
    return item;
}

static uint64_t id_of(const void *item)
{
    uint64_t id;
    memcpy(&id, item, sizeof id);
    return id;
}

size_t byid_place(const void *array, size_t count, uint64_t id)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (id_of(item_at(array, middle)) < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void *byid_find(const void *array, size_t count, uint64_t id)
{
    size_t at = byid_place(array, count, id);
    void *item = at < count ? item_at(array, at) : NULL;
    return item && id_of(item) == id ? item : NULL;
}

void *byid_add(void *array_owned, size_t *count, size_t *capacity, void *item)
{
    size_t at = byid_place(array_owned, *count, id_of(item));
    char *array = mem_grow(array_owned, capacity, *count + 1, sizeof item);
    char *place = array + at * sizeof item;
    memmove(place + sizeof item, place, (*count - at) * sizeof item);
    memcpy(place, &item, sizeof item);
    ++*count;
    return array;
}

void byid_remove(void *array, size_t *count, uint64_t id)
{
    size_t at = byid_place(array, *count, id);
    assert(at < *count && id_of(item_at(array, at)) == id);
    char *place = (char *)array + at * sizeof(void *);
    memmove(place, place + sizeof(void *), (--*count - at) * sizeof(void *));
}
