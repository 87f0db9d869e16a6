/* drawing: a network drawn, as text and as SVG.  The program. */
#ifndef SEGRT_PROGRAM_DRAWING_H
#define SEGRT_PROGRAM_DRAWING_H

#include <stdio.h>

#include "costs.h"

void drawing_text(const network *net, const costs *c);

/* False: reported. */
bool drawing_svg(const network *net, const costs *c, const char *title, const char *path);

#endif
