/* pickle_machine: the stack, the marks and the values of the machine that reads pickles, each bounded.  Formats layer; pickle.c has
 * its opcodes. */
#ifndef SEGRT_FORMATS_TORCH_PICKLE_MACHINE_H
#define SEGRT_FORMATS_TORCH_PICKLE_MACHINE_H

#include "formats/torch/pickle.h"

enum {
    VALUE_CAP = 1 << 20, /* values, stack and memo; the state dictionary of the largest SegFormer takes 50 thousand */
    ITEM_CAP = 1 << 24,  /* places in all tuples, lists and dictionaries together, with their growth */
};

typedef struct machine {
    pickle *out;
    bytes *from;
    uint64_t base;
    size_t start;         /* cursor at the opcode under way */
    pickle_value **stack; /* [stack_count] */
    size_t stack_count, stack_room;
    size_t *marks; /* stack heights */
    size_t mark_count, mark_room;
    pickle_value **memo; /* [memo_room], NULL where nothing was put */
    size_t memo_room, memo_next;
    size_t values, item_places;
    size_t decoded_left; /* bytes that _codecs.encode may still make: no more than the pickle has */
    bool stopped;
    segrt_error *error;
} machine;

/* MALFORMED and UNSUPPORTED at the opcode under way. */
segrt_status machine_broken(machine *m, const char *what);
segrt_status machine_too_much(machine *m, const char *what);

/* Room for one more of `size` bytes in *list, which has `count` and room for *room; grown by doubling. */
segrt_status machine_grow(machine *m, void **list, size_t count, size_t *room, size_t size);

/* The stack; nothing is popped through a mark, so pop and top may give NULL. */
segrt_status machine_push(machine *m, pickle_value *v);
pickle_value *machine_pop(machine *m);
pickle_value *machine_top(const machine *m);
bool machine_holds(const machine *m, size_t count); /* above the last mark */

/* A new value, alone or pushed. */
segrt_status machine_make(machine *m, pickle_kind kind, pickle_value **out);
segrt_status machine_push_new(machine *m, pickle_kind kind, pickle_value **out);

segrt_status machine_add_item(machine *m, pickle_value *to, pickle_value *item);

/* Everything above the last mark, which is taken away: stack[*first .. *first + *count), valid until the next push. */
segrt_status machine_take_marked(machine *m, size_t *first, size_t *count);

/* What was put under a number, or NULL. */
segrt_status machine_put(machine *m, uint64_t index);
pickle_value *machine_recall(const machine *m, uint64_t index);

#endif
