/* folds: the exact algebra that a folded network carries (docs/numerics.md), and what each part of it saves.  The program. */
#ifndef SEGRT_PROGRAM_FOLDS_H
#define SEGRT_PROGRAM_FOLDS_H

#include <jansson.h>

#include "costs.h"

void folds_print(const network *net, const costs *c);

/* [{"fold", "places", "macs_saved"}]. */
json_t *folds_json(const network *net, const costs *c);

#endif
