#ifndef EASEL_IMAGING_RESHAPE_H
#define EASEL_IMAGING_RESHAPE_H
/*
 * reshape - a picture that somebody sent, made fit for others: resized, as a mask, small, or only without
 * its metadata (files/imaging_wire.h)
 *
 * Each 0 or -1 as input_open().
 */
#include "order.h"

int resize(const struct order *o, int in, int out, struct fault *f);
/* -1 also: IMAGING_NO_MASK. */
int mask(const struct order *o, int in, int out, struct fault *f);
int thumbnail(const struct order *o, int in, int out, struct fault *f);
int strip(const struct order *o, int in, int out, struct fault *f);

#endif
