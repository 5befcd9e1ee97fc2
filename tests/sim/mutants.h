/* mutants: rules that are broken on purpose. If the checker does not notice, it is the checker that
 * is broken. */
#ifndef TESTS_SIM_MUTANTS_H
#define TESTS_SIM_MUTANTS_H

#include "tests/sim/sim.h"

/* Puts a mutation by its name into the options. False: there is none of that name. */
bool mutant_apply(const char *name, struct sim_options *options);

void mutant_list(FILE *to);

/* Runs each from `seed` on until it is caught, at most as long as its budget, and prints how.
 * Returns 0 if all were caught, else 1. */
int mutants_run(uint64_t seed);

#endif
