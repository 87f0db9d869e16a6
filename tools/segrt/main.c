/* main: the program `segrt`: finds the command and runs it. */
#include <stdio.h>
#include <string.h>

#include "arguments.h"
#include "command.h"
#include "report.h"

static const struct {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"segment", "pictures to masks and overlays", segment_command},
    {"build", "a model folded into an engine file", build_command},
    {"export", "a model as an ONNX file for other runtimes", export_command},
    {"bench", "how fast a model runs here, and where the time goes", bench_command},
    {"compare", "how far two models, tensors or masks are apart", compare_command},
    {"eval", "a model's scores on pictures with labels", eval_command},
    {"inspect", "what a model or engine file is", inspect_command},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_usage(FILE *file)
{
    fprintf(file, "segrt %s: a SegFormer runtime\n\nUsage: segrt COMMAND ...\n\nCommands:\n", segrt_version());
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(file, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fprintf(file, "\nsegrt COMMAND --help explains a command.\n"
                  "Exit codes: 0 done, 1 some inputs failed, 2 usage, 3 the model was refused, 4 the device is missing.\n");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        print_usage(stdout);
        return report_flush() ? EXIT_DONE : EXIT_SOME_FAILED;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("segrt %s\n", segrt_version());
        return report_flush() ? EXIT_DONE : EXIT_SOME_FAILED;
    }
    const char *names[COMMANDS];
    for (size_t i = 0; i < COMMANDS; i++) {
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
        names[i] = commands[i].name;
    }
    const char *guess = arguments_guess(argv[1], names, COMMANDS);
    fprintf(stderr, "segrt: unknown command %s%s%s%s\nTry: segrt --help\n", argv[1], guess ? " (did you mean " : "", guess ? guess : "",
            guess ? "?)" : "");
    return EXIT_USAGE;
}
