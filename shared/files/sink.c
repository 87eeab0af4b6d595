#include "files/sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/id.h"

/*
 * Everything goes through one block on the heap (a request's thread has a small stack): base64 is
 * decoded straight into it, the header is read in it, and it is written when it is full.
 */
#define BLOCK_BYTES 65536
/* What it begins with: freeing more than 64 KB makes malloc tidy up all it has, which costs small
   pictures more than their bytes do. */
#define BLOCK_FIRST_BYTES 8192
#define HEAD_STEP         1024 /* of a header that comes in small pieces */
#define BLOCK_SLACK       64 /* base64_decode() writes past its end, and a group may cross the block's */

void
sink_init(struct sink *s, struct filestore *fs)
{
	*s = (struct sink){ .fs = fs, .fd = -1 };
}

void
sink_init_unnamed(struct sink *s, struct filestore *fs)
{
	sink_init(s, fs);
	s->unnamed = true;
}

void
sink_done(struct sink *s)
{
	bool unnamed = s->unnamed;

	if (s->fs && s->fd >= 0 && unnamed)
		(void)close(s->fd);
	else if (s->fs && s->fd >= 0)
		filestore_drop(s->fs, s->fd, s->id);
	free(s->block);
	sink_init(s, s->fs);
	s->unnamed = unnamed;
}

static int
not_image(struct err *e, const char *why)
{
	return err_set(e, ERR_RESULT_NOT_IMAGE, "%s", why);
}

/* ---- the file ---- */

static int
write_block(struct sink *s, size_t n, struct err *e)
{
	size_t done = 0;

	if (s->fd < 0) {
		if (!s->unnamed)
			id_make("", s->id, sizeof(s->id));
		s->fd = s->unnamed ? filestore_unnamed(s->fs, e)
				   : filestore_create(s->fs, s->id, e);
		if (s->fd < 0)
			return -1;
	}
	while (done < n) {
		ssize_t k = write(s->fd, s->block + done, n - done);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return filestore_failed(s->fs, "writing", k < 0 ? errno : ENOSPC, e);
		done += (size_t)k;
	}
	return 0;
}

/* Writes what is full of the block and moves the rest, less than a group, to its beginning. */
static int
write_full(struct sink *s, struct err *e)
{
	size_t n = s->block_len / BLOCK_BYTES * BLOCK_BYTES;

	if (write_block(s, n, e) < 0)
		return -1;
	memcpy(s->tail, s->block + n - SINK_TAIL_BYTES, SINK_TAIL_BYTES);
	s->tail_len = SINK_TAIL_BYTES;
	s->block_len -= n;
	memmove(s->block, s->block + n, s->block_len);
	return 0;
}

/* Makes s->tail the picture's last bytes: those of the block, behind those that went before. */
static void
read_tail(struct sink *s)
{
	size_t n = s->block_len < SINK_TAIL_BYTES ? s->block_len : SINK_TAIL_BYTES;
	size_t keep = s->tail_len < SINK_TAIL_BYTES - n ? s->tail_len : SINK_TAIL_BYTES - n;

	memmove(s->tail, s->tail + s->tail_len - keep, keep);
	memcpy(s->tail + keep, s->block + s->block_len - n, n);
	s->tail_len = keep + n;
}

/* ---- the block ---- */

static int
grow_block(struct sink *s, size_t size, struct err *e)
{
	unsigned char *p = realloc(s->block, size + BLOCK_SLACK);

	if (!p)
		return err_set(e, ERR_INTERNAL, "out of memory");
	s->block = p;
	s->block_size = size;
	return 0;
}

/*
 * The header is read from its beginning each time, and it may come in pieces of a byte: what decides most of the
 * time is read as soon as it is there, and what is longer, a JPEG's segments, in steps that grow with it.
 */
static bool
head_is_due(const struct sink *s)
{
	size_t step = s->head_read / 8 > HEAD_STEP ? s->head_read / 8 : HEAD_STEP;

	return s->block_len <= HEAD_STEP || s->block_len >= s->block_size ||
	       s->block_len - s->head_read >= step;
}

/* Reads the header, when enough of it is there, and judges it. */
static int
read_head(struct sink *s, struct err *e)
{
	uint64_t limit = filestore_image_pixels(s->fs);
	size_t n = s->block_len < PICTURE_HEAD_BYTES ? s->block_len : PICTURE_HEAD_BYTES;
	const char *why = "";

	s->head_read = s->block_len;
	switch (picture_head(s->block, n, &s->type, &s->width, &s->height, &why)) {
	case HEAD_BAD: return not_image(e, why);
	case HEAD_MORE:
		if (n == PICTURE_HEAD_BYTES)
			return not_image(e, "its header has no end");
		return 0;
	case HEAD_OK: break;
	}
	memcpy(s->first, s->block, sizeof(s->first));
	if ((uint64_t)s->width * s->height > limit)
		return err_set(e, ERR_UP_TOO_LARGE, "a picture of %ux%u, more than %llu pixels",
			       s->width, s->height, (unsigned long long)limit);
	return 0;
}

/* Takes the n bytes that were put behind the block's end, and makes room for at least one more. */
static int
commit(struct sink *s, size_t n, struct err *e)
{
	uint64_t limit = filestore_image_bytes(s->fs);
	size_t allowed = n < limit - s->bytes ? n : (size_t)(limit - s->bytes);

	s->block_len += allowed;
	s->bytes += allowed;
	if (s->type == PICTURE_NONE && head_is_due(s) && read_head(s, e) < 0)
		return -1;
	if (allowed < n)
		return err_set(e, ERR_UP_TOO_LARGE, "a picture of more than %llu bytes",
			       (unsigned long long)limit);
	if (s->block_len < s->block_size)
		return 0;
	if (s->block_size < BLOCK_BYTES)
		return grow_block(s, BLOCK_BYTES, e);
	/* As long as the header is not whole nothing is written, so that garbage makes no file. */
	if (s->type == PICTURE_NONE)
		return grow_block(s, s->block_size * 2, e);
	return write_full(s, e);
}

/* May this sink take anything? */
static int
begin(struct sink *s, struct err *e)
{
	if (s->failed)
		return err_set(e, ERR_INTERNAL, "a picture went on after it was refused");
	return s->block ? 0 : grow_block(s, BLOCK_FIRST_BYTES, e);
}

static int
take_bytes(struct sink *s, const unsigned char *p, size_t n, struct err *e)
{
	while (n) {
		size_t room = s->block_size - s->block_len;
		size_t k = n < room ? n : room;

		memcpy(s->block + s->block_len, p, k);
		if (commit(s, k, e) < 0)
			return -1;
		p += k;
		n -= k;
	}
	return 0;
}

int
sink_bytes(struct sink *s, const void *p, size_t n, struct err *e)
{
	int rc = begin(s, e);

	if (rc == 0)
		rc = take_bytes(s, p, n, e);
	s->failed |= rc < 0;
	return rc;
}

/* ---- base64 ---- */

/* Decodes a whole group, or the last one, which may have two or three characters only. */
static int
take_group(struct sink *s, unsigned chars, struct err *e)
{
	char group[4] = { 'A', 'A', 'A', 'A' };

	memcpy(group, s->group, chars);
	(void)base64_decode(s->block + s->block_len, group, 4);
	s->group_len = 0;
	return commit(s, chars - 1, e);
}

static bool
is_base64(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '+' || c == '/';
}

/* One character on the slow way: white space, the other alphabet, padding, a group in pieces. */
static int
take_char(struct sink *s, char c, struct err *e)
{
	if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
		return 0;
	if (c == '-')
		c = '+';
	else if (c == '_')
		c = '/';
	if (c == '=') {
		if (s->padded ? !s->group_len : s->group_len < 2)
			return not_image(e, "its base64 text is padded where it may not be");
		s->padded = true;
	} else if (!is_base64(c)) {
		return not_image(e, "it is not base64 text");
	} else if (s->padded) {
		return not_image(e, "its base64 text goes on after its padding");
	}
	s->group[s->group_len++] = c;
	if (s->group_len < 4)
		return 0;
	return take_group(s, s->group[2] == '=' ? 2 : s->group[3] == '=' ? 3 : 4, e);
}

static int
take_base64(struct sink *s, const char *p, size_t n, struct err *e)
{
	while (n) {
		/* As many groups as make the block full, the last of them perhaps past its end. */
		size_t room = (s->block_size - s->block_len + 2) / 3 * 4;
		size_t k = s->group_len || s->padded ? 0 : (n < room ? n : room) & ~(size_t)3;

		k = k ? base64_decode(s->block + s->block_len, p, k) : 0;
		if (k && commit(s, k / 4 * 3, e) < 0)
			return -1;
		p += k;
		n -= k;
		/* Stopped by something else than a full block, or not begun: to the next group. */
		if (k == room)
			continue;
		while (n) {
			n--;
			if (take_char(s, *p++, e) < 0)
				return -1;
			if (!s->group_len)
				break;
		}
	}
	return 0;
}

/* The prefix turned out to be text: as such it goes on. */
static int
take_prefix(struct sink *s, struct err *e)
{
	s->text = SINK_BASE64;
	return take_base64(s, s->prefix, s->prefix_len, e);
}

/* Takes characters until it is clear what the text is; *used is how many. */
static int
read_prefix(struct sink *s, const char *p, size_t n, size_t *used, struct err *e)
{
	static const char scheme[] = "data:", encoding[] = ";base64,";
	const unsigned scheme_len = sizeof(scheme) - 1, encoding_len = sizeof(encoding) - 1;

	for (*used = 0; *used < n && s->text != SINK_BASE64;) {
		char c = p[*used];

		if (s->text == SINK_DATA_URL_MAYBE && c != scheme[s->prefix_len])
			return take_prefix(s, e);
		if (s->prefix_len == SINK_PREFIX_CHARS)
			return not_image(e, "it is a data URL whose data does not begin");
		s->prefix[s->prefix_len++] = c;
		++*used;
		if (s->prefix_len == scheme_len)
			s->text = SINK_DATA_URL;
		if (c != ',')
			continue;
		if (s->prefix_len < scheme_len + encoding_len ||
		    memcmp(s->prefix + s->prefix_len - encoding_len, encoding, encoding_len) != 0)
			return not_image(e, "it is a data URL that is not base64");
		s->text = SINK_BASE64;
	}
	return 0;
}

static int
take_text(struct sink *s, const char *text, size_t n, struct err *e)
{
	size_t used = 0;

	if (s->text != SINK_BASE64 && read_prefix(s, text, n, &used, e) < 0)
		return -1;
	return take_base64(s, text + used, n - used, e);
}

int
sink_base64(struct sink *s, const char *text, size_t n, struct err *e)
{
	int rc = begin(s, e);

	if (rc == 0)
		rc = take_text(s, text, n, e);
	s->failed |= rc < 0;
	return rc;
}

/* ---- the end ---- */

/* What is still waiting for more characters. */
static int
end_text(struct sink *s, struct err *e)
{
	unsigned chars;

	if (s->text == SINK_DATA_URL)
		return not_image(e, "it is a data URL without data");
	if (s->text == SINK_DATA_URL_MAYBE && s->prefix_len && take_prefix(s, e) < 0)
		return -1;
	if (!s->group_len)
		return 0;
	chars = s->group[2] == '=' && s->group_len > 2 ? 2 : s->group_len;
	if (chars < 2)
		return not_image(e, "its base64 text ends in the middle");
	return take_group(s, chars, e);
}

/* The whole picture into its file, which is the caller's then. */
static int
finish(struct sink *s, struct picture *out, int *fd, struct err *e)
{
	if (begin(s, e) < 0 || end_text(s, e) < 0)
		return -1;
	if (!s->bytes)
		return not_image(e, "it is empty");
	if (s->type == PICTURE_NONE && read_head(s, e) < 0)
		return -1;
	read_tail(s);
	if (s->type == PICTURE_NONE ||
	    !picture_ends(s->type, s->first, s->tail, s->tail_len, s->bytes))
		return not_image(e, "it ends in the middle");
	if (s->block_len && write_block(s, s->block_len, e) < 0)
		return -1;
	*out = (struct picture){
		.type = s->type, .width = s->width, .height = s->height, .bytes = s->bytes
	};
	memcpy(out->id, s->id, sizeof(out->id));
	*fd = s->fd;
	s->fd = -1;
	return 0;
}

int
sink_finish(struct sink *s, struct picture *out, struct err *e)
{
	struct picture p;
	int fd;

	if (finish(s, &p, &fd, e) < 0 || filestore_publish(s->fs, fd, &p, e) < 0) {
		s->failed = true;
		return -1;
	}
	*out = p;
	sink_done(s);
	return 0;
}

int
sink_take(struct sink *s, struct picture *out, int *fd, struct err *e)
{
	if (finish(s, out, fd, e) < 0) {
		s->failed = true;
		return -1;
	}
	sink_done(s);
	return 0;
}
