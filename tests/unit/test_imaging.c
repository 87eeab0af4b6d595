/* The helper program easel-image and files/imaging.c, its client. */
#include "imaging_fixture.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>

#include "base/deadline.h"
#include "files/imaging_wire.h"

static struct picture
drawn(const char *prompt, int64_t seed, unsigned index, uint32_t w, uint32_t h,
      enum picture_type type)
{
	struct imaging_draw what = { prompt, seed, w, h, type, -1, index };
	struct deadline d = deadline_in_ms(PATIENCE_MS);
	struct picture p;
	struct err e = { .detail = "" };

	if (imaging_draw(fx.fs, &what, &p, &d, &e) < 0)
		fail_msg("draw: %s: %s: %s", err_code(&e), e.about, e.detail);
	return p;
}

static int
convert(const struct picture *in, enum picture_type type, int quality, struct picture *out,
	struct err *e)
{
	struct deadline d = deadline_in_ms(PATIENCE_MS);

	return imaging_convert(fx.fs, in, type, quality, out, &d, e);
}

/* A file in the store that no sink has looked at. */
static struct picture
plant(const void *bytes, size_t n, enum picture_type type)
{
	static unsigned number;
	struct picture p = { .type = type, .width = 1, .height = 1, .bytes = n };
	char path[160];
	FILE *f;

	(void)snprintf(p.id, sizeof(p.id), "%026u", ++number);
	(void)snprintf(path, sizeof(path), "%s/%s.%s", fx.files, p.id, picture_extension(type));
	f = fopen(path, "wbe");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
	return p;
}

static void
the_same_order_gives_the_same_bytes(void **state)
{
	static const struct {
		const char *prompt;
		enum picture_type type;
	} rows[] = {
		{ "a panda", PICTURE_PNG }, { "玫瑰", PICTURE_PNG },   { "city", PICTURE_JPEG },
		{ "waves", PICTURE_WEBP },  { "aurora", PICTURE_PNG }, { "mountains", PICTURE_PNG },
		{ "", PICTURE_PNG },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct picture a = drawn(rows[i].prompt, 7, 0, 160, 96, rows[i].type);
		struct picture b = drawn(rows[i].prompt, 7, 0, 160, 96, rows[i].type);

		assert_string_not_equal(a.id, b.id);
		assert_true(same_content(&a, &b));
	}
}

static void
another_prompt_seed_or_number_gives_another_picture(void **state)
{
	static const struct {
		const char *prompt;
		int64_t seed;
		unsigned index;
	} rows[] = {
		{ "a panda", 1, 0 }, { "a panda", 2, 0 },         { "a panda", 1, 1 },
		{ "a panda", 2, 1 }, { "a pandb", 1, 0 },         { "一只熊猫", 1, 0 },
		{ "a panda", 0, 0 }, { "a panda", INT64_MAX, 0 },
	};
	enum { N = sizeof(rows) / sizeof(*rows) };
	struct picture p[N];

	(void)state;
	for (size_t i = 0; i < N; i++)
		p[i] = drawn(rows[i].prompt, rows[i].seed, rows[i].index, 96, 96, PICTURE_PNG);
	for (size_t i = 0; i < N; i++)
		for (size_t j = i + 1; j < N; j++)
			assert_false(same_content(&p[i], &p[j]));
}

static void
assert_is(const struct picture *p, enum picture_type type, uint32_t w, uint32_t h)
{
	struct buf b = content(p);
	enum picture_type t;
	uint32_t width, height;
	const char *why;

	assert_int_equal(p->type, type);
	assert_int_equal(p->width, w);
	assert_int_equal(p->height, h);
	assert_int_equal(p->bytes, b.len);
	assert_int_equal(picture_head(b.p, b.len < PICTURE_HEAD_BYTES ? b.len : PICTURE_HEAD_BYTES,
				      &t, &width, &height, &why),
			 HEAD_OK);
	assert_int_equal(t, type);
	assert_int_equal(width, w);
	assert_int_equal(height, h);
	buf_done(&b);
}

static const struct {
	enum picture_type type;
	uint32_t w, h;
} forms[] = {
	{ PICTURE_PNG, 64, 64 },   { PICTURE_JPEG, 200, 100 }, { PICTURE_WEBP, 65, 131 },
	{ PICTURE_PNG, 1, 1 },     { PICTURE_JPEG, 64, 1024 }, { PICTURE_WEBP, 1024, 64 },
	{ PICTURE_PNG, 257, 255 },
};

static void
every_format_has_the_size_that_was_asked_for(void **state)
{
	static const char *const prompts[] = { "panda", "rose", "city", "sea", "hill", "aurora" };

	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++)
		for (size_t j = 0; j < sizeof(prompts) / sizeof(*prompts); j++) {
			struct picture p =
				drawn(prompts[j], 1, 0, forms[i].w, forms[i].h, forms[i].type);

			assert_is(&p, forms[i].type, forms[i].w, forms[i].h);
		}
}

static bool
contains(const struct picture *p, const char *text)
{
	struct buf b = content(p);
	bool found = memmem(b.p, b.len, text, strlen(text)) != NULL;

	buf_done(&b);
	return found;
}

static void
a_drawing_says_that_it_is_a_preview(void **state)
{
	static const enum picture_type types[] = { PICTURE_PNG, PICTURE_JPEG, PICTURE_WEBP };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct picture p = drawn("rose", 1, 0, 64, 64, types[i]);

		assert_true(contains(&p, types[i] == PICTURE_PNG ? "tEXtSoftware" : "Exif") ||
			    types[i] == PICTURE_WEBP);
		assert_true(contains(&p, "Easel preview"));
		assert_true(contains(&p, "an abstract drawing from the prompt and the seed"));
	}
}

static void
quality_makes_larger_files(void **state)
{
	static const enum picture_type types[] = { PICTURE_JPEG, PICTURE_WEBP };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct imaging_draw what = { "rose", 1, 256, 256, types[i], 0, 0 };
		struct deadline d = deadline_in_ms(PATIENCE_MS);
		struct picture low, high;
		struct err e;

		assert_int_equal(imaging_draw(fx.fs, &what, &low, &d, &e), 0);
		what.compression = 100;
		assert_int_equal(imaging_draw(fx.fs, &what, &high, &d, &e), 0);
		assert_true(high.bytes > 2 * low.bytes);
	}
}

static void
a_picture_goes_through_all_formats_and_loses_its_metadata(void **state)
{
	static const enum picture_type way[] = { PICTURE_JPEG, PICTURE_WEBP, PICTURE_PNG,
						 PICTURE_WEBP, PICTURE_JPEG, PICTURE_PNG,
						 PICTURE_PNG };
	struct picture p = drawn("panda", 3, 0, 320, 200, PICTURE_PNG), next;
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(way) / sizeof(*way); i++) {
		assert_int_equal(convert(&p, way[i], i ? -1 : 90, &next, &e), 0);
		assert_is(&next, way[i], 320, 200);
		assert_false(contains(&next, "Easel preview"));
		assert_is(&p, p.type, 320, 200); /* the old one stays */
		p = next;
	}
}

static void
a_turned_picture_is_stored_upright(void **state)
{
	/* APP1: Exif, little-endian TIFF, one entry: orientation (0x0112), short, 6. */
	static const unsigned char exif[] = { 0xff, 0xe1, 0,    34,   'E', 'x', 'i', 'f', 0,
					      0,    'I',  'I',  0x2a, 0,   8,   0,   0,   0,
					      1,    0,    0x12, 0x01, 3,   0,   1,   0,   0,
					      0,    6,    0,    0,    0,   0,   0,   0,   0 };
	struct picture p = drawn("rose", 3, 0, 96, 64, PICTURE_PNG), q, turned;
	struct buf b, with = BUF_INIT(IMAGE_BYTES);
	struct err e;

	(void)state;
	assert_int_equal(convert(&p, PICTURE_JPEG, -1, &q, &e), 0);
	b = content(&q);
	assert_int_equal(buf_add(&with, b.p, 2), 0);
	assert_int_equal(buf_add(&with, exif, sizeof(exif)), 0);
	assert_int_equal(buf_add(&with, b.p + 2, b.len - 2), 0);
	turned = plant(with.p, with.len, PICTURE_JPEG);
	assert_int_equal(convert(&turned, PICTURE_PNG, -1, &q, &e), 0);
	assert_is(&q, PICTURE_PNG, 64, 96);
	buf_done(&b);
	buf_done(&with);
}

/* A PNG's beginning with the CRCs of a real one missing: the header alone must decide. */
static struct picture
huge_png(uint32_t w, uint32_t h)
{
	unsigned char png[64] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n',
				  0,    0,   0,   13,  'I',  'H',  'D',  'R' };

	for (int i = 0; i < 4; i++) {
		png[16 + i] = (unsigned char)(w >> (24 - 8 * i));
		png[20 + i] = (unsigned char)(h >> (24 - 8 * i));
	}
	png[24] = 8;
	png[25] = 2;
	return plant(png, sizeof(png), PICTURE_PNG);
}

static void
what_is_no_picture_is_refused(void **state)
{
	static const enum picture_type types[] = { PICTURE_PNG, PICTURE_JPEG, PICTURE_WEBP };
	struct picture bad[16], out;
	unsigned n = 0, files;
	char garbage[3000];

	(void)state;
	for (size_t i = 0; i < sizeof(garbage); i++)
		garbage[i] = (char)(i * 2654435761u >> 13);
	bad[n++] = plant(garbage, sizeof(garbage), PICTURE_PNG);
	bad[n++] = plant("", 0, PICTURE_JPEG);
	bad[n++] = plant("<svg xmlns=\"http://www.w3.org/2000/svg\"/>", 41, PICTURE_PNG);
	bad[n++] = plant("GIF89a\1\0\1\0\0\0\0;", 14, PICTURE_PNG);
	for (size_t i = 0; i < 3; i++) {
		struct picture good = drawn("city", 1, 0, 512, 512, types[i]);
		struct buf b = content(&good);

		bad[n++] = plant(b.p, b.len / 2, types[i]);
		bad[n++] = plant(b.p, 100, types[i]);
		/* A header that is good and nothing behind it that is. */
		memcpy(b.p + b.len / 4, garbage, sizeof(garbage));
		if (types[i] == PICTURE_PNG) /* the others have no checksum to fail */
			bad[n++] = plant(b.p, b.len, types[i]);
		buf_done(&b);
	}
	files = each_file(NULL);
	for (unsigned i = 0; i < n; i++) {
		struct err e = { .kind = ERR_NONE };

		if (convert(&bad[i], PICTURE_JPEG, -1, &out, &e) == 0)
			fail_msg("bad picture %u was converted", i);
		if (e.kind != ERR_RESULT_NOT_IMAGE)
			fail_msg("bad picture %u: %s: %s", i, err_code(&e), e.detail);
		assert_true(e.may_have_been_billed);
		assert_string_equal(e.stage, "store");
	}
	assert_int_equal(each_file(NULL), files); /* no half picture is left */
	assert_no_children();
}

static void
what_claims_too_many_pixels_is_refused(void **state)
{
	static const uint32_t sizes[][2] = { { 60000, 60000 }, { 1, 0x7fffffff }, { 8193, 8192 } };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct picture p = huge_png(sizes[i][0], sizes[i][1]), out;
		struct err e = { .kind = ERR_NONE };

		assert_int_equal(convert(&p, PICTURE_WEBP, -1, &out, &e), -1);
		if (e.kind != ERR_UP_TOO_LARGE)
			fail_msg("%ux%u: %s: %s", sizes[i][0], sizes[i][1], err_code(&e), e.detail);
		assert_true(e.may_have_been_billed);
	}
}

static void
webp_cannot_hold_every_picture(void **state)
{
	struct picture p = drawn("hill", 1, 0, 20000, 8, PICTURE_JPEG), out;
	struct err e = { .kind = ERR_NONE };

	(void)state;
	assert_int_equal(convert(&p, PICTURE_WEBP, -1, &out, &e), -1);
	assert_int_equal(e.kind, ERR_UP_TOO_LARGE);
}

static void
a_missing_picture_is_not_found(void **state)
{
	struct picture p = { .id = "00000000000000000000009999", .type = PICTURE_PNG }, out;
	struct err e = { .kind = ERR_NONE };

	(void)state;
	assert_int_equal(convert(&p, PICTURE_WEBP, -1, &out, &e), -1);
	assert_int_equal(e.kind, ERR_NOT_FOUND);
}

static void
the_deadline_ends_the_helper(void **state)
{
	static const int64_t waits_ms[] = { -1, 0, 1, 20, 60, 150 };
	unsigned files = each_file(NULL);

	(void)state;
	for (size_t i = 0; i < sizeof(waits_ms) / sizeof(*waits_ms); i++) {
		/* Some seconds of work: it cannot be done in time. */
		struct imaging_draw what = { "rose", 1, 8192, 8192, PICTURE_WEBP, 100, 0 };
		struct deadline d = deadline_in_ms(waits_ms[i]);
		struct err e = { .kind = ERR_NONE };
		struct picture out;
		int64_t begin = clock_us();

		assert_int_equal(imaging_draw(fx.fs, &what, &out, &d, &e), -1);
		assert_int_equal(e.kind, ERR_DEADLINE);
		assert_string_equal(e.stage, "provider.wait");
		assert_string_equal(err_party(&e), "gateway");
		assert_false(e.may_have_been_billed);
		/* The work alone would take longer than this. */
		assert_true(clock_us() - begin < (waits_ms[i] + 3000) * 1000);
		assert_no_children();
	}
	assert_int_equal(each_file(NULL), files);
}

static void
a_late_conversion_may_have_been_billed(void **state)
{
	struct picture p = drawn("rose", 1, 0, 64, 64, PICTURE_PNG), out;
	struct deadline d = deadline_in_ms(0);
	struct err e = { .kind = ERR_NONE };

	(void)state;
	assert_int_equal(imaging_convert(fx.fs, &p, PICTURE_JPEG, -1, &out, &d, &e), -1);
	assert_int_equal(e.kind, ERR_DEADLINE);
	assert_string_equal(e.stage, "store");
	assert_true(e.may_have_been_billed);
}

static unsigned
open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Processes whose parent is one of our threads. */
static unsigned
children(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned n = 0;

	while (d && (entry = readdir(d))) {
		char path[300], line[256] = "";
		FILE *f;

		(void)snprintf(path, sizeof(path), "/proc/self/task/%s/children", entry->d_name);
		f = fopen(path, "re");
		if (f && fgets(line, sizeof(line), f))
			for (const char *p = line; (p = strchr(p, ' ')); p++)
				n++;
		if (f)
			(void)fclose(f);
	}
	if (d)
		closedir(d);
	return n;
}

static atomic_uint finished;

static void *
draw_some(void *arg)
{
	for (unsigned i = 0; i < 3; i++) {
		struct imaging_draw what = {
			"city", *(unsigned *)arg, 128, 128, PICTURE_PNG, -1, i
		};
		struct deadline d = deadline_in_ms(PATIENCE_MS);
		struct picture p;
		struct err e;

		if (imaging_draw(fx.fs, &what, &p, &d, &e) < 0)
			return (void *)"failed";
	}
	atomic_fetch_add(&finished, 1);
	return NULL;
}

static void
many_threads_share_two_helpers(void **state)
{
	enum { N = 8 };
	pthread_t thread[N];
	unsigned number[N], most = 0, before = open_descriptors();

	(void)state;
	atomic_store(&finished, 0);
	for (unsigned i = 0; i < N; i++) {
		number[i] = i;
		assert_int_equal(pthread_create(&thread[i], NULL, draw_some, &number[i]), 0);
	}
	for (int64_t until = clock_us() + PATIENCE_MS * 1000LL;
	     atomic_load(&finished) < N && clock_us() < until;) {
		unsigned now = children();

		most = now > most ? now : most;
		(void)usleep(1000);
	}
	for (unsigned i = 0; i < N; i++) {
		void *said;

		assert_int_equal(pthread_join(thread[i], &said), 0);
		assert_null(said);
	}
	assert_true(most <= 2);
	if (access("/proc/thread-self/children", R_OK) == 0)
		assert_true(most >= 1);
	assert_int_equal(open_descriptors(), before);
	assert_no_children();
}

static void
a_turn_is_waited_for_inside_the_deadline(void **state)
{
	struct imaging_draw slow = { "rose", 1, 4096, 4096, PICTURE_WEBP, 100, 0 };
	struct deadline d = deadline_in_ms(40);
	pthread_t thread[2];
	unsigned number = 1;
	struct picture p;
	struct err e;

	(void)state;
	atomic_store(&finished, 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, draw_some, &number), 0);
	assert_int_equal(imaging_draw(fx.fs, &slow, &p, &d, &e), -1);
	assert_int_equal(e.kind, ERR_DEADLINE);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(atomic_load(&finished), 2);
	assert_no_children();
}

/* Runs the helper by hand: its exit status, what it wrote to descriptors 4 and 2. */
static int
by_hand(const char *order, struct buf *out, struct buf *why)
{
	char helper[600], *argv[] = { helper, NULL }, *envp[] = { (char *)"SECRET=1", NULL };
	posix_spawn_file_actions_t files;
	char piece[1000];
	FILE *in = tmpfile(), *result = tmpfile(), *said = tmpfile();
	int status;
	pid_t pid;
	size_t n;

	(void)snprintf(helper, sizeof(helper), "%s/easel-image", fx.libexec);
	assert_true(in && result && said);
	assert_true(fputs(order, in) >= 0);
	rewind(in);
	assert_int_equal(posix_spawn_file_actions_init(&files), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&files, fileno(in), 0), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&files, fileno(said), 2), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&files, fileno(result), 100), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&files, 100, 4), 0);
	assert_int_equal(posix_spawn(&pid, helper, &files, NULL, argv, envp), 0);
	(void)posix_spawn_file_actions_destroy(&files);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	rewind(result);
	rewind(said);
	while ((n = fread(piece, 1, sizeof(piece), result)) > 0)
		assert_int_equal(buf_add(out, piece, n), 0);
	while ((n = fread(piece, 1, sizeof(piece), said)) > 0)
		assert_int_equal(buf_add(why, piece, n), 0);
	(void)fclose(in);
	(void)fclose(result);
	(void)fclose(said);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
the_sandbox_allows_nothing_that_reaches_outside(void **state)
{
	static const char *const needed[] = {
		"socket",     "connect",    "exec",      "fork",        "vfork",
		"ptrace",     "open_write", "open_read", "kill_parent", "executable_memory",
		"raise_limit"
	};
	AUTO(buf) out = BUF_INIT(10000), why = BUF_INIT(10000);
	json_t *report, *value;
	const char *name;

	(void)state;
	assert_int_equal(by_hand("{\"op\":\"selftest\"}", &out, &why), IMAGING_OK);
	report = json_loads(buf_str(&out), 0, NULL);
	assert_non_null(report);
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		assert_non_null(json_object_get(report, needed[i]));
	json_object_foreach(report, name, value) if (strcmp(json_string_value(value), "EPERM") != 0)
		fail_msg("%s: %s", name, json_string_value(value));
	json_decref(report);
}

static void
a_bad_order_is_refused_in_one_line(void **state)
{
	static const struct {
		const char *order;
		int status;
	} rows[] = {
		{ "", IMAGING_BAD_ORDER },
		{ "{", IMAGING_BAD_ORDER },
		{ "[]", IMAGING_BAD_ORDER },
		{ "{}", IMAGING_BAD_ORDER },
		{ "{\"op\":\"paint\"}", IMAGING_BAD_ORDER },
		{ "{\"op\":\"draw\"}", IMAGING_BAD_ORDER },
		{ "{\"op\":\"draw\",\"prompt\":\"a\",\"seed\":1,\"width\":8,\"height\":8}",
		  IMAGING_BAD_ORDER },
		{ "{\"op\":\"draw\",\"prompt\":\"a\",\"seed\":1,\"width\":8,\"height\":8,"
		  "\"format\":\"gif\"}",
		  IMAGING_BAD_ORDER },
		{ "{\"op\":\"draw\",\"prompt\":\"a\",\"seed\":1,\"width\":0,\"height\":8,"
		  "\"format\":\"png\"}",
		  IMAGING_BAD_ORDER },
		{ "{\"op\":\"draw\",\"prompt\":\"a\",\"seed\":\"1\",\"width\":8,\"height\":8,"
		  "\"format\":\"png\"}",
		  IMAGING_BAD_ORDER },
		{ "{\"op\":\"draw\",\"prompt\":\"a\",\"seed\":1,\"width\":8,\"height\":8,"
		  "\"format\":\"png\",\"quality\":101}",
		  IMAGING_BAD_ORDER },
		{ "{\"op\":\"draw\",\"prompt\":\"a\",\"seed\":1,\"width\":60000,\"height\":60000,"
		  "\"format\":\"png\"}",
		  IMAGING_TOO_LARGE },
		{ "{\"op\":\"convert\",\"format\":\"png\",\"max_pixels\":0}", IMAGING_BAD_ORDER },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO(buf) out = BUF_INIT(10000), why = BUF_INIT(10000);
		int status = by_hand(rows[i].order, &out, &why);

		if (status != rows[i].status)
			fail_msg("%s: exit %d: %s", rows[i].order, status, buf_str(&why));
		assert_int_equal(out.len, 0);
		assert_true(why.len > 1 && strchr(why.p, '\n') == why.p + why.len - 1);
	}
}

static void
a_missing_helper_is_a_configuration_error(void **state)
{
	struct err e = { .kind = ERR_NONE };

	(void)state;
	assert_int_equal(setenv("EASEL_LIBEXEC", "/nonexistent", 1), 0);
	assert_int_equal(imaging_init(&e), -1);
	assert_int_equal(e.kind, ERR_CONFIG);
	assert_int_equal(setenv("EASEL_LIBEXEC", fx.libexec, 1), 0);
	assert_int_equal(imaging_init(&e), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_order_gives_the_same_bytes),
		cmocka_unit_test(another_prompt_seed_or_number_gives_another_picture),
		cmocka_unit_test(every_format_has_the_size_that_was_asked_for),
		cmocka_unit_test(a_drawing_says_that_it_is_a_preview),
		cmocka_unit_test(quality_makes_larger_files),
		cmocka_unit_test(a_picture_goes_through_all_formats_and_loses_its_metadata),
		cmocka_unit_test(a_turned_picture_is_stored_upright),
		cmocka_unit_test(what_is_no_picture_is_refused),
		cmocka_unit_test(what_claims_too_many_pixels_is_refused),
		cmocka_unit_test(webp_cannot_hold_every_picture),
		cmocka_unit_test(a_missing_picture_is_not_found),
		cmocka_unit_test(the_deadline_ends_the_helper),
		cmocka_unit_test(a_late_conversion_may_have_been_billed),
		cmocka_unit_test(many_threads_share_two_helpers),
		cmocka_unit_test(a_turn_is_waited_for_inside_the_deadline),
		cmocka_unit_test(the_sandbox_allows_nothing_that_reaches_outside),
		cmocka_unit_test(a_bad_order_is_refused_in_one_line),
		cmocka_unit_test(a_missing_helper_is_a_configuration_error),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
