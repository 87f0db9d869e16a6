/* build: a model folded into an engine file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "calibration.h"
#include "command.h"
#include "inputs.h"
#include "report.h"
#include "target.h"
#include "values.h"
#include "verify.h"

/* The command line as it was given, for the engine's provenance. */
static char *command_line(int argc, char **argv)
{
    char *line = text_of("segrt");
    for (int i = 0; i < argc; i++) {
        char *longer = text_of("%s %s", line, argv[i]);
        free(line);
        line = longer;
    }
    return line;
}

int build_command(int argc, char **argv)
{
    target_options from = {0};
    segrt_build_options build = {.size = sizeof build};
    segrt_shape shape = {0};
    const char *output = NULL, *calibrate = NULL;
    calibration pictures = {0};
    verify_options proof = {.tolerance = -1};
    bool unverified = false;
    static const char *const examples[] = {
        "segrt build segformer-b2/ -o b2.segrt", "segrt build model.onnx -o model.segrt --shape 1x1024x1024",
        "segrt build model.pth -o model.segrt --precision bf16 --min 1x256x256 --opt 8x512x512 --max 8x1024x1024",
        "segrt build segformer-b2/ -o b2.segrt --precision int8 --calibrate pictures/", NULL};
    const arguments_page page = {
        .command = "build",
        .usage = "MODEL -o ENGINE [options]",
        .about = "Folds a model into an engine file: portable, checksummed, quick to open, for shapes that you name.\n"
                 "An .onnx file is run as it is beside the engine, at a small size, before anything is written: they must agree.",
        .examples = examples,
        .least = 1,
        .most = 1,
    };
    const argument rows[] = {
        {"--output", 'o', "ENGINE", "the file to write", value_text, &output},
        {"--precision", 0, "TYPE", "f32 (default), tf32, bf16, f16, int8", value_precision, &build.precision},
        {"--calibrate", 0, "FOLDER", "int8: pictures like those to come, at most 64 of them are read", value_text, &calibrate},
        {"--shape", 's', "NxHxW", "this shape only", value_shape, &shape},
        {"--min", 0, "NxHxW", "smallest shape", value_shape, &build.min},
        {"--opt", 0, "NxHxW", "shape that is planned for first", value_shape, &build.opt},
        {"--max", 0, "NxHxW", "largest shape (without any of these: any shape)", value_shape, &build.max},
        {"--no-verify", 0, NULL, "an .onnx file: write the engine without that proof", NULL, &unverified},
        {"--tolerance", 0, "X", "of that proof: largest relative difference of logits (default: by precision)", value_number,
         &proof.tolerance},
        TARGET_RANDOM_HEAD_ARGUMENT(from),
    };
    char *line = command_line(argc, argv);
    int operands, result;
    target t = {0};
    build.command = line;
    if (arguments_end(arguments_read(&page, rows, sizeof rows / sizeof *rows, argc, argv, &operands), &result))
        goto done;
    if (!output) {
        report("build: name the file to write with -o ENGINE");
        result = EXIT_USAGE;
        goto done;
    }
    if (shape.n)
        build.min = build.opt = build.max = shape;
    else if (build.max.n && !build.min.n)
        build.min = (segrt_shape){1, 1, 1};
    if (build.max.n && !build.opt.n)
        build.opt = build.max;
    if (calibrate) {
        result = calibration_open(&pictures, calibrate);
        if (result)
            goto done;
        build.calibration = pictures.images;
        build.calibration_count = pictures.count;
    }
    from.model = argv[1];
    result = target_engine(&t, &from, &build);
    if (!result && !unverified && verify_applies(&t)) {
        result = verify_import(&t, &proof);
        if (result)
            report("%s: not written; --no-verify writes an engine without this proof", output);
    }
    if (!result) {
        segrt_error error = {0};
        if (segrt_engine_save(t.engine, output, &error)) {
            report_error(output, &error);
            result = EXIT_SOME_FAILED;
        } else
            printf("%s: %s %s, %d classes, folded in %.0f ms\n", output, t.info.family, t.info.variant, t.info.classes, t.build_ms);
    }
    if (!result && !report_flush())
        result = EXIT_SOME_FAILED;
done:
    target_close(&t);
    calibration_close(&pictures);
    free(line);
    return result;
}
