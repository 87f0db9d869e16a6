/* target: see target.h. */
#include "target.h"

#include <stdio.h>
#include <string.h>

#include "default_model.h"
#include "progress.h"
#include "report.h"

bool target_is_engine(const char *path)
{
    static const unsigned char magic[] = {0x89, 'S', 'E', 'G', 'R', 'T'};
    unsigned char begin[sizeof magic];
    FILE *file = fopen(path, "rb");
    const bool is = file && fread(begin, 1, sizeof begin, file) == sizeof begin && !memcmp(begin, magic, sizeof begin);
    if (file)
        fclose(file);
    return is;
}

static int refused(const target *t, const segrt_error *error)
{
    report_error(t->name, error);
    return exit_code_of(error->status);
}

int target_model(target *t, const target_options *o)
{
    segrt_error error = {0};
    segrt_status status;
    const segrt_model_options options = {.size = sizeof options, .random_head_classes = o->random_head};
    const double begin = seconds_now();
    *t = (target){.name = o->model ? o->model : DEFAULT_MODEL_NAME, .info.size = sizeof t->info};
    if (!o->model) {
        segrt_file files[DEFAULT_MODEL_FILES];
        default_model_files(files);
        status = segrt_model_open_files(&t->model, files, DEFAULT_MODEL_FILES, &options, &error);
    } else if (target_is_engine(o->model))
        status = segrt_engine_open(&t->engine, o->model, &error);
    else
        status = segrt_model_open(&t->model, o->model, &options, &error);
    if (status)
        return refused(t, &error);
    t->open_ms = 1e3 * (seconds_now() - begin);
    if (t->model)
        segrt_model_describe(t->model, &t->info);
    else
        segrt_engine_describe(t->engine, &t->info);
    return EXIT_DONE;
}

int target_engine(target *t, const target_options *o, const segrt_build_options *build)
{
    segrt_error error = {0};
    const int result = target_model(t, o);
    if (result || t->engine)
        return result;
    const double begin = seconds_now();
    if (segrt_engine_build(&t->engine, t->model, build, &error))
        return refused(t, &error);
    t->build_ms = 1e3 * (seconds_now() - begin);
    return EXIT_DONE;
}

int target_open(target *t, const target_options *o)
{
    const int result = target_engine(t, o, NULL);
    return result ? result : target_session(t, o);
}

int target_session(target *t, const target_options *o)
{
    segrt_error error = {0};
    if (t->info.classes == 0) {
        report("%s: a backbone without a decode head: it has no classes to give (commands that only time or inspect take --random-head "
               "CLASSES)",
               t->name);
        return EXIT_MODEL;
    }
    const segrt_session_options options = {.size = sizeof options, .device = o->device, .precision = o->precision, .threads = o->threads};
    const double begin = seconds_now();
    if (segrt_session_open(&t->session, t->engine, &options, &error))
        return refused(t, &error);
    t->session_ms = 1e3 * (seconds_now() - begin);
    return EXIT_DONE;
}

void target_close(target *t)
{
    segrt_session_close(t->session);
    segrt_engine_close(t->engine);
    segrt_model_close(t->model);
    *t = (target){0};
}

const char *target_class_name(const target *t, int32_t label)
{
    return t->model ? segrt_model_class_name(t->model, label) : segrt_engine_class_name(t->engine, label);
}

void target_class_color(const target *t, int32_t label, uint8_t rgb[3])
{
    if (t->model)
        segrt_model_class_color(t->model, label, rgb);
    else
        segrt_engine_class_color(t->engine, label, rgb);
}
