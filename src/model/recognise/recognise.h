/* recognise: finds the SegFormer in an ONNX graph, whatever wrote the graph.  Model layer; docs/recognition.md
 * tells the whole way:
 *
 *     graph of one input size (shape arithmetic folded away)
 *       --lower--> canonical nodes: a short vocabulary, free of layout
 *       --rules--> norms, GELUs, biases and scales put together again, as nodes are made
 *       --walk---> the SegFormer's grammar, stage by stage, into a segrt_model */
#ifndef SEGRT_MODEL_RECOGNISE_H
#define SEGRT_MODEL_RECOGNISE_H

#include "model/model.h"

/* Whether the bytes begin as an ONNX file does. */
bool recognise_sniff(const void *data, size_t size);

/* Fills `model` from an ONNX file.  `folder` is where its external data may lie (NULL: nowhere).  Weights are
 * copied, so `file` need not stay open.  Errors: those of the graph reader; NOT_SEGFORMER, naming the first
 * node that does not fit, what was expected there and how far recognition came; UNSUPPORTED for what is known
 * and refused (NCHWc files, FastGelu). */
segrt_status recognise_open(segrt_model *model, const file_map *file, const char *folder, segrt_error *error);

#endif
