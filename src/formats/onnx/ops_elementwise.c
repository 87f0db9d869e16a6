/* ops_elementwise: operators that make each element of its like: unary, binary, comparisons, Where, Cast.
 * Formats layer; see op.h. */
#include <math.h>
#include <string.h>

#include "formats/onnx/op.h"

segrt_status op_infer_same(op *o)
{
    for (int32_t slot = 0; slot < o->out_count; slot++)
        op_output(o, slot, o->in[0]->type, &o->in[0]->shape);
    return SEGRT_OK;
}

segrt_status op_infer_unary(op *o)
{
    const char *name = o->node->op;
    const bool makes_bool = !strcmp(name, "IsNaN") || !strcmp(name, "Not") || !strcmp(name, "IsInf");
    op_output(o, 0, makes_bool ? ONNX_BOOL : o->in[0]->type, &o->in[0]->shape);
    return SEGRT_OK;
}

segrt_status op_infer_dropout(op *o)
{
    const operand *training = op_in(o, 2);
    if (onnx_attribute_int(o->node, "training_mode", 0) || (training && (!training->i || training->count != 1 || training->i[0])))
        return op_fail(o, SEGRT_UNSUPPORTED, "runs in training mode");
    op_output(o, 0, o->in[0]->type, &o->in[0]->shape);
    if (o->out_count > 1 && o->wanted[1])
        return op_fail(o, SEGRT_UNSUPPORTED, "its mask is wanted");
    return SEGRT_OK;
}

/* One row a function of one float (and of an integer, where it has one). */
static float neg(float x) { return -x; }
static float reciprocal(float x) { return 1.0f / x; }
static float relu(float x) { return x > 0 || isnan(x) ? x : 0; }
static float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
static float is_nan(float x) { return isnan(x) ? 1.0f : 0.0f; }
static float sign(float x) { return (float)((x > 0) - (x < 0)); }
static int64_t int_neg(int64_t x) { return (int64_t)(0 - (uint64_t)x); }
static int64_t int_abs(int64_t x) { return x < 0 ? int_neg(x) : x; }
static int64_t int_not(int64_t x) { return !x; }
static int64_t int_relu(int64_t x) { return x > 0 ? x : 0; }
static int64_t int_same(int64_t x) { return x; }
static int64_t int_sign(int64_t x) { return (x > 0) - (x < 0); }

static const struct unary_row {
    const char *name;
    float (*f)(float);
    int64_t (*i)(int64_t);
} unary_rows[] = {
    {"Neg", neg, int_neg},       {"Abs", fabsf, int_abs},   {"Sqrt", sqrtf, NULL},     {"Exp", expf, NULL},     {"Log", logf, NULL},
    {"Erf", erff, NULL},         {"Floor", floorf, NULL},   {"Ceil", ceilf, NULL},     {"Round", rintf, NULL},  {"Reciprocal", reciprocal, NULL},
    {"Relu", relu, int_relu},    {"Tanh", tanhf, NULL},     {"Sigmoid", sigmoid, NULL}, {"IsNaN", is_nan, NULL}, {"Not", NULL, int_not},
    {"Sign", sign, int_sign},    {"BitwiseNot", NULL, NULL}, {"Identity", NULL, int_same}, {"Sin", sinf, NULL},  {"Cos", cosf, NULL},
};

/* Elementwise work is spread in pieces of this many elements. */
enum { PIECE = 16384 };

typedef struct unary_job {
    const struct unary_row *row;
    const operand *in;
    operand *out;
} unary_job;

static void unary_piece(void *context, int worker, int piece)
{
    (void)worker;
    const unary_job *job = context;
    const size_t first = (size_t)piece * PIECE, end = first + PIECE < job->out->count ? first + PIECE : job->out->count;
    if (job->in->f && job->out->f)
        for (size_t i = first; i < end; i++)
            job->out->f[i] = job->row->f(job->in->f[i]);
    else if (job->in->f)
        for (size_t i = first; i < end; i++)
            job->out->i[i] = job->row->f(job->in->f[i]) != 0;
    else
        for (size_t i = first; i < end; i++)
            job->out->i[i] = job->row->i(job->in->i[i]);
}

segrt_status op_run_unary(op *o)
{
    unary_job job = {.in = o->in[0], .out = o->out[0]};
    for (size_t i = 0; i < sizeof unary_rows / sizeof *unary_rows; i++)
        if (!strcmp(unary_rows[i].name, o->node->op))
            job.row = &unary_rows[i];
    if (!job.row || !(job.in->f ? (const void *)(uintptr_t)job.row->f : (const void *)(uintptr_t)job.row->i) || (job.out->f && !job.in->f))
        return op_fail(o, SEGRT_UNSUPPORTED, "is not computed for %s", onnx_type_text(o->in[0]->type));
    if (job.out->count > (size_t)PIECE * INT32_MAX)
        return op_fail(o, SEGRT_UNSUPPORTED, "has too many elements");
    pool_run(o->pool, (int)((job.out->count + PIECE - 1) / PIECE), unary_piece, &job);
    return SEGRT_OK;
}

/* --- binary ---------------------------------------------------------------------------------------- */

segrt_status op_infer_binary(op *o)
{
    onnx_shape shape;
    segrt_status status = op_broadcast(o, &o->in[0]->shape, &o->in[1]->shape, &shape);
    if (!status)
        op_output(o, 0, o->in[0]->type, &shape);
    return status;
}

segrt_status op_infer_compare(op *o)
{
    onnx_shape shape;
    segrt_status status = op_broadcast(o, &o->in[0]->shape, &o->in[1]->shape, &shape);
    if (!status)
        op_output(o, 0, ONNX_BOOL, &shape);
    return status;
}

typedef struct binary_job {
    const float *a, *b;
    float *y;
    const int64_t *ia, *ib;
    int64_t *iy;
    bool bad; /* a division by zero */
} binary_job;

/* Three loops, so that each has steps that the compiler knows. */
#define LOOPS(A, B, Y, expression)                                            \
    if (step[0] && step[1])                                                   \
        for (size_t n = 0; n < count; n++)                                    \
            expression(A[n], B[n], Y[n]);                                     \
    else if (step[0])                                                         \
        for (size_t n = 0; n < count; n++)                                    \
            expression(A[n], B[0], Y[n]);                                     \
    else if (step[1])                                                         \
        for (size_t n = 0; n < count; n++)                                    \
            expression(A[0], B[n], Y[n]);                                     \
    else                                                                      \
        for (size_t n = 0; n < count; n++)                                    \
            expression(A[0], B[0], Y[n])

#define BINARY(name, on_float, on_int)                                                                                                    \
    static void name##_row(void *context, size_t count, size_t to, const size_t from[WALK_INPUTS], const size_t step[WALK_INPUTS])        \
    {                                                                                                                                     \
        binary_job *job = context;                                                                                                        \
        if (job->a) {                                                                                                                     \
            const float *a = job->a + from[0], *b = job->b + from[1];                                                                     \
            float *y = job->y + to;                                                                                                       \
            LOOPS(a, b, y, on_float);                                                                                                     \
        } else {                                                                                                                          \
            const int64_t *a = job->ia + from[0], *b = job->ib + from[1];                                                                 \
            int64_t *y = job->iy + to;                                                                                                    \
            LOOPS(a, b, y, on_int);                                                                                                       \
        }                                                                                                                                 \
    }

/* Integers wrap, as they do in every runtime; division truncates, and refuses zero. */
static int64_t int_divide(int64_t a, int64_t b, bool *bad)
{
    *bad = *bad || b == 0;
    return b == 0 ? 0 : b == -1 ? int_neg(a) : a / b;
}

static int64_t int_modulo(int64_t a, int64_t b, bool *bad)
{
    *bad = *bad || b == 0;
    if (b == 0 || b == -1)
        return 0;
    const int64_t rest = a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest; /* Python's: the divisor's sign */
}

static int64_t int_power(int64_t a, int64_t b)
{
    if (b < 0)
        return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
    uint64_t result = 1, base = (uint64_t)a;
    for (uint64_t n = (uint64_t)b; n; n >>= 1, base *= base)
        if (n & 1)
            result *= base;
    return (int64_t)result;
}

#define ADD(a, b, y) (y) = (a) + (b)
#define INT_ADD(a, b, y) (y) = (int64_t)((uint64_t)(a) + (uint64_t)(b))
#define SUB(a, b, y) (y) = (a) - (b)
#define INT_SUB(a, b, y) (y) = (int64_t)((uint64_t)(a) - (uint64_t)(b))
#define MUL(a, b, y) (y) = (a) * (b)
#define INT_MUL(a, b, y) (y) = (int64_t)((uint64_t)(a) * (uint64_t)(b))
#define DIV(a, b, y) (y) = (a) / (b)
#define INT_DIV(a, b, y) (y) = int_divide((a), (b), &job->bad)
#define POW(a, b, y) (y) = (b) == 2.0f ? (a) * (a) : powf((a), (b))
#define INT_POW(a, b, y) (y) = int_power((a), (b))
#define MOD(a, b, y) (y) = fmodf((a), (b))
#define INT_MOD(a, b, y) (y) = int_modulo((a), (b), &job->bad)
#define SMALLER(a, b, y) (y) = (a) < (b) || (a) != (a) ? (a) : (b) /* NaN passes through */
#define LARGER(a, b, y) (y) = (a) > (b) || (a) != (a) ? (a) : (b)
#define AND(a, b, y) (y) = (a) && (b)
#define OR(a, b, y) (y) = (a) || (b)
#define XOR(a, b, y) (y) = !(a) != !(b)
BINARY(add, ADD, INT_ADD)
BINARY(sub, SUB, INT_SUB)
BINARY(mul, MUL, INT_MUL)
BINARY(div, DIV, INT_DIV)
BINARY(pow, POW, INT_POW)
BINARY(mod, MOD, INT_MOD)
BINARY(min, SMALLER, SMALLER)
BINARY(max, LARGER, LARGER)
BINARY(and, AND, AND)
BINARY(or, OR, OR)
BINARY(xor, XOR, XOR)

#define COMPARE(name, operator)                                                                                                           \
    static void name##_row(void *context, size_t count, size_t to, const size_t from[WALK_INPUTS], const size_t step[WALK_INPUTS])        \
    {                                                                                                                                     \
        const binary_job *job = context;                                                                                                  \
        for (size_t n = 0; n < count; n++)                                                                                                \
            job->iy[to + n] = job->a ? job->a[from[0] + n * step[0]] operator job->b[from[1] + n * step[1]]                               \
                                     : job->ia[from[0] + n * step[0]] operator job->ib[from[1] + n * step[1]];                            \
    }
COMPARE(equal, ==)
COMPARE(less, <)
COMPARE(greater, >)
COMPARE(less_equal, <=)
COMPARE(greater_equal, >=)

static const struct binary_row {
    const char *name;
    walk_fn *row;
} binary_rows[] = {
    {"Add", add_row},         {"Sub", sub_row},         {"Mul", mul_row}, {"Div", div_row}, {"Pow", pow_row}, {"Mod", mod_row}, {"Min", min_row},
    {"Max", max_row},         {"And", and_row},         {"Or", or_row},   {"Xor", xor_row}, {"Sum", add_row}, {"Equal", equal_row}, {"Less", less_row},
    {"Greater", greater_row}, {"LessOrEqual", less_equal_row}, {"GreaterOrEqual", greater_equal_row},
};

static walk_fn *binary_row_of(const char *name)
{
    for (size_t i = 0; i < sizeof binary_rows / sizeof *binary_rows; i++)
        if (!strcmp(binary_rows[i].name, name))
            return binary_rows[i].row;
    return NULL;
}

static segrt_status combine(op *o, const operand *a, const operand *b, operand *y)
{
    walk_fn *row = binary_row_of(o->node->op);
    /* Pow may have a float base and an integer exponent, or the reverse. */
    binary_job job = {.a = a->f, .b = b->f, .y = y->f, .ia = a->i, .ib = b->i, .iy = y->i};
    float *converted = NULL;
    const operand *odd = a->f && !b->f ? b : !a->f && b->f ? a : NULL;
    if (odd && a->f) {
        converted = op_scratch(o, odd->count);
        if (!converted)
            return o->error->status;
        for (size_t n = 0; n < odd->count; n++)
            converted[n] = (float)odd->i[n];
        job.b = converted;
    } else if (odd)
        return op_fail(o, SEGRT_UNSUPPORTED, "an integer to the power of a float");
    if (!strcmp(o->node->op, "Mod") && a->f && !onnx_attribute_int(o->node, "fmod", 0))
        return op_fail(o, SEGRT_MALFORMED, "of floats needs fmod=1");
    const onnx_shape *shapes[WALK_INPUTS] = {&a->shape, &b->shape};
    op_walk(&y->shape, 2, shapes, row, &job);
    op_scratch_free(o, converted);
    return job.bad ? op_fail(o, SEGRT_MALFORMED, "divides an integer by zero") : SEGRT_OK;
}

segrt_status op_run_binary(op *o) { return combine(o, o->in[0], o->in[1], o->out[0]); }
segrt_status op_run_compare(op *o) { return combine(o, o->in[0], o->in[1], o->out[0]); }

/* Min, Max, Sum of any number of inputs: folded from the left. */
segrt_status op_infer_variadic(op *o)
{
    onnx_shape shape = o->in[0]->shape;
    segrt_status status = SEGRT_OK;
    for (int32_t slot = 1; slot < o->in_count && !status; slot++)
        status = op_broadcast(o, &shape, &o->in[slot]->shape, &shape);
    if (!status)
        op_output(o, 0, o->in[0]->type, &shape);
    return status;
}

static void copy_row(void *context, size_t count, size_t to, const size_t from[WALK_INPUTS], const size_t step[WALK_INPUTS])
{
    const binary_job *job = context;
    for (size_t n = 0; n < count; n++)
        if (job->a)
            job->y[to + n] = job->a[from[0] + n * step[0]];
        else
            job->iy[to + n] = job->ia[from[0] + n * step[0]];
}

segrt_status op_run_variadic(op *o)
{
    binary_job first = {.a = o->in[0]->f, .ia = o->in[0]->i, .y = o->out[0]->f, .iy = o->out[0]->i};
    const onnx_shape *shapes[WALK_INPUTS] = {&o->in[0]->shape};
    op_walk(&o->out[0]->shape, 1, shapes, copy_row, &first);
    segrt_status status = SEGRT_OK;
    for (int32_t slot = 1; slot < o->in_count && !status; slot++)
        status = combine(o, o->out[0], o->in[slot], o->out[0]);
    return status;
}

/* --- Where, Clip, Cast ------------------------------------------------------------------------------- */

segrt_status op_infer_where(op *o)
{
    onnx_shape shape;
    segrt_status status = op_broadcast(o, &o->in[1]->shape, &o->in[2]->shape, &shape);
    if (!status)
        status = op_broadcast(o, &o->in[0]->shape, &shape, &shape);
    if (!status)
        op_output(o, 0, o->in[1]->type, &shape);
    return status;
}

typedef struct where_job {
    const operand *test, *yes, *no;
    operand *out;
} where_job;

static void where_row(void *context, size_t count, size_t to, const size_t from[WALK_INPUTS], const size_t step[WALK_INPUTS])
{
    const where_job *job = context;
    for (size_t n = 0; n < count; n++) {
        const bool yes = job->test->i[from[0] + n * step[0]] != 0;
        const size_t at = yes ? from[1] + n * step[1] : from[2] + n * step[2];
        if (job->out->f)
            job->out->f[to + n] = (yes ? job->yes : job->no)->f[at];
        else
            job->out->i[to + n] = (yes ? job->yes : job->no)->i[at];
    }
}

segrt_status op_run_where(op *o)
{
    where_job job = {o->in[0], o->in[1], o->in[2], o->out[0]};
    const onnx_shape *shapes[WALK_INPUTS] = {&o->in[0]->shape, &o->in[1]->shape, &o->in[2]->shape};
    op_walk(&o->out[0]->shape, 3, shapes, where_row, &job);
    return SEGRT_OK;
}

segrt_status op_infer_clip(op *o) { return op_infer_same(o); }

segrt_status op_run_clip(op *o)
{
    const operand *x = o->in[0], *low = op_in(o, 1), *high = op_in(o, 2);
    if ((low && low->count != 1) || (high && high->count != 1))
        return op_fail(o, SEGRT_MALFORMED, "its bounds are not single numbers");
    for (size_t n = 0; n < x->count && x->f; n++) {
        const float least = low ? low->f[0] : onnx_attribute_float(o->node, "min", -INFINITY), most = high ? high->f[0] : onnx_attribute_float(o->node, "max", INFINITY);
        const float raised = x->f[n] < least ? least : x->f[n];
        o->out[0]->f[n] = raised > most ? most : raised;
    }
    for (size_t n = 0; n < x->count && x->i; n++) {
        const int64_t raised = low && x->i[n] < low->i[0] ? low->i[0] : x->i[n];
        o->out[0]->i[n] = high && raised > high->i[0] ? high->i[0] : raised;
    }
    return SEGRT_OK;
}

static segrt_status infer_cast_to(op *o, int64_t to)
{
    if (to <= 0 || to > ONNX_BFLOAT16 || !onnx_type_bytes((onnx_type)to))
        return op_fail(o, SEGRT_UNSUPPORTED, "to the type %lld", (long long)to);
    op_output(o, 0, (onnx_type)to, &o->in[0]->shape);
    return SEGRT_OK;
}

segrt_status op_infer_cast(op *o) { return infer_cast_to(o, onnx_attribute_int(o->node, "to", 0)); }
segrt_status op_infer_cast_like(op *o) { return o->in[1]->type ? infer_cast_to(o, o->in[1]->type) : op_infer_same(o); }

/* Integers keep the low bits of the narrower type, as C does. */
static int64_t narrow(int64_t v, onnx_type type)
{
    switch (type) {
    case ONNX_BOOL: return v != 0;
    case ONNX_UINT8: return (uint8_t)v;
    case ONNX_INT8: return (int8_t)v;
    case ONNX_UINT16: return (uint16_t)v;
    case ONNX_INT16: return (int16_t)v;
    case ONNX_UINT32: return (uint32_t)v;
    case ONNX_INT32: return (int32_t)v;
    default: return v;
    }
}

static int64_t to_integer(float v, onnx_type type)
{
    if (type == ONNX_BOOL)
        return v != 0;
    if (!(v > -0x1p63f))
        return INT64_MIN;
    return narrow(v >= 0x1p63f ? INT64_MAX : (int64_t)v, type);
}

segrt_status op_run_cast(op *o)
{
    const operand *x = o->in[0];
    operand *y = o->out[0];
    for (size_t n = 0; n < y->count; n++)
        if (y->f)
            y->f[n] = x->f ? x->f[n] : (float)x->i[n];
        else
            y->i[n] = x->f ? to_integer(x->f[n], y->type) : x->i[n] == OP_UNKNOWN ? OP_UNKNOWN : narrow(x->i[n], y->type);
    return SEGRT_OK;
}
