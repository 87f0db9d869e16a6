/* common_keys: keys packed as any second factor of the level's product, for common_attend.h and common_attend_pairs.h. */
#ifndef SEGRT_COMMON_KEYS_H
#define SEGRT_COMMON_KEYS_H

#include "backend/cpu/kernels/common_gemm.h"

static size_t key_bytes(int d)
{
    return panel_bytes(d);
}
static float key_at(const void *panel, int i, int column)
{
    return packed_at(panel, i, column);
}
static void pack_keys(void *b, const float *src, ptrdiff_t src_row, int n, int d)
{
    pack_rows(b, src, src_row, n, d);
}

#endif
