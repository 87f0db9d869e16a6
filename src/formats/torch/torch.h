/* torch: the containers that pickles of tensors come in.  Formats layer.  Nothing in a file is ever executed. */
#ifndef SEGRT_FORMATS_TORCH_TORCH_H
#define SEGRT_FORMATS_TORCH_TORCH_H

#include "formats/checkpoint.h"

/* torch.save since PyTorch 1.6: a zip archive with data.pkl and one entry a storage. */
bool torch_zip_sniff(const void *data, size_t size);
segrt_status torch_zip_read(checkpoint *out, const file_map *file, segrt_error *error);

/* torch.save before that: a magic number, four more pickles, then the storages one after the other. */
bool torch_legacy_sniff(const void *data, size_t size);
segrt_status torch_legacy_read(checkpoint *out, const file_map *file, segrt_error *error);

/* One pickle with NumPy arrays in it: paddle.save's .pdparams. */
bool torch_pickle_sniff(const void *data, size_t size);
segrt_status torch_pickle_read(checkpoint *out, const file_map *file, segrt_error *error);

#endif
