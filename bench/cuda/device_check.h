/* device_check: what the CUDA backend promises about the caller's memory and streams, failures and several sessions, held on a
 * GPU.  Part of harness. */
#ifndef SEGRT_BENCH_DEVICE_CHECK_H
#define SEGRT_BENCH_DEVICE_CHECK_H

#include "backend/cuda/session.h"

/* Prints a line for each promise; the number of those that are broken. */
int device_check_all(void);

#endif
