/* preparing: options that replace parts of a model's own preprocessing.  The program. */
#ifndef SEGRT_PROGRAM_PREPARING_H
#define SEGRT_PROGRAM_PREPARING_H

#include "segrt/segrt.h"

typedef struct preparing {
    segrt_preprocessing resize; /* its resize, width and height; MODEL: the model's own */
    segrt_resample resample;
    int32_t window, stride;     /* 0: the model's own */
} preparing;

/* Rows of an argument table that fill `p`, a preparing. */
#define PREPARING_ARGUMENTS(p)                                                                                                                   \
    {"--resize", 0, "HOW", "WxH, none, or short=N (default: the model's own)", value_resize, &(p).resize},                                       \
    {"--resample", 0, "HOW", "pillow, pillow-bicubic, opencv, nearest (default: the model's own)", value_resample, &(p).resample},               \
    {"--window", 0, "N", "slide a window of N input pixels over large pictures", value_count, &(p).window},                                      \
    {"--stride", 0, "N", "step of the window (default: its side)", value_count, &(p).stride}

/* The engine's preprocessing with what the command line says put over it. */
segrt_preprocessing preparing_apply(const preparing *p, const segrt_engine *engine);

#endif
