#include <dlfcn.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "files/source.h"
#include "files_help.h"
#include "job/source_fetch.h"
#include "net/upstream.h"
#include "wire_server.h"

#define LIMIT_BYTES  100000
#define LIMIT_PIXELS 4000000

/* ---- a world outside: names in .test, and one public address that is the test's own server ---- */

#define OUTSIDE "93.184.216.34"

static struct wire outside;

int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
	    struct addrinfo **res)
{
	static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (name && !strcmp(name, "pictures.test"))
		name = OUTSIDE;
	else if (name && !strcmp(name, "rebind.test"))
		name = "127.0.0.1";
	else if (name && strlen(name) > 5 && !strcmp(name + strlen(name) - 5, ".test"))
		return EAI_NONAME;
	return real(name, service, hints, res);
}

int
connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	struct sockaddr_in in;

	if (sa->sa_family == AF_INET && len >= sizeof(in)) {
		memcpy(&in, sa, sizeof(in));
		if (in.sin_addr.s_addr == inet_addr(OUTSIDE)) {
			in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
			in.sin_port = htons((uint16_t)outside.port);
			return (int)syscall(SYS_connect, fd, &in, sizeof(in));
		}
	}
	return (int)syscall(SYS_connect, fd, sa, len);
}

static struct filestore *
open_files(void)
{
	struct filestore *fs = NULL;
	struct err e = { 0 };

	if (filestore_open(&fs, "file:files", help_dir, LIMIT_BYTES, LIMIT_PIXELS, 0, &e) < 0)
		fail_msg("%s %s", e.about, e.detail);
	return fs;
}

static int
take_in(struct filestore *fs, const unsigned char *p, size_t n, size_t piece, struct source *out,
	struct err *e)
{
	AUTO(intake) in;

	assert_int_equal(intake_begin(&in, fs, "image", e), 0);
	for (size_t at = 0; at < n; at += piece)
		if (intake_bytes(&in, p + at, n - at < piece ? n - at : piece, e) < 0)
			return -1;
	return intake_end(&in, out, e);
}

static void
expect_same(const struct source *s, const unsigned char *p, size_t n)
{
	AUTO_FREE unsigned char *back = malloc(n + 1);
	struct err e = { 0 };
	size_t got;

	assert_non_null(back);
	assert_int_equal(s->bytes, n);
	assert_int_equal(source_read(s, 0, back, n + 1, &got, &e), 0);
	assert_int_equal(got, n);
	assert_memory_equal(back, p, n);
	assert_int_equal(source_read(s, n - 5, back, 100, &got, &e), 0);
	assert_int_equal(got, 5);
	assert_memory_equal(back, p + n - 5, 5);
}

static void
a_picture_in_pieces_of_any_size_is_whole_again(void **state)
{
	static const size_t pieces[] = { 1, 7, 4096, 65536, 200000 };
	AUTO_PTR(filestore) fs = open_files();
	AUTO_FREE unsigned char *p = help_picture(PICTURE_PNG, 640, 480, 70001);

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
		AUTO(source) s = { 0 };
		struct err e = { 0 };

		assert_int_equal(take_in(fs, p, 70001, pieces[i], &s, &e), 0);
		assert_int_equal(s.type, PICTURE_PNG);
		assert_int_equal(s.width, 640);
		assert_int_equal(s.height, 480);
		expect_same(&s, p, 70001);
		assert_int_equal(help_count(NULL), 0);
	}
}

static void
its_file_has_no_name_where_o_tmpfile_does_not_work_either(void **state)
{
	AUTO_FREE unsigned char *p = help_picture(PICTURE_JPEG, 64, 48, 5000);
	AUTO(source) s = { 0 };
	struct err e = { 0 };

	(void)state;
	sys.no_tmpfile = true;
	{
		AUTO_PTR(filestore) fs = open_files();

		assert_int_equal(take_in(fs, p, 5000, 999, &s, &e), 0);
	}
	assert_int_equal(help_count(NULL), 0);
	expect_same(&s, p, 5000);
	source_done(&s);
	assert_int_equal(s.type, PICTURE_NONE);
	source_done(&s);
}

static void
what_is_no_picture_is_the_callers_mistake(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *found;
	} rows[] = {
		{ "", 0, "nothing" },
		{ "GIF89a\1\0\1\0", 10, "a GIF" },
		{ "%PDF-1.7 and so on", 18, "a PDF" },
		{ "<html><body>no</body>", 21, "what looks like HTML" },
		{ "just words", 10, "what looks like text" },
		{ "\1\2\3\4\5\6\7\10\11\12\13\14\15", 13, "bytes of another kind" },
		{ "\x89PNG\r\n\x1a\n\0\0\0\rIDATxxxxxxxxxxxx", 28,
		  "what begins like a PNG, but has no header chunk" },
		{ "\x89PNG\r\n\x1a\n", 8, "one that ends in the middle" },
	};
	AUTO_PTR(filestore) fs = open_files();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO(source) s = { 0 };
		struct err e = { 0 };

		assert_int_equal(take_in(fs, (const unsigned char *)rows[i].bytes, rows[i].n, 3, &s,
					 &e),
				 -1);
		assert_int_equal(e.kind, ERR_VALUE);
		assert_string_equal(e.param, "image");
		assert_string_equal(e.expected, "a PNG, JPEG or WebP");
		assert_string_equal(e.found, rows[i].found);
		assert_int_equal(s.type, PICTURE_NONE);
	}
}

static void
a_truncated_picture_is_refused(void **state)
{
	static const enum picture_type types[] = { PICTURE_PNG, PICTURE_JPEG, PICTURE_WEBP };
	AUTO_PTR(filestore) fs = open_files();

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		AUTO_FREE unsigned char *p = help_picture(types[i], 10, 10, 5000);
		AUTO(source) s = { 0 };
		struct err e = { 0 };

		assert_int_equal(take_in(fs, p, 4990, 5000, &s, &e), -1);
		assert_int_equal(e.kind, ERR_VALUE);
		assert_string_equal(e.found, "one that ends in the middle");
	}
}

static void
the_limits_hold_on_both_sides(void **state)
{
	static const struct {
		uint32_t w, h;
		size_t n;
		int rc;
		const char *expected, *found;
	} rows[] = {
		{ 10, 10, LIMIT_BYTES, 0, "", "" },
		{ 10, 10, LIMIT_BYTES + 1, -1, "at most 100000 bytes in 'image'", "more" },
		{ 2000, 2000, 1000, 0, "", "" },
		{ 2000, 2001, 1000, -1, "at most 4000000 pixels in 'image'", "2000x2001" },
		{ 60000, 60000, 1000, -1, "at most 4000000 pixels in 'image'", "60000x60000" },
	};
	AUTO_PTR(filestore) fs = open_files();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO_FREE unsigned char *p =
			help_picture(PICTURE_PNG, rows[i].w, rows[i].h, rows[i].n);
		AUTO(source) s = { 0 };
		struct err e = { 0 };

		assert_int_equal(take_in(fs, p, rows[i].n, 4096, &s, &e), rows[i].rc);
		if (!rows[i].rc)
			continue;
		assert_int_equal(e.kind, ERR_BODY_TOO_LARGE);
		assert_string_equal(e.param, "image");
		assert_string_equal(e.expected, rows[i].expected);
		assert_string_equal(e.found, rows[i].found);
	}
}

static void
a_full_disk_says_that_nothing_was_bought(void **state)
{
	AUTO_PTR(filestore) fs = open_files();
	AUTO_FREE unsigned char *p = help_picture(PICTURE_PNG, 10, 10, 70000);
	AUTO(source) s = { 0 };
	struct err e = { 0 };

	(void)state;
	sys.write_errno = ENOSPC;
	assert_int_equal(take_in(fs, p, 70000, 70000, &s, &e), -1);
	assert_int_equal(e.kind, ERR_STORAGE_FULL);
	assert_false(e.may_have_been_billed);
}

static void
text_is_read_as_data_url_and_as_bare_base64(void **state)
{
	static const char *const prefixes[] = { "", "data:image/png;base64,",
						"data:application/octet-stream;base64," };
	AUTO_PTR(filestore) fs = open_files();
	AUTO_FREE unsigned char *p = help_picture(PICTURE_WEBP, 33, 44, 3001);

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		AUTO(source) s = { 0 };
		AUTO(buf) text = BUF_INIT(10000);
		struct err e = { 0 };

		assert_int_equal(buf_adds(&text, prefixes[i]), 0);
		assert_int_equal(buf_room(&text, BASE64_ENCODED(3001)), 0);
		text.len += base64_encode(text.p + text.len, p, 3001);
		assert_int_equal(source_from_text(fs, text.p, text.len, "image", &s, &e), 0);
		assert_int_equal(s.type, PICTURE_WEBP);
		expect_same(&s, p, 3001);
	}
}

static void
text_that_is_no_picture_is_refused(void **state)
{
	static const struct {
		const char *text, *found;
	} rows[] = {
		{ "", "nothing" },
		{ "a panda!", "text that is not base64" },
		{ "data:image/png;base64", "a data URL without data" },
		{ "data:image/png,AAAA", "a data URL that is not base64" },
		{ "data:image/png;base64,R0lGODlhAQABAAAAACw=", "a GIF" },
	};
	AUTO_PTR(filestore) fs = open_files();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO(source) s = { 0 };
		struct err e = { 0 };

		assert_int_equal(source_from_text(fs, rows[i].text, strlen(rows[i].text),
						  "images[0].image_url", &s, &e),
				 -1);
		assert_int_equal(e.kind, ERR_VALUE);
		assert_string_equal(e.param, "images[0].image_url");
		assert_string_equal(e.found, rows[i].found);
	}
}

/* ---- URLs ---- */

static unsigned char *picture;
#define PICTURE_BYTES 3000

#define CLOSE "Connection: close\r\n" /* the server serves one request a connection */

/* By its path: a picture, a redirect to whatever stands behind it, a status, half a picture. */
static void
serve(struct wire *w, int fd, int number)
{
	char path[2100] = "", head[2300];
	const char *at;

	(void)number;
	if (wire_request(w, fd) < 0)
		return;
	(void)pthread_mutex_lock(&w->lock);
	(void)snprintf(path, sizeof(path), "%.*s", (int)strcspn(w->last + 4, " "), w->last + 4);
	(void)pthread_mutex_unlock(&w->lock);
	at = path + 3;
	if (!strncmp(path, "/r/", 3)) {
		(void)snprintf(head, sizeof(head),
			       "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n" CLOSE
			       "\r\n",
			       at);
		(void)wire_say(fd, head);
	} else if (!strncmp(path, "/s/", 3)) {
		(void)wire_answer(fd, at, CLOSE, "");
	} else if (!strcmp(path, "/text")) {
		(void)wire_answer(fd, "200 OK", "Content-Type: image/png\r\n" CLOSE,
				  "not a picture");
	} else {
		(void)snprintf(head, sizeof(head),
			       "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" CLOSE "\r\n",
			       PICTURE_BYTES);
		(void)wire_say(fd, head);
		(void)wire_write(fd, picture,
				 !strcmp(path, "/half") ? PICTURE_BYTES / 2 : PICTURE_BYTES);
	}
}

static int
fetch(struct filestore *fs, const char *url, int64_t ms, struct source *s, struct err *e)
{
	const struct deadline d = deadline_in_ms(ms);
	struct ledger ledger = { 0 };

	return source_fetch(fs, url, "images[0].image_url", s, &d, &ledger, e);
}

static void
a_url_is_fetched_through_at_most_three_redirects(void **state)
{
	static const char *const urls[] = {
		"http://pictures.test/a.png",
		"HTTP://" OUTSIDE ":80/a.png",
		"http://pictures.test/r//a.png",
		"http://pictures.test/r/http://pictures.test/r/http://pictures.test/r//a.png",
	};
	AUTO_PTR(filestore) fs = open_files();

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		AUTO(source) s = { 0 };
		struct err e = { 0 };

		if (fetch(fs, urls[i], 5000, &s, &e) < 0)
			fail_msg("%s: %s %s", urls[i], e.about, e.detail);
		expect_same(&s, picture, PICTURE_BYTES);
	}
}

static void
a_url_that_leads_inside_is_not_allowed(void **state)
{
	static const char *const urls[] = {
		"http://127.0.0.1/a.png",
		"http://localhost/a.png",
		"http://2130706433/a.png",
		"http://0x7f.1/a.png",
		"http://[::1]/a.png",
		"http://[::ffff:10.0.0.1]/a.png",
		"http://169.254.169.254/latest/meta-data",
		"http://10.0.0.1/",
		"http://rebind.test/a.png",
		"http://pictures.test:8080/a.png",
		"http://user:secret@pictures.test/a.png",
		"ftp://pictures.test/a.png",
		"file:///etc/passwd",
		"gopher://pictures.test/_GET",
		"javascript:alert(1)",
		"http://pictures.test/r/http://127.0.0.1/a.png",
		"http://pictures.test/r/http://rebind.test/a.png",
		"http://pictures.test/r/http://pictures.test:22/",
		"http://pictures.test/r/file:///etc/passwd",
	};
	AUTO_PTR(filestore) fs = open_files();

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		AUTO(source) s = { 0 };
		struct err e = { 0 };

		assert_int_equal(fetch(fs, urls[i], 5000, &s, &e), -1);
		if (e.kind != ERR_URL_NOT_ALLOWED)
			fail_msg("%s: %s (%s)", urls[i], err_code(&e), e.about);
		assert_string_equal(e.param, "images[0].image_url");
		assert_string_equal(e.upstream.name, "");
		assert_false(e.may_have_been_billed);
		assert_null(strstr(e.about, "secret"));
	}
}

static void
a_url_that_gives_no_picture_says_why(void **state)
{
	static const struct {
		const char *url;
		enum err_kind kind;
		const char *why;
	} rows[] = {
		{ "http://pictures.test/s/404", ERR_URL_FETCH, "HTTP 404" },
		{ "http://pictures.test/s/500", ERR_URL_FETCH, "HTTP 500" },
		{ "http://pictures.test/s/304", ERR_URL_FETCH, "HTTP 304" },
		{ "http://nowhere.test/a.png", ERR_URL_FETCH, "its host name cannot be resolved" },
		{ "http://pictures.test/half", ERR_URL_FETCH, "it ended in the middle" },
		{ "http://pictures.test/text", ERR_VALUE, "what looks like text" },
		{ "http://pictures.test/r/http://pictures.test/r/http://pictures.test/r/"
		  "http://pictures.test/r//a.png",
		  ERR_URL_FETCH, "more than 3 redirects" },
	};
	AUTO_PTR(filestore) fs = open_files();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO(source) s = { 0 };
		struct err e = { 0 };
		const char *why;

		assert_int_equal(fetch(fs, rows[i].url, 5000, &s, &e), -1);
		why = e.kind == ERR_VALUE ? e.found : e.about;
		if (e.kind != rows[i].kind || strcmp(why, rows[i].why) != 0)
			fail_msg("%s: %s (%s)", rows[i].url, err_code(&e), why);
		assert_string_equal(e.param, "images[0].image_url");
		assert_int_equal(err_status(&e), 400);
		assert_int_equal(help_count(NULL), 0);
	}
}

static void
a_url_of_any_length_is_judged(void **state)
{
	AUTO_PTR(filestore) fs = open_files();
	AUTO_FREE char *url = malloc(3000);
	AUTO(source) s = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_non_null(url);
	memset(url, 'a', 3000);
	memcpy(url, "http://pictures.test/", 21);
	url[2047] = '\0';
	assert_int_equal(fetch(fs, url, 5000, &s, &e), 0);
	url[2047] = 'a';
	url[2048] = '\0';
	source_done(&s);
	assert_int_equal(fetch(fs, url, 5000, &s, &e), -1);
	assert_int_equal(e.kind, ERR_URL_NOT_ALLOWED);
}

static int
setup_all(void **state)
{
	struct err e = { 0 };

	(void)state;
	picture = help_picture(PICTURE_PNG, 30, 40, PICTURE_BYTES);
	wire_start(&outside, serve, NULL);
	return upstream_init(&e);
}

static int
teardown_all(void **state)
{
	(void)state;
	upstream_shutdown();
	wire_stop(&outside);
	free(picture);
	return 0;
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, help_setup, help_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_picture_in_pieces_of_any_size_is_whole_again),
		TEST(its_file_has_no_name_where_o_tmpfile_does_not_work_either),
		TEST(what_is_no_picture_is_the_callers_mistake),
		TEST(a_truncated_picture_is_refused),
		TEST(the_limits_hold_on_both_sides),
		TEST(a_full_disk_says_that_nothing_was_bought),
		TEST(text_is_read_as_data_url_and_as_bare_base64),
		TEST(text_that_is_no_picture_is_refused),
		TEST(a_url_is_fetched_through_at_most_three_redirects),
		TEST(a_url_that_leads_inside_is_not_allowed),
		TEST(a_url_that_gives_no_picture_says_why),
		TEST(a_url_of_any_length_is_judged),
	};

	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
