/* default_model: see default_model.h.  The assembler puts the files in as they are. */
#include "default_model.h"

#define EMBED(name, path)                                                                                                                            \
    __asm__(".pushsection .rodata\n"                                                                                                                 \
            ".balign 64\n"                                                                                                                           \
            ".hidden " #name "_begin\n.hidden " #name "_end\n"                                                                                       \
            ".global " #name "_begin\n.global " #name "_end\n" #name "_begin:\n"                                                                     \
            ".incbin \"" path "\"\n" #name "_end:\n"                                                                                                 \
            ".byte 0\n"                                                                                                                              \
            ".popsection\n");                                                                                                                        \
    extern const unsigned char name##_begin[], name##_end[]

EMBED(default_config, DEFAULT_MODEL_FOLDER "/config.json");
EMBED(default_preprocessor, DEFAULT_MODEL_FOLDER "/preprocessor_config.json");
EMBED(default_weights, DEFAULT_MODEL_FOLDER "/model.safetensors");

void default_model_files(segrt_file files[DEFAULT_MODEL_FILES])
{
    files[0] = (segrt_file){"config.json", default_config_begin, (size_t)(default_config_end - default_config_begin)};
    files[1] = (segrt_file){"preprocessor_config.json", default_preprocessor_begin, (size_t)(default_preprocessor_end - default_preprocessor_begin)};
    files[2] = (segrt_file){"model.safetensors", default_weights_begin, (size_t)(default_weights_end - default_weights_begin)};
}
