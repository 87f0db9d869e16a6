/* engine: what segrt_engine is made of: a folded network and everything that its model said.  Network layer: built by
 * the API, stored by engine_file.c, read by sessions.  Immutable once open. */
#ifndef SEGRT_NETWORK_ENGINE_H
#define SEGRT_NETWORK_ENGINE_H

#include "base/file_map.h"
#include "network/network.h"

/* What one operation is computed in. */
typedef struct operation_setting {
    segrt_precision precision; /* never DEFAULT */
    float input_scale;         /* of its 8-bit input: input = scale * integer; 0: not calibrated */
} operation_setting;

struct segrt_engine {
    arena memory;  /* strings, classes, settings */
    file_map file; /* what the network's weights may point into; size 0: built in memory */
    network *net;
    segrt_build_options profile; /* precision (never DEFAULT) and shapes (all zero: any); `command` in memory, or NULL */
    operation_setting *settings; /* [setting_count], in the order of network_operations */
    size_t setting_count;
    segrt_model_info info; /* strings in memory */
    model_class *classes;  /* [info.classes] */
    segrt_preprocessing preprocessing;
    const char *source;     /* path of the model it was made from, "" from memory */
    char source_digest[65]; /* SHA-256 of the weights file it was made from, in hex; "" where not known */
};

#endif
