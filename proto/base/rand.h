/* rand: a small seeded generator for machines, and the system's randomness for secrets and names.
 *
 * The seeded one is xoshiro256** (Blackman, Vigna: "Scrambled linear pseudorandom number
 * generators", 2018), seeded through splitmix64: the same seed gives the same run on every machine.
 */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

struct rand {
    uint64_t state[4];
};

void rand_init(struct rand *self, uint64_t seed);
uint64_t rand_u64(struct rand *self);

/* Uniform in 0 .. bound-1, bound > 0, without modulo bias. */
uint64_t rand_below(struct rand *self, uint64_t bound);

/* Fills from the system's generator: unpredictable, for ids, keys and seeds. */
void rand_system(void *out, size_t len);

#endif
