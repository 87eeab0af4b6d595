/*
 * easel usage - what was made, by whom, and what it cost by `price`
 */
#include "cli.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_usage.h"

#define STORE_WAIT_MS 10000 /* a busy store is waited for this long */
#define MICRO         1e6

static const char *const by_words[] = { "key", "model", "day" };

struct usage_list {
	enum usage_by by;
	bool json;
	json_t *names; /* of keys, by id */
	json_t *data;
	struct usage_record total;
};

static void
note_name(const struct key_record *k, void *arg)
{
	(void)json_object_set_new(arg, k->id, json_string(k->name));
}

static json_t *
sums_json(const struct usage_record *u)
{
	return json_pack("{s:I, s:I, s:f}", "requests", (json_int_t)u->requests, "pictures",
			 (json_int_t)u->pictures, "cost", (double)u->price_micro / MICRO);
}

static void
print_row(const char *what, const char *name, const struct usage_record *u)
{
	(void)printf("%-40s %10lld %10lld %14.6f%s%s\n", what, (long long)u->requests,
		     (long long)u->pictures, (double)u->price_micro / MICRO, *name ? "  " : "",
		     name);
}

static void
add_row(const struct usage_record *u, void *arg)
{
	struct usage_list *l = arg;
	const char *what = l->by == USAGE_BY_KEY     ? u->key_id
			   : l->by == USAGE_BY_MODEL ? u->model
						     : u->day;
	const char *name =
		l->by == USAGE_BY_KEY ? json_string_value(json_object_get(l->names, what)) : NULL;
	json_t *row = sums_json(u);

	l->total.requests += u->requests;
	l->total.pictures += u->pictures;
	l->total.price_micro += u->price_micro;
	if (!l->json)
		print_row(what, name ? name : "", u);
	(void)json_object_set_new(row, by_words[l->by], json_string(what));
	if (l->by == USAGE_BY_KEY)
		(void)json_object_set_new(row, "name", name ? json_string(name) : json_null());
	(void)json_array_append_new(l->data, row);
}

static int
read_by(const struct command *c, const char *word, enum usage_by *by)
{
	for (size_t i = 0; i < sizeof(by_words) / sizeof(*by_words); i++)
		if (!strcmp(by_words[i], word)) {
			*by = (enum usage_by)i;
			return CLI_OK;
		}
	return usage_error(c, "--by: expected key, model or day, found '%s'", word);
}

/* "2026-02-13": no more is asked of it, the store compares texts. */
static bool
is_day(const char *s)
{
	static const char form[] = "0000-00-00";

	if (strlen(s) != sizeof(form) - 1)
		return false;
	for (size_t i = 0; form[i]; i++)
		if (form[i] == '0' ? s[i] < '0' || s[i] > '9' : s[i] != form[i])
			return false;
	return true;
}

static int
list(struct usage_list *l, struct store *s, const char *since, const char *until)
{
	struct deadline d = deadline_in_ms(STORE_WAIT_MS);
	struct err e;

	if (!l->json)
		(void)printf("%-40s %10s %10s %14s\n",
			     l->by == USAGE_BY_KEY     ? "KEY"
			     : l->by == USAGE_BY_MODEL ? "MODEL"
						       : "DAY (UTC)",
			     "REQUESTS", "PICTURES", "COST");
	if (store_key_each(s, note_name, l->names, &d, &e) < 0 ||
	    store_usage_sum(s, l->by, since, until, add_row, l, &d, &e) < 0)
		return report(&e, l->json);
	if (l->json)
		return print_json(json_pack("{s:s, s:s, s:O, s:o}", "object", "list", "by",
					    by_words[l->by], "data", l->data, "total",
					    sums_json(&l->total)));
	print_row("total", "", &l->total);
	return CLI_OK;
}

int
cmd_usage(const struct command *c, int argc, char **argv)
{
	const char *file = NULL, *by = "day", *since = NULL, *until = NULL;
	struct usage_list l = { .json = false };
	const struct opt opts[] = {
		{ "--by", "WHAT", "one line for each key, model or day (the default)", &by, NULL },
		{ "--since", "DAY", "from this day on: 2026-02-13 (UTC)", &since, NULL },
		{ "--until", "DAY", "up to this day, which is counted", &until, NULL },
		OPT_CONFIG(file),
		OPT_JSON(l.json),
		{ NULL }
	};
	AUTO_PTR(config) conf = NULL;
	AUTO_PTR(store) store = NULL;
	struct err e;
	int n = options_read(c, opts, argc, argv, NULL, 0), status;

	if (n < 0)
		return OPTIONS_EXIT(n);
	status = read_by(c, by, &l.by);
	if (status)
		return status;
	if ((since && !is_day(since)) || (until && !is_day(until)))
		return usage_error(c, "a day is written like 2026-02-13");
	status = load_config(file, l.json, &conf);
	if (status)
		return status;
	if (store_open(&store, conf->store.url, conf->state_dir, true, &e) < 0)
		return report(&e, l.json);
	l.names = json_object();
	l.data = json_array();
	status = list(&l, store, since, until);
	json_decref(l.names);
	json_decref(l.data);
	return status;
}
