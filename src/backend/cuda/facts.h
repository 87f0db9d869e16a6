/* facts: what the device says of itself and what it reaches at its best, for benchmarks. */
#ifndef SEGRT_CUDA_FACTS_H
#define SEGRT_CUDA_FACTS_H

#include "backend/backend.h"

/* backend.facts: memory by the runtime; power, heat and clocks by the driver's management library where it is there. */
segrt_status cuda_facts(int ordinal, backend_facts *facts, segrt_error *error);

/* backend.ceiling: products of a session's precision by the tensor cores from shared memory, and a copy within the device. */
segrt_status cuda_ceiling(const void *state, backend_ceiling *ceiling, segrt_error *error);

#endif
