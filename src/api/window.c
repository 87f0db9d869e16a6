/* window: a large input run window by window.  API layer; see session.h.  What the logits become is image/slide's. */
#include <string.h>

#include "api/session.h"

/* Columns [x, x + w) of rows [y, y + h) of an input [.][input_w][3]. */
static void cut(const uint8_t *pixels, int input_w, int x, int y, int w, int h, uint8_t *tile)
{
    for (int row = 0; row < h; row++)
        memcpy(tile + (size_t)row * (size_t)w * 3, pixels + ((size_t)(y + row) * (size_t)input_w + (size_t)x) * 3, (size_t)w * 3);
}

segrt_status session_slide(segrt_session *session, const uint8_t *pixels, int w, int h, const segrt_preprocessing *p, const label_output *output,
                           segrt_error *error)
{
    const slide_shape shape = {.classes = session->engine->net->classes,
                               .w = w,
                               .h = h,
                               .window = p->window,
                               .stride = p->stride ? p->stride : p->window,
                               .out_w = output->w,
                               .out_h = output->h};
    const slide_output to = {
        .labels = output->labels, .label_bytes = output->label_bytes, .stride = output->stride, .confidence = output->confidence};
    const int workers = pool_workers(session->pool);
    segrt_status status = SEGRT_OK;
    if (shape.classes == 0)
        return fail_headless(error);
    if (!session->slide || !slide_fits(session->slide, &shape, workers)) {
        slide_close(session->slide);
        session->slide = NULL;
        status = slide_open(&session->slide, &shape, workers, error);
    }
    if (status)
        return status;
    int rows, columns, tile_w, tile_h;
    slide_grid(session->slide, &rows, &columns, &tile_w, &tile_h);
    const size_t logits = (size_t)shape.classes * (size_t)((tile_h + 3) / 4) * (size_t)((tile_w + 3) / 4);
    status = session_buffer_need(&session->tile, (size_t)tile_w * (size_t)tile_h, 3, "a window", error);
    for (int row = 0; row < rows && !status; row++) {
        for (int column = 0; column < columns && !status; column++) {
            int x, y;
            slide_corner(session->slide, row, column, &x, &y);
            cut(pixels, w, x, y, tile_w, tile_h, session->tile.data);
            status = session_run(session,
                                 &(backend_run){.n = 1,
                                                .h = tile_h,
                                                .w = tile_w,
                                                .pixels = session->tile.data,
                                                .logits = slide_logits(session->slide, row) + (size_t)column * logits},
                                 error);
        }
        if (!status)
            slide_row_done(session->slide, row, &to, session->pool);
    }
    return status;
}
