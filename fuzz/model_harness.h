/* model_harness: what every harness of a model reader asserts. */
#ifndef SEGRT_FUZZ_MODEL_HARNESS_H
#define SEGRT_FUZZ_MODEL_HARNESS_H

#include <stdlib.h>
#include <string.h>

#include "entry.h"
#include "segrt/segrt.h"

/* Loads from memory.  A failure says why; what opens can be described. */
static inline void load_and_check(const segrt_file *files, size_t count)
{
    const segrt_model_options options = {.size = sizeof options, .heads = {1, 1, 1, 1}, .random_head_classes = 3};
    segrt_model *model = NULL;
    segrt_error error = {0};
    const segrt_status status = segrt_model_open_files(&model, files, count, &options, &error);
    if (status != error.status || !status != !!model || (status && !error.message[0]))
        abort();
    if (!model)
        return;
    segrt_model_info info = {.size = sizeof info};
    segrt_model_describe(model, &info);
    for (int32_t i = 0; i < info.classes; i++) {
        uint8_t rgb[3];
        segrt_model_class_color(model, i, rgb);
        if (!segrt_model_class_name(model, i) || strlen(segrt_model_class_name(model, i)) > 255)
            abort();
    }
    segrt_model_close(model);
}

#endif
