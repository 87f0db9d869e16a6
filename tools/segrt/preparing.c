/* preparing: see preparing.h. */
#include "preparing.h"

segrt_preprocessing preparing_apply(const preparing *p, const segrt_engine *engine)
{
    segrt_preprocessing result = {.size = sizeof result};
    segrt_engine_preprocessing(engine, &result);
    if (p->resize.resize) {
        result.resize = p->resize.resize;
        result.width = p->resize.width;
        result.height = p->resize.height;
    }
    if (p->resample)
        result.resample = p->resample;
    if (p->window) {
        result.window = p->window;
        result.stride = p->window;
    }
    if (p->stride)
        result.stride = p->stride;
    return result;
}
