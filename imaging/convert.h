#ifndef EASEL_IMAGING_CONVERT_H
#define EASEL_IMAGING_CONVERT_H
/*
 * convert - a picture that somebody sent, into another format
 */
#include "order.h"

/*
 * Reads the picture from descriptor `in`, turned upright, in sRGB, with 8 bits and no metadata, and
 * writes it to `out`.  0 or -1: IMAGING_BAD_PICTURE (neither PNG, JPEG nor WebP, damaged or
 * truncated), IMAGING_TOO_LARGE, IMAGING_NO_ROOM, IMAGING_FAILED.
 */
int convert(const struct order *o, int in, int out, struct fault *f);

#endif
