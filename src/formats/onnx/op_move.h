/* op_move: elements as bytes, for operators that only move them.  Formats layer; see op.h. */
#ifndef SEGRT_FORMATS_ONNX_OP_MOVE_H
#define SEGRT_FORMATS_ONNX_OP_MOVE_H

#include <string.h>

#include "formats/onnx/op.h"

static inline unsigned char *move_data(const operand *t) { return t->f ? (unsigned char *)t->f : (unsigned char *)t->i; }
static inline size_t move_width(const operand *t) { return t->f ? sizeof *t->f : sizeof *t->i; }

/* Copies `count` elements, the source's `step` elements apart (may be negative). */
static inline void move_run(unsigned char *to, const unsigned char *from, size_t count, ptrdiff_t step, size_t width)
{
    if (step == 1) {
        memcpy(to, from, count * width);
        return;
    }
    for (size_t n = 0; n < count; n++)
        memcpy(to + n * width, from + (ptrdiff_t)n * step * (ptrdiff_t)width, width);
}

/* Fills `to`, shaped `shape`, from `from` + start, walking each dimension by `steps` (elements of the source). */
void op_move(const operand *to, const operand *from, const onnx_shape *shape, ptrdiff_t start, const ptrdiff_t steps[ONNX_MAX_RANK]);

#endif
