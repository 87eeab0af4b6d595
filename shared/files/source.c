#include "files/source.h"

#include <errno.h>
#include <unistd.h>

void
source_done(struct source *s)
{
	if (s->type != PICTURE_NONE)
		(void)close(s->fd);
	*s = (struct source){ 0 };
}

int
source_read(const struct source *s, uint64_t at, void *p, size_t n, size_t *got, struct err *e)
{
	*got = 0;
	if (at >= s->bytes)
		return 0;
	if (n > s->bytes - at)
		n = (size_t)(s->bytes - at);
	while (*got < n) {
		ssize_t m = pread(s->fd, (char *)p + *got, n - *got, (off_t)(at + *got));

		if (m < 0 && errno == EINTR)
			continue;
		if (m <= 0)
			return err_set(e, ERR_INTERNAL, "an input picture cannot be read");
		*got += (size_t)m;
	}
	return 0;
}
