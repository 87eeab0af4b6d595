#ifndef EASEL_IMAGING_DRAW_H
#define EASEL_IMAGING_DRAW_H
/*
 * draw - an abstract picture from a prompt, a seed and a number
 *
 * The same order gives the same pixels.
 */
#include "order.h"

/* width * height * 3 bytes of RGB, the caller's to free; NULL: out of memory. */
unsigned char *draw(const struct order *o);

#endif
