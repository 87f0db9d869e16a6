/* traffic: what a step moves at the least, for a profile's share of the memory's ceiling. */
#ifndef SEGRT_CUDA_TRAFFIC_H
#define SEGRT_CUDA_TRAFFIC_H

#include "backend/cuda/plan.h"

/* Bytes of inputs, outputs and weights, each counted once: what caches spare is spared, what is read again is not counted. */
uint64_t step_bytes(const step *s, numeric type);

#endif
