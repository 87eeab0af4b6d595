/* What NovelAI answers with: archives and streams of frames, good and hostile. */
#include <setjmp.h>
#include <stdint.h>

#include "files_help.h"

#include <cmocka.h>
#include <sys/mman.h>
#include <zip.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "provider/novelai_answer.h"
#include "provider/novelai_frames.h"
#include "provider/novelai_zip.h"

#define IMAGE_BYTES (1U << 20)

static struct filestore *fs;

static int
setup(void **state)
{
	struct err e;

	if (help_setup(state) < 0)
		return -1;
	return filestore_open(&fs, "file:files", help_dir, IMAGE_BYTES, 1U << 24, 0, &e);
}

static int
teardown(void **state)
{
	filestore_free(fs);
	return help_teardown(state);
}

/* ---- archives ---- */

struct entry {
	const char *name;
	const void *data;
	size_t n;
};

/* An archive in an unnamed file. */
static int
archive(const struct entry *entries, size_t n, int method)
{
	char path[160];
	zip_t *z;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/a.zip", help_dir);
	z = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
	assert_non_null(z);
	for (size_t i = 0; i < n; i++) {
		zip_source_t *s = zip_source_buffer(z, entries[i].data, entries[i].n, 0);
		zip_int64_t at = zip_file_add(z, entries[i].name, s, 0);

		assert_true(at >= 0);
		assert_int_equal(zip_set_file_compression(z, (zip_uint64_t)at, method, 1), 0);
	}
	assert_int_equal(zip_close(z), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	return fd;
}

static void
pictures_come_out_of_an_archive_as_they_went_in(void **state)
{
	static const int methods[] = { ZIP_CM_STORE, ZIP_CM_DEFLATE };
	unsigned char *png = help_picture(PICTURE_PNG, 832, 1216, 90001);
	unsigned char *webp = help_picture(PICTURE_WEBP, 64, 64, 5000);
	const struct entry entries[] = { { "readme.txt", "no picture", 10 },
					 { "image_0.png", png, 90001 },
					 { "empty.png", "", 0 },
					 { "image_1.webp", webp, 5000 } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		AUTO_FD int fd = archive(entries, 4, methods[i]);
		struct picture p[4];
		unsigned n;
		struct err e;
		AUTO_FREE unsigned char *got = NULL;
		size_t len;

		assert_int_equal(novelai_zip_read(fs, fd, p, 4, &n, &e), 0);
		assert_int_equal(n, 2);
		assert_int_equal(p[0].width, 832);
		assert_int_equal(p[1].type, PICTURE_WEBP);
		got = help_read(fs, &p[0], &len);
		assert_int_equal(len, 90001);
		assert_memory_equal(got, png, len);
		/* No more than are wanted. */
		assert_int_equal(novelai_zip_read(fs, fd, p, 1, &n, &e), 0);
		assert_int_equal(n, 1);
	}
	free(png);
	free(webp);
}

static void
the_published_fixture_is_read(void **state)
{
	static const unsigned char stored[] = {
		0x50, 0x4b, 3,    4,    0x14, 0,    0,    0,    0,    0,    0,    0,    0x21, 0,
		0xc1, 0xc8, 0xb6, 0x49, 0x46, 0,    0,    0,    0x46, 0,    0,    0,    0xb,  0,
		0,    0,    0x69, 0x6d, 0x61, 0x67, 0x65, 0x5f, 0x30, 0x2e, 0x70, 0x6e, 0x67, 0x89,
		0x50, 0x4e, 0x47, 0xd,  0xa,  0x1a, 0xa,  0,    0,    0,    0xd,  0x49, 0x48, 0x44,
		0x52, 0,    0,    0,    1,    0,    0,    0,    1,    8,    6,    0,    0,    0,
		0x1f, 0x15, 0xc4, 0x89, 0,    0,    0,    0xd,  0x49, 0x44, 0x41, 0x54, 0x78, 0xda,
		0x63, 0xf8, 0xcf, 0xc0, 0xf0, 0x1f, 0,    5,    0,    1,    0xff, 0x56, 0xc7, 0x2f,
		0xd,  0,    0,    0,    0,    0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82, 0x50,
		0x4b, 1,    2,    0x14, 3,    0x14, 0,    0,    0,    0,    0,    0,    0,    0x21,
		0,    0xc1, 0xc8, 0xb6, 0x49, 0x46, 0,    0,    0,    0x46, 0,    0,    0,    0xb,
		0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0x80, 1,    0,
		0,    0,    0,    0x69, 0x6d, 0x61, 0x67, 0x65, 0x5f, 0x30, 0x2e, 0x70, 0x6e, 0x67,
		0x50, 0x4b, 5,    6,    0,    0,    0,    0,    1,    0,    1,    0,    0x39, 0,
		0,    0,    0x6f, 0,    0,    0,    0,    0
	};
	AUTO_FD int fd = memfd_create("zip", MFD_CLOEXEC);
	struct picture p;
	unsigned n;
	struct err e;

	(void)state;
	assert_int_equal(write(fd, stored, sizeof(stored)), sizeof(stored));
	assert_int_equal(novelai_zip_read(fs, fd, &p, 1, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(p.width, 1);
	/* Each byte of it wrong in turn: an error or the picture, and nothing left behind. */
	for (size_t i = 0; i < sizeof(stored); i++) {
		unsigned char bad = stored[i] ^ 0xff;
		unsigned files = help_count(NULL);

		assert_int_equal(pwrite(fd, &bad, 1, (off_t)i), 1);
		(void)novelai_zip_read(fs, fd, &p, 1, &n, &e);
		assert_int_equal(help_count(NULL), files + n);
		assert_int_equal(pwrite(fd, &stored[i], 1, (off_t)i), 1);
	}
	/* And cut anywhere. */
	for (size_t i = sizeof(stored) - 1; i > 0; i--) {
		assert_int_equal(ftruncate(fd, (off_t)i), 0);
		assert_int_equal(novelai_zip_read(fs, fd, &p, 1, &n, &e), -1);
		assert_int_equal(e.kind, ERR_UP_GARBAGE);
		assert_int_equal(n, 0);
	}
}

static void
a_bomb_ends_at_the_limit(void **state)
{
	AUTO_FREE unsigned char *big = calloc(1, 64U << 20);
	unsigned char *head = help_picture(PICTURE_PNG, 832, 1216, 64);
	struct entry entry = { "image_0.png", big, 64U << 20 };
	unsigned n, files = help_count(NULL);
	struct picture p;
	struct err e;

	(void)state;
	assert_non_null(big);
	memcpy(big, head, 33);
	{
		AUTO_FD int fd = archive(&entry, 1, ZIP_CM_DEFLATE);

		assert_int_equal(novelai_zip_read(fs, fd, &p, 1, &n, &e), -1);
	}
	assert_int_equal(e.kind, ERR_UP_TOO_LARGE);
	assert_int_equal(n, 0);
	assert_int_equal(help_count(NULL), files);
	free(head);
}

static void
a_crowd_of_entries_is_refused_before_it_is_read(void **state)
{
	struct entry entries[ZIP_ENTRIES_MAX + 1];
	static char names[ZIP_ENTRIES_MAX + 1][16];
	struct picture p;
	unsigned n;
	struct err e;

	(void)state;
	for (size_t i = 0; i <= ZIP_ENTRIES_MAX; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "image_%zu.png", i);
		entries[i] = (struct entry){ names[i], "", 0 };
	}
	for (size_t more = 0; more < 2; more++) {
		AUTO_FD int fd = archive(entries, ZIP_ENTRIES_MAX + more, ZIP_CM_STORE);

		assert_int_equal(novelai_zip_read(fs, fd, &p, 1, &n, &e), more ? -1 : 0);
		assert_int_equal(n, 0);
	}
	assert_int_equal(e.kind, ERR_UP_TOO_LARGE);
}

/* An archive of more entries than are taken, which says so in a ZIP64 record alone; its comment is so long. */
static int
crowd_in_zip64(size_t comment)
{
	static char names[ZIP_ENTRIES_MAX + 1][16];
	struct entry entries[ZIP_ENTRIES_MAX + 1];
	unsigned char whole[32768], record[56 + 20] = "PK\6\6\x2c\0\0\0\0\0\0\0\x2d\0\x2d";
	AUTO_FREE char *text = calloc(1, comment + 1);
	size_t end;
	ssize_t n;
	int fd;

	assert_non_null(text);
	for (size_t i = 0; i <= ZIP_ENTRIES_MAX; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "image_%zu.png", i);
		entries[i] = (struct entry){ names[i], "", 0 };
	}
	fd = archive(entries, ZIP_ENTRIES_MAX + 1, ZIP_CM_STORE);
	n = pread(fd, whole, sizeof(whole), 0);
	assert_true(n > 22 && n < (ssize_t)sizeof(whole));
	end = (size_t)n - 22;
	/* The same numbers, wider: entries here and in all, the directory's bytes and where it begins. */
	memcpy(record + 24, whole + end + 8, 2);
	memcpy(record + 32, whole + end + 10, 2);
	memcpy(record + 40, whole + end + 12, 4);
	memcpy(record + 48, whole + end + 16, 4);
	/* Where that record is. */
	memcpy(record + 56, "PK\6\7", 4);
	record[64] = (unsigned char)end;
	record[65] = (unsigned char)(end >> 8);
	record[72] = 1;
	memcpy(whole + end + 8, "\1\0\1", 3);
	whole[end + 20] = (unsigned char)comment;
	whole[end + 21] = (unsigned char)(comment >> 8);
	assert_int_equal(pwrite(fd, record, sizeof(record), (off_t)end), sizeof(record));
	assert_int_equal(pwrite(fd, whole + end, 22, (off_t)(end + sizeof(record))), 22);
	assert_int_equal(pwrite(fd, text, comment, (off_t)(end + sizeof(record) + 22)), comment);
	return fd;
}

static void
an_end_in_zip64_is_refused_before_it_is_read(void **state)
{
	struct picture p;
	unsigned n;
	struct err e;

	(void)state;
	for (size_t comment = 0; comment <= 65535; comment += 65535) {
		AUTO_FD int fd = crowd_in_zip64(comment);

		assert_int_equal(novelai_zip_read(fs, fd, &p, 1, &n, &e), -1);
		assert_int_equal(e.kind, ERR_UP_GARBAGE);
		assert_non_null(strstr(e.about, "ZIP64"));
	}
}

static void
a_picture_before_a_damaged_one_is_kept(void **state)
{
	unsigned char *png = help_picture(PICTURE_PNG, 64, 64, 3000);
	const struct entry entries[] = { { "image_0.png", png, 3000 },
					 { "image_1.png", png, 2000 } };
	AUTO_FD int fd = archive(entries, 2, ZIP_CM_STORE);
	struct picture p[2];
	unsigned n;
	struct err e;

	(void)state;
	assert_int_equal(novelai_zip_read(fs, fd, p, 2, &n, &e), -1);
	assert_int_equal(e.kind, ERR_RESULT_NOT_IMAGE); /* it has no end */
	assert_int_equal(n, 1);
	free(png);
}

/* ---- frames ---- */

struct heard {
	struct buf text; /* what came, in words */
	struct buf image;
};

static int
on_image_begin(void *self, const struct frame_said *so_far, struct err *e)
{
	struct heard *h = self;

	(void)e;
	(void)so_far;
	buf_clear(&h->image);
	return 0;
}

static int
on_image_bytes(void *self, const void *p, size_t n, struct err *e)
{
	struct heard *h = self;

	(void)e;
	return buf_add(&h->image, p, n);
}

static int
on_event(void *self, const struct frame_said *said, struct err *e)
{
	struct heard *h = self;

	(void)e;
	return buf_addf(&h->text, "%s sample=%lld step=%lld code=%lld image=%zu '%s'\n",
			said->event, (long long)said->sample, (long long)said->step,
			(long long)said->code, said->image ? h->image.len : 0, said->message);
}

/* Feeds it in pieces of that size; what was heard is in *h.  Also: was it whole? */
static int
hear(struct heard *h, const void *p, size_t n, size_t piece, bool *whole, struct err *e)
{
	struct novelai_frames f;
	int rc = 0;

	*h = (struct heard){ BUF_INIT(100000), BUF_INIT(100000) };
	novelai_frames_init(&f, 1 << 20);
	f.image_begin = on_image_begin;
	f.image_bytes = on_image_bytes;
	f.event = on_event;
	f.self = h;
	for (size_t i = 0; i < n && rc == 0; i += piece)
		rc = novelai_frames_feed(&f, (const char *)p + i, n - i < piece ? n - i : piece, e);
	*whole = novelai_frames_whole(&f);
	return rc;
}

static void
heard_done(struct heard *h)
{
	buf_done(&h->text);
	buf_done(&h->image);
}

#define INTERMEDIATE                                                                          \
	"\0\0\0\x4f\x86\xaa"                                                                  \
	"event_type\xac"                                                                      \
	"intermediate\xa7samp_ix\0\xa7step_ix\1\xa6gen_id\7\xa5sigma\xcb\x40\x2d\x33\x33\x33" \
	"\x33\x33\x33\xa5image\xc4\5\xff\xd8JPG"
#define FINAL                \
	"\0\0\0\x33\x84\xaa" \
	"event_type\xa5"     \
	"final\xa7samp_ix\0\xa6gen_id\7\xa5image\xc4\x08\x89PNG\r\n\x1a\n"
#define FAILED                 \
	"\0\0\0\x28\x83\xaa"   \
	"event_type\xa5"       \
	"error\xa7message\xa4" \
	"boom\xa7samp_ix\0"

static void
frames_are_heard_however_they_are_cut(void **state)
{
	static const char stream[] = INTERMEDIATE FINAL FAILED;
	size_t n = sizeof(stream) - 1;

	(void)state;
	for (size_t piece = 1; piece <= n; piece++) {
		struct heard h;
		struct err e;
		bool whole;

		assert_int_equal(hear(&h, stream, n, piece, &whole, &e), 0);
		assert_true(whole);
		assert_string_equal(buf_str(&h.text),
				    "intermediate sample=0 step=1 code=-1 image=5 ''\n"
				    "final sample=0 step=-1 code=-1 image=8 ''\n"
				    "error sample=0 step=-1 code=-1 image=0 'boom'\n");
		assert_memory_equal(h.image.p, "\x89PNG\r\n\x1a\n", 8);
		heard_done(&h);
	}
	for (size_t cut = 1; cut < n; cut++) {
		struct heard h;
		struct err e;
		bool whole;

		assert_int_equal(hear(&h, stream, cut, 7, &whole, &e), 0);
		assert_int_equal(whole, cut == 83 || cut == 83 + 55);
		heard_done(&h);
	}
}

static void
unknown_keys_of_any_type_are_skipped(void **state)
{
	/* after the key "x": each type there is; then samp_ix 300 in its longest form */
	static const struct {
		const char *value;
		size_t n;
	} rows[] = {
#define ROW(text) { text, sizeof(text) - 1 }
		ROW("\xc0"),
		ROW("\xc2"),
		ROW("\xc3"),
		ROW("\x7f"),
		ROW("\xff"),
		ROW("\xcc\x80"),
		ROW("\xcd\1\2"),
		ROW("\xce\1\2\3\4"),
		ROW("\xcf\xff\2\3\4\5\6\7\x08"),
		ROW("\xd0\x80"),
		ROW("\xd1\x80\0"),
		ROW("\xd2\x80\0\0\0"),
		ROW("\xd3\x80\0\0\0\0\0\0\0"),
		ROW("\xca\1\2\3\4"),
		ROW("\xcb\1\2\3\4\5\6\7\x08"),
		ROW("\xa0"),
		ROW("\xa3"
		    "abc"),
		ROW("\xd9\2"
		    "ab"),
		ROW("\xda\0\2"
		    "ab"),
		ROW("\xdb\0\0\0\2"
		    "ab"),
		ROW("\xc4\2"
		    "ab"),
		ROW("\xc5\0\2"
		    "ab"),
		ROW("\xc6\0\0\0\2"
		    "ab"),
		ROW("\xc7\2\1"
		    "ab"),
		ROW("\xc8\0\2\1"
		    "ab"),
		ROW("\xc9\0\0\0\2\1"
		    "ab"),
		ROW("\xd4\1a"),
		ROW("\xd5\1"
		    "ab"),
		ROW("\xd8\1"
		    "0123456789abcdef"),
		ROW("\x90"),
		ROW("\x80"),
		ROW("\x93\1\x92\2\3\x81\xa5image\xc4\1x"),
		ROW("\x82\xa1"
		    "a\x91\x91\x90\xa1"
		    "b\x80"),
		ROW("\xdc\0\2\1\2"),
		ROW("\xdd\0\0\0\1\1"),
		ROW("\xde\0\1\xa7samp_ix\7"),
		ROW("\xdf\0\0\0\1\xa7samp_ix\7"),
#undef ROW
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		for (size_t piece = 1; piece <= 64; piece += 63) {
			char frame[128] = "\0\0\0\0\x82\xa1x";
			size_t n = 7;
			struct heard h;
			struct err e;
			bool whole;

			memcpy(frame + n, rows[i].value, rows[i].n);
			n += rows[i].n;
			memcpy(frame + n, "\xa7samp_ix\xd1\1\x2c", 11);
			n += 11;
			frame[3] = (char)(n - 4);
			if (hear(&h, frame, n, piece, &whole, &e) < 0 || !whole)
				fail_msg("row %zu: %s", i, e.about);
			assert_string_equal(buf_str(&h.text),
					    " sample=300 step=-1 code=-1 image=0 ''\n");
			heard_done(&h);
		}
}

static void
what_is_no_stream_of_maps_is_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		enum err_kind kind;
	} rows[] = {
#define ROW(text, kind) { text, sizeof(text) - 1, kind }
		ROW("\0\0\0\0", ERR_UP_GARBAGE),
		ROW("\0\x10\0\1", ERR_UP_TOO_LARGE),
		ROW("\xff\xff\xff\xff", ERR_UP_TOO_LARGE),
		ROW("\0\0\0\1\x93", ERR_UP_GARBAGE),
		ROW("\0\0\0\2\x80\x80", ERR_UP_GARBAGE),      /* something behind the map */
		ROW("\0\0\0\3\x81\1\1", ERR_UP_GARBAGE),      /* a key that is a number */
		ROW("\0\0\0\3\x81\xc0\1", ERR_UP_GARBAGE),    /* … nothing */
		ROW("\0\0\0\4\x81\xc4\1x\1", ERR_UP_GARBAGE), /* … bytes */
		ROW("\0\0\0\4\x81\x91\1\1", ERR_UP_GARBAGE),  /* … a list */
		ROW("\0\0\0\4\x81\xc1\1\1", ERR_UP_GARBAGE),  /* no type */
		ROW("\0\0\0\4\x81\xa9"
		    "ab",
		    ERR_UP_GARBAGE), /* longer than its frame */
		ROW("\0\0\0\x09\x81\xa1x\xdb\xff\xff\xff\xff\0", ERR_UP_GARBAGE),
		ROW("\0\0\0\x09\x81\xa1x\xdf\xff\xff\xff\xff\0", ERR_UP_GARBAGE),
		ROW("\0\0\0\4\x82\xa1x\1\xa1y\1", ERR_UP_GARBAGE), /* shorter than its map */
#undef ROW
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct heard h;
		struct err e;
		bool whole;

		if (hear(&h, rows[i].bytes, rows[i].n, 1, &whole, &e) != -1)
			fail_msg("row %zu was taken", i);
		assert_int_equal(e.kind, rows[i].kind);
		heard_done(&h);
	}
}

static void
any_byte_of_a_stream_may_be_wrong(void **state)
{
	static const char stream[] = INTERMEDIATE FINAL FAILED;
	size_t n = sizeof(stream) - 1;
	char copy[sizeof(stream)];

	(void)state;
	for (size_t i = 0; i < n; i++)
		for (int v = 0; v < 256; v += 5) {
			struct heard h;
			struct err e;
			bool whole;

			memcpy(copy, stream, sizeof(copy));
			copy[i] = (char)v;
			(void)hear(&h, copy, n, 1 + i % 9, &whole, &e);
			heard_done(&h);
		}
}

static unsigned
open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n;
}

#define PREVIEW_BYTES 100000 /* so many that it has a file */

static void
of_several_pictures_in_a_frame_none_stays_open(void **state)
{
	static const char key[] = "\xa5image\xc6\0\1\x86\xa0";
	unsigned char *png = help_picture(PICTURE_PNG, 832, 1216, PREVIEW_BYTES);
	const uint32_t length = 1 + 3 * (sizeof(key) - 1 + PREVIEW_BYTES);
	const char head[] = { 0, (char)(length >> 16), (char)(length >> 8), (char)length, '\x83' };
	struct image_request rq = { .n = 1 };
	struct image_call call = { .rq = &rq, .files = fs };
	struct novelai_answer a;
	struct upstream_body body;
	unsigned before = open_files();
	struct err e;

	(void)state;
	novelai_answer_init(&a, &call, 28);
	body = novelai_answer_body(&a);
	assert_int_equal(body.data(body.self, head, sizeof(head), &e), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(body.data(body.self, key, sizeof(key) - 1, &e), 0);
		assert_int_equal(body.data(body.self, (const char *)png, PREVIEW_BYTES, &e), 0);
	}
	assert_true(novelai_frames_whole(&a.frames));
	novelai_answer_done(&a);
	assert_int_equal(open_files(), before);
	free(png);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pictures_come_out_of_an_archive_as_they_went_in),
		cmocka_unit_test(the_published_fixture_is_read),
		cmocka_unit_test(a_bomb_ends_at_the_limit),
		cmocka_unit_test(a_crowd_of_entries_is_refused_before_it_is_read),
		cmocka_unit_test(an_end_in_zip64_is_refused_before_it_is_read),
		cmocka_unit_test(a_picture_before_a_damaged_one_is_kept),
		cmocka_unit_test(frames_are_heard_however_they_are_cut),
		cmocka_unit_test(unknown_keys_of_any_type_are_skipped),
		cmocka_unit_test(what_is_no_stream_of_maps_is_refused),
		cmocka_unit_test(any_byte_of_a_stream_may_be_wrong),
		cmocka_unit_test(of_several_pictures_in_a_frame_none_stays_open),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
