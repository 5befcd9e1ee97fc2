/* pins: whether requirements leave the installer no choice.
 *
 * Where every version is given, what a resolver would choose is known before it runs: its step, and
 * all that it fetches, can be left out. Pure. */
#ifndef ENV_PINS_H
#define ENV_PINS_H

#include "runner/env/requirements.h"

#include <stdbool.h>

/* Whether each item is one exact version: `name==1.0`, extras, a marker and hashes are fine. */
bool pins_are_exact(const struct requirements *self);

/* Whether all that was installed had to be just that: each of `installed`, names of .dist-info
 * folders ("Pygments-2.1.dist-info\n…"), belongs to an exact item without a marker. Names that make
 * no sense are not covered. */
bool pins_cover(const struct requirements *self, const char *installed);

#endif
