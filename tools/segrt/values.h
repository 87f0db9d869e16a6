/* values: what the values of options may look like.  The program; each function is an argument_parse. */
#ifndef SEGRT_PROGRAM_VALUES_H
#define SEGRT_PROGRAM_VALUES_H

#include "segrt/segrt.h"

const char *value_text(const char *text, void *into);      /* const char * */
const char *value_count(const char *text, void *into);     /* int, 1.. */
const char *value_number(const char *text, void *into);    /* double, not negative */
const char *value_label(const char *text, void *into);     /* int, 0..65535 */
const char *value_precision(const char *text, void *into); /* segrt_precision: f32, tf32, bf16, f16, int8 */
const char *value_shape(const char *text, void *into);     /* segrt_shape: HxW, NxHxW or Nx3xHxW */
const char *value_resize(const char *text, void *into);    /* segrt_preprocessing: WxH, none, short=N */
const char *value_resample(const char *text, void *into);  /* segrt_resample */

const char *precision_name(segrt_precision precision); /* "float32" */

#endif
