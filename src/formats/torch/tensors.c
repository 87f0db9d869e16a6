/* tensors: see tensors.h. */
#include "formats/torch/tensors.h"

#include <stdio.h>
#include <string.h>

enum {
    WRAPPER_CAP = 4, /* parameters in subclasses in ... */
    SIDE_CAP = 1 << 30,
    STRIDE_CAP = 1 << 30,
};

typedef struct reader {
    checkpoint *out;
    storage_find_fn *find;
    void *container;
    const char *name; /* of the tensor under way */
    segrt_error *error;
} reader;

static segrt_status broken(const reader *r, const char *what)
{
    return fail_with(r->error, SEGRT_MALFORMED, "tensor '%s': %s", r->name, what);
}

/* ------------------------------------------------------------------------------------- PyTorch */

segrt_status storage_reference_read(storage_reference *out, const pickle_value *persistent, segrt_error *error)
{
    static const struct {
        const char *storage, *type;
    } rows[] = {
        {"FloatStorage", "F32"}, {"HalfStorage", "F16"},  {"BFloat16Storage", "BF16"}, {"DoubleStorage", "F64"}, {"LongStorage", "I64"},
        {"IntStorage", "I32"},   {"ShortStorage", "I16"}, {"CharStorage", "I8"},       {"ByteStorage", "U8"},    {"BoolStorage", "BOOL"},
    };
    *out = (storage_reference){0};
    const pickle_value *parts = persistent ? persistent->object.arguments : NULL;
    const pickle_value *type = pickle_item(parts, 1), *key = pickle_item(parts, 2), *view = pickle_item(parts, 5);
    const int64_t elements = pickle_integer_or(pickle_item(parts, 4), 0, INT64_MAX / 8, -1);
    if (!pickle_is_text(pickle_item(parts, 0), "storage") || !type || type->kind != PICKLE_GLOBAL || !key || key->kind != PICKLE_TEXT ||
        elements < 0 || key->text.size >= STORAGE_KEY_CAP || !key->text.size || memchr(key->text.data, 0, key->text.size))
        return fail_with(error, SEGRT_MALFORMED, "the pickle holds a reference that is not a storage");
    if (view && view->kind != PICKLE_NONE)
        return fail_with(error, SEGRT_UNSUPPORTED,
                         "a storage that is a view of another (PyTorch before 0.4): save the file again with a newer PyTorch");
    for (size_t i = 0; !out->type && i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(type->global.name, rows[i].storage))
            out->type = tensor_type_named(rows[i].type);
    if (!out->type)
        return fail_with(error, SEGRT_UNSUPPORTED, "a storage of type '%.64s.%.64s'", type->global.module, type->global.name);
    memcpy(out->key, key->text.data, key->text.size);
    out->elements = (uint64_t)elements;
    return SEGRT_OK;
}

static bool read_sides(const pickle_value *list, int64_t cap, int rank, int64_t *out)
{
    for (int i = 0; i < rank; i++) {
        out[i] = pickle_integer_or(pickle_item(list, (size_t)i), 0, cap, -1);
        if (out[i] < 0)
            return false;
    }
    return true;
}

/* Elements from the first to behind the last that the tensor reaches; -1: beyond 62 bits. */
static int64_t reach(const tensor *t)
{
    int64_t last = 0;
    for (int i = 0; i < t->rank; i++) {
        if (!t->shape[i])
            return 0;
        last += (t->shape[i] - 1) * t->stride[i]; /* each below 2^60, eight of them */
        if (last > (int64_t)1 << 60)
            return -1;
    }
    return last + 1;
}

/* _rebuild_tensor[_v2](storage, offset, sizes, strides, ...) */
static segrt_status read_torch(const reader *r, const pickle_value *arguments, tensor *t)
{
    const pickle_value *storage = pickle_item(arguments, 0), *sizes = pickle_item(arguments, 2), *strides = pickle_item(arguments, 3);
    const int64_t offset = pickle_integer_or(pickle_item(arguments, 1), 0, (int64_t)1 << 50, -1);
    if (!storage || storage->kind != PICKLE_PERSISTENT || !r->find)
        return broken(r, "its storage does not stand in the file");
    if (!sizes || pickle_length(sizes) > TENSOR_RANK || pickle_length(strides) != pickle_length(sizes) || offset < 0)
        return broken(r, "its sizes, strides or offset are not those of a tensor");
    t->rank = (int)pickle_length(sizes);
    if (!read_sides(sizes, SIDE_CAP, t->rank, t->shape) || !read_sides(strides, STRIDE_CAP, t->rank, t->stride))
        return broken(r, "its sizes or strides are not whole numbers");
    storage_reference reference;
    const segrt_status status = storage_reference_read(&reference, storage, r->error);
    if (status)
        return status;
    t->type = reference.type->type;
    t->type_name = reference.type->name;
    storage_bytes bytes_of_it;
    if (!r->find(r->container, reference.key, &bytes_of_it))
        return fail_with(r->error, SEGRT_MALFORMED, "tensor '%s': its storage '%s' is missing in the file", r->name, reference.key);
    const uint64_t room = bytes_of_it.size / (uint64_t)reference.type->bytes;
    if (room < reference.elements)
        return fail_at(r->error, SEGRT_MALFORMED, bytes_of_it.offset,
                       "tensor '%s': its storage '%s' has %zu bytes, %llu elements of %s were announced", r->name, reference.key,
                       bytes_of_it.size, (unsigned long long)reference.elements, reference.type->name);
    const int64_t needed = reach(t);
    if (needed < 0 || (uint64_t)needed + (uint64_t)offset > reference.elements)
        return fail_at(r->error, SEGRT_MALFORMED, bytes_of_it.offset, "tensor '%s' reaches beyond the %llu elements of its storage",
                       r->name, (unsigned long long)reference.elements);
    t->data = needed ? bytes_of_it.data + (size_t)offset * (size_t)reference.type->bytes : bytes_of_it.data;
    return SEGRT_OK;
}

/* --------------------------------------------------------------------------------------- NumPy */

/* dtype('f4', False, True) with the state (3, '<', ...). */
static const tensor_type_row *numpy_type(const pickle_value *dtype)
{
    static const struct {
        const char *code, *type;
    } rows[] = {{"f4", "F32"}, {"f2", "F16"}, {"f8", "F64"}, {"u2", "BF16"}, /* how PaddlePaddle keeps bfloat16 */
                {"i8", "I64"}, {"i4", "I32"}, {"i2", "I16"}, {"i1", "I8"},   {"u1", "U8"}, {"b1", "BOOL"}};
    if (!pickle_calls(dtype, "numpy", "dtype") || pickle_is_text(pickle_item(dtype->object.state, 1), ">"))
        return NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (pickle_is_text(pickle_item(dtype->object.arguments, 0), rows[i].code))
            return tensor_type_named(rows[i].type);
    return NULL;
}

static bool is_numpy(const pickle_value *v)
{
    return pickle_calls(v, "numpy.core.multiarray", "_reconstruct") || pickle_calls(v, "numpy._core.multiarray", "_reconstruct");
}

/* ndarray's state: (version, shape, dtype, in Fortran's order, bytes). */
static segrt_status read_numpy(const reader *r, const pickle_value *state, tensor *t)
{
    const pickle_value *shape = pickle_item(state, 1), *fortran = pickle_item(state, 3), *data = pickle_item(state, 4);
    if (!shape || pickle_length(shape) > TENSOR_RANK || !data || (data->kind != PICKLE_BYTES && data->kind != PICKLE_TEXT))
        return broken(r, "its state is not that of a NumPy array");
    const tensor_type_row *type = numpy_type(pickle_item(state, 2));
    if (!type)
        return fail_with(r->error, SEGRT_UNSUPPORTED, "tensor '%s': its NumPy type is not a little-endian number", r->name);
    t->type = type->type;
    t->type_name = type->name;
    t->rank = (int)pickle_length(shape);
    if (!read_sides(shape, SIDE_CAP, t->rank, t->shape))
        return broken(r, "its shape is not of whole numbers");
    const int64_t count = tensor_elements(t);
    if (count < 0 || (uint64_t)count != data->text.size / (uint64_t)type->bytes || data->text.size % (size_t)type->bytes)
        return fail_with(r->error, SEGRT_MALFORMED, "tensor '%s' has %zu bytes, which its shape and type %s do not make", r->name,
                         data->text.size, type->name);
    tensor_set_dense(t);
    if (fortran && fortran->kind == PICKLE_BOOL && fortran->integer) {
        int64_t stride = 1;
        for (int i = 0; i < t->rank; i++) {
            t->stride[i] = stride;
            stride *= t->shape[i];
        }
    }
    t->data = (const uint8_t *)data->text.data;
    r->out->numpy = true;
    return SEGRT_OK;
}

/* ---------------------------------------------------------------------------------- state dicts */

/* What stands around a tensor: a parameter, a subclass, PaddlePaddle's (name, array). */
static const pickle_value *unwrapped(const pickle_value *v)
{
    for (int depth = 0; depth < WRAPPER_CAP; depth++) {
        if (pickle_calls(v, "torch._utils", "_rebuild_parameter") || pickle_calls(v, "torch._utils", "_rebuild_parameter_with_state"))
            v = pickle_item(v->object.arguments, 0);
        else if (pickle_calls(v, "builtins", "tuple") || pickle_calls(v, "__builtin__", "tuple"))
            v = pickle_item(pickle_item(v->object.arguments, 0), 1);
        else
            break;
    }
    return v;
}

/* *found false: not a tensor. */
static segrt_status read_tensor(const reader *r, const pickle_value *v, tensor *t, bool *found)
{
    v = unwrapped(v);
    *found = true;
    if (pickle_calls(v, "torch._utils", "_rebuild_tensor_v2") || pickle_calls(v, "torch._utils", "_rebuild_tensor"))
        return read_torch(r, v->object.arguments, t);
    if (is_numpy(v) && v->object.state)
        return read_numpy(r, v->object.state, t);
    if (v && v->kind == PICKLE_OBJECT && v->object.callable->kind == PICKLE_GLOBAL &&
        !strncmp(v->object.callable->global.module, "torch._utils", 12))
        return fail_with(r->error, SEGRT_UNSUPPORTED, "tensor '%s' is made by %.60s.%.60s; dense tensors are read", r->name,
                         v->object.callable->global.module, v->object.callable->global.name);
    *found = false;
    return SEGRT_OK;
}

/* The dictionary of tensors: what stands under one of the usual keys, else the root itself. */
static const pickle_value *state_of(const pickle_value *root)
{
    static const char *const keys[] = {"state_dict", "model_state_dict", "model"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const pickle_value *inner = pickle_get(root, keys[i]);
        if (pickle_is_mapping(inner))
            return inner;
    }
    return root;
}

static segrt_status add_tensor(reader *r, const pickle_value *key, const pickle_value *value)
{
    if (!key || key->kind != PICKLE_TEXT || !key->text.data || !tensor_name_fits(key->text.data, key->text.size))
        return SEGRT_OK; /* no tensor of a network is called so */
    char name[TENSOR_NAME_CAP + 1];
    memcpy(name, key->text.data, key->text.size);
    name[key->text.size] = 0;
    r->name = name;
    tensor t = {0};
    bool found;
    segrt_status status = read_tensor(r, value, &t, &found);
    if (status || !found)
        return status;
    t.name = arena_copy_text(r->out->memory, name, key->text.size);
    return t.name ? checkpoint_add(r->out, &t, r->error) : fail_memory(r->error, key->text.size + 1, "a tensor's name");
}

segrt_status tensors_of_pickle(checkpoint *out, const pickle_value *root, storage_find_fn *find, void *container, segrt_error *error)
{
    reader r = {.out = out, .find = find, .container = container, .error = error};
    if (root->kind == PICKLE_OBJECT && !pickle_is_mapping(root)) {
        const pickle_value *made_by = root->object.callable;
        const bool named = made_by->kind == PICKLE_GLOBAL;
        return fail_with(error, SEGRT_UNSUPPORTED,
                         "the file holds a Python object (%.80s.%.80s), not its tensors: save model.state_dict() instead",
                         named ? made_by->global.module : "?", named ? made_by->global.name : "?");
    }
    const pickle_value *state = state_of(root);
    const size_t before = out->count;
    segrt_status status = SEGRT_OK;
    for (size_t i = 0; !status && i < pickle_pairs(state); i++) {
        const pickle_value *key, *value;
        pickle_pair(state, i, &key, &value);
        status = add_tensor(&r, key, value);
    }
    if (!status && out->count == before)
        status = fail_with(error, SEGRT_NOT_SEGFORMER, "the file holds no dictionary of tensors");
    return status;
}
