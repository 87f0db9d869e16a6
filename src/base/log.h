/* log: remarks that are not errors, to the caller's callback.  Base layer. */
#ifndef SEGRT_BASE_LOG_H
#define SEGRT_BASE_LOG_H

#include "base/error.h"

/* One line, without a newline at its end.  Costs a comparison where no callback is set. */
void log_line(segrt_log_level level, const char *format, ...) ERROR_FORMAT(2, 3);

#endif
