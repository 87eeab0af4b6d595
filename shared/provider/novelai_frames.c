#include "provider/novelai_frames.h"

#include <string.h>

enum state {
	F_LENGTH, /* the frame's, four bytes */
	F_MAP,    /* the map's own type byte */
	F_TYPE,   /* the type byte of a key or value */
	F_NUMBER, /* `need` bytes of a number or of a length */
	F_DATA    /* `data` bytes */
};

enum {
	NIL = 0xc0,
	BIN8 = 0xc4,
	EXT8 = 0xc7,
	FLOAT32 = 0xca,
	FLOAT64,
	UINT8,
	INT8 = 0xd0,
	FIXEXT1 = 0xd4,
	STR8 = 0xd9,
	ARRAY16 = 0xdc,
	ARRAY32,
	MAP16,
	MAP32
};

void
novelai_frames_init(struct novelai_frames *f, uint32_t frame_max)
{
	*f = (struct novelai_frames){ .frame_max = frame_max, .state = F_LENGTH, .need = 4 };
}

bool
novelai_frames_whole(const struct novelai_frames *f)
{
	return f->state == F_LENGTH && f->have == 0;
}

static int
garbage(struct err *e)
{
	return err_set(e, ERR_UP_GARBAGE, "its stream is not made of msgpack maps");
}

static uint64_t
big_endian(const unsigned char *p, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static bool
key_is(const struct novelai_frames *f, const char *name)
{
	return f->key_len == strlen(name) && !memcmp(f->key, name, f->key_len);
}

/* ---- one item of the map has ended ---- */

static int
frame_end(struct novelai_frames *f, struct err *e)
{
	if (f->left)
		return garbage(e);
	if (f->event(f->self, &f->said, e) < 0)
		return -1;
	f->state = F_LENGTH;
	f->have = 0;
	f->need = 4;
	return 0;
}

static int
item_end(struct novelai_frames *f, struct err *e)
{
	f->state = F_TYPE;
	f->text = NULL;
	f->is_image = false;
	if (f->nested) {
		if (--f->nested)
			return 0;
		/* The last one within a value: the value itself is over too. */
	}
	f->is_key = !f->is_key;
	return --f->items ? 0 : frame_end(f, e);
}

/* A value that holds n others, which are skipped. */
static int
container(struct novelai_frames *f, uint64_t n, struct err *e)
{
	if (f->is_key && !f->nested)
		return garbage(e);
	if (n > f->left) /* each has one byte at least */
		return garbage(e);
	if (!n)
		return item_end(f, e);
	/* The container's own place goes to its contents. */
	f->nested += f->nested ? n - 1 : n;
	f->state = F_TYPE;
	return 0;
}

static int
number(struct novelai_frames *f, int64_t v, struct err *e)
{
	if (f->is_key && !f->nested)
		return garbage(e);
	if (!f->nested) {
		if (key_is(f, "samp_ix"))
			f->said.sample = v;
		else if (key_is(f, "step_ix"))
			f->said.step = v;
		else if (key_is(f, "code"))
			f->said.code = v;
	}
	return item_end(f, e);
}

/* ---- texts and bytes ---- */

static void
take_text(struct novelai_frames *f, char *to, size_t size)
{
	f->text = to;
	f->text_size = size;
	f->text_len = 0;
	*to = '\0';
}

/* A text or bytes of that length begin; binary: bytes. */
static int
data_begin(struct novelai_frames *f, uint64_t n, bool binary, struct err *e)
{
	if (n > f->left || (f->is_key && !f->nested && binary))
		return garbage(e);
	f->data = (uint32_t)n;
	f->state = F_DATA;
	if (!f->nested && f->is_key) {
		f->key_len = 0;
	} else if (!f->nested && binary && key_is(f, "image")) {
		f->is_image = f->said.image = true;
		if (f->image_begin(f->self, &f->said, e) < 0)
			return -1;
	} else if (!f->nested && !binary && key_is(f, "event_type")) {
		take_text(f, f->said.event, sizeof(f->said.event));
	} else if (!f->nested && !binary && key_is(f, "message")) {
		take_text(f, f->said.message, sizeof(f->said.message));
	}
	return n ? 0 : item_end(f, e);
}

static int
data(struct novelai_frames *f, const unsigned char *p, size_t n, struct err *e)
{
	if (f->is_image) {
		if (f->image_bytes(f->self, p, n, e) < 0)
			return -1;
	} else if (f->is_key && !f->nested) {
		for (size_t i = 0; i < n; i++)
			if (f->key_len < sizeof(f->key)) /* a full key is none that is looked for */
				f->key[f->key_len++] = (char)p[i];
	} else if (f->text) {
		for (size_t i = 0; i < n && f->text_len + 1 < f->text_size; i++) {
			f->text[f->text_len++] = (char)p[i];
			f->text[f->text_len] = '\0';
		}
	}
	f->data -= (uint32_t)n;
	return f->data ? 0 : item_end(f, e);
}

/* ---- types ---- */

static int
need(struct novelai_frames *f, unsigned n)
{
	f->state = F_NUMBER;
	f->have = 0;
	f->need = n;
	return 0;
}

static int
type(struct novelai_frames *f, unsigned char c, struct err *e)
{
	f->type = c;
	if (c < 0x80)
		return number(f, c, e);
	if (c >= 0xe0)
		return number(f, (signed char)c, e);
	if (c < 0x90)
		return container(f, 2 * (uint64_t)(c & 15), e);
	if (c < 0xa0)
		return container(f, c & 15, e);
	if (c < 0xc0)
		return data_begin(f, c & 31, false, e);
	if (c == 0xc1 || ((c < BIN8 || c == FLOAT32 || c == FLOAT64) && f->is_key && !f->nested))
		return garbage(e);
	if (c < BIN8) /* nil, false, true */
		return item_end(f, e);
	if (c < FLOAT32) /* the lengths of bytes and of extensions */
		return need(f, 1U << ((c - BIN8) % 3));
	if (c < UINT8)
		return need(f, c == FLOAT32 ? 4 : 8);
	if (c < FIXEXT1)
		return need(f, 1U << ((c - UINT8) % 4));
	if (c < STR8) /* an extension's type, then 1 to 16 bytes */
		return data_begin(f, 1 + (1U << (c - FIXEXT1)), true, e);
	if (c < ARRAY16)
		return need(f, 1U << (c - STR8));
	return need(f, c == ARRAY16 || c == MAP16 ? 2 : 4);
}

/* The bytes that stood behind a type are there. */
static int
number_whole(struct novelai_frames *f, struct err *e)
{
	uint64_t v = big_endian(f->number, f->need);
	unsigned char c = f->type;

	if (c == FLOAT32 || c == FLOAT64)
		return item_end(f, e);
	if (c >= UINT8 && c < INT8)
		return number(f, v > INT64_MAX ? INT64_MAX : (int64_t)v, e);
	if (c >= INT8 && c < FIXEXT1) {
		uint64_t sign = 0x80ULL << 8 * ((1U << (c - INT8)) - 1);

		return number(f, (int64_t)((v ^ sign) - sign), e);
	}
	if (c == ARRAY16 || c == ARRAY32)
		return container(f, v, e);
	if (c == MAP16 || c == MAP32)
		return container(f, 2 * v, e);
	if (c >= EXT8 && c < FLOAT32)
		return data_begin(f, v + 1, true, e);
	return data_begin(f, v, c < STR8, e);
}

static int
length_whole(struct novelai_frames *f, struct err *e)
{
	f->left = (uint32_t)big_endian(f->number, 4);
	if (!f->left)
		return garbage(e);
	if (f->left > f->frame_max)
		return err_set(e, ERR_UP_TOO_LARGE, "a frame of %u bytes", f->left);
	f->said = (struct frame_said){ .sample = -1, .step = -1, .code = -1 };
	f->state = F_MAP;
	return 0;
}

static int
map(struct novelai_frames *f, unsigned char c, struct err *e)
{
	if ((c & 0xf0) != 0x80) /* more than 15 keys are not for us */
		return garbage(e);
	f->items = 2 * (uint64_t)(c & 15);
	f->is_key = true;
	f->nested = 0;
	f->state = F_TYPE;
	return f->items ? 0 : frame_end(f, e);
}

/* One step with what there is of it: how many bytes it took, or -1. */
static int64_t
feed_some(struct novelai_frames *f, const unsigned char *p, size_t n, struct err *e)
{
	int rc = 0;

	if (f->state != F_LENGTH) {
		if (!f->left)
			return garbage(e);
		if (n > f->left)
			n = f->left;
	}
	switch ((enum state)f->state) {
	case F_DATA:
		if (n > f->data)
			n = f->data;
		f->left -= (uint32_t)n;
		rc = data(f, p, n, e);
		break;
	case F_MAP:
	case F_TYPE:
		n = 1;
		f->left--;
		rc = f->state == F_MAP ? map(f, *p, e) : type(f, *p, e);
		break;
	case F_LENGTH:
	case F_NUMBER:
		n = 1;
		f->number[f->have++] = *p;
		if (f->state == F_NUMBER)
			f->left--;
		if (f->have == f->need)
			rc = f->state == F_LENGTH ? length_whole(f, e) : number_whole(f, e);
		break;
	}
	return rc < 0 ? -1 : (int64_t)n;
}

int
novelai_frames_feed(struct novelai_frames *f, const void *bytes, size_t n, struct err *e)
{
	const unsigned char *p = bytes;

	while (n) {
		int64_t took = feed_some(f, p, n, e);

		if (took < 0)
			return -1;
		p += took;
		n -= (size_t)took;
	}
	return 0;
}
