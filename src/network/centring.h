/* centring: the picture that stage offsets are measured on.  Network layer; the engine's build runs it. */
#ifndef SEGRT_NETWORK_CENTRING_H
#define SEGRT_NETWORK_CENTRING_H

#include <stdint.h>

/* Draws rgb [h][w][3]: sky, ground, boxes and noise, the same everywhere.  Any picture serves (a photograph, noise
 * and gradients gave offsets equally good to a tenth); this one has flat and busy parts in all colours. */
void centring_picture(uint8_t *rgb, int h, int w);

#endif
