#include "order.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"

static int
read_all(struct buf *b, int fd, struct fault *f)
{
	for (;;) {
		ssize_t n;

		if (buf_room(b, 4096) < 0)
			return fault_set(f, IMAGING_BAD_ORDER, "the order is too long");
		n = read(fd, b->p + b->len, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_set(f, IMAGING_BAD_ORDER, "no order: %s", strerror(errno));
		if (n == 0)
			return 0;
		b->len += (size_t)n;
		b->p[b->len] = '\0';
	}
}

/* An integer member in min..max; one that is absent gets `otherwise` (below min: it is needed). */
static int
integer(const struct order *o, const char *name, int64_t min, int64_t max, int64_t otherwise,
	int64_t *out, struct fault *f)
{
	const json_t *v = json_object_get(o->json, name);

	*out = v ? (int64_t)json_integer_value(v) : otherwise;
	if ((v && !json_is_integer(v)) || *out < min || *out > max)
		return fault_set(f, IMAGING_BAD_ORDER, "\"%s\" is not an integer in range", name);
	return 0;
}

static int
format(struct order *o, struct fault *f)
{
	const char *name = json_string_value(json_object_get(o->json, "format"));
	int64_t quality;

	o->type = name ? picture_by_format(name) : PICTURE_NONE;
	if (o->type == PICTURE_NONE)
		return fault_set(f, IMAGING_BAD_ORDER, "\"format\" is none of png, jpeg, webp");
	if (integer(o, "quality", 0, 100, IMAGING_QUALITY, &quality, f) < 0)
		return -1;
	o->quality = (int)quality;
	return 0;
}

static int
limits(struct order *o, struct fault *f)
{
	int64_t pixels;

	if (integer(o, "max_pixels", 1, IMAGING_INPUT_PIXELS, IMAGING_INPUT_PIXELS, &pixels, f) < 0)
		return -1;
	o->max_pixels = (uint64_t)pixels;
	return 0;
}

static int
draw(struct order *o, struct fault *f)
{
	const json_t *seed = json_object_get(o->json, "seed");
	int64_t index, width, height;

	o->prompt = json_string_value(json_object_get(o->json, "prompt"));
	if (!o->prompt || !json_is_integer(seed))
		return fault_set(f, IMAGING_BAD_ORDER, "\"prompt\" or \"seed\" is missing");
	o->seed = (uint64_t)json_integer_value(seed);
	if (integer(o, "index", 0, 1000, 0, &index, f) < 0 ||
	    integer(o, "width", 1, IMAGING_SIDE_MAX, 0, &width, f) < 0 ||
	    integer(o, "height", 1, IMAGING_SIDE_MAX, 0, &height, f) < 0)
		return -1;
	o->index = (unsigned)index;
	o->width = (uint32_t)width;
	o->height = (uint32_t)height;
	if (width * height > IMAGING_DRAW_PIXELS)
		return fault_set(f, IMAGING_TOO_LARGE, "%ux%u is too large to draw", o->width,
				 o->height);
	o->over = json_is_true(json_object_get(o->json, "over"));
	return o->over && limits(o, f) < 0 ? -1 : format(o, f);
}

static int
convert(struct order *o, struct fault *f)
{
	return limits(o, f) < 0 || format(o, f) < 0 ? -1 : 0;
}

static int
size(struct order *o, int64_t unit, struct fault *f)
{
	static const char *const words[] = { "fill", "cover", "contain" };
	const char *name = json_string_value(json_object_get(o->json, "fit"));
	int64_t width, height;

	if (integer(o, "width", 1, IMAGING_RESIZE_SIDE, 0, &width, f) < 0 ||
	    integer(o, "height", 1, IMAGING_RESIZE_SIDE, 0, &height, f) < 0)
		return -1;
	if (width % unit || height % unit)
		return fault_set(f, IMAGING_BAD_ORDER, "%dx%d is not a multiple of %d", (int)width,
				 (int)height, (int)unit);
	o->width = (uint32_t)width;
	o->height = (uint32_t)height;
	for (int i = 0; i < 3; i++)
		if (name && !strcmp(name, words[i])) {
			o->fit = (enum order_fit)i;
			return 0;
		}
	return fault_set(f, IMAGING_BAD_ORDER, "\"fit\" is none of fill, cover, contain");
}

static int
resize(struct order *o, struct fault *f)
{
	return size(o, 1, f) < 0 ? -1 : convert(o, f);
}

static int
mask(struct order *o, struct fault *f)
{
	return size(o, IMAGING_MASK_BLOCK, f) < 0 || limits(o, f) < 0 ? -1 : 0;
}

static int
thumbnail(struct order *o, struct fault *f)
{
	int64_t side;

	if (integer(o, "side", 1, IMAGING_RESIZE_SIDE, 0, &side, f) < 0)
		return -1;
	o->width = (uint32_t)side;
	return convert(o, f);
}

static int
strip(struct order *o, struct fault *f)
{
	int64_t quality;

	if (limits(o, f) < 0 ||
	    integer(o, "quality", 0, 100, IMAGING_STRIP_QUALITY, &quality, f) < 0)
		return -1;
	o->quality = (int)quality;
	return 0;
}

static int
selftest(struct order *o, struct fault *f)
{
	(void)o;
	(void)f;
	return 0;
}

int
order_read(struct order *o, int fd, struct fault *f)
{
	static const struct {
		const char *name;
		enum order_op op;
		int (*read)(struct order *o, struct fault *f);
	} rows[] = {
		{ "draw", ORDER_DRAW, draw },
		{ "convert", ORDER_CONVERT, convert },
		{ "resize", ORDER_RESIZE, resize },
		{ "mask", ORDER_MASK, mask },
		{ "thumbnail", ORDER_THUMBNAIL, thumbnail },
		{ "strip", ORDER_STRIP, strip },
		{ "selftest", ORDER_SELFTEST, selftest },
	};
	AUTO(buf) text = BUF_INIT(IMAGING_ORDER_MAX);
	struct err e;
	const char *op;

	*o = (struct order){ .op = ORDER_SELFTEST };
	if (read_all(&text, fd, f) < 0)
		return -1;
	if (json_read(buf_str(&text), text.len, &o->json, &e) < 0)
		return fault_set(f, IMAGING_BAD_ORDER, "the order is not JSON: %.120s", e.about);
	op = json_string_value(json_object_get(o->json, "op"));
	for (size_t i = 0; op && i < sizeof(rows) / sizeof(*rows); i++)
		if (!strcmp(op, rows[i].name)) {
			o->op = rows[i].op;
			return rows[i].read(o, f);
		}
	return fault_set(f, IMAGING_BAD_ORDER,
			 "\"op\" is none of draw, convert, resize, mask, thumbnail, strip, "
			 "selftest");
}

void
order_done(struct order *o)
{
	json_decref(o->json);
	*o = (struct order){ .op = ORDER_SELFTEST };
}
