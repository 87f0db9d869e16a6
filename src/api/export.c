/* export: segrt_model_export: the public options to the emitter's, and the offsets of a centred file, which
 * are those that an engine of the model would have.  API layer. */
#include "export/emit.h"

#include "api/engine.h"
#include "base/sized.h"

segrt_status segrt_model_export(const segrt_model *model, const segrt_export_options *options, const char *path, segrt_error *error)
{
    segrt_export_options o = {0};
    segrt_engine *engine = NULL;
    segrt_status status = sized_read(&o, sizeof o, options, "segrt_export_options", error);
    if (status)
        return status;
    if (!model || !path || !*path)
        return fail_with(error, SEGRT_ARGUMENT, "segrt_model_export: no %s", model ? "path" : "model");
    const onnx_export_options emitted = {
        .form = o.folded ? EXPORT_FOLDED : EXPORT_PUBLISHED,
        .shape = o.shape,
        .opset = o.opset,
        .output = o.labels ? EXPORT_LABELS : EXPORT_LOGITS,
        .precision = o.float16 ? SEGRT_FLOAT16 : SEGRT_FLOAT32,
    };
    if (o.folded && o.centred)
        status = engine_build_width(&engine, model, NULL, NETWORK_F32, error);
    if (!status)
        status = onnx_export(model, engine ? engine->net : NULL, &emitted, path, error);
    segrt_engine_close(engine);
    return status;
}
