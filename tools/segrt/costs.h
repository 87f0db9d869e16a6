/* costs: multiply-accumulates of a network at a size, as published and as folded.  The program. */
#ifndef SEGRT_PROGRAM_COSTS_H
#define SEGRT_PROGRAM_COSTS_H

#include "api/inside.h"

typedef struct costs {
    network_shape shape;
    uint64_t folded[OPERATION_KINDS], published[OPERATION_KINDS]; /* the published fusion stands under OP_MERGE */
    uint64_t folded_total, published_total;
} costs;

/* decoder_width: of the published head's levels.  Errors: SHAPE, NO_MEMORY. */
segrt_status costs_count(costs *c, const network *net, int decoder_width, segrt_shape size, segrt_error *error);

#endif
