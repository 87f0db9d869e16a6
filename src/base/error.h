/* error: how a failure is recorded.  Base layer; the types are segrt.h's.
 *
 * The first failure writes the error; callers on the way up pass it on untouched, so what the user
 * reads is the cause and not the last symptom. */
#ifndef SEGRT_BASE_ERROR_H
#define SEGRT_BASE_ERROR_H

#include "segrt/segrt.h"

#if defined(__GNUC__)
#define ERROR_FORMAT(at, first) __attribute__((format(printf, at, first)))
#else
#define ERROR_FORMAT(at, first)
#endif

/* Records a failure unless `error` already holds one; returns `status`, so that a failing function
 * can end in `return fail_with(...)`.  `error` may be NULL. */
segrt_status fail_with(segrt_error *error, segrt_status status, const char *format, ...) ERROR_FORMAT(3, 4);

/* The same with the byte of the file at which it went wrong. */
segrt_status fail_at(segrt_error *error, segrt_status status, uint64_t offset, const char *format, ...) ERROR_FORMAT(4, 5);

/* Names the file that a recorded failure is about, unless one is named already. */
void error_in_file(segrt_error *error, const char *file);

/* fail_with(NO_MEMORY) in the usual words. */
segrt_status fail_memory(segrt_error *error, size_t bytes, const char *what);

#endif
