/* origins: which of the graph's constants the model's numbers were made of, and how; for inspect.  Part of the
 * recogniser: whoever makes numbers says what of. */
#ifndef SEGRT_MODEL_RECOGNISE_ORIGINS_H
#define SEGRT_MODEL_RECOGNISE_ORIGINS_H

#include "formats/onnx/graph.h"
#include "model/model.h"

typedef struct origins origins;

/* Lives in `memory`; NULL where there is none. */
origins *origins_open(arena *memory);

/* `numbers` are a constant's that node `node` reads; how: "transposed", or NULL: as they are. */
void origins_constant(origins *o, const void *numbers, const onnx_tensor *constant, int node, const char *how);

/* `numbers` were made of others: of `from` (NULL: of `with` alone), into which `with` (or NULL) was worked: "scaled by". */
void origins_made(origins *o, const void *numbers, const void *from, const char *how, const void *with);

/* Fills the model's list of sources, in its memory.  Errors: NO_MEMORY, also where a note above found none. */
segrt_status origins_list(const origins *o, const onnx_graph *graph, segrt_model *model, segrt_error *error);

#endif
