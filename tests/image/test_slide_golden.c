/* The sliding window from end to end: the network run on windows by the reference backend, labels by slide.h, against
 * mmsegmentation's rule in PyTorch at float64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/slide.h"
#include "npy_support.h"
#include "segrt/segrt.h"

enum { H = 64, W = 96, WINDOW = 64, STRIDE = 48 };

static void labels_are_those_of_pytorch(void **state)
{
    (void)state;
    segrt_error error = {0};
    segrt_model *model;
    segrt_engine *engine;
    segrt_session *session;
    if (segrt_model_open(&model, TEST_DATA "/nvlabs/segformer_tiny.pth", NULL, &error) ||
        segrt_engine_build(&engine, model, NULL, &error) ||
        segrt_session_open(&session, engine, &(segrt_session_options){.size = sizeof(segrt_session_options), .device = "reference"},
                           &error))
        fail_msg("%s", error.message);
    segrt_model_info info = {.size = sizeof info};
    segrt_model_describe(model, &info);
    npy input = npy_read_as("input_64x96.npy", "<f4"), expected = npy_read_as("nvlabs/slide_labels_64x96.npy", "|u1");
    assert_int_equal(expected.count, H * W);

    slide *s;
    int rows, columns, w, h;
    uint8_t labels[H * W];
    float tile[3 * WINDOW * WINDOW];
    const slide_shape shape = {.classes = info.classes, .w = W, .h = H, .window = WINDOW, .stride = STRIDE, .out_w = W, .out_h = H};
    assert_int_equal(slide_open(&s, &shape, 1, NULL), SEGRT_OK);
    slide_grid(s, &rows, &columns, &w, &h);
    assert_int_equal(rows, 1);
    assert_int_equal(columns, 2);
    for (int column = 0; column < columns; column++) {
        int x, y;
        slide_corner(s, 0, column, &x, &y);
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < h; i++)
                memcpy(tile + (c * h + i) * w, input.f32 + (c * H + y + i) * W + x, (size_t)w * sizeof *tile);
        float *logits = slide_logits(s, 0) + column * info.classes * (h / 4) * (w / 4);
        if (segrt_session_forward(session, tile, 1, h, w, logits, &error))
            fail_msg("%s", error.message);
    }
    slide_row_done(s, 0, &(slide_output){.labels = labels, .label_bytes = 1, .stride = W}, NULL);
    int different = 0;
    for (int i = 0; i < H * W; i++)
        different += labels[i] != expected.u8[i];
    assert_true(different <= 1); /* float32 against float64, at a tie */

    slide_close(s);
    npy_free(&input);
    npy_free(&expected);
    segrt_session_close(session);
    segrt_engine_close(engine);
    segrt_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(labels_are_those_of_pytorch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
