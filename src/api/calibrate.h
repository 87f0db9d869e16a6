/* calibrate: scales of 8-bit inputs, and which blocks are worth them, for an int8 engine that is being built.  API layer. */
#ifndef SEGRT_API_CALIBRATE_H
#define SEGRT_API_CALIBRATE_H

#include "network/engine.h"

/* Sets the engine's settings.  Errors: ARGUMENT (a picture), UNSUPPORTED (no head to measure at, or activations that are not
 * finite), SHAPE, NO_MEMORY. */
segrt_status engine_calibrate(segrt_engine *engine, const segrt_image *pictures, size_t count, segrt_error *error);

#endif
