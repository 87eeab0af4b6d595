#ifndef EASEL_FILES_IMAGING_WIRE_H
#define EASEL_FILES_IMAGING_WIRE_H
/*
 * imaging_wire - what files/imaging.c and the helper program easel-image agree on
 *
 * The helper does one piece of work and ends.  Its order is one JSON object:
 *
 *	{"op":"draw","prompt":"…","seed":7,"index":0,"width":1024,"height":1024,"format":"png",
 *	 "quality":85}
 *	{"op":"convert","format":"webp","quality":85,"max_pixels":67108864}
 *	{"op":"selftest"}    tries what the sandbox forbids and reports it as JSON, on descriptor 4
 *
 * "quality" (0..100) is for JPEG and WebP and may be left out.  On any exit but 0, descriptor 2 holds
 * one line of English for the log, and what was written to descriptor 4 is void.
 */
enum imaging_fd {
	IMAGING_FD_ORDER = 0,
	IMAGING_FD_WHY = 2,
	IMAGING_FD_IN = 3, /* convert: the picture, a file */
	IMAGING_FD_OUT = 4,
	IMAGING_FD__MAX
};

enum imaging_exit {
	IMAGING_OK = 0,
	IMAGING_FAILED = 1, /* its own fault: no sandbox, an output that cannot be written */
	IMAGING_BAD_ORDER = 2,
	IMAGING_BAD_PICTURE = 3,
	IMAGING_TOO_LARGE = 4,
	IMAGING_NO_ROOM = 5 /* out of memory or time */
};

#define IMAGING_ORDER_MAX    (1 << 20) /* bytes; a prompt of 32000 characters, escaped, is 192 KB */
#define IMAGING_SIDE_MAX     65535     /* pixels */
#define IMAGING_QUALITY      85        /* when the order names none */
#define IMAGING_DRAW_PIXELS  67108864  /* the largest picture that is drawn */
#define IMAGING_INPUT_PIXELS 67108864  /* convert: what max_pixels may be at most */

#endif
