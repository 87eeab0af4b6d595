#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "files/answer_scan.h"

/* What came of an answer: "0(text)1(text)" of its pictures, and the rest. */
struct heard {
	struct buf pictures;
	const char *input, *input_end; /* NULL: text may lie anywhere */
	int fail;                      /* which callback says no: 'b', 't', 'e' or 0 */
	bool open;
};

static int
no(struct err *e)
{
	return err_set(e, ERR_STORAGE_FULL, "no");
}

static int
on_begin(void *self, unsigned index, struct err *e)
{
	struct heard *h = self;

	assert_false(h->open);
	h->open = true;
	assert_int_equal(buf_addf(&h->pictures, "%u(", index), 0);
	return h->fail == 'b' ? no(e) : 0;
}

static int
on_text(void *self, const char *text, size_t n, struct err *e)
{
	struct heard *h = self;

	assert_true(h->open);
	assert_true(n > 0);
	if (h->input)
		assert_true(text >= h->input && text + n <= h->input_end);
	assert_int_equal(buf_add(&h->pictures, text, n), 0);
	return h->fail == 't' ? no(e) : 0;
}

static int
on_end(void *self, struct err *e)
{
	struct heard *h = self;

	assert_true(h->open);
	h->open = false;
	assert_int_equal(buf_addc(&h->pictures, ')'), 0);
	return h->fail == 'e' ? no(e) : 0;
}

static void
begin(struct answer_scan *s, struct heard *h, size_t max)
{
	answer_scan_init(s, max);
	s->picture_begin = on_begin;
	s->picture_text = on_text;
	s->picture_end = on_end;
	s->self = h;
	*h = (struct heard){ .pictures = BUF_INIT(10 << 20) };
}

/* From a copy of exactly n bytes, for the address sanitizer. */
static int
feed(struct answer_scan *s, const char *p, size_t n, struct err *e)
{
	AUTO_FREE char *copy = malloc(n ? n : 1);

	assert_non_null(copy);
	if (n)
		memcpy(copy, p, n);
	return answer_scan_feed(s, copy, n, e);
}

/* The cuts: whole, bytes, random pieces, and from CUT_AT on in two at that place. */
enum { CUT_NOT, CUT_BYTES, CUT_RANDOM, CUT_AT };

static int
feed_cut(struct answer_scan *s, const char *p, size_t n, size_t cut, struct err *e)
{
	while (n) {
		size_t k = n;

		if (cut == CUT_BYTES)
			k = 1;
		else if (cut == CUT_RANDOM)
			k = (size_t)rand() % 100;
		else if (cut > CUT_AT)
			k = cut - CUT_AT;
		if (cut >= CUT_AT)
			cut = CUT_NOT;
		if (k > n)
			k = n;
		if (feed(s, p, k, e) < 0)
			return -1;
		p += k;
		n -= k;
	}
	return 0;
}

static void
check(const char *in, size_t n, const char *rest, const char *pictures, bool complete)
{
	for (size_t cut = CUT_NOT; cut < CUT_AT + (n < 500 ? n : 1); cut++) {
		struct answer_scan s;
		struct heard h;
		struct err e;

		begin(&s, &h, 1 << 20);
		assert_int_equal(feed_cut(&s, in, n, cut, &e), 0);
		assert_string_equal(buf_str(&s.rest), rest);
		assert_string_equal(buf_str(&h.pictures), pictures);
		assert_int_equal(answer_scan_complete(&s), complete);
		answer_scan_done(&s);
		buf_done(&h.pictures);
	}
}

struct row {
	const char *in, *rest, *pictures;
};

static void
check_all(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check(rows[i].in, strlen(rows[i].in), rows[i].rest ? rows[i].rest : rows[i].in,
		      rows[i].pictures, true);
}
#define CHECK_ALL(rows) check_all(rows, sizeof(rows) / sizeof(*(rows)))

static void
pictures_give_way_to_their_numbers(void **state)
{
	static const struct row rows[] = {
		{ "{\"data\":[{\"b64_json\":\"iVBOR+/=\"},{\"url\":\"https://x/a.png\"}]}",
		  "{\"data\":[{\"b64_json\":0},{\"url\":\"https://x/a.png\"}]}", "0(iVBOR+/=)" },
		{ "{\"b64_json\":\"QUJD\",\"x\":[{\"b64_json\":\"REVG\"}],\"b64_json\":\"R0hJ\"}",
		  "{\"b64_json\":0,\"x\":[{\"b64_json\":1}],\"b64_json\":2}",
		  "0(QUJD)1(REVG)2(R0hJ)" },
		{ " { \"b64_json\" \r\n:\t \"QUJD\" } ", " { \"b64_json\" \r\n:\t 0 } ",
		  "0(QUJD)" },
		{ "{\"url\":\"data:image/png;base64,QUJD\"}", "{\"url\":0}",
		  "0(data:image/png;base64,QUJD)" },
		{ "{\"image_url\":\"data:;base64,QUJD\",\"n\":1}", "{\"image_url\":0,\"n\":1}",
		  "0(data:;base64,QUJD)" },
		{ "{\"image_url\":{\"url\":\"data:x,QUJD\",\"detail\":\"auto\"}}",
		  "{\"image_url\":{\"url\":0,\"detail\":\"auto\"}}", "0(data:x,QUJD)" },
		{ "{\"url\":\"data:\"}", "{\"url\":0}", "0(data:)" },
		{ "[[[{\"a\":{\"b64_json\":\"QUJD\"}}]]]", "[[[{\"a\":{\"b64_json\":0}}]]]",
		  "0(QUJD)" },
		{ "{\"b64_json\":\"line\nbreak\"}", "{\"b64_json\":0}", "0(line\nbreak)" },
		/* two answers in a row, as on a stream */
		{ "{\"b64_json\":\"QQ==\"}\n{\"b64_json\":\"Qg==\"}\n",
		  "{\"b64_json\":0}\n{\"b64_json\":1}\n", "0(QQ==)1(Qg==)" },
	};

	(void)state;
	CHECK_ALL(rows);
}

static void
what_is_no_picture_stays_as_it_is(void **state)
{
	static const struct row rows[] = {
		{ "", NULL, "" },
		{ "{}", NULL, "" },
		{ "{\"b64_json\":\"\",\"url\":\"https://x/\"}", NULL, "" },
		{ "{\"b64_json\":null}", NULL, "" },
		{ "{\"b64_json\":17}", NULL, "" },
		{ "{\"b64_json\":[\"QUJD\"]}", NULL, "" },
		{ "{\"b64_json\":{\"x\":\"QUJD\"}}", NULL, "" },
		{ "[\"b64_json\",\"QUJD\"]", NULL, "" },
		{ "[\"data:image/png;base64,QUJD\"]", NULL, "" },
		{ "{\"image_url\":[\"data:image/png;base64,QUJD\"]}", NULL, "" },
		/* a value that looks like a key */
		{ "{\"type\":\"b64_json\",\"x\":\"QUJD\"}", NULL, "" },
		{ "{\"type\":\"b64_json\"}:\"QUJD\"", NULL, "" },
		{ "{\"type\":\"b64_json\":\"QUJD\"}", NULL, "" },
		{ "{\"b64_json\"::\"QUJD\"}", NULL, "" },
		{ "{\"b64_json\",:\"QUJD\"}", NULL, "" },
		{ "{\"b64_json\" x:\"QUJD\"}", NULL, "" },
		/* nearly the key */
		{ "{\"b64_jso\":\"QUJD\",\"b64_jsonn\":\"QUJD\",\"B64_JSON\":\"QUJD\"}", NULL, "" },
		{ "{\"xb64_json\":\"QUJD\",\"\":\"QUJD\",\" b64_json\":\"QUJD\"}", NULL, "" },
		{ "{\"b64_json_and_much_more_behind_it\":\"QUJD\"}", NULL, "" },
		{ "{\"x\\\"b64_json\":\"QUJD\"}", NULL, "" },
		{ "{\"data\":\"data:image/png;base64,QUJD\"}", NULL, "" },
		/* nearly the scheme */
		{ "{\"url\":\"data\",\"url\":\"dat\",\"url\":\"\",\"url\":\"d\"}", NULL, "" },
		{ "{\"url\":\"data;x\",\"url\":\"DATA:x\",\"url\":\" data:x\"}", NULL, "" },
		{ "{\"url\":\"date:x\",\"url\":\"ddata:x\",\"url\":\"d\\ata:\"}", NULL, "" },
		{ "{\"url\":\"https:\\/\\/x\\/?q=\\\"data:\\\"\\\\\"}", NULL, "" },
		{ "{\"url\":\"\\\"data:\",\"url\":\"\\\\\",\"url\":\"d\\\"\"}", NULL, "" },
		{ "{\"url\":\"\\u0064ata\",\"url\":\"dat\\u0041:\",\"url\":\"\\u1234\"}", NULL,
		  "" },
		/* strings with everything in them */
		{ "{\"prompt\":\"{\\\"b64_json\\\":\\\"QUJD\\\"}\",\"x\":1}", NULL, "" },
		{ "{\"p\":\"\\\\\",\"q\":\"\\\\\\\"\",\"r\":\"a:b,{}[]\"}", NULL, "" },
		{ "{\"\xe4\xb8\x80\":\"\xe4\xba\x8c\\u4e09\"}", NULL, "" },
		/* what only the parser can refuse */
		{ "{\"\\u00\":\"x\",\"\\q\":\"y\",\"url\":\"\\u00\",\"url\":\"\\q\"}", NULL, "" },
		{ "{\"\\u0\\\"\":1,\"url\":\"\\ud\\\"\"}", NULL, "" },
		{ "}}}]]]:::,,,nonsense", NULL, "" },
	};

	(void)state;
	CHECK_ALL(rows);
}

static void
escapes_are_undone(void **state)
{
	static const struct row rows[] = {
		{ "{\"b64_json\":\"a\\/b\\u002Bc\\u002fd\\u003D\"}", "{\"b64_json\":0}",
		  "0(a/b+c/d=)" },
		{ "{\"b64_json\":\"\\/\\/\\/\\/9j\"}", "{\"b64_json\":0}", "0(////9j)" },
		{ "{\"b64_json\":\"\\n\\r\\t\\b\\f\\\"\\\\\\/\"}", "{\"b64_json\":0}",
		  "0(\n\r\t\b\f\"\\/)" },
		{ "{\"b64_json\":\"\\u0041\"}", "{\"b64_json\":0}", "0(A)" },
		{ "{\"b64_json\":\"A\\u0042\\u0043\"}", "{\"b64_json\":0}", "0(ABC)" },
		{ "{\"b64_json\":\"x\\u00e9y\\uD83D\\uDE00\"}", "{\"b64_json\":0}",
		  "0(x\xef\xbf\xbdy\xef\xbf\xbd\xef\xbf\xbd)" },
		{ "{\"url\":\"data:image\\/png;base64,\\/9j\"}", "{\"url\":0}",
		  "0(data:image/png;base64,/9j)" },
		{ "{\"url\":\"\\u0064a\\u0074a\\u003Ax\"}", "{\"url\":0}", "0(data:x)" },
		/* in keys too */
		{ "{\"b64\\u005fjson\":\"QUJD\"}", "{\"b64\\u005fjson\":0}", "0(QUJD)" },
		{ "{\"\\u0075rl\":\"data:\"}", "{\"\\u0075rl\":0}", "0(data:)" },
		{ "{\"b64_json\\u0000\":\"QUJD\",\"b64\\/json\":\"QUJD\"}", NULL, "" },
	};

	(void)state;
	CHECK_ALL(rows);
}

static void
bad_escapes_in_a_picture_are_refused(void **state)
{
	static const char *const rows[] = {
		"{\"b64_json\":\"ab\\qcd\"}",  "{\"b64_json\":\"\\u00g0\"}",
		"{\"b64_json\":\"\\u00\"}",    "{\"b64_json\":\"\\u\\u0041\"}",
		"{\"url\":\"data:x\\u 123\"}", "{\"b64_json\":\"\\U0041\"}",
		"{\"b64_json\":\"\\\n\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		for (size_t cut = CUT_NOT; cut < CUT_AT + strlen(rows[i]); cut++) {
			struct answer_scan s;
			struct heard h;
			struct err e = { .kind = ERR_NONE };

			begin(&s, &h, 1000);
			assert_int_equal(feed_cut(&s, rows[i], strlen(rows[i]), cut, &e), -1);
			assert_int_equal(e.kind, ERR_UP_GARBAGE);
			assert_false(answer_scan_complete(&s));
			/* and then nothing more */
			assert_int_equal(answer_scan_feed(&s, "}", 1, &e), -1);
			answer_scan_done(&s);
			buf_done(&h.pictures);
		}
	/* a NUL is no escape either */
	{
		struct answer_scan s;
		struct heard h;
		struct err e = { .kind = ERR_NONE };

		begin(&s, &h, 1000);
		assert_int_equal(feed(&s, "{\"b64_json\":\"\\\0\"}", 17, &e), -1);
		assert_int_equal(e.kind, ERR_UP_GARBAGE);
		answer_scan_done(&s);
		buf_done(&h.pictures);
	}
}

static void
an_input_that_ends_in_a_string_is_not_complete(void **state)
{
	static const struct {
		const char *in, *rest, *pictures;
		bool complete;
	} rows[] = {
		{ "{\"a", "{\"a", "", false },
		{ "{\"a\\", "{\"a\\", "", false },
		{ "{\"a\\\"", "{\"a\\\"", "", false },
		{ "{\"a\"", "{\"a\"", "", true },
		{ "{\"a\":", "{\"a\":", "", true },
		{ "{\"a\":\"", "{\"a\":\"", "", false },
		{ "{\"a\":\"\\u00", "{\"a\":\"\\u00", "", false },
		{ "{\"b64_json\":\"", "{\"b64_json\":\"", "", false },
		{ "{\"b64_json\":\"Q", "{\"b64_json\":0", "0(Q", false },
		{ "{\"b64_json\":\"Q\\", "{\"b64_json\":0", "0(Q", false },
		{ "{\"b64_json\":\"Q\\u00", "{\"b64_json\":0", "0(Q", false },
		{ "{\"b64_json\":\"Q\"", "{\"b64_json\":0", "0(Q)", true },
		{ "{\"url\":\"dat", "{\"url\":\"dat", "", false },
		{ "{\"url\":\"data:", "{\"url\":0", "0(data:", false },
		{ "{\"url\":\"\\u006", "{\"url\":\"\\u006", "", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		check(rows[i].in, strlen(rows[i].in), rows[i].rest, rows[i].pictures,
		      rows[i].complete);
}

static void
the_rest_has_a_ceiling_and_pictures_have_none(void **state)
{
	static const char in[] =
		"{\"b64_json\":\"0123456789012345678901234567890123456789\",\"x\":1}";
	static const char rest[] = "{\"b64_json\":0,\"x\":1}";

	(void)state;
	for (size_t cut = CUT_NOT; cut < CUT_AT + sizeof(in) - 1; cut++)
		for (size_t max = 0; max <= sizeof(rest); max++) {
			struct answer_scan s;
			struct heard h;
			struct err e = { .kind = ERR_NONE };
			bool fits = max >= sizeof(rest) - 1;

			begin(&s, &h, max);
			assert_int_equal(feed_cut(&s, in, sizeof(in) - 1, cut, &e), fits ? 0 : -1);
			assert_int_equal(e.kind, fits ? ERR_NONE : ERR_UP_TOO_LARGE);
			if (fits)
				assert_string_equal(s.rest.p, rest);
			assert_true(s.rest.len <= max);
			answer_scan_done(&s);
			buf_done(&h.pictures);
		}
}

static void
what_a_callback_refuses_ends_the_scan(void **state)
{
	static const char in[] = "{\"b64_json\":\"QUJD\",\"b64_json\":\"REVG\"}";
	static const struct {
		int fail;
		const char *pictures;
	} rows[] = { { 'b', "0(" }, { 't', "0(QUJD" }, { 'e', "0(QUJD)" } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct answer_scan s;
		struct heard h;
		struct err e = { .kind = ERR_NONE };

		begin(&s, &h, 1000);
		h.fail = rows[i].fail;
		assert_int_equal(feed(&s, in, sizeof(in) - 1, &e), -1);
		assert_int_equal(e.kind, ERR_STORAGE_FULL);
		assert_string_equal(h.pictures.p, rows[i].pictures);
		answer_scan_done(&s);
		buf_done(&h.pictures);
	}
}

/* A stop at every place of a long string, so that each way of looking for it is tried. */
static void
the_end_of_a_string_is_found_wherever_it_is(void **state)
{
	(void)state;
	for (size_t n = 1; n < 300; n++) {
		AUTO(buf) in = BUF_INIT(2000);
		AUTO(buf) pictures = BUF_INIT(2000);

		assert_int_equal(buf_adds(&in, "{\"b64_json\":\""), 0);
		assert_int_equal(buf_adds(&pictures, "0("), 0);
		for (size_t i = 0; i < n; i++) {
			/* neighbours of the quote and the backslash, and bytes above 127 */
			char c = "AB!#[]z\xa2\xdc\x80\x7f/"[rand() % 12];

			assert_int_equal(buf_addc(&in, c) + buf_addc(&pictures, c), 0);
		}
		assert_int_equal(buf_adds(&in, "\\/"), 0);
		assert_int_equal(buf_adds(&pictures, "/"), 0);
		for (size_t i = 0; i < 300 - n; i++)
			assert_int_equal(buf_addc(&in, 'x') + buf_addc(&pictures, 'x'), 0);
		assert_int_equal(buf_adds(&in, "\",\"k\":\"v\"}"), 0);
		assert_int_equal(buf_adds(&pictures, ")"), 0);
		check(in.p, in.len, "{\"b64_json\":0,\"k\":\"v\"}", pictures.p, true);
	}
}

static void
long_runs_are_handed_on_from_where_they_lie(void **state)
{
	const size_t n = 1 << 20;
	AUTO(buf) in = BUF_INIT(2 << 20);
	struct answer_scan s;
	struct heard h;
	struct err e;

	(void)state;
	assert_int_equal(buf_adds(&in, "{\"b64_json\":\""), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(buf_adds(&in, i % 1000 == 500 ? "\\/" : "A"), 0);
	assert_int_equal(buf_adds(&in, "\"}"), 0);
	begin(&s, &h, 100);
	h.input = in.p;
	h.input_end = in.p + in.len;
	assert_int_equal(answer_scan_feed(&s, in.p, in.len, &e), 0);
	assert_int_equal(h.pictures.len, n + 3);
	assert_string_equal(s.rest.p, "{\"b64_json\":0}");
	answer_scan_done(&s);
	buf_done(&h.pictures);
}

static void
the_caller_may_name_a_key_and_begin_again(void **state)
{
	static const char text[] = "{\"blob\":\"AAAA\",\"other\":\"BBBB\",\"b64_json\":\"C\"}";
	struct answer_scan s;
	struct heard h;
	struct err e;

	(void)state;
	begin(&s, &h, 1000);
	s.also = "blob";
	for (int i = 0; i < 2; i++) {
		/* The first time it stops inside of a picture's text. */
		size_t n = i ? sizeof(text) - 1 : 11;

		assert_int_equal(feed(&s, text, n, &e), 0);
		assert_string_equal(buf_str(&h.pictures), i ? "0(AAAA)1(C)" : "0(AA");
		assert_string_equal(buf_str(&s.rest),
				    i ? "{\"blob\":0,\"other\":\"BBBB\",\"b64_json\":1}"
				      : "{\"blob\":0");
		answer_scan_again(&s);
		assert_true(answer_scan_complete(&s));
		assert_int_equal(s.rest.len, 0);
		buf_clear(&h.pictures);
		h.open = false;
	}
	answer_scan_done(&s);
	buf_done(&h.pictures);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pictures_give_way_to_their_numbers),
		cmocka_unit_test(what_is_no_picture_stays_as_it_is),
		cmocka_unit_test(escapes_are_undone),
		cmocka_unit_test(bad_escapes_in_a_picture_are_refused),
		cmocka_unit_test(an_input_that_ends_in_a_string_is_not_complete),
		cmocka_unit_test(the_rest_has_a_ceiling_and_pictures_have_none),
		cmocka_unit_test(what_a_callback_refuses_ends_the_scan),
		cmocka_unit_test(the_end_of_a_string_is_found_wherever_it_is),
		cmocka_unit_test(long_runs_are_handed_on_from_where_they_lie),
		cmocka_unit_test(the_caller_may_name_a_key_and_begin_again),
	};

	srand(3);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
