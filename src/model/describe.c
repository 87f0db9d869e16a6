/* describe: what a model answers about itself.  Model layer; the promises are segrt.h's. */
#include <string.h>

#include "base/sha256.h"
#include "base/sized.h"
#include "image/palette.h"
#include "model/model.h"

void segrt_model_describe(const segrt_model *model, segrt_model_info *info)
{
    segrt_model_info whole = {
        .family = model->family,
        .variant = model->variant,
        .classes = model->class_count,
        .random_head = model->random_head,
        .decoder_width = model->decoder_width,
        .parameters = model->parameters,
    };
    for (int i = 0; i < STAGES; i++) {
        whole.width[i] = model->stages[i].width;
        whole.depth[i] = model->stages[i].depth;
        whole.heads[i] = model->stages[i].heads;
        whole.reduction[i] = model->stages[i].reduction;
    }
    sized_write(info, &whole, sizeof whole);
}

const char *segrt_model_class_name(const segrt_model *model, int32_t label)
{
    return label < 0 || label >= model->class_count ? NULL : model->classes[label].name;
}

void segrt_model_class_color(const segrt_model *model, int32_t label, uint8_t rgb[3])
{
    if (label < 0 || label >= model->class_count)
        palette_color(0, rgb);
    else
        memcpy(rgb, model->classes[label].rgb, 3);
}

void segrt_model_preprocessing(const segrt_model *model, segrt_preprocessing *preprocessing)
{
    sized_write(preprocessing, &model->preprocessing, sizeof *preprocessing);
}

void model_digest(const segrt_model *model, char hex[MODEL_DIGEST])
{
    sha256 s;
    sha256_start(&s);
    for (size_t i = 0; i < model->file_count; i++)
        sha256_add(&s, model->files[i].data, model->files[i].size);
    sha256_finish_hex(&s, hex);
}
