#include "http/multipart_head.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"

/* One value, a token or a quoted string, from *s; *s is behind it.  -1: the quotes do not end. */
static int
read_value(const char **s, char *out, size_t size)
{
	const char *p = *s;
	bool quoted = *p == '"';
	size_t n = 0;

	for (p += quoted; quoted ? *p != '"' : *p && *p != ';' && *p != ' ' && *p != '\t'; p++) {
		/* Of a file's name on Windows the backslash is a part; it escapes only these two. */
		if (quoted && *p == '\\' && (p[1] == '"' || p[1] == '\\'))
			p++;
		if (!*p)
			return -1;
		if (n + 1 < size)
			out[n++] = *p;
	}
	out[n] = '\0';
	*s = p + quoted;
	return 0;
}

int
header_parameter(const char *value, const char *name, char *out, size_t size)
{
	const char *s = value + strcspn(value, ";");
	char ignored[2];
	int found = 0;

	while (*s == ';') {
		size_t n;

		s += strspn(s, "; \t");
		n = strcspn(s, "=; \t");
		if (s[n] != '=') {
			s += strcspn(s, ";");
			continue;
		}
		if (n == strlen(name) && !strncasecmp(s, name, n)) {
			s += n + 1;
			if (found++ || read_value(&s, out, size) < 0)
				return -1;
		} else {
			s += n + 1;
			if (read_value(&s, ignored, sizeof(ignored)) < 0)
				return -1;
		}
		s += strspn(s, " \t");
		if (*s && *s != ';')
			return -1;
	}
	return found;
}

static int
bad(struct err *e, const char *why)
{
	return err_set(e, ERR_MULTIPART, "%s", why);
}

/* "Content-Disposition: form-data; name=…" */
static int
disposition(const char *value, struct multipart_part *part, struct err *e)
{
	size_t n = strcspn(value, "; \t");
	char name[MULTIPART_NAME + 1];
	int there;

	if (n != 9 || strncasecmp(value, "form-data", 9) != 0)
		return bad(e, "a part is not form-data");
	if (part->name[0])
		return bad(e, "a part has two Content-Disposition lines");
	there = header_parameter(value, "name", name, sizeof(name));
	if (there < 0)
		return bad(e, "a part's Content-Disposition cannot be read");
	if (!there || !name[0])
		return bad(e, "a part has no name");
	if (strlen(name) >= MULTIPART_NAME)
		return err_set(e, ERR_MULTIPART, "a part's name is longer than %d bytes",
			       MULTIPART_NAME - 1);
	memcpy(part->name, name, strlen(name) + 1);
	there = header_parameter(value, "filename", part->filename, sizeof(part->filename));
	if (there < 0)
		return bad(e, "a part's file name cannot be read");
	part->has_filename = there > 0;
	part->filename[utf8_cut(part->filename, strlen(part->filename))] = '\0';
	return 0;
}

static int
transfer_encoding(const char *value, struct err *e)
{
	if (!strcasecmp(value, "binary") || !strcasecmp(value, "8bit") ||
	    !strcasecmp(value, "7bit"))
		return 0;
	return err_set(e, ERR_MULTIPART, "a part's Content-Transfer-Encoding is '%.20s'", value);
}

static int
read_line(char *line, struct multipart_part *part, struct err *e)
{
	char *value = strchr(line, ':');
	size_t n;

	if (!value || value == line || line[0] == ' ' || line[0] == '\t')
		return bad(e, "a part's header line is none");
	*value++ = '\0';
	value += strspn(value, " \t");
	n = strlen(value);
	while (n && (value[n - 1] == ' ' || value[n - 1] == '\t'))
		value[--n] = '\0';
	if (!strcasecmp(line, "content-disposition"))
		return disposition(value, part, e);
	if (!strcasecmp(line, "content-transfer-encoding"))
		return transfer_encoding(value, e);
	if (!strcasecmp(line, "content-type"))
		(void)snprintf(part->type, sizeof(part->type), "%s", value);
	part->type[utf8_cut(part->type, strlen(part->type))] = '\0';
	return 0;
}

int
multipart_head_read(const char *head, size_t n, struct multipart_part *part, struct err *e)
{
	char line[MULTIPART_HEAD_BYTES + 1];

	*part = (struct multipart_part){ 0 };
	for (size_t at = 0; at < n;) {
		const char *end = memmem(head + at, n - at, "\r\n", 2);
		size_t len = end ? (size_t)(end - (head + at)) : n - at;

		memcpy(line, head + at, len);
		line[len] = '\0';
		for (size_t i = 0; i < len; i++)
			if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7f)
				return bad(e, "a part's header holds a control character");
		if (!utf8_valid(line, len))
			return bad(e, "a part's header is not UTF-8");
		if (read_line(line, part, e) < 0)
			return -1;
		at += len + 2;
	}
	return part->name[0] ? 0 : bad(e, "a part has no Content-Disposition");
}
