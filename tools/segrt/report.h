/* report: how the program speaks: errors, JSON, exit codes.  The program. */
#ifndef SEGRT_PROGRAM_REPORT_H
#define SEGRT_PROGRAM_REPORT_H

#include <jansson.h>

#include "segrt/segrt.h"

enum {
    EXIT_DONE = 0,
    EXIT_SOME_FAILED = 1, /* some inputs failed, or an output could not be written; each was named */
    EXIT_USAGE = 2,
    EXIT_MODEL = 3,  /* the model was refused */
    EXIT_DEVICE = 4, /* the device is missing or failed */
};

/* "segrt: FILE: MESSAGE" on stderr, with the offset where there is one.  `subject` stands where the error names no
 * file; may be NULL. */
void report_error(const char *subject, const segrt_error *error);
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Puts a failure into `error` unless there is one, to be reported later; returns `status`.  file: NULL where it is about none. */
segrt_status failed(segrt_error *error, segrt_status status, const char *file, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Exit code for an error in opening a model, an engine or a session. */
int exit_code_of(segrt_status status);

/* Writes `value` to a file, or to stdout where path is "-", and drops the reference.  False: reported. */
bool report_json(json_t *value, const char *path);

/* Flushes stdout; false (reported) where what was printed could not be written. */
bool report_flush(void);

#endif
