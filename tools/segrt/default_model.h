/* default_model: the model inside the program, for commands without -m: models/segformer-b0-camvid. */
#ifndef SEGRT_PROGRAM_DEFAULT_MODEL_H
#define SEGRT_PROGRAM_DEFAULT_MODEL_H

#include "segrt/segrt.h"

#define DEFAULT_MODEL_NAME "segformer-b0-camvid (built in)"
enum { DEFAULT_MODEL_FILES = 3 };

/* The files of its folder, as segrt_model_open_files wants them. */
void default_model_files(segrt_file files[DEFAULT_MODEL_FILES]);

#endif
