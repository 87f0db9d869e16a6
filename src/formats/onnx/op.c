/* op: see op.h. */
#include "formats/onnx/op.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct op_buffer {
    size_t bytes;
    int32_t refs;
    _Alignas(MEMORY_ALIGNMENT) unsigned char data[];
};

segrt_status op_fail(op *o, segrt_status status, const char *format, ...)
{
    char node[ONNX_TEXT_ROOM], why[320];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    return fail_at(o->error, status, o->node->offset, "%s: %s", onnx_node_text(o->graph, o->node, node), why);
}

segrt_status op_work(op *o, uint64_t amount)
{
    if (amount > o->memory->work_limit - o->memory->work)
        return op_fail(o, SEGRT_UNSUPPORTED, "the graph computes more than %.0e elements", (double)o->memory->work_limit);
    o->memory->work += amount;
    return SEGRT_OK;
}

static op_buffer *buffer_get(op *o, size_t bytes)
{
    op_memory *m = o->memory;
    if (bytes > m->limit - m->held) {
        op_fail(o, SEGRT_UNSUPPORTED, "%zu bytes more than the %zu that the graph's tensors may take", bytes - (m->limit - m->held), m->limit);
        return NULL;
    }
    op_buffer *b = memory_get(sizeof *b + bytes);
    if (!b) {
        fail_memory(o->error, bytes, "a tensor");
        return NULL;
    }
    b->bytes = bytes;
    b->refs = 1;
    m->held += bytes;
    m->peak = m->held > m->peak ? m->held : m->peak;
    return b;
}

static void buffer_drop(op_memory *m, op_buffer *b)
{
    if (!b || --b->refs)
        return;
    m->held -= b->bytes;
    memory_free(b);
}

segrt_status op_allocate(op *o, operand *t)
{
    if (!shape_count(&t->shape, &t->count))
        return op_fail(o, SEGRT_MALFORMED, "its result's dimensions multiply to more than memory holds");
    t->buffer = buffer_get(o, t->count * (onnx_type_is_float(t->type) ? sizeof *t->f : sizeof *t->i));
    if (!t->buffer)
        return o->error->status;
    if (onnx_type_is_float(t->type))
        t->f = (float *)(void *)t->buffer->data;
    else
        t->i = (int64_t *)(void *)t->buffer->data;
    return SEGRT_OK;
}

/* Scratch is a buffer whose header is found again from its data. */
float *op_scratch(op *o, size_t floats)
{
    op_buffer *b = floats > SIZE_MAX / 8 ? NULL : buffer_get(o, floats * sizeof(float));
    if (!b && floats > SIZE_MAX / 8)
        op_fail(o, SEGRT_UNSUPPORTED, "its workspace leaves the address space");
    return b ? (float *)(void *)b->data : NULL;
}

void op_scratch_free(op *o, float *memory)
{
    if (memory)
        buffer_drop(o->memory, (op_buffer *)(void *)((unsigned char *)memory - offsetof(op_buffer, data)));
}

segrt_status op_constant(op *o, const onnx_tensor *from, operand *to)
{
    *to = (operand){.type = from->type, .shape = from->shape, .count = from->count};
    const uintptr_t at = (uintptr_t)from->data;
    if (from->type == ONNX_FLOAT && at % _Alignof(float) == 0) {
        to->f = (float *)from->data; /* never written: outputs have buffers of their own */
        return SEGRT_OK;
    }
    if (from->type == ONNX_INT64 && at % _Alignof(int64_t) == 0) {
        to->i = (int64_t *)from->data;
        return SEGRT_OK;
    }
    segrt_status status = op_allocate(o, to);
    if (status)
        return status;
    if (to->f)
        onnx_tensor_floats(from, to->f);
    else
        onnx_tensor_ints(from, to->i);
    return SEGRT_OK;
}

void operand_share(operand *to, const operand *from)
{
    to->f = from->f;
    to->i = from->i;
    to->count = from->count;
    to->buffer = from->buffer;
    if (to->buffer)
        to->buffer->refs++;
}

void operand_drop(op_memory *memory, operand *t)
{
    buffer_drop(memory, t->buffer);
    t->f = NULL;
    t->i = NULL;
    t->buffer = NULL;
}

/* --- a node against its row ------------------------------------------------------------------------ */

segrt_status op_prepare(const op_row *row, op *o)
{
    const char *letter = row->inputs;
    bool optional = false;
    int alike = -1; /* of the t inputs: are they floats? */
    if (!o->out_count)
        return op_fail(o, SEGRT_MALFORMED, "has no output");
    for (int32_t slot = 0; slot < o->in_count || (*letter && *letter != '*' && !optional); slot++) {
        if (*letter == '?') {
            optional = true;
            letter++;
        }
        const char kind = *letter == '*' ? letter[-1] : *letter;
        const operand *in = op_in(o, slot);
        if (!kind) {
            if (in)
                return op_fail(o, SEGRT_UNSUPPORTED, "has the input #%d, which this operator is not known to have in opset %d", (int)slot, (int)o->node->opset);
            continue;
        }
        if (!in && !optional && *letter != '*' && slot >= o->in_count)
            return op_fail(o, SEGRT_MALFORMED, "lacks the input #%d", (int)slot);
        if (!in && !optional)
            return op_fail(o, SEGRT_MALFORMED, "leaves out the input #%d, which it needs", (int)slot);
        if (in && in->type != ONNX_NO_TYPE) {
            const int is_float = onnx_type_is_float(in->type);
            if ((kind == 'f' && !is_float) || (kind == 'i' && is_float) || (kind == 't' && alike == !is_float))
                return op_fail(o, SEGRT_MALFORMED, "its input #%d is of type %s", (int)slot, onnx_type_text(in->type));
            if (kind == 't')
                alike = is_float;
        }
        letter += *letter != '*';
    }
    return row->infer(o);
}

segrt_status op_execute(const op_row *row, op *o)
{
    segrt_status status = SEGRT_OK;
    uint64_t elements = 0;
    bool any = false;
    for (int32_t slot = 0; slot < o->out_count; slot++)
        any = any || o->wanted[slot];
    if (!any)
        return SEGRT_OK;
    o->wanted[0] = true; /* what an operator is for is never left out */
    for (int32_t slot = 0; slot < o->in_count; slot++)
        elements += o->in[slot] ? o->in[slot]->count : 0;
    for (int32_t slot = 0; slot < o->out_count && !status; slot++) {
        operand *out = o->out[slot];
        if (!o->wanted[slot])
            continue;
        if (!shape_known(&out->shape) || out->type == ONNX_NO_TYPE)
            return op_fail(o, SEGRT_UNSUPPORTED, "the shape of its result could not be found");
        if (!shape_count(&out->shape, &out->count))
            return op_fail(o, SEGRT_MALFORMED, "its result's dimensions multiply to more than memory holds");
        elements += out->count;
    }
    status = op_work(o, elements + 1);
    if (!status && !row->run) {
        if (o->out[0]->count != o->in[0]->count)
            return op_fail(o, SEGRT_MALFORMED, "a view of %zu elements of a tensor of %zu", o->out[0]->count, o->in[0]->count);
        operand_share(o->out[0], o->in[0]);
        return SEGRT_OK;
    }
    for (int32_t slot = 0; slot < o->out_count && !status; slot++)
        if (o->wanted[slot])
            status = op_allocate(o, o->out[slot]);
    if (!status)
        status = row->run(o);
    for (int32_t slot = 0; slot < o->out_count && status; slot++)
        operand_drop(o->memory, o->out[slot]);
    return status;
}

operand *op_in(const op *o, int32_t slot) { return slot < o->in_count ? o->in[slot] : NULL; }
