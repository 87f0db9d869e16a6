/* What frames.h promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "codecs/frames.h"

/* A pipe that holds `size` bytes (less than a pipe's buffer) and then ends. */
static int stream_of(const void *data, size_t size)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], data, size), (ssize_t)size);
    close(ends[1]);
    return ends[0];
}

static void y4m_frames_are_views_of_their_planes(void **state)
{
    (void)state;
    static const char data[] = "YUV4MPEG2 W3 H3 F30000:1001 Ip A1:1 C420jpeg XYSCSS=420JPEG\n"
                               "FRAME\nyyyyyyyyyuuuuvvvvFRAME Ip\nYYYYYYYYYUUUUVVVV";
    const int in = stream_of(data, sizeof data - 1);
    frames *f;
    segrt_image frame;
    bool end;
    assert_int_equal(frames_open_y4m(&f, in, NULL, 0, NULL), SEGRT_OK);
    assert_true(frames_rate(f) > 29.96 && frames_rate(f) < 29.98);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(frames_next(f, &frame, &end, NULL), SEGRT_OK);
        assert_false(end);
        assert_int_equal(frame.format, SEGRT_I420);
        assert_int_equal(frame.width, 3);
        assert_int_equal(frame.height, 3);
        assert_memory_equal(frame.plane[0], i ? "YYYYYYYYY" : "yyyyyyyyy", 9);
        assert_memory_equal(frame.plane[1], i ? "UUUU" : "uuuu", 4);
        assert_memory_equal(frame.plane[2], i ? "VVVV" : "vvvv", 4);
        assert_int_equal(frame.stride[0], 3);
        assert_int_equal(frame.stride[1], 2);
        assert_int_equal(frame.stride[2], 2);
    }
    assert_int_equal(frames_next(f, &frame, &end, NULL), SEGRT_OK);
    assert_true(end);
    frames_close(f);
    close(in);
}

static void gray_and_raw_frames_are_read(void **state)
{
    (void)state;
    static const char gray[] = "YUV4MPEG2 H1 W2 Cmono\nFRAME\nab";
    int in = stream_of(gray, sizeof gray - 1);
    frames *f;
    segrt_image frame;
    bool end;
    assert_int_equal(frames_open_y4m(&f, in, NULL, 0, NULL), SEGRT_OK);
    assert_true(frames_rate(f) == 0);
    assert_int_equal(frames_next(f, &frame, &end, NULL), SEGRT_OK);
    assert_int_equal(frame.format, SEGRT_GRAY8);
    assert_memory_equal(frame.plane[0], "ab", 2);
    frames_close(f);
    close(in);

    in = stream_of("rgbRGBxyzXYZ", 12);
    assert_int_equal(frames_open_rgb(&f, in, 2, 1, NULL), SEGRT_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(frames_next(f, &frame, &end, NULL), SEGRT_OK);
        assert_false(end);
        assert_int_equal(frame.stride[0], 6);
        assert_memory_equal(frame.plane[0], i ? "xyzXYZ" : "rgbRGB", 6);
    }
    assert_int_equal(frames_next(f, &frame, &end, NULL), SEGRT_OK);
    assert_true(end);
    frames_close(f);
    close(in);
}

static void a_stream_that_ends_within_a_frame_is_an_error_with_its_offset(void **state)
{
    (void)state;
    static const char whole[] = "YUV4MPEG2 W2 H1 Cmono\nFRAME\nabFRAME\ncd";
    const size_t header = strlen("YUV4MPEG2 W2 H1 Cmono\n"), frame_bytes = strlen("FRAME\nab");
    for (size_t size = 0; size < sizeof whole - 1; size++) {
        const int in = stream_of(whole, size);
        frames *f;
        segrt_image frame;
        segrt_error error = {0};
        bool end = false;
        segrt_status status = frames_open_y4m(&f, in, NULL, 0, &error);
        while (!status && !end)
            status = frames_next(f, &frame, &end, &error);
        const bool between = size == header || size == header + frame_bytes;
        assert_int_equal(status, between ? SEGRT_OK : SEGRT_MALFORMED);
        if (!between)
            assert_int_equal(error.offset, size);
        frames_close(f);
        close(in);
    }
    const int in = stream_of("rgbRG", 5);
    frames *f;
    segrt_image frame;
    bool end;
    assert_int_equal(frames_open_rgb(&f, in, 1, 1, NULL), SEGRT_OK);
    assert_int_equal(frames_next(f, &frame, &end, NULL), SEGRT_OK);
    assert_int_equal(frames_next(f, &frame, &end, NULL), SEGRT_MALFORMED);
    frames_close(f);
    close(in);
}

static void headers_that_are_not_read_say_why(void **state)
{
    (void)state;
    static const struct {
        const char *header, *words;
        segrt_status status;
    } rows[] = {
        {"RIFF....AVI \n", "YUV4MPEG2", SEGRT_MALFORMED},
        {"YUV4MPEG2 W2\n", "W and H", SEGRT_MALFORMED},
        {"YUV4MPEG2 W2 H0\n", "W and H", SEGRT_MALFORMED},
        {"YUV4MPEG2 W99999999999999999999 H1\n", "W and H", SEGRT_MALFORMED},
        {"YUV4MPEG2 W2 H2 C444\n", "444", SEGRT_UNSUPPORTED},
        {"YUV4MPEG2 W2 H2 C420p10\n", "420p10", SEGRT_UNSUPPORTED},
        {"YUV4MPEG2 W2 H2 XCOLORRANGE=FULL\n", "full-range", SEGRT_UNSUPPORTED},
        {"YUV4MPEG2 W65535 H65535\n", "limit", SEGRT_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const int in = stream_of(rows[i].header, strlen(rows[i].header));
        frames *f;
        segrt_error error = {0};
        assert_int_equal(frames_open_y4m(&f, in, NULL, 0, &error), rows[i].status);
        assert_null(f);
        assert_non_null(strstr(error.message, rows[i].words));
        close(in);
    }
    char endless[3000];
    memset(endless, 'x', sizeof endless);
    const int in = stream_of(endless, sizeof endless);
    frames *f;
    assert_int_equal(frames_open_y4m(&f, in, NULL, 0, NULL), SEGRT_MALFORMED);
    close(in);
    assert_int_equal(frames_open_rgb(&f, 0, 0, 5, NULL), SEGRT_ARGUMENT);
}

static void frames_larger_than_the_buffer_arrive_whole(void **state)
{
    (void)state;
    enum { W = 300, H = 100, BYTES = 3 * W * H };
    char path[] = "/tmp/segrt_frames_XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    unlink(path);
    uint8_t *pixels = malloc(BYTES);
    assert_non_null(pixels);
    for (int frame = 0; frame < 3; frame++) {
        for (int i = 0; i < BYTES; i++)
            pixels[i] = (uint8_t)(i * 7 + i / 256 + frame);
        assert_int_equal(write(file, pixels, BYTES), BYTES);
    }
    assert_int_equal(lseek(file, 0, SEEK_SET), 0);
    frames *f;
    assert_int_equal(frames_open_rgb(&f, file, W, H, NULL), SEGRT_OK);
    for (int frame = 0; frame < 3; frame++) {
        segrt_image view;
        bool end;
        assert_int_equal(frames_next(f, &view, &end, NULL), SEGRT_OK);
        for (int i = 0; i < BYTES; i++)
            if (view.plane[0][i] != (uint8_t)(i * 7 + i / 256 + frame))
                fail_msg("frame %d, byte %d", frame, i);
    }
    frames_close(f);
    close(file);
    free(pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(y4m_frames_are_views_of_their_planes),
        cmocka_unit_test(gray_and_raw_frames_are_read),
        cmocka_unit_test(a_stream_that_ends_within_a_frame_is_an_error_with_its_offset),
        cmocka_unit_test(headers_that_are_not_read_say_why),
        cmocka_unit_test(frames_larger_than_the_buffer_arrive_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
