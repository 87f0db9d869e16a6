/* engine_check: every number of an engine is in its range; see engine_sections.h. */
#include <math.h>

#include "network/engine_sections.h"

enum {
    WIDTH_CAP = 1 << 14,  /* channels of a stage or of the head: four times the largest of any published family */
    HIDDEN_CAP = 1 << 17, /* of a Mix-FFN: eight times a width */
    DEPTH_CAP = 1 << 9,
    KERNEL_CAP = 64,
    CLASS_CAP = 1 << 16,
    SIDE_CAP = 65535,
};

typedef struct range {
    const char *name;
    int64_t value, least, most;
} range;

/* where: "stage" or the like, with its number, -1 for none. */
static segrt_status check_ranges(const range *ranges, size_t count, const char *where, int number, segrt_error *error)
{
    for (size_t i = 0; i < count; i++)
        if (ranges[i].value < ranges[i].least || ranges[i].value > ranges[i].most)
            return number < 0 ? fail_with(error, SEGRT_MALFORMED, "%s: %s is %lld, not in %lld to %lld", where, ranges[i].name,
                                          (long long)ranges[i].value, (long long)ranges[i].least, (long long)ranges[i].most)
                              : fail_with(error, SEGRT_MALFORMED, "%s %d: %s is %lld, not in %lld to %lld", where, number, ranges[i].name,
                                          (long long)ranges[i].value, (long long)ranges[i].least, (long long)ranges[i].most);
    return SEGRT_OK;
}

#define CHECK_RANGES(ranges, where, number, error) check_ranges(ranges, sizeof(ranges) / sizeof *(ranges), where, number, error)

static bool is_eps(double eps)
{
    return isfinite(eps) && eps >= 0;
}

static segrt_status check_blocks(const network_stage *s, int stage, segrt_error *error)
{
    for (int b = 0; b < s->depth; b++) {
        const network_block *block = &s->blocks[b];
        if (block->hidden < 1 || block->hidden > HIDDEN_CAP)
            return fail_with(error, SEGRT_MALFORMED, "stage %d, block %d: a hidden width of %d, not in 1 to %d", stage, b, block->hidden,
                             HIDDEN_CAP);
        if (!is_eps(block->eps1) || !is_eps(block->eps2) || !is_eps(block->reduce_eps))
            return fail_with(error, SEGRT_MALFORMED, "stage %d, block %d: a norm's eps is negative or not finite", stage, b);
    }
    return SEGRT_OK;
}

segrt_status engine_check_network(const network *net, segrt_error *error)
{
    for (int i = 0; i < STAGES; i++) {
        const network_stage *s = &net->stages[i];
        const int in = i ? net->stages[i - 1].width : 3;
        const range ranges[] = {
            {"width", s->width, 1, WIDTH_CAP},
            {"heads", s->heads, 1, s->width},
            {"channels over for the last head", s->heads > 0 ? s->width % s->heads : 0, 0, 0},
            {"reduction", s->reduction, 1, KERNEL_CAP},
            {"depth", s->depth, 0, DEPTH_CAP},
            {"patch input", s->patch.in, in, in},
            {"patch output", s->patch.out, s->width, s->width},
            {"patch kernel", s->patch.kernel, 1, KERNEL_CAP},
            {"patch stride", s->patch.stride, 1, KERNEL_CAP},
            {"patch padding", s->patch.pad, 0, s->patch.kernel > 0 ? s->patch.kernel - 1 : 0},
        };
        segrt_status status = CHECK_RANGES(ranges, "stage", i, error);
        if (!status)
            status = check_blocks(s, i, error);
        if (status)
            return status;
        if (!is_eps(s->patch.eps) || !is_eps(s->eps))
            return fail_with(error, SEGRT_MALFORMED, "stage %d: a norm's eps is negative or not finite", i);
    }
    for (int c = 0; c < 3; c++)
        if (!isfinite(net->mean[c]) || !isfinite(net->deviation[c]) || net->deviation[c] <= 0)
            return fail_with(error, SEGRT_MALFORMED, "channel %d: mean %g and deviation %g", c, net->mean[c], net->deviation[c]);
    const bool any = net->head.kind != HEAD_NONE, inner = net->head.kind == HEAD_CONV;
    const range head[] = {
        {"kind", (int64_t)net->head.kind, HEAD_NONE, HEAD_CONV},
        {"width", net->head.width, any, any ? WIDTH_CAP : 0},
        {"inner width", net->head.inner_width, inner, inner ? WIDTH_CAP : 0},
        {"classes", net->classes, any, any ? CLASS_CAP : 0},
    };
    return CHECK_RANGES(head, "head", -1, error);
}

static bool is_empty(segrt_shape s)
{
    return s.n == 0 && s.h == 0 && s.w == 0;
}

static segrt_status check_profile(const struct segrt_engine *engine, segrt_error *error)
{
    const segrt_build_options *p = &engine->profile;
    if (p->precision < SEGRT_FLOAT32 || p->precision > SEGRT_INT8)
        return fail_with(error, SEGRT_MALFORMED, "precision %d is none that is known", (int)p->precision);
    if (is_empty(p->min) && is_empty(p->opt) && is_empty(p->max))
        return SEGRT_OK;
    const range ranges[] = {
        {"opt n", p->opt.n, p->min.n, p->max.n},
        {"opt h", p->opt.h, p->min.h, p->max.h},
        {"opt w", p->opt.w, p->min.w, p->max.w},
    };
    const segrt_status status = CHECK_RANGES(ranges, "profile", -1, error);
    network_shape shape;
    if (!status && (network_shape_of(&shape, engine->net, p->min.n, p->min.h, p->min.w, NULL) ||
                    network_shape_of(&shape, engine->net, p->max.n, p->max.h, p->max.w, NULL)))
        return fail_with(error, SEGRT_MALFORMED, "profile: the network can't run its smallest or its largest shape");
    return status;
}

static segrt_status check_preprocessing(const segrt_preprocessing *p, segrt_error *error)
{
    const bool two = p->resize == SEGRT_RESIZE_EXACT || p->resize == SEGRT_RESIZE_FIT, sized = two || p->resize == SEGRT_RESIZE_SHORT_SIDE;
    const range ranges[] = {
        {"resize", (int64_t)p->resize, SEGRT_RESIZE_NONE, SEGRT_RESIZE_FIT},
        {"resample", (int64_t)p->resample, SEGRT_RESAMPLE_PILLOW_BILINEAR, SEGRT_RESAMPLE_NEAREST},
        {"width", p->width, sized, SIDE_CAP},
        {"height", p->height, two, SIDE_CAP},
        {"multiple", p->multiple, p->resize == SEGRT_RESIZE_FIT, SIDE_CAP},
        {"window", p->window, 0, SIDE_CAP},
        {"stride", p->stride, p->window > 0, p->window > 0 ? p->window : SIDE_CAP},
    };
    const segrt_status status = CHECK_RANGES(ranges, "preprocessing", -1, error);
    for (int c = 0; !status && c < 3; c++)
        if (!isfinite(p->mean[c]) || !isfinite(p->deviation[c]) || p->deviation[c] <= 0)
            return fail_with(error, SEGRT_MALFORMED, "preprocessing: channel %d: mean %g and deviation %g", c, (double)p->mean[c],
                             (double)p->deviation[c]);
    return status;
}

/* Of 8-bit inputs: neither they nor their inverses nor products with weights leave float32. */
static const float SCALE_LEAST = 1e-15f, SCALE_MOST = 1e15f;

static segrt_status check_settings(const struct segrt_engine *engine, segrt_error *error)
{
    arena scratch = {0};
    operation *operations;
    size_t count;
    const segrt_status status = network_operations(engine->net, &scratch, &operations, &count, error);
    arena_free(&scratch);
    if (status)
        return status;
    if (count != engine->setting_count)
        return fail_with(error, SEGRT_MALFORMED, "settings of %zu operations; the network has %zu", engine->setting_count, count);
    for (size_t i = 0; i < count; i++) {
        const operation_setting *s = &engine->settings[i];
        if (s->precision < SEGRT_FLOAT32 || s->precision > SEGRT_INT8 || !isfinite(s->input_scale) || s->input_scale < 0)
            return fail_with(error, SEGRT_MALFORMED, "operation %zu: precision %d, input scale %g", i, (int)s->precision,
                             (double)s->input_scale);
        if (s->precision == SEGRT_INT8 && !(s->input_scale >= SCALE_LEAST && s->input_scale <= SCALE_MOST))
            return fail_with(error, SEGRT_MALFORMED, "operation %zu is int8 with an input scale of %g: build the engine again, with calibration", i,
                             (double)s->input_scale);
    }
    return SEGRT_OK;
}

segrt_status engine_check_rest(const struct segrt_engine *engine, segrt_error *error)
{
    if (engine->info.classes != engine->net->classes)
        return fail_with(error, SEGRT_MALFORMED, "names of %d classes; the network has %d", engine->info.classes, engine->net->classes);
    segrt_status status = check_profile(engine, error);
    if (!status)
        status = check_preprocessing(&engine->preprocessing, error);
    return status ? status : check_settings(engine, error);
}
