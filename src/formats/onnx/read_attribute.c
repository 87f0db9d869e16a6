/* read_attribute: an AttributeProto to an onnx_attribute.  Formats layer, part of the ONNX reader. */
#include <string.h>

#include "formats/onnx/store.h"
#include "formats/onnx/wire.h"

enum { NAME = 1, F = 2, I = 3, S = 4, T = 5, G = 6, FLOATS = 7, INTS = 8, STRINGS = 9, TYPE = 20, REFERENCE = 21 };

static const struct kind_row {
    uint8_t field;
    const char *text;
} kinds[] = {
    [ONNX_ATTRIBUTE_FLOAT] = {F, "a float"},   [ONNX_ATTRIBUTE_INT] = {I, "an integer"},        [ONNX_ATTRIBUTE_STRING] = {S, "a string"},
    [ONNX_ATTRIBUTE_TENSOR] = {T, "a tensor"}, [ONNX_ATTRIBUTE_GRAPH] = {G, "a graph"},         [ONNX_ATTRIBUTE_FLOATS] = {FLOATS, "floats"},
    [ONNX_ATTRIBUTE_INTS] = {INTS, "integers"}, [ONNX_ATTRIBUTE_STRINGS] = {STRINGS, "strings"},
};

/* The kinds of the attributes that are read anywhere: a name has one kind in all operators that we run, so a
 * getter never meets another.  (Not here: those of Constant, whose kind its reader looks at.) */
static const struct expected_row {
    const char *name;
    onnx_attribute_kind kind;
} expected[] = {
    {"allowzero", ONNX_ATTRIBUTE_INT},        {"alpha", ONNX_ATTRIBUTE_FLOAT},
    {"antialias", ONNX_ATTRIBUTE_INT},        {"approximate", ONNX_ATTRIBUTE_STRING},
    {"auto_pad", ONNX_ATTRIBUTE_STRING},      {"axis", ONNX_ATTRIBUTE_INT},
    {"batch_dims", ONNX_ATTRIBUTE_INT},       {"beta", ONNX_ATTRIBUTE_FLOAT},
    {"ceil_mode", ONNX_ATTRIBUTE_INT},        {"coordinate_transformation_mode", ONNX_ATTRIBUTE_STRING},
    {"count_include_pad", ONNX_ATTRIBUTE_INT}, {"cubic_coeff_a", ONNX_ATTRIBUTE_FLOAT},
    {"dilations", ONNX_ATTRIBUTE_INTS},       {"do_rotary", ONNX_ATTRIBUTE_INT},
    {"else_branch", ONNX_ATTRIBUTE_GRAPH},    {"end", ONNX_ATTRIBUTE_INT},
    {"ends", ONNX_ATTRIBUTE_INTS},            {"epsilon", ONNX_ATTRIBUTE_FLOAT},
    {"equation", ONNX_ATTRIBUTE_STRING},      {"exclude_outside", ONNX_ATTRIBUTE_INT},
    {"extrapolation_value", ONNX_ATTRIBUTE_FLOAT}, {"fmod", ONNX_ATTRIBUTE_INT},
    {"group", ONNX_ATTRIBUTE_INT},            {"is_causal", ONNX_ATTRIBUTE_INT},
    {"scale", ONNX_ATTRIBUTE_FLOAT},          {"mode", ONNX_ATTRIBUTE_STRING},
    {"keep_aspect_ratio_policy", ONNX_ATTRIBUTE_STRING}, {"keepdims", ONNX_ATTRIBUTE_INT},
    {"kernel_shape", ONNX_ATTRIBUTE_INTS},    {"kv_num_heads", ONNX_ATTRIBUTE_INT},
    {"mask_filter_value", ONNX_ATTRIBUTE_FLOAT}, {"max", ONNX_ATTRIBUTE_FLOAT},
    {"min", ONNX_ATTRIBUTE_FLOAT},            {"momentum", ONNX_ATTRIBUTE_FLOAT},
    {"nearest_mode", ONNX_ATTRIBUTE_STRING},  {"noop_with_empty_axes", ONNX_ATTRIBUTE_INT},
    {"num_heads", ONNX_ATTRIBUTE_INT},        {"num_outputs", ONNX_ATTRIBUTE_INT},
    {"pads", ONNX_ATTRIBUTE_INTS},            {"perm", ONNX_ATTRIBUTE_INTS},
    {"q_num_heads", ONNX_ATTRIBUTE_INT},      {"qk_matmul_output_mode", ONNX_ATTRIBUTE_INT},
    {"qkv_hidden_sizes", ONNX_ATTRIBUTE_INTS}, {"reduction", ONNX_ATTRIBUTE_STRING},
    {"select_last_index", ONNX_ATTRIBUTE_INT}, {"softcap", ONNX_ATTRIBUTE_FLOAT},
    {"sorted", ONNX_ATTRIBUTE_INT},           {"spatial", ONNX_ATTRIBUTE_INT},
    {"starts", ONNX_ATTRIBUTE_INTS},          {"start", ONNX_ATTRIBUTE_INT},
    {"stash_type", ONNX_ATTRIBUTE_INT},       {"steps", ONNX_ATTRIBUTE_INTS},
    {"strides", ONNX_ATTRIBUTE_INTS},         {"then_branch", ONNX_ATTRIBUTE_GRAPH},
    {"to", ONNX_ATTRIBUTE_INT},               {"training_mode", ONNX_ATTRIBUTE_INT},
    {"transA", ONNX_ATTRIBUTE_INT},           {"transB", ONNX_ATTRIBUTE_INT},
    {"transBatchA", ONNX_ATTRIBUTE_INT},      {"transBatchB", ONNX_ATTRIBUTE_INT},
    {"unidirectional", ONNX_ATTRIBUTE_INT},   {"axes", ONNX_ATTRIBUTE_INTS},
    {"activation", ONNX_ATTRIBUTE_STRING},    {"activation_params", ONNX_ATTRIBUTE_FLOATS},
    {"largest", ONNX_ATTRIBUTE_INT},          {"split", ONNX_ATTRIBUTE_INTS},
    {"is_test", ONNX_ATTRIBUTE_INT},          {"scales", ONNX_ATTRIBUTE_FLOATS},
};

typedef struct draft {
    bytes name, reference, text, tensor, graph;
    bool has[STRINGS + 1];
    uint64_t type;
    float f;
    int64_t i;
    size_t counts[STRINGS + 1];
} draft;

static float float_of(uint64_t bits)
{
    const uint32_t narrow = (uint32_t)bits;
    float value;
    memcpy(&value, &narrow, sizeof value);
    return value;
}

static segrt_status read_fields(wire *w, draft *d)
{
    for (wire_field f; wire_next(w, &f);) {
        if (f.number >= F && f.number <= STRINGS)
            d->has[f.number] = true;
        switch (f.number) {
        case F:
            if (wire_is(w, &f, WIRE_FIXED32))
                d->f = float_of(f.value);
            break;
        case I:
            if (wire_is(w, &f, WIRE_VARINT))
                d->i = (int64_t)f.value;
            break;
        case FLOATS: d->counts[FLOATS] += wire_numbers(w, &f, WIRE_FIXED32); break;
        case INTS: d->counts[INTS] += wire_numbers(w, &f, WIRE_VARINT); break;
        case STRINGS: d->counts[STRINGS]++; break;
        case TYPE:
            if (wire_is(w, &f, WIRE_VARINT))
                d->type = f.value;
            break;
        case NAME:
        case REFERENCE:
        case S:
        case T:
        case G:
            if (wire_is(w, &f, WIRE_BYTES))
                *(f.number == NAME        ? &d->name
                  : f.number == REFERENCE ? &d->reference
                  : f.number == S         ? &d->text
                  : f.number == T         ? &d->tensor
                                          : &d->graph) = f.part;
            break;
        default: break;
        }
    }
    return wire_status(w);
}

/* Decodes the numbers of a repeated field into memory of the graph. */
static segrt_status read_list(onnx_store *s, bytes message, const draft *d, onnx_attribute *out, segrt_error *error)
{
    const bool is_ints = out->kind == ONNX_ATTRIBUTE_INTS;
    const uint32_t field = is_ints ? INTS : FLOATS;
    const wire_type type = is_ints ? WIRE_VARINT : WIRE_FIXED32;
    int64_t *ints = NULL;
    float *floats = NULL;
    out->count = d->counts[field];
    if (is_ints)
        out->ints = ints = store_get(s, out->count, sizeof *ints, "attributes", error);
    else
        out->floats = floats = store_get(s, out->count, sizeof *floats, "attributes", error);
    if (!ints && !floats)
        return error->status;
    wire w = wire_of(message, s->base, "AttributeProto", error);
    size_t filled = 0;
    for (wire_field f; wire_next(&w, &f);) {
        if (f.number != field)
            continue;
        const size_t count = wire_numbers(&w, &f, type);
        bytes at = wire_first(&f);
        for (size_t i = 0; i < count; i++, filled++) {
            const uint64_t value = wire_number(&at, &f, type);
            if (is_ints)
                ints[filled] = (int64_t)value;
            else
                floats[filled] = float_of(value);
        }
        if (!bytes_ok(&at))
            return fail_at(error, SEGRT_MALFORMED, wire_offset(&w, f.at), "AttributeProto: a number of more than 64 bits");
    }
    return wire_status(&w);
}

static segrt_status read_text(onnx_store *s, bytes text, const char **out, segrt_error *error)
{
    if (text.size && memchr(text.begin, 0, text.size))
        return fail_at(error, SEGRT_UNSUPPORTED, store_offset(s, text.begin), "an attribute holds binary data");
    char *copy = store_get(s, text.size + 1, 1, "attributes", error);
    if (!copy)
        return error->status;
    if (text.size)
        memcpy(copy, text.begin, text.size);
    *out = copy;
    return SEGRT_OK;
}

/* `@name`: the attribute of the call, or the function's default for it. */
static segrt_status refer(onnx_store *s, const onnx_scope *scope, const draft *d, onnx_attribute *out, bool *absent, segrt_error *error)
{
    while (scope->outer)
        scope = scope->outer; /* a branch inside a function's body refers to the function's attributes */
    const onnx_attribute *lists[2] = {scope->call ? scope->call->attributes : NULL, scope->defaults};
    const int32_t counts[2] = {scope->call ? scope->call->attribute_count : 0, scope->default_count};
    for (int list = 0; list < 2; list++)
        for (int32_t a = 0; a < counts[list]; a++) {
            const onnx_attribute *given = &lists[list][a];
            if (strlen(given->name) == d->reference.size && !memcmp(given->name, d->reference.begin, d->reference.size)) {
                const char *name = out->name;
                *out = *given;
                out->name = name;
                return SEGRT_OK;
            }
        }
    if (!scope->call)
        return fail_at(error, SEGRT_MALFORMED, store_offset(s, d->reference.begin), "attribute '%.80s' refers to a function's, outside of a function", out->name);
    *absent = true;
    return SEGRT_OK;
}

segrt_status onnx_check_attribute(const onnx_attribute *a, segrt_error *error)
{
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (!strcmp(a->name, expected[i].name) && a->kind != expected[i].kind)
            return fail_at(error, SEGRT_MALFORMED, a->offset, "attribute '%s' is %s, not %s", a->name, kinds[a->kind].text, kinds[expected[i].kind].text);
    return SEGRT_OK;
}

segrt_status onnx_read_attribute(onnx_store *s, const onnx_scope *scope, bytes message, onnx_attribute *out, bool *absent, segrt_error *error)
{
    draft d = {0};
    *absent = false;
    *out = (onnx_attribute){.offset = store_offset(s, message.begin)};
    wire w = wire_of(message, s->base, "AttributeProto", error);
    segrt_status status = read_fields(&w, &d);
    if (!status)
        status = store_text(s, NULL, d.name, &out->name, error);
    if (status)
        return status;
    if (d.reference.size) {
        status = refer(s, scope, &d, out, absent, error);
        return status;
    }
    if (!d.type) /* IR versions 1 and 2 leave it out: the field that is there says it */
        for (size_t kind = 1; kind < sizeof kinds / sizeof *kinds && !d.type; kind++)
            d.type = d.has[kinds[kind].field] ? kind : 0;
    if (d.type == 0 || d.type >= sizeof kinds / sizeof *kinds)
        return fail_at(error, SEGRT_UNSUPPORTED, out->offset, "attribute '%.80s' is of kind %llu (sparse tensors, types and lists of tensors are not read)",
                       out->name, (unsigned long long)d.type);
    out->kind = (onnx_attribute_kind)d.type;
    out->f = d.f;
    out->i = d.i;
    switch (out->kind) {
    case ONNX_ATTRIBUTE_STRING: status = read_text(s, d.text, &out->text, error); break;
    case ONNX_ATTRIBUTE_TENSOR: {
        bytes name = {0};
        onnx_tensor *tensor = d.has[T] ? store_get(s, 1, sizeof *tensor, "attributes", error) : NULL;
        if (!d.has[T])
            return fail_at(error, SEGRT_MALFORMED, out->offset, "attribute '%.80s' lacks its tensor", out->name);
        status = tensor ? onnx_read_tensor(s, d.tensor, tensor, &name, error) : error->status;
        out->tensor = tensor;
        break;
    }
    case ONNX_ATTRIBUTE_GRAPH: {
        struct onnx_subgraph *graph = store_get(s, 1, sizeof *graph, "attributes", error);
        if (!graph)
            return error->status;
        *graph = (struct onnx_subgraph){d.graph, scope};
        out->graph = graph;
        break;
    }
    case ONNX_ATTRIBUTE_FLOATS:
    case ONNX_ATTRIBUTE_INTS: status = read_list(s, message, &d, out, error); break;
    case ONNX_ATTRIBUTE_STRINGS: out->count = d.counts[STRINGS]; break;
    default: break;
    }
    return status;
}
