#include "output.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define PNG_HEADER_BYTES 33 /* signature and IHDR with its CRC */
#define CHUNK_MAX        512

static int
put(struct output *o, const void *p, size_t n)
{
	for (const char *c = p; n > 0 && !o->failed;) {
		ssize_t k = write(o->fd, c, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0) {
			o->failed = true;
			o->error = errno;
			break;
		}
		c += k;
		n -= (size_t)k;
	}
	return o->failed ? -1 : 0;
}

/* PNG's CRC (RFC 2083, 15), bit by bit: a few hundred bytes come here. */
static uint32_t
crc(const unsigned char *p, size_t n)
{
	uint32_t c = 0xffffffff;

	for (size_t i = 0; i < n; i++) {
		c ^= p[i];
		for (int k = 0; k < 8; k++)
			c = c >> 1 ^ (c & 1 ? 0xedb88320 : 0);
	}
	return ~c;
}

static void
big_endian(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (24 - 8 * i));
}

static int
put_text(struct output *o, const char *keyword, const char *text)
{
	unsigned char chunk[CHUNK_MAX]; /* length, "tEXt", keyword, NUL, text, CRC */
	size_t room = sizeof(chunk) - 8;
	int n = snprintf((char *)chunk + 4, room, "tEXt%s%c%s", keyword, '\0', text);

	if (n < 4 || (size_t)n >= room)
		return -1;
	big_endian(chunk, (uint32_t)n - 4);
	big_endian(chunk + 4 + n, crc(chunk + 4, (size_t)n));
	return put(o, chunk, (size_t)n + 8);
}

static gint64
on_write(VipsTargetCustom *target, const void *p, gint64 length, gpointer self)
{
	struct output *o = self;
	size_t n = (size_t)length, first = 0;

	(void)target;
	if (o->texts && o->passed < PNG_HEADER_BYTES) {
		first = PNG_HEADER_BYTES - o->passed;
		if (first > n)
			first = n;
		if (put(o, p, first) < 0)
			return -1;
		if (o->passed + first == PNG_HEADER_BYTES)
			for (size_t i = 0; o->texts[i][0]; i++)
				if (put_text(o, o->texts[i][0], o->texts[i][1]) < 0)
					return -1;
	}
	if (put(o, (const char *)p + first, n - first) < 0)
		return -1;
	o->passed += n;
	return length;
}

VipsTarget *
output_target(struct output *o)
{
	VipsTargetCustom *target = vips_target_custom_new();

	if (target)
		(void)g_signal_connect(target, "write", G_CALLBACK(on_write), o);
	return VIPS_TARGET(target);
}
