#ifndef EASEL_IMAGING_ORDER_H
#define EASEL_IMAGING_ORDER_H
/*
 * order - the one piece of work this process was started for (files/imaging_wire.h)
 */
#include <jansson.h>
#include <stdbool.h>

#include "fault.h"
#include "files/picture.h"

enum order_op {
	ORDER_DRAW,
	ORDER_CONVERT,
	ORDER_RESIZE,
	ORDER_MASK,
	ORDER_THUMBNAIL,
	ORDER_STRIP,
	ORDER_SELFTEST
};
enum order_fit { ORDER_FILL, ORDER_COVER, ORDER_CONTAIN };

struct order {
	enum order_op op;
	enum picture_type type; /* of the output */
	int quality;
	/* draw */
	const char *prompt; /* owned by json */
	uint64_t seed;
	unsigned index;
	bool over; /* it is laid over the picture that came with the order */
	uint32_t width, height; /* resize, mask: what it becomes; thumbnail: width is the side */
	enum order_fit fit;     /* resize, mask */
	/* all that read a picture */
	uint64_t max_pixels;
	json_t *json;
};

/* Reads it from the descriptor to its end.  0 or -1: IMAGING_BAD_ORDER. */
int order_read(struct order *o, int fd, struct fault *f);
void order_done(struct order *o);

#endif
