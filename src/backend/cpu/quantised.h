/* quantised: the weights that an int8 session multiplies as integers: a block's Mix-FFN where the engine says so for both of its
 * products; see state.h. */
#ifndef SEGRT_CPU_QUANTISED_H
#define SEGRT_CPU_QUANTISED_H

#include "backend/backend.h"
#include "backend/cpu/kernels/int8.h"

typedef struct quantised_linear {
    const void *b;
    size_t b_panel;
    const float *scale; /* [n rounded up to a line of operands]: of the input times the column's */
    float inverse;      /* of the input's scale */
} quantised_linear;

typedef struct quantised_block {
    quantised_linear fc1, fc2; /* both, or b is NULL in both */
} quantised_block;

typedef struct quantised_network {
    quantised_block *blocks[STAGES];
    void *memory;
    size_t bytes;
} quantised_network;

/* Quantises and packs the weights of blocks whose settings [in the order of `operations`] say int8. */
segrt_status quantised_open(quantised_network *out, const network *net, const int8_kernels *q, const operation_setting *settings,
                            const operation *operations, size_t count, arena *memory, segrt_error *error);
void quantised_close(quantised_network *quantised);

#endif
