/* inside: what our own program sees of the library beyond segrt.h: operations, profile, bisecting.  API layer; nothing
 * here is exported. */
#ifndef SEGRT_API_INSIDE_H
#define SEGRT_API_INSIDE_H

#include "api/engine.h"
#include "backend/backend.h"
#include "formats/onnx/interpret.h"

/* segrt_session_open with a backend that times its steps (profile) or does one operation a step (no_fuse). */
segrt_status session_open_inside(segrt_session **out, const segrt_engine *engine, const segrt_session_options *options, bool no_fuse, bool profile,
                                 segrt_error *error);

/* Times of the last shape run, summed over runs; *rows live until the session runs again. */
size_t session_profile(const segrt_session *session, const backend_profile_row **rows);

/* Rates that the device reaches at its best (backend.h); zeros where a backend cannot measure them. */
segrt_status session_ceiling(const segrt_session *session, backend_ceiling *ceiling, segrt_error *error);

/* Every operation's output goes to `observe` in later runs (NULL: no more). */
void session_observe(segrt_session *session, observe_fn *observe, void *user);

/* The network alone on pictures that have its size: pixels [n][h][w][3] R G B; labels [n][h][w] of label_bytes each. */
segrt_status session_run_pixels(segrt_session *session, const uint8_t *pixels, int n, int h, int w, void *labels, int label_bytes,
                                segrt_error *error);

/* A picture as the network's pixels, by `preprocessing` (NULL: the engine's): *pixels [*h][*w][3], until the session's next use. */
segrt_status session_pixels(segrt_session *session, const segrt_image *picture, const segrt_preprocessing *preprocessing, const uint8_t **pixels,
                            int *w, int *h, segrt_error *error);

#endif
