#include "files/imaging.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "files/imaging_run.h"
#include "files/imaging_wire.h"

int
imaging_draw(struct filestore *fs, const struct imaging_draw *what, struct picture *out,
	     const struct deadline *d, struct err *e)
{
	struct imaging_run r = {
		.order = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:s}", "op", "draw", "prompt",
				   what->prompt, "seed", (json_int_t)what->seed, "index",
				   (json_int_t)what->index, "width", (json_int_t)what->width,
				   "height", (json_int_t)what->height, "format",
				   picture_format(what->type)),
		.in = -1,
		.doing = "the picture was being drawn",
		.stage = "provider.wait",
		.out = -1,
		.why = -1,
	};

	if (what->compression >= 0)
		(void)json_object_set_new(r.order, "quality", json_integer(what->compression));
	if (what->over) {
		r.in = what->over->fd;
		(void)json_object_set_new(r.order, "over", json_true());
	}
	if (imaging_run(&r, fs, &(struct imaging_result){ .stored = out }, d, e) == 0)
		return 0;
	/* Nobody sent us this picture: that it is none is our own mistake. */
	if (e->kind == ERR_RESULT_NOT_IMAGE)
		e->kind = ERR_INTERNAL;
	return -1;
}

/* From one stored picture to another. */
static int
stored_to_stored(struct filestore *fs, json_t *order, const char *doing, const struct picture *in,
		 const struct imaging_result *result, const struct deadline *d, struct err *e)
{
	AUTO_FD int fd = filestore_read(fs, in, e);
	struct imaging_run r = { .order = order,
				 .in = fd,
				 .doing = doing,
				 .stage = "store",
				 .bought = true,
				 .out = -1,
				 .why = -1 };

	if (fd >= 0)
		return imaging_run(&r, fs, result, d, e);
	json_decref(order);
	return imaging_failed(&r, e);
}

int
imaging_convert(struct filestore *fs, const struct picture *in, enum picture_type type,
		int compression, struct picture *out, const struct deadline *d, struct err *e)
{
	json_t *order = json_pack("{s:s, s:s}", "op", "convert", "format", picture_format(type));

	if (compression >= 0)
		(void)json_object_set_new(order, "quality", json_integer(compression));
	return stored_to_stored(fs, order, "the picture was being converted", in,
				&(struct imaging_result){ .stored = out }, d, e);
}

int
imaging_thumbnail(struct filestore *fs, const struct picture *in, uint32_t side,
		  struct picture *out, const struct deadline *d, struct err *e)
{
	json_t *order = json_pack("{s:s, s:I, s:s}", "op", "thumbnail", "side", (json_int_t)side,
				  "format", picture_format(PICTURE_WEBP));

	return stored_to_stored(fs, order, "the thumbnail was being made", in,
				&(struct imaging_result){ .stored = out, .of = in }, d, e);
}

/* ---- input pictures ---- */

/* The picture is the caller's: what is wrong with it is for the caller to mend, and nothing was bought. */
static int
blame_input(const struct source *in, uint64_t pixels, const char *param, const char *expected,
	    struct err *e)
{
	char detail[sizeof(e->detail)], text[96];

	e->may_have_been_billed = false;
	if (e->kind != ERR_RESULT_NOT_IMAGE && e->kind != ERR_UP_TOO_LARGE)
		return -1;
	(void)snprintf(detail, sizeof(detail), "%s", e->detail);
	if (e->kind == ERR_UP_TOO_LARGE) {
		(void)snprintf(text, sizeof(text), "at most %llu pixels in '%s'",
			       (unsigned long long)pixels, param);
		(void)err_field(e, ERR_BODY_TOO_LARGE, param, text, "%ux%u", in->width, in->height);
	} else {
		(void)err_field(e, ERR_VALUE, param, expected, "%s",
				e->about[0] == 'n' ? "one without any transparency"
						   : "a damaged one");
	}
	err_detail(e, "%s", detail);
	e->stage = "validate";
	return -1;
}

static int
source_to_source(struct filestore *fs, json_t *order, const struct source *in, const char *param,
		 const char *expected, struct source *out, const struct deadline *d, struct err *e)
{
	struct imaging_result result = { .source = out };
	uint64_t pixels = filestore_image_pixels(fs);
	struct imaging_run r = { .order = order,
				 .in = in->fd,
				 .doing = "an input picture was being prepared",
				 .stage = "validate",
				 .out = -1,
				 .why = -1 };

	if (pixels > IMAGING_INPUT_PIXELS)
		pixels = IMAGING_INPUT_PIXELS;
	(void)json_object_set_new(order, "max_pixels", json_integer((json_int_t)pixels));
	return imaging_run(&r, fs, &result, d, e) < 0 ? blame_input(in, pixels, param, expected, e)
						      : 0;
}

static json_t *
order_to_size(const char *op, const struct imaging_size *size)
{
	static const char *const fits[] = {
		[IMAGING_FILL] = "fill", [IMAGING_COVER] = "cover", [IMAGING_CONTAIN] = "contain"
	};

	return json_pack("{s:s, s:I, s:I, s:s}", "op", op, "width", (json_int_t)size->width,
			 "height", (json_int_t)size->height, "fit", fits[size->fit]);
}

int
imaging_resize(struct filestore *fs, const struct source *in, const char *param,
	       const struct imaging_size *size, struct source *out, const struct deadline *d,
	       struct err *e)
{
	json_t *order = order_to_size("resize", size);

	(void)json_object_set_new(order, "format", json_string(picture_format(PICTURE_PNG)));
	return source_to_source(fs, order, in, param, "a picture that can be decoded", out, d, e);
}

int
imaging_mask(struct filestore *fs, const struct source *in, const char *param,
	     const struct imaging_size *size, struct source *out, const struct deadline *d,
	     struct err *e)
{
	return source_to_source(fs, order_to_size("mask", size), in, param,
				"a picture that is transparent where it is to be made anew", out, d,
				e);
}

int
imaging_strip(struct filestore *fs, const struct source *in, const char *param, struct source *out,
	      const struct deadline *d, struct err *e)
{
	return source_to_source(fs, json_pack("{s:s}", "op", "strip"), in, param,
				"a picture that can be decoded", out, d, e);
}
