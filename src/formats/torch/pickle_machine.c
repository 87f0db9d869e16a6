/* pickle_machine: see pickle_machine.h. */
#include "formats/torch/pickle_machine.h"

#include <string.h>

segrt_status machine_broken(machine *m, const char *what)
{
    return fail_at(m->error, SEGRT_MALFORMED, m->base + m->start, "broken pickle: %s", what);
}

segrt_status machine_too_much(machine *m, const char *what)
{
    return fail_at(m->error, SEGRT_UNSUPPORTED, m->base + m->start, "the pickle has more %s than any SegFormer's", what);
}

/* Room for one more of `size` bytes in *list, growing it by doubling. */
segrt_status machine_grow(machine *m, void **list, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return SEGRT_OK;
    const size_t wanted = *room ? 2 * *room : 16;
    void *grown = arena_get(m->out->memory, wanted, size);
    if (!grown)
        return fail_memory(m->error, wanted * size, "a pickle");
    if (count)
        memcpy(grown, *list, count * size);
    *list = grown;
    *room = wanted;
    return SEGRT_OK;
}

segrt_status machine_push(machine *m, pickle_value *v)
{
    if (m->stack_count == VALUE_CAP)
        return machine_too_much(m, "values");
    const segrt_status status = machine_grow(m, (void **)&m->stack, m->stack_count, &m->stack_room, sizeof(pickle_value *));
    if (!status)
        m->stack[m->stack_count++] = v;
    return status;
}

/* The lowest place that may be taken. */
static size_t floor_of(const machine *m)
{
    return m->mark_count ? m->marks[m->mark_count - 1] : 0;
}

pickle_value *machine_pop(machine *m)
{
    return m->stack_count > floor_of(m) ? m->stack[--m->stack_count] : NULL;
}

pickle_value *machine_top(const machine *m)
{
    return m->stack_count > floor_of(m) ? m->stack[m->stack_count - 1] : NULL;
}

segrt_status machine_make(machine *m, pickle_kind kind, pickle_value **out)
{
    if (++m->values > VALUE_CAP)
        return machine_too_much(m, "values");
    *out = arena_get(m->out->memory, 1, sizeof **out);
    if (!*out)
        return fail_memory(m->error, sizeof **out, "a pickle");
    (*out)->kind = kind;
    return SEGRT_OK;
}

segrt_status machine_push_new(machine *m, pickle_kind kind, pickle_value **out)
{
    const segrt_status status = machine_make(m, kind, out);
    return status ? status : machine_push(m, *out);
}

segrt_status machine_add_item(machine *m, pickle_value *to, pickle_value *item)
{
    if (to->count == to->room) {
        m->item_places += to->room ? 2 * to->room : 16;
        if (m->item_places > ITEM_CAP)
            return machine_too_much(m, "elements");
    }
    const segrt_status status = machine_grow(m, (void **)&to->items, to->count, &to->room, sizeof(pickle_value *));
    if (!status)
        to->items[to->count++] = item;
    return status;
}

/* Everything above the last mark, which is taken away: *first to the stack's end, whose height falls to *first. */
segrt_status machine_take_marked(machine *m, size_t *first, size_t *count)
{
    if (!m->mark_count)
        return machine_broken(m, "no mark");
    *first = m->marks[--m->mark_count];
    *count = m->stack_count - *first;
    m->stack_count = *first;
    return SEGRT_OK;
}

segrt_status machine_put(machine *m, uint64_t index)
{
    pickle_value *v = machine_top(m);
    if (!v)
        return machine_broken(m, "nothing to remember");
    if (index >= VALUE_CAP)
        return machine_too_much(m, "remembered values");
    if (index >= m->memo_room) {
        size_t room = m->memo_room ? m->memo_room : 256;
        while (room <= index)
            room *= 2;
        pickle_value **grown = arena_get(m->out->memory, room, sizeof *grown);
        if (!grown)
            return fail_memory(m->error, room * sizeof *grown, "a pickle");
        if (m->memo_room)
            memcpy(grown, m->memo, m->memo_room * sizeof *grown);
        m->memo = grown;
        m->memo_room = room;
    }
    m->memo[index] = v;
    m->memo_next++;
    return SEGRT_OK;
}

pickle_value *machine_recall(const machine *m, uint64_t index)
{
    return index < m->memo_room ? m->memo[index] : NULL;
}

bool machine_holds(const machine *m, size_t count)
{
    return m->stack_count - floor_of(m) >= count;
}
