/* files: the files that a model is made of: of a folder, beside a lone file, or in the caller's memory.  Model layer.
 *
 * Names that come out of a file (an index's shards) are only ever looked up inside the model's own folder. */
#ifndef SEGRT_MODEL_FILES_H
#define SEGRT_MODEL_FILES_H

#include "model/model.h"

typedef struct model_files {
    arena *memory;
    const char *folder;      /* with its slash; "" is the current one; NULL: given from memory */
    const char *weights;     /* name of the weights file in it */
    bool has_siblings;       /* config.json and preprocessor_config.json beside it belong to it */
    const segrt_file *given; /* [given_count] */
    size_t given_count;
} model_files;

/* What `path` is: a folder whose weights are looked for under their usual names, or a weights file.  Errors: IO, NO_MEMORY,
 * NOT_SEGFORMER (a folder without weights). */
segrt_status model_files_of_path(model_files *out, arena *memory, const char *path, segrt_error *error);

/* Errors: ARGUMENT, NOT_SEGFORMER (no weights among them). */
segrt_status model_files_of_memory(model_files *out, arena *memory, const segrt_file *files, size_t count, segrt_error *error);

/* Opens a file by its plain name, the caller closes it.  *found false: there is none, which is no error.  Errors: IO, NO_MEMORY,
 * MALFORMED (a name that is not plain). */
segrt_status model_files_open(const model_files *f, const char *name, file_map *out, bool *found, segrt_error *error);

/* True for a name that cannot lead out of its folder. */
bool model_file_name_is_plain(const char *name);

#endif
