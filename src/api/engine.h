/* engine: what segrt_engine is made of.  Opened and built by engine.c, read by session.c.  Immutable once open. */
#ifndef SEGRT_API_ENGINE_H
#define SEGRT_API_ENGINE_H

#include "base/error.h"
#include "base/file_map.h"
#include "base/memory.h"
#include "model/model.h"
#include "network/network.h"

struct segrt_engine {
    arena memory;                     /* strings, classes */
    file_map file;                    /* what the network's weights may point into; size 0: built in memory */
    network *net;
    segrt_build_options profile;      /* precision (never DEFAULT) and shapes (all zero: any); `command` in memory, or NULL */
    segrt_model_info info;            /* strings in memory */
    model_class *classes;             /* [info.classes] */
    segrt_preprocessing preprocessing;
    const char *source;               /* path of the model it was made from, "" from memory */
    char source_digest[65];           /* SHA-256 of the weights file it was made from, in hex; "" where not known */
};

/* segrt_engine_build with the folded weights' width: the reference backend reaches 1e-10 with NETWORK_F64 only.
 * Such an engine can't be saved. */
segrt_status engine_build_width(segrt_engine **out, const segrt_model *model, const segrt_build_options *options, network_width width,
                                segrt_error *error);

/* Errors: SHAPE, naming the limit, where the profile does not hold n x h x w. */
segrt_status engine_check_shape(const segrt_engine *engine, int n, int h, int w, segrt_error *error);

#endif
