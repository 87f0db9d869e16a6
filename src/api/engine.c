/* engine: builds an engine from a model, opens and saves one, and tells what it holds; see engine.h. */
#include "api/engine.h"

#include <stdio.h>
#include <string.h>

#include "api/calibrate.h"
#include "base/sized.h"
#include "backend/backend.h"
#include "network/centring.h"
#include "network/engine_file.h"

/* ------------------------------------------------------------------------------------- profile */

static bool is_empty(segrt_shape s)
{
    return s.n == 0 && s.h == 0 && s.w == 0;
}

/* Fills what is left open: one shape alone is all three; opt is max where it is not said. */
static segrt_status complete_profile(segrt_build_options *o, const network *net, segrt_error *error)
{
    if (is_empty(o->min) && is_empty(o->opt) && is_empty(o->max))
        return SEGRT_OK;
    if (is_empty(o->opt))
        o->opt = is_empty(o->max) ? o->min : o->max;
    if (is_empty(o->min))
        o->min = o->opt;
    if (is_empty(o->max))
        o->max = o->opt;
    const struct {
        const char *name;
        int32_t min, opt, max;
    } sides[] = {{"n", o->min.n, o->opt.n, o->max.n}, {"h", o->min.h, o->opt.h, o->max.h}, {"w", o->min.w, o->opt.w, o->max.w}};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        if (sides[i].min > sides[i].opt || sides[i].opt > sides[i].max)
            return fail_with(error, SEGRT_ARGUMENT, "profile: %s is min %d, opt %d, max %d; they must not fall", sides[i].name,
                             sides[i].min, sides[i].opt, sides[i].max);
    network_shape shape;
    const segrt_status status = network_shape_of(&shape, net, o->min.n, o->min.h, o->min.w, error);
    return status ? status : network_shape_of(&shape, net, o->max.n, o->max.h, o->max.w, error);
}

segrt_status engine_check_shape(const segrt_engine *engine, int n, int h, int w, segrt_error *error)
{
    const segrt_build_options *p = &engine->profile;
    if (is_empty(p->max))
        return SEGRT_OK;
    const struct {
        const char *name;
        int got, min, max;
    } sides[] = {{"pictures", n, p->min.n, p->max.n}, {"rows", h, p->min.h, p->max.h}, {"columns", w, p->min.w, p->max.w}};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        if (sides[i].got < sides[i].min || sides[i].got > sides[i].max)
            return fail_with(error, SEGRT_SHAPE, "an input of %dx%dx%d is outside the engine's profile: %s from %d to %d", n, h, w,
                             sides[i].name, sides[i].min, sides[i].max);
    return SEGRT_OK;
}

/* ------------------------------------------------------------------------------------ centring */

/* 128 leaves 0.010 of level 4's constant of 18.1 in segformer-b2-camvid (measured on a street scene), 256 leaves 0.012. */
enum { CENTRING_SIDE = 128, CENTRING_SIDE_CAP = 4096 };

/* Side of the drawn picture: larger only where a network's reductions need more. */
static int centring_side(const network *net)
{
    network_shape shape;
    int side = CENTRING_SIDE;
    while (side < CENTRING_SIDE_CAP && network_shape_of(&shape, net, 1, side, side, NULL))
        side *= 2;
    return side;
}

static segrt_status measure_means(const network *net, const backend *device, segrt_pool *pool, const uint8_t *pixels, int side,
                                  double *mean[STAGES], segrt_error *error)
{
    void *state;
    segrt_status status = device->open(&state, net, &(backend_options){.precision = SEGRT_FLOAT32, .pool = pool}, error);
    if (status)
        return status;
    backend_run run = {.n = 1, .h = side, .w = side, .pixels = pixels};
    memcpy(run.stage_mean, mean, sizeof run.stage_mean);
    status = device->run(state, &run, error);
    device->close(state);
    return status;
}

/* Takes the means of the stage outputs out of what is stored between stages: exact for any numbers, and what 16 bits
 * need.  Done for float32 engines too, since a session may run them in 16 bits. */
static segrt_status centre(network *net, network_width width, segrt_error *error)
{
    const int side = centring_side(net);
    arena memory = {0};
    double *mean[STAGES];
    segrt_pool *pool = NULL;
    segrt_status status = SEGRT_OK;
    uint8_t *pixels = arena_get(&memory, (size_t)side * (size_t)side, 3);
    bool enough = pixels != NULL;
    for (int i = 0; i < STAGES; i++) {
        mean[i] = arena_get(&memory, (size_t)net->stages[i].width, sizeof *mean[i]);
        enough = enough && mean[i];
    }
    if (!enough)
        status = fail_memory(error, (size_t)side * (size_t)side * 3, "centring");
    if (!status)
        status = pool_open(&pool, 0, error);
    if (!status) {
        centring_picture(pixels, side, side);
        status = measure_means(net, width == NETWORK_F32 ? &backend_cpu : &backend_reference, pool, pixels, side, mean, error);
    }
    if (!status)
        status = network_set_offsets(net, (const double *const *)mean, error);
    pool_close(pool);
    arena_free(&memory);
    return status;
}

/* --------------------------------------------------------------------------------------- build */

static const char *copied(segrt_engine *engine, const char *text)
{
    return arena_copy_text(&engine->memory, text ? text : "", text ? strlen(text) : 0);
}

/* Strings, classes, counts: what the engine tells of the model once that is closed. */
static segrt_status describe_model(segrt_engine *engine, const segrt_model *model, segrt_error *error)
{
    segrt_model_info *info = &engine->info;
    *info = (segrt_model_info){.size = sizeof *info,
                               .classes = model->class_count,
                               .random_head = model->random_head,
                               .decoder_width = model->decoder_width,
                               .parameters = model->parameters};
    for (int i = 0; i < STAGES; i++) {
        info->width[i] = model->stages[i].width;
        info->depth[i] = model->stages[i].depth;
        info->heads[i] = model->stages[i].heads;
        info->reduction[i] = model->stages[i].reduction;
    }
    info->family = copied(engine, model->family);
    info->variant = copied(engine, model->variant);
    engine->source = copied(engine, model->path);
    engine->preprocessing = model->preprocessing;
    engine->preprocessing.size = sizeof engine->preprocessing;
    const size_t classes = (size_t)model->class_count;
    engine->classes = arena_get(&engine->memory, classes, sizeof *engine->classes);
    if (!info->family || !info->variant || !engine->source || !engine->classes)
        return fail_memory(error, classes * sizeof *engine->classes, "the engine's classes");
    for (size_t i = 0; i < classes; i++) {
        char unnamed[32];
        snprintf(unnamed, sizeof unnamed, "class %zu", i);
        if (model->classes)
            engine->classes[i] = model->classes[i];
        engine->classes[i].name = copied(engine, engine->classes[i].name ? engine->classes[i].name : unnamed);
        if (!engine->classes[i].name)
            return fail_memory(error, sizeof unnamed, "a class's name");
    }
    return SEGRT_OK;
}

/* An engine for one size alone is given pictures of that size, unless it slides windows of it. */
static void fix_size(segrt_engine *engine)
{
    const segrt_build_options *o = &engine->profile;
    segrt_preprocessing *p = &engine->preprocessing;
    if (!o->max.h || o->min.h != o->max.h || o->min.w != o->max.w || (p->window == o->max.h && p->window == o->max.w))
        return;
    p->resize = SEGRT_RESIZE_EXACT;
    p->width = o->max.w;
    p->height = o->max.h;
    p->window = p->stride = 0;
}

/* One precision for all operations; in an int8 engine bfloat16 for those that calibration does not choose. */
static segrt_status choose_settings(segrt_engine *engine, segrt_error *error)
{
    arena scratch = {0};
    operation *operations;
    const segrt_status status = network_operations(engine->net, &scratch, &operations, &engine->setting_count, error);
    arena_free(&scratch);
    if (status)
        return status;
    engine->settings = arena_get(&engine->memory, engine->setting_count, sizeof *engine->settings);
    if (!engine->settings)
        return fail_memory(error, engine->setting_count * sizeof *engine->settings, "settings of operations");
    for (size_t i = 0; i < engine->setting_count; i++)
        engine->settings[i].precision = engine->profile.precision == SEGRT_INT8 ? SEGRT_BFLOAT16 : engine->profile.precision;
    return SEGRT_OK;
}

segrt_status engine_build_width(segrt_engine **out, const segrt_model *model, const segrt_build_options *options, network_width width,
                                segrt_error *error)
{
    *out = NULL;
    segrt_build_options o = {0};
    segrt_status status = sized_read(&o, sizeof o, options, "segrt_build_options", error);
    if (status)
        return status;
    if (o.precision == SEGRT_PRECISION_DEFAULT)
        o.precision = SEGRT_FLOAT32;
    if ((int)o.precision < 0 || o.precision > SEGRT_INT8)
        return fail_with(error, SEGRT_ARGUMENT, "segrt_build_options.precision is %d, which is none", (int)o.precision);
    const segrt_image *pictures = o.calibration;
    const size_t picture_count = o.calibration_count;
    o.calibration = NULL;
    o.calibration_count = 0;
    if (o.precision == SEGRT_INT8 && (!pictures || !picture_count))
        return fail_with(error, SEGRT_ARGUMENT,
                         "int8 needs pictures to measure its scales on: segrt build MODEL --precision int8 --calibrate FOLDER");
    segrt_engine *engine = memory_get_cleared(1, sizeof *engine);
    if (!engine)
        return fail_memory(error, sizeof *engine, "an engine");
    status = network_fold(&engine->net, model, width, error);
    if (!status)
        status = complete_profile(&o, engine->net, error);
    if (!status)
        status = describe_model(engine, model, error);
    if (!status && o.command) { /* provenance is asked for; else the pass over the whole file is spared */
        model_digest(model, engine->source_digest);
        o.command = copied(engine, o.command);
        if (!o.command)
            status = fail_memory(error, 1, "the command line");
    }
    engine->profile = o;
    if (!status)
        fix_size(engine);
    if (!status)
        status = choose_settings(engine, error);
    if (!status && engine->net->classes)
        status = centre(engine->net, width, error);
    if (!status && o.precision == SEGRT_INT8)
        status = engine_calibrate(engine, pictures, picture_count, error);
    if (status) {
        segrt_engine_close(engine);
        return status;
    }
    *out = engine;
    return SEGRT_OK;
}

segrt_status segrt_engine_build(segrt_engine **out, const segrt_model *model, const segrt_build_options *options, segrt_error *error)
{
    return engine_build_width(out, model, options, NETWORK_F32, error);
}

/* -------------------------------------------------------------------------------- open, save */

segrt_status segrt_engine_open(segrt_engine **out, const char *path, segrt_error *error)
{
    *out = NULL;
    if (!path)
        return fail_with(error, SEGRT_ARGUMENT, "segrt_engine_open: no path");
    segrt_engine *engine = memory_get_cleared(1, sizeof *engine);
    if (!engine)
        return fail_memory(error, sizeof *engine, "an engine");
    segrt_status status = file_map_open(&engine->file, path, error);
    if (!status)
        status = engine_file_read(engine, error);
    if (status) {
        error_in_file(error, path);
        segrt_engine_close(engine);
        return status;
    }
    *out = engine;
    return SEGRT_OK;
}

segrt_status segrt_engine_save(const segrt_engine *engine, const char *path, segrt_error *error)
{
    return path ? engine_file_write(engine, path, error) : fail_with(error, SEGRT_ARGUMENT, "segrt_engine_save: no path");
}

void segrt_engine_close(segrt_engine *engine)
{
    if (!engine)
        return;
    network_close(engine->net);
    file_map_close(&engine->file);
    arena_free(&engine->memory);
    memory_free(engine);
}

/* ------------------------------------------------------------------------------- what it holds */

void segrt_engine_describe(const segrt_engine *engine, segrt_model_info *info)
{
    sized_write(info, &engine->info, sizeof engine->info);
}

void segrt_engine_profile(const segrt_engine *engine, segrt_build_options *profile)
{
    sized_write(profile, &engine->profile, sizeof engine->profile);
}

const char *segrt_engine_class_name(const segrt_engine *engine, int32_t label)
{
    return label < 0 || label >= engine->info.classes ? NULL : engine->classes[label].name;
}

void segrt_engine_class_color(const segrt_engine *engine, int32_t label, uint8_t rgb[3])
{
    static const uint8_t black[3] = {0};
    memcpy(rgb, label < 0 || label >= engine->info.classes ? black : engine->classes[label].rgb, 3);
}

void segrt_engine_preprocessing(const segrt_engine *engine, segrt_preprocessing *preprocessing)
{
    sized_write(preprocessing, &engine->preprocessing, sizeof engine->preprocessing);
}
