/* inputs: which pictures a command line names, and what their outputs are called.  The program. */
#ifndef SEGRT_PROGRAM_INPUTS_H
#define SEGRT_PROGRAM_INPUTS_H

#include <stdbool.h>
#include <stddef.h>

#include "segrt/segrt.h"

typedef struct input {
    char *path;
    char *stem;       /* of its outputs, below the output folder: a folder's tree is mirrored */
    bool from_folder; /* found in a folder that was named, not named itself */
} input;

typedef struct inputs {
    input *list; /* in the order of the command line; a folder's sorted by name */
    size_t count, room;
    size_t failed; /* folders that could not be read or have no pictures: reported */
} inputs;

/* Collects files as they are (they may be missing: that is found out when they are opened) and the pictures of
 * folders (by their endings; hidden names are left out).  False: out of memory, reported. */
bool inputs_collect(inputs *in, char *const *operands, int count);
void inputs_free(inputs *in);

/* Makes the folders that lead to a file, from any number of threads.  Errors: IO. */
segrt_status make_folders_for(const char *path, segrt_error *error);

/* A string made as printf makes it; ends the program where there is no memory for a file name. */
char *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
