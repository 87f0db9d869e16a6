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

/* session.c.  Says in words what failed, and notes that the device is lost. */
segrt_status session_check(cuda_session *s, cudaError_t code, const char *doing, segrt_error *error);
plan_key session_key(const backend_run *run);
/* Makes `latest` the plan for a key: one that is kept, or a new one in place of that unused for longest. */
segrt_status session_find_plan(cuda_session *s, const plan_key *key, segrt_error *error);
launch session_launch(const cuda_session *s);

/* backend.run (session_run.c) and run_device (session_resident.c). */
segrt_status session_run(void *state, const backend_run *run, segrt_error *error);
segrt_status session_run_device(void *state, const backend_device_run *run, segrt_error *error);

/* backend.times: between the marks of the latest run. */
void cuda_session_times(void *state, backend_times *times);

/* For benchmarks: replays the latest plan's graph `count` times and gives each replay's milliseconds by events. */
segrt_status cuda_session_time(cuda_session *s, int count, float *milliseconds, segrt_error *error);

/* Milliseconds of each step of the latest plan, launched `count` times in a row; what the run computes is lost. */
segrt_status cuda_session_time_steps(cuda_session *s, int count, float *milliseconds, segrt_error *error);

#endif
