/* export: a model as an ONNX file for other runtimes. */
#include <stdio.h>
#include <string.h>

#include "arguments.h"
#include "command.h"
#include "report.h"
#include "target.h"
#include "values.h"

/* The two words of an option; sets a bool where the second is given. */
static const char *one_of(const char *text, const char *no, const char *yes, const char *expected, void *into)
{
    *(bool *)into = strcmp(text, yes) == 0;
    return *(bool *)into || strcmp(text, no) == 0 ? NULL : expected;
}

static const char *value_form(const char *text, void *into) { return one_of(text, "published", "folded", "published or folded", into); }
static const char *value_result(const char *text, void *into) { return one_of(text, "logits", "labels", "logits or labels", into); }
static const char *value_float(const char *text, void *into) { return one_of(text, "f32", "f16", "f32 or f16", into); }

/* A fixed shape, or "dynamic", with or without a fixed size: dynamic, dynamicxHxW. */
static const char *value_open_shape(const char *text, void *into)
{
    static const char word[] = "dynamic";
    segrt_shape *shape = into;
    if (strncmp(text, word, sizeof word - 1) != 0)
        return value_shape(text, into) ? "NxHxW, dynamic (any shape) or dynamicxHxW (any number of pictures)" : NULL;
    text += sizeof word - 1;
    *shape = (segrt_shape){0};
    if (!*text)
        return NULL;
    const char *why = *text == 'x' ? value_shape(text + 1, into) : "";
    shape->n = 0;
    return why ? "NxHxW, dynamic (any shape) or dynamicxHxW (any number of pictures)" : NULL;
}

int export_command(int argc, char **argv)
{
    target_options from = {0};
    segrt_export_options options = {.size = sizeof options};
    const char *path = NULL;
    int opset = 0;
    static const char *const examples[] = {"segrt export segformer-b2/ -o b2.onnx --form folded --shape 1x3x1024x1024",
                                           "segrt export model.onnx -o clean.onnx --opset 17 --output labels", NULL};
    const arguments_page page = {
        .command = "export",
        .usage = "MODEL -o FILE.onnx [options]",
        .about = "Writes a model as a clean ONNX file for other runtimes: as published, or with the exact algebra that they lack\n"
                 "(folded: the same function, about half the work).  MODEL may itself be an ONNX file.",
        .examples = examples,
        .least = 1,
        .most = 1,
    };
    const argument rows[] = {
        {"--file", 'o', "FILE", "the file to write", value_text, &path},
        {"--form", 0, "FORM", "published (default) or folded", value_form, &options.folded},
        {"--shape", 's', "NxHxW", "this shape only; dynamic (default): any; dynamicxHxW: any number of pictures", value_open_shape, &options.shape},
        {"--opset", 0, "N", "ONNX operator set, 11 to 22 (default: 17)", value_count, &opset},
        {"--output", 0, "WHAT", "logits (default), at a quarter of the input's size, or labels, at its size", value_result, &options.labels},
        {"--precision", 0, "TYPE", "f32 (default) or f16, of weights and arithmetic", value_float, &options.float16},
        TARGET_RANDOM_HEAD_ARGUMENT(from),
    };
    int operands, result = EXIT_USAGE;
    target t = {0};
    int exit_code;
    if (arguments_end(arguments_read(&page, rows, sizeof rows / sizeof *rows, argc, argv, &operands), &exit_code))
        return exit_code;
    if (!path) {
        report("export: name the file to write with -o FILE.onnx");
        return EXIT_USAGE;
    }
    from.model = argv[1];
    options.opset = opset;
    options.centred = options.folded; /* exact as well, and what makes the folded form closer to exact arithmetic than the published one */
    result = target_model(&t, &from);
    if (!result && !t.model) {
        report("%s: is an engine; export takes the model that it was built from", argv[1]);
        result = EXIT_USAGE;
    }
    if (!result) {
        segrt_error error = {0};
        const segrt_status status = segrt_model_export(t.model, &options, path, &error);
        if (status) {
            report_error(path, &error);
            result = status == SEGRT_ARGUMENT ? EXIT_USAGE : EXIT_SOME_FAILED;
        } else
            printf("%s: %s %s, %d classes, %s\n", path, t.info.family, t.info.variant, t.info.classes, options.folded ? "folded" : "as published");
    }
    if (!result && !report_flush())
        result = EXIT_SOME_FAILED;
    target_close(&t);
    return result;
}
