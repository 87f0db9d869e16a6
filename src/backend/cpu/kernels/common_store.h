/* common_store: how a product's sums become its result: scale, bias, addend, ReLU, type; for any vector of vector_<level>.h. */
#ifndef SEGRT_COMMON_STORE_H
#define SEGRT_COMMON_STORE_H

#include "backend/cpu/kernels/common_exp.h"
#if defined(GEMM_PAIRS) && defined(__AVX512BW__)
#include "backend/cpu/kernels/common_weights.h"
#define WEIGHT_PAIRS
#endif

enum { PANEL_VECTORS = PANEL / VL };

/* Rows [i, i + rows) of `vectors` vectors from column j; `rows` and `vectors` are constants, the sums stay in registers, and what
 * there is to do is asked once for all of them. */
#define EACH                                                                                                                               \
    _Pragma("GCC unroll 16") for (int r = 0; r < rows; r++) _Pragma("GCC unroll 8") for (int v = 0; v < vectors; v++)

static inline __attribute__((always_inline)) void store_tile(const gemm_args *g, int i, int j, const int rows, const int vectors, vf sum[][2 * PANEL_VECTORS])
{
    const bool whole = g->n - j >= vectors * VL;
    if (g->row_scale)
        EACH sum[r][v] = v_mul(sum[r][v], v_set(g->row_scale[i + r]));
    if (g->bias)
        EACH if (whole || j + v * VL < g->n) sum[r][v] = v_add(sum[r][v], v_load(g->bias + j + v * VL));
    if (g->add && whole) {
        EACH
        {
            const int column = j + v * VL;
            sum[r][v] = v_add(sum[r][v], v_load(g->add + column / FLOATS * g->add_panel + (i + r) * g->add_row + column % FLOATS));
        }
    } else if (g->add) {
        EACH
        {
            const int column = j + v * VL;
            if (column < g->n)
                sum[r][v] = v_add(sum[r][v], v_load_part(g->add + column / FLOATS * g->add_panel + (i + r) * g->add_row + column % FLOATS, g->n - column));
        }
    }
    if (g->relu)
        EACH sum[r][v] = v_max(sum[r][v], v_zero());
#if defined(WEIGHT_PAIRS)
    if (g->exp_sums) { /* two panels, or the last */
        const int there = g->n - j;
        const __mmask16 first = v_mask(there), second = there > PANEL ? v_mask(there - PANEL) : 0;
        const vf bias = v_set(WEIGHT_BIAS);
        _Pragma("GCC unroll 16") for (int r = 0; r < rows; r++)
            put_weights(v_add(sum[r][0], bias), vectors > 1 ? v_add(sum[r][1], bias) : bias, first, second, (operand *)g->c + (i + r) * g->c_row + j,
                        g->exp_sums + (i + r) * FLOATS);
        return;
    }
#elif !defined(GEMM_AMX) /* attention on tiles makes its weights itself */
    if (g->exp_sums && whole) {
        operand *c = (operand *)g->c + j / LANES * g->c_panel + i * g->c_row + j % LANES; /* all columns are in one group, or side by side */
        _Pragma("GCC unroll 16") for (int r = 0; r < rows; r++)
        {
            vf lanes = v_load(g->exp_sums + (i + r) * FLOATS);
            _Pragma("GCC unroll 8") for (int v = 0; v < vectors; v++)
            {
                const vf x = o_rounded(v_exp2(sum[r][v]));
                lanes = v_add(lanes, x);
                o_store(c + r * g->c_row + v * VL, x);
            }
            v_store(g->exp_sums + (i + r) * FLOATS, lanes);
        }
        return;
    }
    if (g->exp_sums) {
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++) {
                const int column = j + v * VL, there = g->n - column, room = (g->n + K_UNIT - 1) / K_UNIT * K_UNIT - column;
                if (room <= 0)
                    continue;
                const vf x = v_first(o_rounded(v_exp2(sum[r][v])), there < VL ? there : VL);
                float *lanes = g->exp_sums + (i + r) * FLOATS;
                v_store(lanes, v_add(v_load(lanes), x));
                o_store_part((operand *)g->c + column / LANES * g->c_panel + (i + r) * g->c_row + column % LANES, x, room < VL ? room : VL);
            }
        return;
    }
#endif
    if (g->narrow) {
        EACH
        {
            const int column = j + v * VL, there = g->n - column;
            operand *c = (operand *)g->c + column / LANES * g->c_panel + (i + r) * g->c_row + column % LANES;
            if (whole || there >= VL)
                o_store(c, sum[r][v]);
            else if (there > 0)
                o_store_part(c, sum[r][v], there);
        }
    } else {
        EACH
        {
            const int column = j + v * VL, there = g->n - column;
            float *c = (float *)g->c + column / FLOATS * g->c_panel + (i + r) * g->c_row + column % FLOATS;
            if (whole || there >= VL)
                v_store(c, sum[r][v]);
            else if (there > 0)
                v_store_part(c, sum[r][v], there);
        }
    }
}
#undef EACH

#endif
