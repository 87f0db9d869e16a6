/* bisect: two models run operation by operation, to find where they part.  The program. */
#ifndef SEGRT_PROGRAM_BISECT_H
#define SEGRT_PROGRAM_BISECT_H

#include "side.h"

/* Runs both, without fused steps, on tensor [3][h][w], and prints each operation's relative difference (norm; A against
 * B).  Whether all stayed within `tolerance` goes to *within.  Result: 0, or an exit code (reported). */
int bisect(const side *a, const target_options *options_a, const side *b, const target_options *options_b, const float *tensor, int h, int w,
           double tolerance, bool *within);

#endif
