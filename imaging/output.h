#ifndef EASEL_IMAGING_OUTPUT_H
#define EASEL_IMAGING_OUTPUT_H
/*
 * output - where libvips writes to; adds a PNG's texts
 *
 * libvips 8.14 only writes compressed texts (zTXt), which a plain search does not find: ours go in as
 * tEXt (RFC 2083, 4.2.3) right after the header.
 */
#include <stdbool.h>
#include <stddef.h>
#include <vips/vips.h>

struct output {
	int fd;
	const char *const (
		*texts)[2]; /* NULL, or keyword and text (Latin-1), up to one that is NULL */
	size_t passed;      /* bytes of the picture so far */
	bool failed;        /* a write did; errno was `error` */
	int error;
};

/* A target that writes to o->fd; NULL with libvips' error set.  The caller's to unref, before *o goes. */
VipsTarget *output_target(struct output *o);

#endif
