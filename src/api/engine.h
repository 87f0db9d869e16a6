/* engine: the library's own ways to an engine, beyond segrt.h; its structure is network/engine.h.  API layer. */
#ifndef SEGRT_API_ENGINE_H
#define SEGRT_API_ENGINE_H

#include "network/engine.h"

/* segrt_engine_build with the folded weights' width: the reference backend reaches 1e-10 with NETWORK_F64 only.
 * Such an engine can't be saved. */
segrt_status engine_build_width(segrt_engine **out, const segrt_model *model, const segrt_build_options *options, network_width width,
                                segrt_error *error);

/* Errors: SHAPE, naming the limit, where the profile does not hold n x h x w. */
segrt_status engine_check_shape(const segrt_engine *engine, int n, int h, int w, segrt_error *error);

#endif
