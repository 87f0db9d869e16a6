/* window: the sliding window.  API layer; see session.h. */
#include "api/session.h"
segrt_status session_slide(segrt_session *session, const uint8_t *pixels, int w, int h, const segrt_preprocessing *p, const label_output *output, segrt_error *error){(void)session;(void)pixels;(void)w;(void)h;(void)p;(void)output;return fail_with(error,SEGRT_UNSUPPORTED,"sliding windows are not built in yet");}
