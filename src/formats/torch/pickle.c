/* pickle: the opcodes; see pickle.h. */
#include "formats/torch/pickle_machine.h"

#include <string.h>

enum { PROTOCOL_CAP = 5 };

typedef segrt_status step_fn(machine *m, uint32_t argument);

static uint64_t read_unsigned(machine *m, uint32_t width)
{
    const uint8_t *p = bytes_take(m->from, width);
    uint64_t value = 0;
    for (uint32_t i = 0; p && i < width; i++)
        value |= (uint64_t)p[i] << (8 * i);
    return value;
}

static segrt_status step_protocol(machine *m, uint32_t argument)
{
    (void)argument;
    const uint64_t protocol = read_unsigned(m, 1);
    return protocol > PROTOCOL_CAP ? machine_broken(m, "its protocol is above 5") : SEGRT_OK;
}

static segrt_status step_skip(machine *m, uint32_t width)
{
    bytes_take(m->from, width);
    return SEGRT_OK;
}

static segrt_status step_stop(machine *m, uint32_t argument)
{
    (void)argument;
    m->stopped = true;
    m->out->root = machine_pop(m);
    return m->out->root ? SEGRT_OK : machine_broken(m, "it ends without a value");
}

static segrt_status step_mark(machine *m, uint32_t argument)
{
    (void)argument;
    if (m->mark_count == VALUE_CAP)
        return machine_too_much(m, "marks");
    const segrt_status status = machine_grow(m, (void **)&m->marks, m->mark_count, &m->mark_room, sizeof *m->marks);
    if (!status)
        m->marks[m->mark_count++] = m->stack_count;
    return status;
}

static segrt_status step_pop(machine *m, uint32_t argument)
{
    (void)argument;
    return machine_pop(m) ? SEGRT_OK : machine_broken(m, "nothing to take from its stack");
}

static segrt_status step_pop_mark(machine *m, uint32_t argument)
{
    (void)argument;
    size_t first = 0, count = 0;
    return machine_take_marked(m, &first, &count);
}

static segrt_status step_duplicate(machine *m, uint32_t argument)
{
    (void)argument;
    pickle_value *v = machine_top(m);
    return v ? machine_push(m, v) : machine_broken(m, "nothing to duplicate");
}

static segrt_status step_constant(machine *m, uint32_t which) /* 0: None; 1: False; 2: True */
{
    pickle_value *v;
    const segrt_status status = machine_push_new(m, which ? PICKLE_BOOL : PICKLE_NONE, &v);
    if (!status)
        v->integer = which == 2;
    return status;
}

static segrt_status step_integer(machine *m, uint32_t width)
{
    const uint64_t bits = read_unsigned(m, width);
    pickle_value *v;
    const segrt_status status = machine_push_new(m, PICKLE_INTEGER, &v);
    if (!status)
        v->integer = width == 4 ? (int32_t)(uint32_t)bits : (int64_t)bits; /* only the four-byte form has a sign */
    return status;
}

static segrt_status step_long(machine *m, uint32_t width)
{
    const uint64_t length = read_unsigned(m, width);
    const uint8_t *p = bytes_take(m->from, length > SIZE_MAX ? SIZE_MAX : (size_t)length);
    if (!p)
        return SEGRT_OK; /* the cursor is broken, which the loop sees */
    pickle_value *v;
    const segrt_status status = machine_push_new(m, length > 8 ? PICKLE_OTHER : PICKLE_INTEGER, &v);
    if (status || length > 8)
        return status;
    uint64_t bits = length && p[length - 1] & 0x80 ? UINT64_MAX : 0; /* two's complement of `length` bytes */
    for (size_t i = (size_t)length; i-- > 0;)
        bits = bits << 8 | p[i];
    v->integer = (int64_t)bits;
    return SEGRT_OK;
}

static segrt_status step_real(machine *m, uint32_t width)
{
    const uint8_t *p = bytes_take(m->from, width);
    uint64_t bits = 0;
    for (uint32_t i = 0; p && i < width; i++)
        bits = bits << 8 | p[i]; /* the one number that stands big-endian */
    pickle_value *v;
    const segrt_status status = machine_push_new(m, PICKLE_REAL, &v);
    if (!status)
        memcpy(&v->real, &bits, sizeof v->real);
    return status;
}

static segrt_status push_span(machine *m, pickle_kind kind, uint32_t width)
{
    const uint64_t length = read_unsigned(m, width);
    const uint8_t *p = bytes_take(m->from, length > SIZE_MAX ? SIZE_MAX : (size_t)length);
    pickle_value *v;
    const segrt_status status = machine_push_new(m, kind, &v);
    if (!status && p) {
        v->text.data = (const char *)p;
        v->text.size = (size_t)length;
    }
    return status;
}

static segrt_status step_text(machine *m, uint32_t width)
{
    return push_span(m, PICKLE_TEXT, width);
}
static segrt_status step_bytes(machine *m, uint32_t width)
{
    return push_span(m, PICKLE_BYTES, width);
}

static segrt_status step_empty(machine *m, uint32_t kind)
{
    pickle_value *v;
    return machine_push_new(m, (pickle_kind)kind, &v);
}

static segrt_status step_marked(machine *m, uint32_t kind)
{
    size_t first = 0, count = 0;
    pickle_value *v;
    segrt_status status = machine_take_marked(m, &first, &count);
    if (!status)
        status = machine_make(m, (pickle_kind)kind, &v);
    if (status)
        return status;
    if (v->kind == PICKLE_DICT && count % 2)
        return machine_broken(m, "a key without a value");
    for (size_t i = 0; !status && i < count; i++)
        status = machine_add_item(m, v, m->stack[first + i]);
    return status ? status : machine_push(m, v);
}

static segrt_status step_tuple(machine *m, uint32_t count)
{
    if (!machine_holds(m, count))
        return machine_broken(m, "a tuple of more than its stack holds");
    m->stack_count -= count;
    pickle_value *const *parts = m->stack + m->stack_count;
    pickle_value *v;
    segrt_status status = machine_make(m, PICKLE_TUPLE, &v);
    for (uint32_t i = 0; !status && i < count; i++)
        status = machine_add_item(m, v, parts[i]);
    return status ? status : machine_push(m, v);
}

/* Adds stack[first .. first + count) to the container on top. */
static segrt_status add_to_top(machine *m, size_t first, size_t count, bool pairs)
{
    pickle_value *to = machine_top(m);
    const bool fits = to && (to->kind == PICKLE_OBJECT || to->kind == (pairs ? PICKLE_DICT : PICKLE_LIST));
    if (!fits || (pairs && count % 2))
        return machine_broken(m, "elements for something that is not a container");
    if (to->kind == PICKLE_OBJECT && to->count && to->pairs != pairs)
        return machine_broken(m, "an object with both elements and keys");
    to->pairs = pairs;
    segrt_status status = SEGRT_OK;
    for (size_t i = 0; !status && i < count; i++)
        status = machine_add_item(m, to, m->stack[first + i]);
    return status;
}

static segrt_status step_add_marked(machine *m, uint32_t pairs)
{
    size_t first = 0, count = 0;
    const segrt_status status = machine_take_marked(m, &first, &count);
    return status ? status : add_to_top(m, first, count, pairs);
}

static segrt_status step_add(machine *m, uint32_t pairs)
{
    const size_t count = pairs ? 2 : 1;
    if (!machine_holds(m, count))
        return machine_broken(m, "nothing to add");
    m->stack_count -= count;
    return add_to_top(m, m->stack_count, count, pairs);
}

static const char *copy_name(machine *m, const char *text, size_t size)
{
    return memchr(text, 0, size) ? NULL : arena_copy_text(m->out->memory, text, size);
}

static segrt_status push_global(machine *m, const char *module, size_t module_size, const char *name, size_t name_size)
{
    enum { GLOBAL_NAME_CAP = 200 };
    if (module_size > GLOBAL_NAME_CAP || name_size > GLOBAL_NAME_CAP || memchr(module, 0, module_size) || memchr(name, 0, name_size))
        return machine_broken(m, "a global's name is too long or holds a zero byte");
    pickle_value *v;
    const segrt_status status = machine_push_new(m, PICKLE_GLOBAL, &v);
    if (status)
        return status;
    v->global.module = copy_name(m, module, module_size);
    v->global.name = copy_name(m, name, name_size);
    return v->global.module && v->global.name ? SEGRT_OK : fail_memory(m->error, module_size + name_size, "a pickle");
}

/* Up to the next line end. */
static const char *take_line(machine *m, size_t *size)
{
    const uint8_t *begin = m->from->begin + m->from->at;
    const uint8_t *end = bytes_left(m->from) ? memchr(begin, '\n', bytes_left(m->from)) : NULL;
    *size = end ? (size_t)(end - begin) : bytes_left(m->from);
    const char *line = (const char *)bytes_take(m->from, *size + 1); /* breaks the cursor where there is no end */
    return line;
}

static segrt_status step_global(machine *m, uint32_t argument)
{
    (void)argument;
    size_t module_size, name_size;
    const char *module = take_line(m, &module_size);
    const char *name = module ? take_line(m, &name_size) : NULL;
    return name ? push_global(m, module, module_size, name, name_size) : SEGRT_OK; /* else the loop sees the broken cursor */
}

static segrt_status step_stack_global(machine *m, uint32_t argument)
{
    (void)argument;
    const pickle_value *name = machine_pop(m), *module = machine_pop(m);
    if (!name || !module || name->kind != PICKLE_TEXT || module->kind != PICKLE_TEXT || !name->text.data || !module->text.data)
        return machine_broken(m, "a global without a name");
    return push_global(m, module->text.data, module->text.size, name->text.data, name->text.size);
}

/* Python 3 writes bytes for protocol 2 as a call of _codecs.encode(text, "latin1"): the one call whose result is data. */
static segrt_status decode_latin1(machine *m, pickle_value *v, const pickle_value *text)
{
    if (text->text.size > m->decoded_left)
        return machine_too_much(m, "encoded bytes");
    m->decoded_left -= text->text.size;
    char *out = arena_get(m->out->kept, text->text.size, 1);
    if (!out)
        return fail_memory(m->error, text->text.size, "an array");
    const uint8_t *p = (const uint8_t *)text->text.data, *end = p + text->text.size;
    size_t count = 0;
    while (p < end) {
        if (*p < 0x80)
            out[count++] = (char)*p++;
        else if ((*p == 0xc2 || *p == 0xc3) && end - p >= 2 && (p[1] & 0xc0) == 0x80) {
            out[count++] = (char)((*p & 3) << 6 | (p[1] & 0x3f));
            p += 2;
        } else
            return machine_broken(m, "text that is not Latin-1");
    }
    v->kind = PICKLE_BYTES;
    v->text.data = out;
    v->text.size = count;
    return SEGRT_OK;
}

static segrt_status step_call(machine *m, uint32_t with_keywords)
{
    if (with_keywords && !machine_pop(m))
        return machine_broken(m, "a call without arguments");
    const pickle_value *arguments = machine_pop(m), *callable = machine_pop(m);
    if (!arguments || !callable)
        return machine_broken(m, "a call without arguments");
    pickle_value *v;
    const segrt_status status = machine_push_new(m, PICKLE_OBJECT, &v);
    if (status)
        return status;
    const pickle_value *text = pickle_item(arguments, 0);
    if (pickle_is_global(callable, "_codecs", "encode") && text && text->kind == PICKLE_TEXT && text->text.data &&
        pickle_is_text(pickle_item(arguments, 1), "latin1"))
        return decode_latin1(m, v, text);
    v->object.callable = callable;
    v->object.arguments = arguments;
    return SEGRT_OK;
}

static segrt_status step_build(machine *m, uint32_t argument)
{
    (void)argument;
    const pickle_value *state = machine_pop(m);
    pickle_value *v = machine_top(m);
    if (!state || !v)
        return machine_broken(m, "a state without an object");
    if (v->kind == PICKLE_OBJECT)
        v->object.state = state;
    return SEGRT_OK;
}

static segrt_status step_persistent(machine *m, uint32_t argument)
{
    (void)argument;
    const pickle_value *which = machine_pop(m);
    if (!which)
        return machine_broken(m, "a reference without a value");
    pickle_value *v;
    segrt_status status = machine_push_new(m, PICKLE_PERSISTENT, &v);
    if (status)
        return status;
    v->object.arguments = which;
    pickle *out = m->out;
    status = machine_grow(m, (void **)&out->persistent, out->persistent_count, &out->persistent_room, sizeof(pickle_value *));
    if (!status)
        out->persistent[out->persistent_count++] = v;
    return status;
}

static segrt_status step_put(machine *m, uint32_t width)
{
    return machine_put(m, read_unsigned(m, width));
}

static segrt_status step_memoize(machine *m, uint32_t argument)
{
    (void)argument;
    return machine_put(m, m->memo_next);
}

static segrt_status step_get(machine *m, uint32_t width)
{
    const uint64_t index = read_unsigned(m, width);
    pickle_value *v = machine_recall(m, index);
    return v ? machine_push(m, v) : machine_broken(m, "it recalls what it never remembered");
}

/* Protocol 2 to 5 without what needs a registry or an object of its own kind (EXT, INST, OBJ, out-of-band buffers), and without the
 * text forms of protocol 0. */
static const struct {
    step_fn *run;
    uint32_t argument;
} opcodes[256] = {
    [0x80] = {step_protocol, 0},
    [0x95] = {step_skip, 8}, /* FRAME */
    ['.'] = {step_stop, 0},
    ['('] = {step_mark, 0},
    ['0'] = {step_pop, 0},
    ['1'] = {step_pop_mark, 0},
    ['2'] = {step_duplicate, 0},
    ['N'] = {step_constant, 0},
    [0x89] = {step_constant, 1},
    [0x88] = {step_constant, 2},
    ['K'] = {step_integer, 1},
    ['M'] = {step_integer, 2},
    ['J'] = {step_integer, 4},
    [0x8a] = {step_long, 1},
    [0x8b] = {step_long, 4},
    ['G'] = {step_real, 8},
    [0x8c] = {step_text, 1},
    ['X'] = {step_text, 4},
    [0x8d] = {step_text, 8},
    ['U'] = {step_text, 1}, /* Python 2's str */
    ['T'] = {step_text, 4},
    ['C'] = {step_bytes, 1},
    ['B'] = {step_bytes, 4},
    [0x8e] = {step_bytes, 8},
    [0x96] = {step_bytes, 8}, /* bytearray */
    [')'] = {step_empty, PICKLE_TUPLE},
    [']'] = {step_empty, PICKLE_LIST},
    ['}'] = {step_empty, PICKLE_DICT},
    [0x8f] = {step_empty, PICKLE_LIST}, /* set */
    ['t'] = {step_marked, PICKLE_TUPLE},
    ['l'] = {step_marked, PICKLE_LIST},
    ['d'] = {step_marked, PICKLE_DICT},
    [0x91] = {step_marked, PICKLE_LIST}, /* frozenset */
    [0x85] = {step_tuple, 1},
    [0x86] = {step_tuple, 2},
    [0x87] = {step_tuple, 3},
    ['a'] = {step_add, false},
    ['e'] = {step_add_marked, false},
    [0x90] = {step_add_marked, false}, /* into a set */
    ['s'] = {step_add, true},
    ['u'] = {step_add_marked, true},
    ['c'] = {step_global, 0},
    [0x93] = {step_stack_global, 0},
    ['R'] = {step_call, false},
    [0x81] = {step_call, false}, /* NEWOBJ */
    [0x92] = {step_call, true},  /* NEWOBJ_EX */
    ['b'] = {step_build, 0},
    ['Q'] = {step_persistent, 0},
    ['q'] = {step_put, 1},
    ['r'] = {step_put, 4},
    [0x94] = {step_memoize, 0},
    ['h'] = {step_get, 1},
    ['j'] = {step_get, 4},
};

segrt_status pickle_read(pickle *out, arena *memory, arena *kept, bytes *from, uint64_t base, segrt_error *error)
{
    *out = (pickle){.memory = memory, .kept = kept};
    machine m = {.out = out, .from = from, .base = base, .decoded_left = bytes_left(from), .error = error};
    while (!m.stopped) {
        m.start = from->at;
        const uint8_t *code = bytes_take(from, 1);
        if (!code)
            return machine_broken(&m, "it ends in the middle: the file is truncated");
        if (!opcodes[*code].run)
            return fail_at(error, SEGRT_UNSUPPORTED, base + m.start, "pickle opcode 0x%02x, which a dictionary of tensors does not need",
                           *code);
        const segrt_status status = opcodes[*code].run(&m, opcodes[*code].argument);
        if (status)
            return status;
        if (!bytes_ok(from))
            return machine_broken(&m, "it ends in the middle: the file is truncated");
    }
    return SEGRT_OK;
}
