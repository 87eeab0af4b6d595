#include "encode.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

#define SOFTWARE "Easel preview"

/* WebP's format ends there (RFC 9649: 14 bits a side). */
#define WEBP_SIDE_MAX 16383

int
fault_set(struct fault *f, enum imaging_exit status, const char *fmt, ...)
{
	va_list ap;

	f->status = status;
	va_start(ap, fmt);
	(void)vsnprintf(f->why, sizeof(f->why), fmt, ap);
	va_end(ap);
	return -1;
}

int
fault_vips(struct fault *f, enum imaging_exit status, const char *doing)
{
	const char *said = vips_error_buffer();

	if (strstr(said, "out of memory") || strstr(said, "OUT_OF_MEMORY") ||
	    strstr(said, "nsufficient memory"))
		status = IMAGING_NO_ROOM;
	(void)fault_set(f, status, "%s: %s", doing, said);
	f->why[strcspn(f->why, "\n")] = '\0';
	return -1;
}

static void
ignore_log(const gchar *domain, GLogLevelFlags level, const gchar *text, gpointer data)
{
	(void)domain;
	(void)level;
	(void)text;
	(void)data;
}

int
vips_begin(struct fault *f)
{
	/* An arena for each thread costs address space, which is limited, and buys nothing here. */
	(void)mallopt(M_ARENA_MAX, 2);
	/*
	 * libvips looks for its plug-ins below VIPSHOME: none, they are 50 libraries and 15 ms.  Its
	 * vector code is compiled at run time and large pictures would go to temporary files: the
	 * sandbox forbids both.
	 */
	if (setenv("VIPSHOME", "/nonexistent", 1) < 0 || setenv("VIPS_NOVECTOR", "1", 1) < 0 ||
	    setenv("VIPS_DISC_THRESHOLD", "64g", 1) < 0 || vips_init("easel-image") != 0)
		return fault_set(f, IMAGING_FAILED, "libvips does not start");
	(void)g_log_set_default_handler(ignore_log, NULL);
	vips_concurrency_set(1);
	vips_cache_set_max(0);
	vips_block_untrusted_set(TRUE);
	vips_operation_block_set("VipsForeignLoad", TRUE);
	vips_operation_block_set("VipsForeignLoadPng", FALSE);
	vips_operation_block_set("VipsForeignLoadJpeg", FALSE);
	vips_operation_block_set("VipsForeignLoadWebp", FALSE);
	return 0;
}

static int
save(VipsImage *image, enum picture_type type, int quality, gboolean strip, VipsTarget *target)
{
	switch (type) {
	case PICTURE_PNG:
		/* A preview is shown at once or not at all; level 6 takes thrice the time of 4. */
		return vips_pngsave_target(image, target, "compression", strip ? 4 : 2, "filter",
					   VIPS_FOREIGN_PNG_FILTER_SUB, "strip", TRUE, NULL);
	case PICTURE_JPEG:
		return vips_jpegsave_target(image, target, "Q", quality ? quality : 1,
					    "optimize_coding", TRUE, "strip", strip, NULL);
	case PICTURE_WEBP:
		return vips_webpsave_target(image, target, "Q", quality, "effort", 2, "strip",
					    strip, NULL);
	case PICTURE_NONE: break;
	}
	return -1;
}

int
encode(VipsImage *image, enum picture_type type, int quality, const char *about, int fd,
       enum imaging_exit failure, struct fault *f)
{
	const char *const texts[][2] = { { "Software", SOFTWARE },
					 { "Description", about },
					 { NULL, NULL } };
	struct output out = { .fd = fd, .texts = about && type == PICTURE_PNG ? texts : NULL };
	VipsTarget *target;
	int rc;

	if (type == PICTURE_WEBP && (vips_image_get_width(image) > WEBP_SIDE_MAX ||
				     vips_image_get_height(image) > WEBP_SIDE_MAX))
		return fault_set(f, IMAGING_TOO_LARGE, "WebP holds at most %d pixels a side",
				 WEBP_SIDE_MAX);
	target = output_target(&out);
	if (!target)
		return fault_vips(f, IMAGING_FAILED, "output");
	if (about) { /* for JPEG and WebP; the writers turn it into EXIF */
		vips_image_set_string(image, "exif-ifd0-Software", SOFTWARE);
		vips_image_set_string(image, "exif-ifd0-ImageDescription", about);
	}
	rc = save(image, type, quality, about == NULL, target);
	g_object_unref(target);
	if (out.failed)
		return fault_set(f, IMAGING_FAILED, "output: %s", strerror(out.error));
	return rc == 0 ? 0 : fault_vips(f, failure, "encoding");
}
