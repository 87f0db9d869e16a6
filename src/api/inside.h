/* inside: what our own program sees of the library beyond segrt.h: operations, profile, bisecting.  API layer; nothing
 * here is exported. */
#ifndef SEGRT_API_INSIDE_H
#define SEGRT_API_INSIDE_H

#include "api/engine.h"
#include "backend/backend.h"
#include "formats/onnx/interpret.h"

/* How a session runs, for measuring: backend.h says of each what it does. */
typedef struct session_inside {
    bool no_fuse, profile, no_graph;
} session_inside;

/* segrt_session_open with a backend that runs as `inside` says. */
segrt_status session_open_inside(segrt_session **out, const segrt_engine *engine, const segrt_session_options *options, session_inside inside,
                                 segrt_error *error);

/* Times of the last shape run, summed over runs; *rows live until the session runs again. */
size_t session_profile(const segrt_session *session, const backend_profile_row **rows);

/* Rates that the device reaches at its best (backend.h); zeros where a backend cannot measure them. */
segrt_status session_ceiling(const segrt_session *session, backend_ceiling *ceiling, segrt_error *error);

/* The threads of a session, to be shared with another, and how many there are; whether its memory is a device's. */
segrt_pool *session_pool(const segrt_session *session);
int session_threads(const segrt_session *session);
bool session_has_device(const segrt_session *session);

/* Where the latest run's time went on the device; zeros where a backend does not tell. */
void session_times(const segrt_session *session, backend_times *times);

/* What the device that a session would open says of itself (backend.h): *has false, and nothing else, where that is a processor. */
segrt_status device_facts(const char *name, backend_facts *facts, bool *has, segrt_error *error);

/* Every operation's output goes to `observe` in later runs (NULL: no more). */
void session_observe(segrt_session *session, observe_fn *observe, void *user);

/* The network alone on pictures that have its size: pixels [n][h][w][3] R G B; labels [n][h][w] of label_bytes each. */
segrt_status session_run_pixels(segrt_session *session, const uint8_t *pixels, int n, int h, int w, void *labels, int label_bytes,
                                segrt_error *error);

/* A picture as the network's pixels, by `preprocessing` (NULL: the engine's): *pixels [*h][*w][3], until the session's next use. */
segrt_status session_pixels(segrt_session *session, const segrt_image *picture, const segrt_preprocessing *preprocessing, const uint8_t **pixels,
                            int *w, int *h, segrt_error *error);

#endif
