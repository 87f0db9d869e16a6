/* common_table: the table of a level, from the common text. */
#ifndef SEGRT_COMMON_TABLE_H
#define SEGRT_COMMON_TABLE_H

#if defined(OPERAND_BF16) && defined(VECTOR_AVX512BF16)
#include "backend/cpu/kernels/depthwise_avx512bf16.h"
#else
#include "backend/cpu/kernels/common_depthwise.h"
#endif
#if defined(GEMM_AMX)
#include "backend/cpu/kernels/common_gemm_amx.h"
#else
#include "backend/cpu/kernels/common_gemm.h"
#endif
#include "backend/cpu/kernels/common_head.h"
#include "backend/cpu/kernels/common_rows.h"
#include "backend/cpu/kernels/tables.h"

#ifdef GEMM_AMX
#define COMMON_BEGIN tile_begin
#define COMMON_END tile_end
#else
#define COMMON_BEGIN NULL
#define COMMON_END NULL
#endif

#ifdef OPERAND_BF16
#define COMMON_PRECISION SEGRT_BFLOAT16
#else
#define COMMON_PRECISION SEGRT_FLOAT32
#endif

#ifdef OPERAND_PARTS
#define COMMON_PARTS true
#else
#define COMMON_PARTS false
#endif

#define COMMON_TABLE(text, cpu_level)                                                                                                      \
    {                                                                                                                                      \
        .name = text, .level = cpu_level, .precision = COMMON_PRECISION, .parts = COMMON_PARTS, .operand_bytes = sizeof(operand), .k_unit = K_UNIT,               \
        .tile_rows = TILE_ROWS, .begin = COMMON_BEGIN, .end = COMMON_END, .panel_bytes = panel_bytes, .packed_at = packed_at, .pack_rows = pack_rows, .pack_columns = pack_columns, .gemm = gemm,            \
        .rstd = rstd, .operands = operands, .patch_norm = patch_norm, .stage_norm = stage_norm, .softmax = softmax,                        \
        .sum_lanes = sum_lanes, .largest_square = largest_square, .scale_rows = scale_rows, .attend_out = attend_out, .depthwise_bytes = DEPTHWISE_BYTES, .pack_depthwise = pack_depthwise, .depthwise = depthwise, .merge = merge, .label = label,                        \
    }

#endif
