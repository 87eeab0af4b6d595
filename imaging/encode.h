#ifndef EASEL_IMAGING_ENCODE_H
#define EASEL_IMAGING_ENCODE_H
/*
 * encode - pixels to PNG, JPEG or WebP
 *
 * Only the metadata that is asked for goes in.
 */
#include <vips/vips.h>

#include "fault.h"
#include "files/picture.h"

/* Starts libvips without plug-ins, caches, or any loader but PNG, JPEG and WebP. */
int vips_begin(struct fault *f);

/*
 * Writes `image` (8 bits, sRGB or grey, with or without alpha) to the descriptor.  `about` NULL:
 * without metadata, else it becomes the picture's description, with Easel as the software.
 *
 * 0 or -1: IMAGING_TOO_LARGE for the format, IMAGING_NO_ROOM, else `failure`: libvips decodes while it
 * encodes, so it is the caller who knows what is at fault.
 */
int encode(VipsImage *image, enum picture_type type, int quality, const char *about, int fd,
	   enum imaging_exit failure, struct fault *f);

#endif
