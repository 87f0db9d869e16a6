/* emit: see emit.h. */
#include "export/emit.h"

#include "export/emitter.h"
#include "model/card.h"

static segrt_status check(emitter *e)
{
    const onnx_export_options *o = &e->options;
    if (e->model->head.kind == HEAD_NONE)
        return fail_with(e->error, SEGRT_NOT_SEGFORMER, "the model is a backbone without a decode head: there are no logits to export");
    if (o->opset < EXPORT_OLDEST_OPSET || o->opset > EXPORT_NEWEST_OPSET)
        return fail_with(e->error, SEGRT_ARGUMENT, "operator set %d: %d to %d can be written", o->opset, EXPORT_OLDEST_OPSET,
                         EXPORT_NEWEST_OPSET);
    if (o->precision != SEGRT_FLOAT32 && o->precision != SEGRT_FLOAT16)
        return fail_with(e->error, SEGRT_ARGUMENT, "ONNX files are written in float32 or float16");
    if (o->shape.n < 0 || o->shape.h < 0 || o->shape.w < 0 || (o->shape.h == 0) != (o->shape.w == 0))
        return fail_with(e->error, SEGRT_ARGUMENT, "shape %dx3x%dx%d: positive numbers, or height and width both open", (int)o->shape.n,
                         (int)o->shape.h, (int)o->shape.w);
    return SEGRT_OK;
}

/* Stages' sizes for a static size; the rule is the one of network_shape_of. */
static segrt_status static_shape(emitter *e)
{
    int h = e->options.shape.h, w = e->options.shape.w;
    for (int s = 0; s < STAGES; s++) {
        const model_stage *stage = &e->model->stages[s];
        const model_conv *patch = &stage->patch;
        h = (h + 2 * patch->pad - patch->kernel) / patch->stride + 1;
        w = (w + 2 * patch->pad - patch->kernel) / patch->stride + 1;
        if (h < stage->reduction || w < stage->reduction)
            return fail_with(e->error, SEGRT_SHAPE, "input %d x %d: stage %d would have no keys; the smallest side is %d",
                             (int)e->options.shape.h, (int)e->options.shape.w, s + 1, model_smallest_side(e->model));
        e->shape.stage[s] = (stage_shape){.h = h, .w = w};
    }
    return SEGRT_OK;
}

static void emit_input(emitter *e)
{
    builder *b = &e->b;
    const segrt_shape *shape = &e->options.shape;
    builder_input(b, "input", BUILDER_FLOAT, 4, (const int64_t[]){shape->n, 3, shape->h, shape->w},
                  (const char *const[]){"batch", "", "height", "width"});
    e->input = "input";
    if (b->float_type == BUILDER_FLOAT)
        return;
    builder_begin(b, "Cast", "input.float16", INPUTS("input"));
    builder_int(b, "to", BUILDER_FLOAT16);
    e->input = builder_end(b);
}

static segrt_status emit_card(emitter *e)
{
    const char *card;
    const segrt_status status = model_card_write(e->model, &e->b.memory, &card, e->error);
    if (status == SEGRT_OK)
        builder_property(&e->b, MODEL_CARD_KEY, card);
    return status;
}

segrt_status onnx_export(const segrt_model *model, const network *centred, const onnx_export_options *options, const char *path,
                         segrt_error *error)
{
    emitter *e = memory_get_cleared(1, sizeof *e);
    if (!e)
        return fail_memory(error, sizeof *e, "the ONNX emitter");
    e->model = model;
    e->error = error;
    if (options)
        e->options = *options;
    if (!e->options.opset)
        e->options.opset = EXPORT_DEFAULT_OPSET;
    if (e->options.precision == SEGRT_PRECISION_DEFAULT)
        e->options.precision = SEGRT_FLOAT32;
    e->centred = e->options.form == EXPORT_FOLDED ? centred : NULL;
    e->any_size = e->options.shape.h == 0;
    builder_open(&e->b, e->options.opset, e->options.precision == SEGRT_FLOAT16 ? BUILDER_FLOAT16 : BUILDER_FLOAT);
    segrt_status status = check(e);
    if (status == SEGRT_OK && !e->any_size)
        status = static_shape(e);
    if (status == SEGRT_OK) {
        emit_input(e);
        status = emit_encoder(e);
    }
    if (status == SEGRT_OK)
        status = emit_head(e);
    if (status == SEGRT_OK)
        status = emit_card(e);
    if (status == SEGRT_OK)
        status = builder_write(&e->b, "segformer", path, error);
    builder_close(&e->b);
    arena_free(&e->folded);
    memory_free(e);
    return status;
}
