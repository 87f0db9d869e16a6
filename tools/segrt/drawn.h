/* drawn: inputs of the network that need no picture: noise, and smooth shapes.  The program. */
#ifndef SEGRT_PROGRAM_DRAWN_H
#define SEGRT_PROGRAM_DRAWN_H

#include <stdbool.h>

#include "segrt/segrt.h"

typedef struct drawn {
    float *data; /* [n][3][h][w], normalised; free() */
    int n, h, w;
} drawn;

typedef enum drawn_kind { DRAWN_NOISE, DRAWN_SHAPES, DRAWN_KINDS } drawn_kind;

extern const char *const drawn_name[DRAWN_KINDS];

/* Room for a shape, contents undefined.  False: reported. */
bool drawn_room(drawn *d, segrt_shape shape);

/* Noise, as random as weights are; or smooth shapes with edges, as pictures are.  The same on every machine. */
void drawn_fill(drawn *d, drawn_kind kind);

#endif
