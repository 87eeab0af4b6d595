/* Pictures that stand in a text as addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "provider/picture_text.h"

#include "cost_help.h"

/* The addresses in a text, each followed by a blank. */
static void
found_in(const char *text, size_t length, char *out)
{
	/* Exactly as long as it is, so that a sanitizer sees a read beyond it. */
	char *copy = malloc(length ? length : 1);
	struct picture_text t;
	const char *p;
	size_t n;

	assert_non_null(copy);
	memcpy(copy, text, length);
	*out = '\0';
	picture_text_init(&t, copy, length);
	while ((p = picture_text_next(&t, &n))) {
		memcpy(out, p, n);
		memcpy(out + n, " ", 2);
		out += n + 1;
	}
	free(copy);
}

static const struct {
	const char *text, *found;
} rows[] = {
	{ "", "" },
	{ "no picture", "" },
	{ "![image](https://h/a.png)", "https://h/a.png " },
	{ "![](https://h/a)", "https://h/a " },
	{ "![a](https://h/a) text ![b](http://h/b)", "https://h/a http://h/b " },
	{ "![a](https://h/a \"a title\")", "https://h/a " },
	{ "![a](<https://h/a>)", "https://h/a " },
	{ "![a](https://h/a_(1).png)", "https://h/a_(1).png " },
	{ "![a](data:image/png;base64,iVBO+/==)", "data:image/png;base64,iVBO+/== " },
	{ "![a](/files/x.png)", "/files/x.png " },
	{ "![a](ftp://h/a.png)", "" },
	{ "![a](javascript:alert)", "" },
	{ "![a] (https://h/a)", "" },
	{ "![a\nb](https://h/a)", "" },
	{ "[link](https://h/a.png)", "" },
	{ "![a](https://h/a)\n\n[download](https://h/a.png)", "https://h/a " },
	{ "![a](https://h/a) https://h/b.png", "https://h/a " },
	{ "Done: https://h/a.png?sig=x%2By. Enjoy", "https://h/a.png?sig=x%2By " },
	{ "see https://h/page and HTTPS://h/b.JPG!", "HTTPS://h/b.JPG " },
	{ "https://h/a.jpeg, https://h/b.webp", "https://h/a.jpeg https://h/b.webp " },
	{ "data:image/webp;base64,UklG", "data:image/webp;base64,UklG " },
	{ "xhttps://h/a.png", "" },
	{ "\"https://h/a.png\"", "https://h/a.png " },
	{ "https://h/图.png", "" },
	{ "> 进度 14%.\n![gen_1](https://h/g.png)\n> 完成", "https://h/g.png " },
	{ "![a](", "" },
	{ "![a](https://h/a", "https://h/a " },
	{ "![", "" },
	{ "![]", "" },
	{ "https://h/.png", "https://h/.png " },
	{ "https://", "" },
};

static void
addresses_are_found_in_every_form(void **state)
{
	char out[512];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		found_in(rows[i].text, strlen(rows[i].text), out);
		if (strcmp(out, rows[i].found) != 0)
			print_error("in: %s\n", rows[i].text);
		assert_string_equal(out, rows[i].found);
	}
}

/* Every beginning of every text, and texts of what matters here in any order. */
static void
no_text_is_read_beyond_its_end(void **state)
{
	static const char *const bits[] = { "!",        "[",  "]",    "(", ")",  "<",          ">",
					    "https://", "h/", ".png", " ", "\n", "data:image/" };
	char out[4096], text[256];
	unsigned seed = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t n = 0; n <= strlen(rows[i].text); n++)
			found_in(rows[i].text, n, out);
	for (int round = 0; round < 20000; round++) {
		size_t len = 0;

		while (len < 60) {
			const char *bit;

			seed = seed * 1103515245 + 12345;
			bit = bits[(seed >> 16) % (sizeof(bits) / sizeof(bits[0]))];
			memcpy(text + len, bit, strlen(bit));
			len += strlen(bit);
		}
		found_in(text, len, out);
	}
}

/* A megabyte of two characters, in which there is no picture. */
static void
search_megabyte(const void *two)
{
	const size_t n = 1 << 20;
	char *text = malloc(n);
	struct picture_text t;
	size_t length;

	assert_non_null(text);
	for (size_t i = 0; i < n; i++)
		text[i] = ((const char *)two)[i % 2];
	picture_text_init(&t, text, n);
	assert_null(picture_text_next(&t, &length));
	free(text);
}

static void
a_text_made_to_be_slow_is_not(void **state)
{
	(void)state;
	assert_true(cost_of(search_megabyte, "![") < 20 * cost_of(search_megabyte, "! "));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_found_in_every_form),
		cmocka_unit_test(no_text_is_read_beyond_its_end),
		cmocka_unit_test(a_text_made_to_be_slow_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
