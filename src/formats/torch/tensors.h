/* tensors: from what a pickle holds to a checkpoint: which dictionary is the state, which objects in it are tensors, where their
 * bytes are, and what the container says about classes.  Formats layer. */
#ifndef SEGRT_FORMATS_TORCH_TENSORS_H
#define SEGRT_FORMATS_TORCH_TENSORS_H

#include "formats/checkpoint.h"
#include "formats/torch/pickle.h"

/* A storage's bytes as its container has them: `data` [size] at `offset` of the file. */
typedef struct storage_bytes {
    const uint8_t *data;
    size_t size;
    uint64_t offset;
} storage_bytes;

/* Finds a storage by its key (no zero byte in it); false where there is none. */
typedef bool storage_find_fn(void *container, const char *key, storage_bytes *out);

/* What a persistent reference says: ('storage', type, key, device, elements[, view]).  Errors: MALFORMED, UNSUPPORTED (a type). */
enum { STORAGE_KEY_CAP = 128 };
typedef struct storage_reference {
    const tensor_type_row *type;
    char key[STORAGE_KEY_CAP];
    uint64_t elements;
} storage_reference;
segrt_status storage_reference_read(storage_reference *out, const pickle_value *persistent, segrt_error *error);

/* Adds the tensors of `root` (a dictionary of tensors, or a container with "state_dict") and the class names beside them.  `find` NULL:
 * there are no storages, only NumPy arrays.  Errors: MALFORMED, UNSUPPORTED, NOT_SEGFORMER (no tensors), NO_MEMORY. */
segrt_status tensors_of_pickle(checkpoint *out, const pickle_value *root, storage_find_fn *find, void *container, segrt_error *error);

/* meta.CLASSES and PALETTE (mmsegmentation 0.x), meta.dataset_meta (1.x), and the configuration's text.  Errors: NO_MEMORY. */
segrt_status meta_of_pickle(checkpoint *out, const pickle_value *root, segrt_error *error);

#endif
