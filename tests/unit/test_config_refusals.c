/* What is refused: one row a rule, with the line it is reported at and, beside it, what is taken. */
#include "config_fixture.h"

#define KEY      "[providers.p]\ndialect = \"openai\"\napi_key = \"sk-fake-1\"\n"
#define MODEL    KEY "[models.m]\nprovider = \"p\"\n" /* 5 lines */
#define LISTEN   "expected HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080"
#define DURATION "expected a duration, such as \"20s\", \"5m\" or \"24h\""
#define BYTES    "expected a size, such as \"512kB\", \"32MB\" or \"10GB\""

/* `problem` NULL: the text is fine. */
struct row {
	const char *text, *problem;
};

static const struct row names[] = {
	{ "[servr]\n", ":1: unknown table [servr]; did you mean [server]?\n" },
	{ "\n\n[provider.x]\na = 1\n",
	  ":3: unknown table [provider]; did you mean [providers]?\n" },
	{ "[something]\na = 1\n", ":1: unknown table [something]\n" },
	{ "[[server]]\n", ":1: [server]: expected a table, got an array of tables\n" },
	{ "server = 1\n", ":1: [server]: expected a table, got an integer\n" },
	{ "[server]\nlisten = \"a:1\"\nlisen = \"a:1\"\n",
	  ":3: [server] has no key lisen; did you mean listen?\n" },
	{ "[server]\nLISTEN = \"a:1\"\n",
	  ":2: [server] has no key LISTEN; did you mean listen?\n" },
	{ "[server]\nlevel = \"info\"\n",
	  ":2: [server] has no key level; did you mean level in [log]?\n" },
	{ "[server]\nzzz = 1\n", ":2: [server] has no key zzz\n" },
	{ "listen = \"a:1\"\n",
	  ":1: unknown key listen before the first table; did you mean listen in [server]?\n" },
	{ "[server]\nlisten.x = 1\n", ":2: [server] listen: got a table\n" },
	{ "[process.image-generations]\n", "did you mean images-generations?\n" },
	{ "[process.images-generations]\nworkers = 1\n", NULL },
	{ "[process.images-generations]\nwrkers = 1\n",
	  ":2: [process.images-generations] has no key wrkers; did you mean workers?\n" },
	{ "[process]\nheath = 1\n", ":2: [process] has no key heath\n" },
	{ KEY "apikey = \"x\"\n", ":4: [providers.p] has no key apikey; did you mean api_key?\n" },
	{ "[providers]\np = 1\n", ":2: [providers] holds tables: expected [providers.NAME]" },
	{ KEY "[models.gpt-4.1]\nprovider = \"p\"\n", "needs quotes: [models.\"gpt-4.1\"]\n" },
	{ KEY "[models.\"gpt-4.1\"]\nprovider = \"p\"\n", NULL },
	{ KEY "[models.\"\"]\nprovider = \"p\"\n",
	  ":4: [models]: a model's name may not be empty\n" },
	{ KEY "[models.\"a\\nb\"]\nprovider = \"p\"\n", "a name may hold no control character" },
	{ "[auth]\n[auth]\n", ":2: Error while parsing table header: cannot redefine" },
	{ "[auth]\nrequired = yes\n", ":2: " },
	{ "[auth\n", ":1: " },
	{ "x = \"\xff\"\n", ":1: " },
	/* only quotes may hold what is not ASCII: toml++ 3.3 trips over some of these characters */
	{ "[auth]\nы = 1\n", ":2: Error while parsing" },
	{ "[ы]\n", ":1: Error while parsing" },
	{ "[auth]\nrequired = ы\n", ":2: Error while parsing" },
	{ "[auth]\nrequired = true\xc2\xa1\n", ":2: Error while parsing" },
	{ "[auth]\nrequired\xe3\x80\x81 = true\n", ":2: Error while parsing" },
	{ "[auth]\n\xef\xb7\xba = true\n", ":2: Error while parsing" },
	{ "[auth]\n\"ы\" = 1\n", ":2: [auth] has no key ы\n" },
	{ "[defaults] # ы\nchat_model = \"\"\"\\\n  ы\"\"\"\n",
	  "chat_model: there is no model ы\n" },
	{ "", NULL },
	{ "# nothing\n", NULL },
	{ "[server]\n[auth]\n[models]\n[providers]\n", NULL },
};

static const struct row types[] = {
	{ "[server]\nlisten = 8080\n", ":2: [server] listen: expected a string, got an integer\n" },
	{ "[auth]\nrequired = \"true\"\n", ":2: [auth] required: expected a boolean (true or "
					   "false, without quotes), got a string\n" },
	{ "[auth]\nrequired = 0\n", "got an integer\n" },
	{ "[auth]\nrequired = true\n", NULL },
	{ "[process]\nworkers = \"2\"\n",
	  ":2: [process] workers: expected an integer (without quotes), got a string\n" },
	{ "[process]\nworkers = 2.0\n", "got a decimal number\n" },
	{ "[process]\nworkers = 0x10\n", NULL },
	{ "[process]\ndrain = 30\n",
	  "[process] drain: expected a duration as a string, such as \"20s\", got an integer\n" },
	{ "[process]\ndrain = 0\n", NULL },
	{ "[limits]\njson_bytes = 5\n",
	  "expected a size as a string, such as \"32MB\", got an integer\n" },
	{ "[server]\ncors_origins = \"*\"\n", "expected an array of strings, got a string\n" },
	{ "[server]\ncors_origins = [1]\n",
	  "expected an array of strings, got an array that holds more than strings\n" },
	{ "[server]\ncors_origins = [\"*\", [\"*\"]]\n", "got an array that holds more" },
	{ "[server]\ncors_origins = 2024-01-01\n", "got a date or time\n" },
	{ "[server]\ncors_origins = []\n", NULL },
	{ "[server]\nstate_dir = \"a\\u0000b\"\n",
	  "expected a string, got a string with U+0000\n" },
	{ "[server]\nstate_dir = \"a\\nb\"\n", "holds a control character or line break\n" },
	{ "[server]\nstate_dir = \"\"\n", "[server] state_dir: may not be empty" },
	{ MODEL "price = \"1\"\n", "price: expected a number, got a string\n" },
	{ MODEL "price = -0.5\n", "price: expected a number, 0 or more, got '-0.5'\n" },
	{ MODEL "price = nan\n", "price: expected a number, 0 or more" },
	{ MODEL "price = inf\n", "price: expected a number, 0 or more" },
	{ MODEL "price = 0\n", NULL },
};

static const struct row ranges[] = {
	{ "[process]\nworkers = 0\n",
	  ":2: [process] workers: out of range: expected 1 to 64, got '0'\n" },
	{ "[process]\nworkers = 1\n", NULL },
	{ "[process]\nworkers = 64\n", NULL },
	{ "[process]\nworkers = 65\n", "out of range" },
	{ "[limits]\nconcurrent = -1\n", "out of range: expected 0 to 1000000000, got '-1'\n" },
	{ "[limits]\nconcurrent = 1000000001\n", "out of range" },
	{ "[deadline]\nlogin = \"\"\n", "out of range: expected 1 ms to 86400000 ms, got ''\n" },
	{ "[deadline]\nlogin = \"1ms\"\n", NULL },
	{ "[deadline]\nlogin = \"24h\"\n", NULL },
	{ "[deadline]\nlogin = \"25h\"\n", "out of range" },
	{ "[deadline]\ngrace = \"\"\n", NULL },
	{ "[auth]\nsession_ttl = \"999ms\"\n", "out of range" },
	{ "[auth]\nsession_ttl = \"1s\"\n", NULL },
	{ "[auth]\nsession_ttl = \"24\"\n", ":2: [auth] session_ttl: " DURATION ", got '24'\n" },
	{ "[auth]\nsession_ttl = \"24 h\"\n", DURATION },
	{ "[auth]\nsession_ttl = \"1h30m\"\n", DURATION },
	{ "[limits]\njson_bytes = \"32\"\n", ":2: [limits] json_bytes: " BYTES ", got '32'\n" },
	{ "[limits]\njson_bytes = \"32mb\"\n", BYTES },
	{ "[limits]\njson_bytes = \"-1B\"\n", BYTES },
	{ "[limits]\njson_bytes = \"1TB\"\n", NULL },
	{ "[limits]\njson_bytes = \"2TB\"\n", "out of range" },
	{ "[log]\nlevel = \"loud\"\n",
	  ":2: [log] level: expected error, warn, info or debug, got 'loud'\n" },
	{ "[log]\nformat = \"\"\n", "[log] format: expected text or json, got ''\n" },
	{ "[log]\nprompts = \"full\"\n", NULL },
	{ "[deadline]\nprofile = \"heroku\"\n",
	  "expected vercel, lambda, api-gateway, cloudflare or cloud-run, got 'heroku'\n" },
	{ "[deadline]\nprofile = \"cloud-run\"\n", NULL },
};

static const struct row addresses[] = {
	{ "[server]\nlisten = \"localhost:8080\"\n", NULL },
	{ "[server]\nlisten = \"0.0.0.0:0\"\n", NULL },
	{ "[server]\nlisten = \"[::1]:8080\"\n", NULL },
	{ "[server]\nlisten = \"127.0.0.1:65535\"\n", NULL },
	{ "[server]\nlisten = \"127.0.0.1:65536\"\n", LISTEN ", got '127.0.0.1:65536'\n" },
	{ "[server]\nlisten = \"127.0.0.1\"\n", LISTEN },
	{ "[server]\nlisten = \":8080\"\n", LISTEN },
	{ "[server]\nlisten = \"8080\"\n", LISTEN },
	{ "[server]\nlisten = \"::1:8080\"\n", LISTEN },
	{ "[server]\nlisten = \"[::1]\"\n", LISTEN },
	{ "[server]\nlisten = \"[::g]:80\"\n", LISTEN },
	{ "[server]\nlisten = \"a b:80\"\n", LISTEN },
	{ "[server]\nlisten = \"a:-1\"\n", LISTEN },
	{ "[server]\nlisten = \"a:\"\n", LISTEN },
	{ "[server]\nlisten = \"\"\n", LISTEN },
	{ "[server]\npublic_url = \"example.com\"\n", "expected an http:// or https:// URL" },
	{ "[server]\npublic_url = \"ftp://example.com\"\n", "expected an http:// or https:// URL" },
	{ "[server]\npublic_url = \"https://\"\n", "expected an http:// or https:// URL" },
	{ "[server]\npublic_url = \"https://example.com/a?b\"\n", "may have no '?' or '#'" },
	{ "[server]\npublic_url = \"https://example.com:8443/easel\"\n", NULL },
	{ "[server]\ntrusted_proxies = [\"10.0.0.0/32\", \"::/0\", \"127.0.0.1\"]\n", NULL },
	{ "[server]\ntrusted_proxies = [\"10.0.0.0/33\"]\n", "expected an IP address or network" },
	{ "[server]\ntrusted_proxies = [\"::1/129\"]\n", "expected an IP address or network" },
	{ "[server]\ntrusted_proxies = [\"proxy\"]\n", "expected an IP address or network" },
	{ "[server]\ncors_origins = [\"http://localhost:3000\"]\n", NULL },
	{ "[server]\ncors_origins = [\"http://a/b\"]\n", "expected an origin" },
	{ "[server]\ncors_origins = [\"example.com\"]\n", "expected an origin" },
	{ "[server]\ntls_certificate = \"c\"\n",
	  ":2: [server] tls_certificate is set but tls_key is not\n" },
	{ "[server]\ntls_key = \"k\"\n",
	  ":2: [server] tls_key is set but tls_certificate is not\n" },
	{ "[server]\ntls_certificate = \"c\"\ntls_key = \"k\"\n", NULL },
	{ "[store]\nurl = \"redis://h:1/0\"\n", NULL },
	{ "[store]\nurl = \"redis+unix:///run/r\"\n", NULL },
	{ "[store]\nurl = \"redis:h\"\n", "expected redis://" },
	{ "[store]\nurl = \"redis+unix:/run/r\"\n", "expected redis+unix://" },
	{ "[store]\nurl = \"rediss://h:1/0\"\n",
	  ":2: [store] url: rediss (Redis over TLS) is not" },
	{ "[store]\nurl = \"mysql://h\"\n", "expected sqlite:FILE" },
	{ "[store]\nurl = \"sqlite:\"\n", "expected sqlite:FILE" },
	{ "[store]\nurl = \"sqlite::memory:\"\n", "a store in memory cannot be shared" },
	{ "[store]\nurl = \"sqlite:/var/lib/e.db\"\n", NULL },
	{ "[files]\nurl = \"s3://b/p\"\n", ":2: [files] url: s3 is not built in yet" },
	{ "[files]\nurl = \"files\"\n", "expected file:FOLDER" },
	{ "[files]\nurl = \"file:/srv/pictures\"\n", NULL },
	{ KEY "base_url = \"relay.example.com\"\n",
	  ":4: [providers.p] base_url: expected an http:// or https:// URL" },
	{ KEY "base_url = \"wss://relay.example.com\"\n", "expected an http:// or https:// URL" },
	{ KEY "base_url = \"https://relay.example.com/v1?key=1\"\n", "may have no '?' or '#'" },
	{ KEY "base_url = \"https://me:fake-pw@relay.example.com/v1\"\n",
	  "base_url: a URL may hold no user or password\n" },
	{ KEY "base_url = \"http://127.0.0.1:0/v1\"\n", "expected an http:// or https:// URL" },
	{ KEY "base_url = \"HTTP://127.0.0.1:1/v1\"\n", NULL },
	{ KEY "ws_url = \"https://x\"\n", "expected a ws:// or wss:// URL" },
	{ KEY "proxy = \"127.0.0.1:3128\"\n", "expected an http://, https://, socks5://" },
	{ KEY "proxy = \"ftp://me:fake-pw@h:1\"\n",
	  "proxy: expected an http://, https://, socks5:// "
	  "or socks5h:// URL\n" },
	{ KEY "proxy = \"socks5h://me:fake-pw@127.0.0.1:1080\"\n", NULL },
};

static const struct row providers[] = {
	{ "[providers.p]\napi_key = \"k\"\n", ":1: [providers.p] dialect: is missing: openai, "
					      "modelscope, grok, novelai or preview\n" },
	{ "[providers.p]\ndialect = \"opneai\"\n",
	  ":2: [providers.p] dialect: expected openai, modelscope, grok, novelai or preview, got "
	  "'opneai'\n" },
	{ "[providers.p]\ndialect = \"openai\"\n",
	  ":1: [providers.p]: the dialect openai needs an api_key (or api_keys)\n" },
	{ "[providers.p]\ndialect = \"openai\"\napi_key = \"\"\n", "needs an api_key" },
	{ "[providers.p]\ndialect = \"openai\"\napi_keys = []\n", "needs an api_key" },
	{ "[providers.p]\ndialect = \"openai\"\napi_keys = [\"a\", \"\"]\n",
	  ":3: [providers.p] api_keys: may not be empty\n" },
	{ KEY "api_keys = [\"a\"]\n", ":4: [providers.p] has both api_key and api_keys\n" },
	{ "[providers.p]\ndialect = \"modelscope\"\n", "the dialect modelscope needs an api_key" },
	{ "[providers.p]\ndialect = \"modelscope\"\napi_keys = [\"a\"]\n", NULL },
	{ "[providers.p]\ndialect = \"grok\"\n", "the dialect grok needs a token or an api_key\n" },
	{ "[providers.p]\ndialect = \"grok\"\ntoken = \"t\"\n", NULL },
	{ "[providers.p]\ndialect = \"grok\"\ntokens = [\"t\", \"u\"]\n", NULL },
	{ "[providers.p]\ndialect = \"grok\"\ntokens = []\n", "needs a token or an api_key\n" },
	{ "[providers.p]\ndialect = \"grok\"\ntoken = \"t\"\ntokens = [\"u\"]\n",
	  ":4: [providers.p] has both token and tokens\n" },
	/* xAI's key is no cookie of grok.com's. */
	{ "[providers.p]\ndialect = \"grok\"\napi_key = \"t\"\n",
	  ":3: [providers.p]: an api_key is for xAI's API, which needs a base_url that ends in "
	  "/v1" },
	{ "[providers.p]\ndialect = \"grok\"\napi_keys = [\"t\"]\nbase_url = "
	  "\"https://api.x.ai\"\n",
	  ":3: [providers.p]: an api_key is for xAI's API" },
	{ "[providers.p]\ndialect = \"grok\"\napi_key = \"t\"\ntoken = \"t\"\n", NULL },
	{ "[providers.p]\ndialect = \"grok\"\napi_key = \"t\"\n"
	  "base_url = \"https://api.x.ai/v1\"\n",
	  NULL },
	{ "[providers.p]\ndialect = \"novelai\"\n", "needs a token, or an email and a password\n" },
	{ "[providers.p]\ndialect = \"novelai\"\nemail = \"a@b.c\"\n", "needs a token, or" },
	{ "[providers.p]\ndialect = \"novelai\"\npassword = \"x\"\n", "needs a token, or" },
	{ "[providers.p]\ndialect = \"novelai\"\nemail = \"a@b.c\"\npassword = \"x\"\n", NULL },
	{ "[providers.p]\ndialect = \"preview\"\n", NULL },
};

static const struct row models[] = {
	{ KEY "[models.m]\ntype = \"image\"\n", ":4: [models.\"m\"] provider: is missing\n" },
	{ KEY "[models.m]\nprovider = \"\"\n", "provider: may not be empty" },
	{ KEY "[models.m]\nprovider = \"q\"\n",
	  ":5: [models.\"m\"] provider: there is no provider q\n" },
	{ "[providers.modelscope]\ndialect = \"modelscope\"\napi_key = \"k\"\n"
	  "[models.m]\nprovider = \"modelscop\"\n",
	  "there is no provider modelscop; did you mean modelscope?\n" },
	{ MODEL "type = \"video\"\n",
	  ":6: [models.\"m\"] type: expected image or chat, got 'video'\n" },
	{ MODEL "fallback = [\"gone\"]\n",
	  ":6: [models.\"m\"] fallback: there is no model gone\n" },
	{ MODEL "fallback = [\"m\"]\n", "fallback: names itself\n" },
	{ MODEL "fallback = [\"secnd\"]\n[models.second]\nprovider = \"p\"\n",
	  "there is no model secnd; did you mean second?\n" },
	{ MODEL "fallback = [\"second\"]\n[models.second]\nprovider = \"p\"\n", NULL },
	{ MODEL
	  "fallback = [\"other\"]\n[models.second]\nprovider = \"p\"\naliases = [\"other\"]\n",
	  NULL },
	{ MODEL "fallback = [\"second\"]\n[models.second]\nprovider = \"p\"\ntype = \"chat\"\n",
	  "second is of another type\n" },
	{ MODEL "degrade = [\"quality\"]\n", "expected PARAMETER=VALUE, such as quality=low" },
	{ MODEL "degrade = [\"=low\"]\n", "expected PARAMETER=VALUE" },
	{ MODEL "degrade = [\"quality=\"]\n", "expected PARAMETER=VALUE" },
	{ MODEL "aliases = [\"m\"]\n", ":6: [models.\"m\"] aliases: m is already a name of" },
	{ MODEL "aliases = [\"a\", \"a\"]\n", "aliases: a is already a name of [models.\"m\"]\n" },
	{ MODEL "aliases = [\"\"]\n", "a model's name may not be empty" },
	{ MODEL "aliases = [\"n\"]\n[models.n]\nprovider = \"p\"\n",
	  ":6: [models.\"m\"] aliases: n is already a name of [models.\"n\"]\n" },
	{ MODEL "aliases = [\"a\"]\n[models.n]\nprovider = \"p\"\naliases = [\"a\"]\n",
	  ":9: [models.\"n\"] aliases: a is already a name of [models.\"m\"]\n" },
	{ MODEL "aliases = [\"a\"]\n[models.n]\nprovider = \"p\"\naliases = [\"b\"]\n", NULL },
	{ MODEL "[models.m]\nprovider = \"p\"\n", ":6: " },
	{ MODEL "[defaults]\nimage_model = \"n\"\n",
	  ":7: [defaults] image_model: there is no model n\n" },
	{ MODEL "[defaults]\nimage_model = \"\"\n", "[defaults] image_model: may not be empty" },
	{ MODEL "type = \"chat\"\n[defaults]\nimage_model = \"m\"\n",
	  ":8: [defaults] image_model: m is a chat model\n" },
	{ MODEL "[defaults]\nchat_model = \"gone\"\n",
	  "[defaults] chat_model: there is no model gone\n" },
	{ MODEL "aliases = [\"a\"]\n[defaults]\nimage_model = \"a\"\nchat_model = \"m\"\n", NULL },
};

static void
check(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		load_text(rows[i].text);
		if (!rows[i].problem && box.rc < 0)
			print_error("refused:\n%s", rows[i].text);
		if (rows[i].problem && box.rc == 0)
			print_error("taken:\n%s", rows[i].text);
		if (rows[i].problem)
			assert_problem(rows[i].problem);
		else
			assert_loaded();
		assert_null(strstr(problems(), "fake-pw"));
		/* Each line begins with the file's name. */
		for (const char *line = problems(); *line; line = strchr(line, '\n') + 1)
			assert_memory_equal(line, box.file, strlen(box.file));
	}
}

#define RULES(what)                              \
	static void refused_##what(void **state) \
	{                                        \
		(void)state;                     \
		check(what, COUNT(what));        \
	}
RULES(names)
RULES(types)
RULES(ranges)
RULES(addresses)
RULES(providers)
RULES(models)

static void
every_problem_is_reported_at_once_in_the_files_order(void **state)
{
	const char *at, *last;
	size_t lines = 0;

	(void)state;
	load_text("[server]\n"
		  "lisen = \"x\"\n"
		  "listen = \"x\"\n"
		  "[log]\n"
		  "level = 5\n"
		  "[providers.p]\n"
		  "dialect = \"openai\"\n"
		  "[models.m]\n"
		  "provider = \"q\"\n");
	assert_problem(":2: ");
	last = problems();
	for (int line = 2; line <= 9; line++) {
		char want[160];

		(void)snprintf(want, sizeof(want), "%s:%d: ", box.file, line);
		at = strstr(problems(), want);
		assert_int_equal(at != NULL, line != 4 && line != 7 && line != 8);
		if (at) {
			assert_true(at >= last);
			last = at;
		}
	}
	for (at = problems(); (at = strchr(at, '\n')); at++)
		lines++;
	assert_int_equal(lines, 5);
	assert_string_equal(box.e.about, "5 problems");
	assert_non_null(strstr(box.e.detail, "has no key lisen"));
	load_text("[log]\nlevel = 5\n");
	assert_string_equal(box.e.about, "1 problem");
}

static void
a_buffer_for_problems_is_not_needed(void **state)
{
	struct config *c = NULL;
	struct err e;

	(void)state;
	write_file("easel.toml", "[log]\nlevel = 5\nformat = 5\n");
	assert_int_equal(config_load(box.file, &c, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_CONFIG);
	assert_string_equal(e.about, "2 problems");
	assert_null(c);
}

static void
a_secret_is_in_no_problem(void **state)
{
	static const char *const text[] = {
		"[providers.p]\ndialect = \"openai\"\napi_key = 12345678901234567890123\n",
		"[providers.p]\ndialect = \"openai\"\napi_key = sk-hunter2\n",
		"[providers.p]\ndialect = \"openai\"\napi_key = \"sk-hunter2\n\"\n",
		"[providers.p]\ndialect = \"openai\"\napi_key = \"sk-hunter2\\n\"\n",
		"[providers.p]\ndialect = \"openai\"\napi_keys = [\"sk-hunter2\", 5]\n",
		"[providers.p]\ndialect = \"openai\"\napi_key = [\"sk-hunter2\"]\n",
		"[store]\nurl = \"rediss://user:hunter2@h:1/0\"\n",
		"[files]\nurl = \"s3://user:hunter2@h/b\"\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(text); i++) {
		assert_int_equal(load_text(text[i]), -1);
		assert_true(*problems());
		assert_null(strstr(problems(), "hunter2"));
		assert_null(strstr(problems(), "123456"));
		assert_null(strstr(box.e.detail, "hunter2"));
	}
}

static void
a_file_beyond_reason_is_refused(void **state)
{
	char *big = malloc((1 << 20) + 2);

	(void)state;
	assert_non_null(big);
	memset(big, '#', (1 << 20) + 1);
	big[(1 << 20) + 1] = '\0';
	assert_int_equal(load_text(big), -1);
	assert_problem("cannot be read: File too large");
	big[1 << 20] = '\0';
	assert_int_equal(load_text(big), 0);
	/* Deep nesting ends in a message, not in the stack. */
	memcpy(big, "x = ", 4);
	memset(big + 4, '[', 100000);
	big[100004] = '\0';
	assert_int_equal(load_text(big), -1);
	free(big);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, box_setup, box_teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(refused_names),
		TEST(refused_types),
		TEST(refused_ranges),
		TEST(refused_addresses),
		TEST(refused_providers),
		TEST(refused_models),
		TEST(every_problem_is_reported_at_once_in_the_files_order),
		TEST(a_buffer_for_problems_is_not_needed),
		TEST(a_secret_is_in_no_problem),
		TEST(a_file_beyond_reason_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
