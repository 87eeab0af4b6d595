#include "provider/novelai_zip.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

#include "base/cleanup.h"
#include "files/sink.h"

#define PIECE_BYTES   32768
#define END_BYTES     22 /* of the record that ends an archive, without its comment */
#define LOCATOR_BYTES 20 /* of what may stand in front of it and say where a wider record is */
#define TAIL_BYTES    (LOCATOR_BYTES + END_BYTES + 65535) /* as far back as they may stand */

static int
garbage(struct err *e, const char *why)
{
	return err_set(e, ERR_UP_GARBAGE, "its archive %s", why);
}

/* ---- before libzip reads the directory, which it keeps in memory ---- */

static uint32_t
little_endian(const unsigned char *p, unsigned n)
{
	uint32_t v = 0;

	while (n)
		v = v << 8 | p[--n];
	return v;
}

/* Whatever may be taken for the end of the archive must promise little, and itself: no picture needs ZIP64. */
static int
judge_tail(const unsigned char *p, size_t n, struct err *e)
{
	bool found = false;

	for (size_t i = 0; i + END_BYTES <= n; i++) {
		if (memcmp(p + i, "PK\x05\x06", 4) != 0)
			continue;
		found = true;
		if (i >= LOCATOR_BYTES && !memcmp(p + i - LOCATOR_BYTES, "PK\x06\x07", 4))
			return garbage(e, "is in the ZIP64 format");
		if (little_endian(p + i + 8, 2) > ZIP_ENTRIES_MAX ||
		    little_endian(p + i + 10, 2) > ZIP_ENTRIES_MAX ||
		    little_endian(p + i + 12, 4) > ZIP_DIRECTORY_MAX)
			return err_set(e, ERR_UP_TOO_LARGE, "its archive has too many entries");
	}
	return found ? 0 : garbage(e, "ends in the middle");
}

static int
judge(int fd, struct err *e)
{
	AUTO_FREE unsigned char *tail = malloc(TAIL_BYTES);
	struct stat st;
	off_t at;
	ssize_t n;

	if (!tail || fstat(fd, &st) < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	at = st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0;
	n = pread(fd, tail, TAIL_BYTES, at);
	if (n < 0)
		return err_set(e, ERR_INTERNAL, "an archive cannot be read");
	return judge_tail(tail, (size_t)n, e);
}

/* ---- entries ---- */

static bool
looks_like_a_picture(const unsigned char *p, size_t n)
{
	return n >= 12 && (!memcmp(p, "\x89PNG", 4) || !memcmp(p, "\xff\xd8\xff", 3) ||
			   (!memcmp(p, "RIFF", 4) && !memcmp(p + 8, "WEBP", 4)));
}

/* 1: a picture, in *out; 0: something else. */
static int
read_entry(struct filestore *fs, zip_file_t *file, unsigned char *piece, struct picture *out,
	   struct err *e)
{
	AUTO(sink) sink;
	zip_int64_t n = zip_fread(file, piece, PIECE_BYTES);

	sink_init(&sink, fs);
	if (n >= 0 && !looks_like_a_picture(piece, (size_t)n))
		return 0;
	for (; n > 0; n = zip_fread(file, piece, PIECE_BYTES))
		if (sink_bytes(&sink, piece, (size_t)n, e) < 0)
			return -1;
	if (n < 0)
		return garbage(e, "is damaged");
	return sink_finish(&sink, out, e) < 0 ? -1 : 1;
}

static int
open_entry(struct filestore *fs, zip_t *z, zip_uint64_t i, unsigned char *piece,
	   struct picture *out, struct err *e)
{
	zip_stat_t st;
	zip_file_t *file;
	int rc;

	if (zip_stat_index(z, i, 0, &st) < 0 || !(st.valid & ZIP_STAT_NAME))
		return garbage(e, "is damaged");
	if (*st.name && st.name[strlen(st.name) - 1] == '/')
		return 0;
	if ((st.valid & ZIP_STAT_ENCRYPTION_METHOD) && st.encryption_method != ZIP_EM_NONE)
		return garbage(e, "is encrypted");
	file = zip_fopen_index(z, i, 0);
	if (!file)
		return garbage(e, "is damaged");
	rc = read_entry(fs, file, piece, out, e);
	(void)zip_fclose(file);
	return rc;
}

static int
read_all(struct filestore *fs, zip_t *z, struct picture *out, unsigned max, unsigned *n,
	 struct err *e)
{
	AUTO_FREE unsigned char *piece = malloc(PIECE_BYTES);
	zip_int64_t entries = zip_get_num_entries(z, 0);

	if (!piece)
		return err_set(e, ERR_INTERNAL, "out of memory");
	for (zip_int64_t i = 0; i < entries && i < ZIP_ENTRIES_MAX && *n < max; i++) {
		int rc = open_entry(fs, z, (zip_uint64_t)i, piece, &out[*n], e);

		if (rc < 0)
			return -1;
		*n += (unsigned)rc;
	}
	return 0;
}

int
novelai_zip_read(struct filestore *fs, int fd, struct picture *out, unsigned max, unsigned *n,
		 struct err *e)
{
	int copy, error = 0, rc;
	zip_t *z;

	*n = 0;
	if (judge(fd, e) < 0)
		return -1;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0 || lseek(copy, 0, SEEK_SET) < 0) {
		cleanup_fd(&copy);
		return err_set(e, ERR_INTERNAL, "an archive cannot be read");
	}
	z = zip_fdopen(copy, 0, &error);
	if (!z) {
		(void)close(copy);
		return garbage(e, "is damaged");
	}
	rc = read_all(fs, z, out, max, n, e);
	zip_discard(z);
	return rc;
}
