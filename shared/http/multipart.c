#include "http/multipart.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "http/multipart_head.h"

static int
bad(struct err *e, const char *why)
{
	return err_set(e, ERR_MULTIPART, "%s", why);
}

int
multipart_begin(struct multipart *m, const char *content_type, const struct multipart_handler *to,
		struct err *e)
{
	char boundary[MULTIPART_BOUNDARY + 2], charset[16];
	int there = header_parameter(content_type, "boundary", boundary, sizeof(boundary));
	size_t n;

	m->to = to;
	m->matched = m->borrowed = 2; /* the first boundary needs no line before it */
	m->parts = 0;
	m->head_len = 0;
	m->state = MULTIPART_PREAMBLE;
	m->part.name[0] = '\0';
	if (there <= 0 || !boundary[0])
		return bad(e, "its Content-Type names no boundary");
	n = strlen(boundary);
	if (n > MULTIPART_BOUNDARY)
		return err_set(e, ERR_MULTIPART, "its boundary is longer than %d characters",
			       MULTIPART_BOUNDARY);
	for (size_t i = 0; i < n; i++)
		if (boundary[i] < 0x20 || boundary[i] > 0x7e)
			return bad(e, "its boundary is not plain ASCII");
	if (boundary[n - 1] == ' ')
		return bad(e, "its boundary ends in a blank");
	m->delimiter_len =
		(size_t)snprintf(m->delimiter, sizeof(m->delimiter), "\r\n--%s", boundary);
	there = header_parameter(content_type, "charset", charset, sizeof(charset));
	if (there > 0 && strcasecmp(charset, "utf-8") != 0 && strcasecmp(charset, "utf8") != 0)
		return err_field(e, ERR_MEDIA_TYPE, "", "multipart/form-data; charset=utf-8",
				 "charset '%s'", charset);
	return 0;
}

/* Hands content on, unless it stands before the first part. */
static int
content(struct multipart *m, const char *p, size_t n, struct err *e)
{
	if (!n || m->state != MULTIPART_DATA)
		return 0;
	return m->to->data(m->to->self, p, n, e);
}

/*
 * Content up to the next delimiter, or all of it; *used is how much was taken.  A CR stands in the
 * delimiter at its beginning only, so a comparison that fails begins anew at the byte that failed it,
 * and what looked like a delimiter so far was content.
 */
static int
search(struct multipart *m, const char *p, size_t n, size_t *used, struct err *e)
{
	size_t at = 0;

	while (at < n) {
		size_t from = at;

		while (m->matched && at < n && m->matched < m->delimiter_len &&
		       p[at] == m->delimiter[m->matched]) {
			at++;
			m->matched++;
		}
		if (m->matched == m->delimiter_len) {
			*used = at;
			if (m->state == MULTIPART_DATA && m->to->end(m->to->self, e) < 0)
				return -1;
			m->state = MULTIPART_AFTER;
			return 0;
		}
		if (at == n)
			break;
		if (m->matched) {
			size_t first = m->borrowed, looked = m->matched;

			m->matched = m->borrowed = 0;
			if (content(m, m->delimiter + first, looked - first, e) < 0)
				return -1;
			from = at;
		}
		if (p[at] != '\r') {
			const char *cr = memchr(p + at, '\r', n - at);

			at = cr ? (size_t)(cr - p) : n;
			if (content(m, p + from, at - from, e) < 0)
				return -1;
		}
		if (at < n) {
			m->matched = 1;
			at++;
		}
	}
	*used = n;
	return 0;
}

/* All lines of the head are there. */
static int
head_end(struct multipart *m, struct err *e)
{
	if (m->parts++ == MULTIPART_PARTS_MAX)
		return err_set(e, ERR_MULTIPART, "it has more than %d parts", MULTIPART_PARTS_MAX);
	if (multipart_head_read(m->head, m->head_len, &m->part, e) < 0)
		return -1;
	m->head_len = 0;
	m->state = MULTIPART_DATA;
	/* The empty line's own end may begin the delimiter of a part without content. */
	m->matched = m->borrowed = 2;
	return m->to->begin(m->to->self, &m->part, e);
}

static int
head_byte(struct multipart *m, char c, struct err *e)
{
	if (m->head_len == sizeof(m->head))
		return err_set(e, ERR_MULTIPART, "a part's header is longer than %d bytes",
			       MULTIPART_HEAD_BYTES);
	if (c == '\n' && (!m->head_len || m->head[m->head_len - 1] != '\r'))
		return bad(e, "a part's header line ends without CRLF");
	m->head[m->head_len++] = c;
	if (m->head_len == 2 && !memcmp(m->head, "\r\n", 2)) {
		m->head_len = 0;
		return head_end(m, e);
	}
	if (m->head_len < 4 || memcmp(m->head + m->head_len - 4, "\r\n\r\n", 4) != 0)
		return 0;
	m->head_len -= 2;
	return head_end(m, e);
}

/* What stands behind a delimiter, up to the end of its line. */
static int
line_byte(struct multipart *m, char c, struct err *e)
{
	switch (m->state) {
	case MULTIPART_AFTER:
		if (c == '-') {
			m->state = MULTIPART_LAST;
			return 0;
		}
		/* fall through */
	case MULTIPART_PADDING:
		m->state = c == '\r' ? MULTIPART_LINE_END : MULTIPART_PADDING;
		if (c == '\r' || c == ' ' || c == '\t')
			return 0;
		break;
	case MULTIPART_LAST:
		m->state = MULTIPART_EPILOGUE;
		if (c == '-')
			return 0;
		break;
	default:
		m->state = MULTIPART_HEAD;
		if (c == '\n')
			return 0;
		break;
	}
	return bad(e, "the line of a boundary goes on behind it");
}

int
multipart_bytes(struct multipart *m, const char *p, size_t n, struct err *e)
{
	while (n && m->state != MULTIPART_EPILOGUE) {
		size_t used = 1;
		int rc;

		if (m->state == MULTIPART_PREAMBLE || m->state == MULTIPART_DATA)
			rc = search(m, p, n, &used, e);
		else if (m->state == MULTIPART_HEAD)
			rc = head_byte(m, *p, e);
		else
			rc = line_byte(m, *p, e);
		if (rc < 0)
			return -1;
		p += used;
		n -= used;
	}
	return 0;
}

int
multipart_end(struct multipart *m, struct err *e)
{
	char shown[60];

	switch (m->state) {
	case MULTIPART_EPILOGUE: return 0;
	case MULTIPART_PREAMBLE:
		return err_set(e, ERR_MULTIPART,
			       "the boundary that its Content-Type names does not stand in it");
	case MULTIPART_DATA:
		utf8_clip(shown, sizeof(shown), m->part.name, strlen(m->part.name), 30);
		return err_set(e, ERR_MULTIPART, "it ends in the middle of the part '%s'", shown);
	case MULTIPART_HEAD: return bad(e, "it ends in the middle of a part's header");
	default: return bad(e, "its final boundary is missing");
	}
}
