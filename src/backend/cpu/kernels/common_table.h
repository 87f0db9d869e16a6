/* common_table: the table of a level, from the common text. */
#ifndef SEGRT_COMMON_TABLE_H
#define SEGRT_COMMON_TABLE_H

#if defined(ATTEND_AMX)
#include "backend/cpu/kernels/common_attend_amx.h"
#elif defined(GEMM_PAIRS) && defined(__AVX512BW__)
#include "backend/cpu/kernels/common_attend_pairs.h"
#else
#include "backend/cpu/kernels/common_attend.h"
#endif
#if defined(OPERAND_BF16) && defined(VECTOR_AVX512BF16)
#include "backend/cpu/kernels/depthwise_avx512bf16.h"
#else
#include "backend/cpu/kernels/common_depthwise.h"
#endif
#include "backend/cpu/kernels/common_head.h"
#include "backend/cpu/kernels/tables.h"

#ifdef ATTEND_AMX
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

#if defined(ATTEND_AMX) && !defined(OPERAND_BF16)
#define COMMON_PARTS true
#else
#define COMMON_PARTS false
#endif

#ifdef ATTEND_AMX
#define COMMON_HEAD_UNIT PAIR_GROUP
#else
#define COMMON_HEAD_UNIT 1
#endif

#define COMMON_TABLE(text, cpu_level)                                                                                                      \
    {                                                                                                                                      \
        .name = text, .level = cpu_level, .precision = COMMON_PRECISION, .parts = COMMON_PARTS, .operand_bytes = sizeof(operand), .k_unit = K_UNIT,               \
        .begin = COMMON_BEGIN, .end = COMMON_END, .panel_bytes = panel_bytes, .packed_at = packed_at, .pack_rows = pack_rows, .pack_columns = pack_columns, .gemm = gemm,            \
        .rstd = rstd, .operands = operands, .patch_norm = patch_norm, .stage_norm = stage_norm,                                      \
        .head_unit = COMMON_HEAD_UNIT, .attend_rows = ATTEND_ROWS, .attend_bytes = attend_bytes, .key_bytes = key_bytes, .value_bytes = value_bytes,                \
        .key_at = key_at, .pack_keys = pack_keys, .pack_values = pack_values, .attend = attend,                                            \
        .largest_square = largest_square, .scale_rows = scale_rows, .attend_out = attend_out, .depthwise_bytes = DEPTHWISE_BYTES, .pack_depthwise = pack_depthwise, .depthwise = depthwise, .merge = merge, .label = label,                        \
    }

#endif
