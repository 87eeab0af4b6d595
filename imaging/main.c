/*
 * easel-image - decodes, converts and draws pictures, one a process
 *
 * Started by files/imaging.c with its order and its files as descriptors (files/imaging_wire.h); of no
 * use to people, but harmless:
 *
 *	echo '{"op":"draw","prompt":"panda","seed":1,"width":512,"height":512,"format":"png"}' |
 *		easel-image 4>panda.png
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "blend.h"
#include "convert.h"
#include "draw.h"
#include "encode.h"
#include "reshape.h"
#include "sandbox.h"

#ifdef EASEL_SANITIZED
/*
 * The sanitizers' own reports need what the sandbox forbids: a leak check traces the process.  libvips
 * and GLib are not instrumented, so TSan cannot see their locks.
 */
const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "detect_leaks=0";
}

const char *__tsan_default_options(void);
const char *
__tsan_default_options(void)
{
	return "report_bugs=0 atexit_sleep_ms=0";
}
#endif

static int
draw_and_encode(const struct order *o, struct fault *f)
{
	unsigned char *pixels = draw(o);
	VipsImage *image;
	int rc;

	if (!pixels)
		return fault_set(f, IMAGING_NO_ROOM, "out of memory");
	if (o->over && blend(o, IMAGING_FD_IN, pixels, f) < 0) {
		free(pixels);
		return -1;
	}
	image = vips_image_new_from_memory(pixels, (size_t)o->width * o->height * 3, (int)o->width,
					   (int)o->height, 3, VIPS_FORMAT_UCHAR);
	if (!image)
		return fault_vips(f, IMAGING_FAILED, "picture");
	image->Type = VIPS_INTERPRETATION_sRGB;
	rc = encode(image, o->type, o->quality,
		    "Preview: an abstract drawing from the prompt and the seed, not a model's "
		    "picture",
		    IMAGING_FD_OUT, IMAGING_FAILED, f);
	g_object_unref(image);
	free(pixels);
	return rc;
}

static int
work(struct fault *f)
{
	AUTO(order) o = { .op = ORDER_SELFTEST };

	if (sandbox_limits(f) < 0 || vips_begin(f) < 0 || sandbox_close(f) < 0 ||
	    order_read(&o, IMAGING_FD_ORDER, f) < 0)
		return -1;
	switch (o.op) {
	case ORDER_DRAW: return draw_and_encode(&o, f);
	case ORDER_CONVERT: return convert(&o, IMAGING_FD_IN, IMAGING_FD_OUT, f);
	case ORDER_RESIZE: return resize(&o, IMAGING_FD_IN, IMAGING_FD_OUT, f);
	case ORDER_MASK: return mask(&o, IMAGING_FD_IN, IMAGING_FD_OUT, f);
	case ORDER_THUMBNAIL: return thumbnail(&o, IMAGING_FD_IN, IMAGING_FD_OUT, f);
	case ORDER_STRIP: return strip(&o, IMAGING_FD_IN, IMAGING_FD_OUT, f);
	case ORDER_SELFTEST: break;
	}
	return sandbox_selftest(IMAGING_FD_OUT, f);
}

int
main(void)
{
	struct fault f = { .status = IMAGING_OK };
	int rc = work(&f);

	if (rc < 0)
		(void)dprintf(IMAGING_FD_WHY, "%s\n", f.why);
	/* Straight out: the libraries' tidying up takes longer than many a picture. */
	_exit(rc < 0 ? (int)f.status : IMAGING_OK);
}
