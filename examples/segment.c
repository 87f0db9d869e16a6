/* segment: a picture to its label map with libsegrt, as small as it gets.
 *
 *     cc segment.c $(pkg-config --cflags --libs segrt) -o segment
 *     ./segment MODEL < picture.ppm > labels.pgm        (MODEL: a checkpoint's folder or file) */
#include <segrt/segrt.h>
#include <stdio.h>
#include <stdlib.h>

static void complain(const segrt_error *error)
{
    fprintf(stderr, "%s%s%s\n", error->file, *error->file ? ": " : "", error->message);
}

int main(int argc, char **argv)
{
    int width, height, result = EXIT_FAILURE;
    if (argc != 2 || scanf("P6 %d %d 255", &width, &height) != 2 || getchar() == EOF || width < 1 || height < 1) {
        fprintf(stderr, "usage: segment MODEL < picture.ppm > labels.pgm\n");
        return result;
    }
    const size_t pixels = (size_t)width * (size_t)height;
    uint8_t *rgb = malloc(pixels * 3), *labels = malloc(pixels);
    segrt_error error = {0};
    segrt_model *model = NULL;
    segrt_engine *engine = NULL;
    segrt_session *session = NULL;

    if (!rgb || !labels || fread(rgb, 3, pixels, stdin) != pixels)
        fprintf(stderr, "the picture ends early, or is too large\n");
    else if (segrt_model_open(&model, argv[1], NULL, &error) || segrt_engine_build(&engine, model, NULL, &error) ||
             segrt_session_open(&session, engine, NULL, &error))
        complain(&error);
    else {
        const segrt_image picture = segrt_image_packed(SEGRT_RGB8, rgb, width, height);
        segrt_result output = {.size = sizeof output, .labels = labels};
        if (segrt_session_segment(session, &picture, NULL, &output, &error))
            complain(&error);
        else {
            printf("P5 %d %d 255\n", width, height);
            fwrite(labels, 1, pixels, stdout);
            fprintf(stderr, "%s: %.1f ms\n", segrt_session_device(session), output.prepare_ms + output.network_ms);
            result = fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
        }
    }
    segrt_session_close(session);
    segrt_engine_close(engine);
    segrt_model_close(model);
    free(labels);
    free(rgb);
    return result;
}
