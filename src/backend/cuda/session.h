/* session: the state behind the CUDA backend's table: a device, a stream, packed weights and the latest plans. */
#ifndef SEGRT_CUDA_SESSION_H
#define SEGRT_CUDA_SESSION_H

#include "backend/cuda/plan.h"

enum { SESSION_PLANS = 8, SESSION_MARKS = 4 };

typedef struct cuda_session {
    const network *net;
    device on;
    numeric type;
    bool fused, profiled, graphs; /* graphs: a run is one graph, not its steps one by one */
    bool lost;                    /* the device failed; nothing on it can be used any more */
    bool marked;                  /* `mark` was recorded by the latest run */
    cudaStream_t stream;
    packed weights;
    unsigned *counters;
    void *workspace;
    size_t workspace_bytes;
    plan plans[SESSION_PLANS];
    plan *latest;
    uint64_t clock;
    void *pinned; /* host memory that copies go through */
    size_t pinned_bytes;
    arena profile_memory;
    backend_profile_row *profile;
    size_t profile_count;
    cudaStream_t beside; /* while a graph is captured: steps that run beside the others, and */
    cudaEvent_t parted;  /* where they leave and meet */
    cudaEvent_t begin, end;
    cudaEvent_t mark[SESSION_MARKS]; /* of the latest run: begin, input copied, computed, results copied */
    cudaEvent_t done;                /* of the latest run on a caller's stream: the workspace is busy until then */
    char description[160];
} cuda_session;

extern const backend cuda_backend_table;

/* backend.times: between the marks of the latest run. */
void cuda_session_times(void *state, backend_times *times);

/* For benchmarks: replays the latest plan's graph `count` times and gives each replay's milliseconds by events. */
segrt_status cuda_session_time(cuda_session *s, int count, float *milliseconds, segrt_error *error);

/* Milliseconds of each step of the latest plan, launched `count` times in a row; what the run computes is lost. */
segrt_status cuda_session_time_steps(cuda_session *s, int count, float *milliseconds, segrt_error *error);

#endif
