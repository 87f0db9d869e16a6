/* logits: bilinear resizing of logits, and the classes that win.  The program; in plain loops, so that what is compared does not
 * depend on the library's own. */
#ifndef SEGRT_PROGRAM_LOGITS_H
#define SEGRT_PROGRAM_LOGITS_H

#include <stdbool.h>
#include <stdint.h>

/* from [planes][from_h][from_w] to `to` [planes][h][w].  align: the corners' centres are kept, as align_corners = true. */
void logits_resize(float *to, const float *from, int planes, int from_h, int from_w, int h, int w, bool align);

/* Labels [n][h][w] of logits [n][classes][from_h][from_w]: resized, then the first of the largest.  free(); NULL: reported. */
uint16_t *logits_argmax(const float *logits, int n, int classes, int from_h, int from_w, int h, int w, bool align);

#endif
