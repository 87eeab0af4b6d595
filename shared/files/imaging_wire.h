#ifndef EASEL_FILES_IMAGING_WIRE_H
#define EASEL_FILES_IMAGING_WIRE_H
/*
 * imaging_wire - what files/imaging.c and the helper program easel-image agree on
 *
 * The helper does one piece of work and ends.  Its order is one JSON object:
 *
 *	{"op":"draw","prompt":"…","seed":7,"index":0,"width":1024,"height":1024,"format":"png",
 *	 "quality":85}    "over":true lays it over the picture that is read, which has that size
 *	{"op":"convert","format":"webp","quality":85,"max_pixels":67108864}
 *	{"op":"resize","width":832,"height":1216,"fit":"cover","format":"png"}    what is transparent
 *		becomes white; fit: "fill" (the ratio may change), "cover" (cut around the middle),
 *		"contain" (all of it, on black)
 *	{"op":"mask","width":832,"height":1216,"fit":"cover"}    a PNG: what was transparent is white,
 *		the rest black, in blocks of 8x8
 *	{"op":"thumbnail","side":512,"format":"webp"}    never enlarged
 *	{"op":"strip"}    the same format; upright, without EXIF, GPS, XMP, profile, comments
 *	{"op":"selftest"}    tries what the sandbox forbids and reports it as JSON, on descriptor 4
 *
 * "quality" (0..100), for JPEG and WebP, and "max_pixels", of a picture that is read, may be left out.  On any exit but 0, descriptor 2 holds
 * one line of English for the log, and what was written to descriptor 4 is void.
 */
enum imaging_fd {
	IMAGING_FD_ORDER = 0,
	IMAGING_FD_WHY = 2,
	IMAGING_FD_IN = 3, /* the picture that is read, a file */
	IMAGING_FD_OUT = 4,
	IMAGING_FD__MAX
};

enum imaging_exit {
	IMAGING_OK = 0,
	IMAGING_FAILED = 1, /* its own fault: no sandbox, an output that cannot be written */
	IMAGING_BAD_ORDER = 2,
	IMAGING_BAD_PICTURE = 3,
	IMAGING_TOO_LARGE = 4,
	IMAGING_NO_ROOM = 5, /* out of memory or time */
	IMAGING_NO_MASK = 6  /* nothing in it is transparent */
};

#define IMAGING_ORDER_MAX    (1 << 20) /* bytes; a prompt of 32000 characters, escaped, is 192 KB */
#define IMAGING_SIDE_MAX     65535     /* pixels */
#define IMAGING_QUALITY      85        /* when the order names none */
#define IMAGING_DRAW_PIXELS  67108864  /* the largest picture that is drawn */
#define IMAGING_INPUT_PIXELS 67108864  /* what max_pixels may be at most */
#define IMAGING_RESIZE_SIDE  4096      /* pixels; resize, mask, thumbnail: what they make */
#define IMAGING_MASK_BLOCK   8         /* pixels */
#define IMAGING_STRIP_QUALITY 95       /* little is lost, and little is gained by more */

#endif
