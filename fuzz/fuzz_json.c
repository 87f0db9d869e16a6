/* Fuzzes the JSON files that stand beside weights.  The first byte chooses which: config.json, preprocessor_config.json, or an index
 * whose shard is the text itself. */
#include "model/config.h"
#include "model/preprocessing.h"
#include "model_harness.h"

static void read_config(const file_map *file)
{
    arena memory = {0};
    model_config config = {0};
    segrt_error error = {0};
    const segrt_status status = model_config_read(&config, &memory, file, &error);
    if (status != error.status || (!status && config.class_names && !config.class_count))
        abort();
    arena_free(&memory);
}

static void read_preprocessing(const file_map *file)
{
    segrt_preprocessing p;
    segrt_error error = {0};
    const segrt_status status = model_preprocessing_read(&p, file, &error);
    if (status != error.status)
        abort();
    for (int c = 0; !status && c < 3; c++)
        if (!(p.deviation[c] > 0) || !(p.mean[c] == p.mean[c]) || (p.resize != SEGRT_RESIZE_NONE && p.width < 1))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    const file_map text = file_map_of(data + 1, size - 1);
    if (*data % 3 == 0)
        read_config(&text);
    else if (*data % 3 == 1)
        read_preprocessing(&text);
    else {
        const segrt_file files[] = {{.name = "model.safetensors.index.json", .data = text.data, .size = text.size},
                                    {.name = "a", .data = text.data, .size = text.size}};
        load_and_check(files, 2);
    }
    return 0;
}
