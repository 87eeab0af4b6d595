#ifndef EASEL_IMAGING_BLEND_H
#define EASEL_IMAGING_BLEND_H
/*
 * blend - a drawing laid over a picture that somebody sent: what the preview makes of an edit
 */
#include "order.h"

/*
 * pixels: the drawing, RGB, o->width by o->height; in its place comes the picture on descriptor `in`, of
 * the same size, seen through it.  0 or -1 as input_open(); IMAGING_BAD_ORDER: the sizes differ.
 */
int blend(const struct order *o, int in, unsigned char *pixels, struct fault *f);

#endif
