/* What the environment and secret files say. */
#include "config_fixture.h"

#define P "[providers.p]\ndialect = \"openai\"\n" /* 2 lines */

static void
a_value_may_be_a_variables(void **state)
{
	(void)state;
	(void)setenv("FAKE_KEY", "sk-fake-1", 1);
	(void)setenv("HOST_", "relay.example.com", 1);
	(void)setenv("WORKERS", "5", 1);
	(void)setenv("YES", "true", 1);
	(void)setenv("LIST", " a=1 , b=2,,", 1);
	(void)setenv("NOTHING", "", 1);
	(void)setenv("NESTED", "${FAKE_KEY}", 1);
	load_text(P "api_key = \"${FAKE_KEY}\"\n"
		    "base_url = \"https://${HOST_}/v1\"\n"
		    "proxy = \"${NOTHING}\"\n"
		    "[process]\nworkers = \"${WORKERS}\"\n"
		    "[auth]\nrequired = \"${YES}\"\n"
		    "[models.m]\nprovider = \"p\"\n"
		    "degrade = \"${LIST}\"\n"
		    "aliases = [\"x-${WORKERS}\", \"$${LIST}\", \"$5\", \"a$$b\"]\n"
		    "upstream_model = \"${NESTED}${NOTHING}!\"\n");
	assert_loaded();
	assert_string_equal(box.c->providers[0].api_keys.v[0], "sk-fake-1");
	assert_string_equal(box.c->providers[0].base_url, "https://relay.example.com/v1");
	assert_string_equal(box.c->providers[0].proxy, "");
	assert_int_equal(box.c->process.workers, 5);
	assert_true(box.c->auth.required);
	assert_int_equal(box.c->models[0].degrade.n, 2);
	assert_string_equal(box.c->models[0].degrade.v[0], "a=1");
	assert_string_equal(box.c->models[0].degrade.v[1], "b=2");
	assert_string_equal(box.c->models[0].aliases.v[0], "x-5");
	assert_string_equal(box.c->models[0].aliases.v[1], "${LIST}");
	assert_string_equal(box.c->models[0].aliases.v[2], "$5");
	assert_string_equal(box.c->models[0].aliases.v[3], "a$$b");
	/* What a variable holds is not looked through again. */
	assert_string_equal(box.c->models[0].upstream_model, "${FAKE_KEY}!");
}

static void
a_variable_that_is_missing_or_misspelt_is_named(void **state)
{
	static const struct {
		const char *text, *problem;
	} row[] = {
		{ P "api_key = \"${FAKE_KEY}\"\n",
		  ":3: [providers.p] api_key: the environment variable FAKE_KEY is not set\n" },
		{ P "api_keys = [\"k\",\n\"x${FAKE_KEY}\"]\n",
		  ":3: [providers.p] api_keys: the environment variable FAKE_KEY is not set\n" },
		{ P "api_key = \"${EMPTY}\"\n",
		  ":3: [providers.p] api_key: the environment variable EMPTY is empty\n" },
		{ "[server]\nlisten = \"127.0.0.1:${PORT}\"\n",
		  ":2: [server] listen: the environment variable PORT is not set\n" },
		{ "[server]\nlisten = \"127.0.0.1:${EMPTY}\"\n", "expected HOST:PORT" },
		{ "[process]\nworkers = \"${EMPTY}\"\n", "expected an integer" },
		{ "[process]\nworkers = \"${WORD}\"\n",
		  "[process] workers: expected an integer from 1 to 64, got 'word'\n" },
		{ "[auth]\nrequired = \"${WORD}\"\n", "expected true or false, got 'word'\n" },
		{ "[server]\nstate_dir = \"${WORD\"\n",
		  ":2: [server] state_dir: expected ${NAME}" },
		{ "[server]\nstate_dir = \"${}\"\n", "expected ${NAME}" },
		{ "[server]\nstate_dir = \"${A-B}\"\n", "expected ${NAME}" },
		{ "[server]\nstate_dir = \"${LINES_}\"\n", "control character or line break\n" },
		{ "[server]\nstate_dir = \"${LATIN1}\"\n", "is not UTF-8\n" },
	};

	(void)state;
	(void)setenv("EMPTY", "", 1);
	(void)setenv("WORD", "word", 1);
	(void)setenv("LINES_", "a\nb", 1);
	(void)setenv("LATIN1", "caf\xe9", 1);
	for (size_t i = 0; i < COUNT(row); i++) {
		load_text(row[i].text);
		assert_problem(row[i].problem);
	}
}

static void
a_secret_may_be_a_file(void **state)
{
	char text[512];

	(void)state;
	write_file("secret", "sk-fake-file\r\n");
	write_file("two-lines", "a\nb\n");
	write_file("empty", "\n");
	load_text(P "api_key = \"file:secret\"\n");
	assert_loaded();
	assert_string_equal(box.c->providers[0].api_keys.v[0], "sk-fake-file");
	(void)setenv("FOLDER", box.dir, 1);
	load_text(P "api_keys = [\"file:${FOLDER}/secret\", \"plain\"]\n");
	assert_loaded();
	assert_string_equal(box.c->providers[0].api_keys.v[0], "sk-fake-file");
	assert_string_equal(box.c->providers[0].api_keys.v[1], "plain");

	load_text(P "api_key = \"file:gone\"\n");
	(void)snprintf(text, sizeof(text),
		       ":3: [providers.p] api_key: the file %s/gone cannot be read: No such file",
		       box.dir);
	assert_problem(text);
	load_text(P "api_key = \"file:empty\"\n");
	assert_problem("/empty is empty\n");
	load_text(P "api_key = \"file:two-lines\"\n");
	assert_problem(":3: [providers.p] api_key: holds a control character or line break\n");
	load_text(P "api_key = \"file:.\"\n");
	assert_problem("cannot be read: Is a directory\n");
	load_text(P "api_key = \"file:/dev/zero\"\n");
	assert_problem("cannot be read: File too large\n");

	/* A secret that happens to begin so, but came out of a variable, is none. */
	(void)setenv("ODD", "file:secret", 1);
	load_text(P "api_key = \"${ODD}\"\n");
	assert_loaded();
	assert_string_equal(box.c->providers[0].api_keys.v[0], "file:secret");
	/* And only secrets are files. */
	load_text(P "api_key = \"k\"\n[models.m]\nprovider = \"p\"\nupstream_model = \"file:x\"\n");
	assert_loaded();
	assert_string_equal(box.c->models[0].upstream_model, "file:x");
}

static void
the_environment_overrides_the_file(void **state)
{
	(void)state;
	write_file("secret", "sk-fake-file\n");
	(void)setenv("EASEL_SERVER_LISTEN", "127.0.0.1:9", 1);
	(void)setenv("EASEL_SERVER_TRUSTED_PROXIES", "10.0.0.1, ::1", 1);
	(void)setenv("EASEL_SERVER_STATE_DIR", "elsewhere", 1);
	(void)setenv("EASEL_AUTH_REQUIRED", "false", 1);
	(void)setenv("EASEL_LIMITS_JSON_BYTES", "1MB", 1);
	(void)setenv("EASEL_PROCESS_WORKERS", "9", 1);
	(void)setenv("EASEL_DEADLINE_IMAGES_GENERATIONS", "7s", 1);
	(void)setenv("EASEL_FILES_KEEP", "", 1);
	(void)setenv("EASEL_PROVIDERS_MY_RELAY_2_API_KEY", "file:secret", 1);
	(void)setenv("EASEL_PROVIDERS_MY_RELAY_2_BASE_URL", "http://127.0.0.1:1/v1", 1);
	(void)setenv("EASEL_PROVIDERS_MY_API_KEYS", "k1, k2", 1);
	/* None of these is a setting. */
	(void)setenv("EASEL_URL", "http://x", 1);
	(void)setenv("EASEL_LIBEXEC", "/x", 1);
	(void)setenv("EASEL_SOMETHING_ELSE", "x", 1);
	(void)setenv("EASELY", "x", 1);
	load_text("[server]\nlisten = \"127.0.0.1:1\"\n[process]\nworkers = 1\n"
		  "[process.health]\nworkers = 2\n"
		  "[providers.my-relay-2]\ndialect = \"openai\"\napi_keys = [\"${NOT_SET}\"]\n"
		  "[providers.my]\ndialect = \"modelscope\"\napi_key = \"file:gone\"\n");
	assert_loaded();
	assert_string_equal(box.c->server.listen, "127.0.0.1:9");
	assert_int_equal(box.c->server.trusted_proxies.n, 2);
	assert_string_equal(box.c->server.trusted_proxies.v[1], "::1");
	assert_non_null(strstr(box.c->state_dir, box.dir));
	assert_non_null(strstr(box.c->state_dir, "/elsewhere"));
	assert_false(box.c->auth.required);
	assert_int_equal(box.c->limits.json_bytes, 1 << 20);
	assert_int_equal(config_process(box.c, "models").workers, 9);
	assert_int_equal(config_process(box.c, "health").workers, 2);
	assert_int_equal(box.c->deadline.images_generations_ms, 7000);
	assert_int_equal(box.c->files.keep_ms, 0);
	assert_int_equal(config_provider(box.c, "my-relay-2")->api_keys.n, 1);
	assert_string_equal(config_provider(box.c, "my-relay-2")->api_keys.v[0], "sk-fake-file");
	assert_string_equal(config_provider(box.c, "my-relay-2")->base_url,
			    "http://127.0.0.1:1/v1");
	assert_int_equal(config_provider(box.c, "my")->api_keys.n, 2);
	assert_shown("api_key = \"***\"  # environment EASEL_PROVIDERS_MY_RELAY_2_API_KEY\n");
}

static void
an_override_that_fits_nothing_is_refused(void **state)
{
	static const struct {
		const char *name, *value, *problem;
	} row[] = {
		{ "EASEL_SERVER_LISTN", "a:1",
		  "environment EASEL_SERVER_LISTN: there is no such setting; did you mean "
		  "EASEL_SERVER_LISTEN?\n" },
		{ "EASEL_LOG_COLOUR", "1",
		  "environment EASEL_LOG_COLOUR: there is no such setting in [log]\n" },
		{ "EASEL_SERVER_LISTEN", "8080",
		  "environment EASEL_SERVER_LISTEN: [server] listen: expected HOST:PORT" },
		{ "EASEL_PROCESS_WORKERS", "two", "[process] workers: expected an integer" },
		{ "EASEL_PROCESS_WORKERS", "", "[process] workers: expected an integer" },
		{ "EASEL_AUTH_REQUIRED", "0", "expected true or false, got '0'\n" },
		{ "EASEL_LOG_LEVEL", "${LEVEL}", "expected error, warn, info or debug" },
		{ "EASEL_PROVIDERS_P_APIKEY", "k", "did you mean EASEL_PROVIDERS_P_API_KEY?\n" },
		{ "EASEL_PROVIDERS_RELAU_API_KEY", "k",
		  "did you mean EASEL_PROVIDERS_RELAY_API_KEY?\n" },
		{ "EASEL_PROVIDERS_OTHER_API_KEY", "k",
		  "no provider of that name is configured; EASEL_PROVIDERS_OTHER_DIALECT would" },
		{ "EASEL_PROVIDERS_X_DIALECT", "opneai", "dialect: expected openai, modelscope" },
		{ "EASEL_PROVIDERS_X_DIALECT", "openai",
		  "environment EASEL_PROVIDERS_X_DIALECT: [providers.x]: the dialect openai "
		  "needs" },
		{ "EASEL_PROVIDERS_RELAY_API_KEY", "file:gone", "/gone cannot be read" },
		{ "EASEL_MODELS_M_PROVIDER", "p", "models cannot be set by the environment" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		(void)setenv(row[i].name, row[i].value, 1);
		load_text(P "api_key = \"k\"\n"
			    "[providers.relay]\ndialect = \"openai\"\napi_key = \"k\"\n");
		assert_problem(row[i].problem);
		(void)unsetenv(row[i].name);
	}
	load_text(P "api_key = \"k\"\n");
	assert_loaded();
	(void)setenv("EASEL_PROVIDERS_A_B_API_KEY", "k", 1);
	load_text("[providers.a-b]\ndialect = \"openai\"\n[providers.a_b]\ndialect = \"openai\"\n");
	assert_problem("may mean [providers.a-b] or [providers.a_b]: rename one\n");
}

static void
a_name_that_is_nearly_ours_is_a_warning(void **state)
{
	(void)state;
	(void)setenv("EASEL_SERVR_LISTEN", "127.0.0.1:9", 1);
	load_text("");
	assert_loaded();
	assert_true(warned("EASEL_SERVR_LISTEN is set but never read; did you mean "
			   "EASEL_SERVER_LISTEN?"));
	assert_string_equal(box.c->server.listen, "127.0.0.1:8080");
}

static void
the_environment_can_make_a_provider(void **state)
{
	(void)state;
	(void)setenv("EASEL_PROVIDERS_SIM_ONE_DIALECT", "openai", 1);
	(void)setenv("EASEL_PROVIDERS_SIM_ONE_API_KEY", "sk-fake-1", 1);
	(void)setenv("EASEL_PROVIDERS_SIM_ONE_BASE_URL", "http://127.0.0.1:1/v1", 1);
	load_file(NULL);
	assert_loaded();
	assert_int_equal(box.c->nproviders, 1);
	assert_string_equal(box.c->providers[0].name, "sim_one");
	assert_string_equal(box.c->providers[0].base_url, "http://127.0.0.1:1/v1");
	assert_string_equal(config_model(box.c, "gpt-image-1")->provider, "sim_one");
	assert_string_equal(box.c->defaults.image_model, "gpt-image-1");
}

static void
conventional_variables_work_without_a_file(void **state)
{
	static const struct {
		const char *name, *provider, *base_url, *model;
		enum dialect dialect;
	} row[] = {
		{ "OPENAI_API_KEY", "openai", "https://api.openai.com/v1", "gpt-image-1",
		  DIALECT_OPENAI },
		{ "MODELSCOPE_API_KEY", "modelscope", "https://api-inference.modelscope.cn/v1",
		  "Qwen/Qwen-Image", DIALECT_MODELSCOPE },
		{ "XAI_API_KEY", "xai", "https://api.x.ai/v1", "grok-imagine-image", DIALECT_GROK },
		{ "NOVELAI_TOKEN", "novelai", "https://image.novelai.net", "nai-diffusion-4-5-full",
		  DIALECT_NOVELAI },
	};
	char origin[128];

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		const struct provider_conf *p;

		(void)clearenv();
		(void)setenv(row[i].name, "fake-1", 1);
		load_file(NULL);
		assert_loaded();
		assert_int_equal(box.c->nproviders, 1);
		p = config_provider(box.c, row[i].provider);
		assert_int_equal(p->dialect, row[i].dialect);
		assert_string_equal(p->base_url, row[i].base_url);
		assert_string_equal(p->api_keys.n ? p->api_keys.v[0] : p->tokens.v[0], "fake-1");
		assert_string_equal(box.c->defaults.image_model, row[i].model);
		assert_ptr_equal(config_model(box.c, row[i].model)->provider_conf, p);
		assert_string_equal(box.c->defaults.chat_model, "");
		(void)snprintf(origin, sizeof(origin), "\"***\"  # environment %s\n", row[i].name);
		assert_shown(origin);
	}
	for (size_t i = 0; i < COUNT(row); i++)
		(void)setenv(row[i].name, "fake-1", 1);
	load_file(NULL);
	assert_loaded();
	assert_int_equal(box.c->nproviders, 4);
	assert_string_equal(box.c->defaults.image_model, "gpt-image-1");
	for (size_t i = 0; i < COUNT(row); i++)
		(void)setenv(row[i].name, "", 1);
	load_file(NULL);
	assert_loaded();
	assert_string_equal(box.c->defaults.image_model, "easel-preview");
}

static void
openais_further_variables_are_read_too(void **state)
{
	(void)state;
	(void)setenv("OPENAI_API_KEY", "sk-fake-1", 1);
	(void)setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1/", 1);
	(void)setenv("OPENAI_IMAGE_MODEL", "gpt-image-2", 1);
	(void)setenv("OPENAI_CHAT_MODEL", "gpt-chat", 1);
	(void)setenv("OPENAI_MODEL", "never-read", 1);
	load_file(NULL);
	assert_loaded();
	assert_string_equal(box.c->providers[0].base_url, "http://127.0.0.1:1/v1");
	assert_int_equal(box.c->nmodels, 2);
	assert_string_equal(box.c->defaults.image_model, "gpt-image-2");
	assert_string_equal(box.c->defaults.chat_model, "gpt-chat");
	assert_int_equal(config_model(box.c, "gpt-chat")->type, MODEL_CHAT);
	assert_null(config_model(box.c, "never-read"));
	assert_null(config_model(box.c, "gpt-image-1"));
	assert_true(warned("OPENAI_MODEL is set but never read"));
	assert_shown("base_url = \"http://127.0.0.1:1/v1\"  # environment OPENAI_BASE_URL\n");

	(void)setenv("OPENAI_BASE_URL", "", 1);
	(void)setenv("OPENAI_IMAGE_MODEL", "", 1);
	(void)setenv("OPENAI_CHAT_MODEL", "", 1);
	(void)setenv("OPENAI_MODEL", "", 1);
	load_file(NULL);
	assert_loaded();
	assert_string_equal(box.c->providers[0].base_url, "https://api.openai.com/v1");
	assert_int_equal(box.c->nmodels, 1);
	assert_int_equal(box.c->warnings.n, 0);

	(void)setenv("OPENAI_BASE_URL", "127.0.0.1", 1);
	load_file(NULL);
	assert_problem(
		"environment OPENAI_BASE_URL: [providers.openai] base_url: expected an http");
	(void)setenv("OPENAI_API_KEY", "", 1);
	load_file(NULL);
	assert_loaded();
	assert_true(warned("OPENAI_BASE_URL is set but OPENAI_API_KEY is not"));
	(void)clearenv();
	(void)setenv("OPENAI_API_KEY", "sk-fake-1", 1);
	(void)setenv("OPENAI_CHAT_MODEL", "gpt-image-1", 1);
	(void)setenv("OPENAI_IMAGE_MODEL", "gpt-image-1", 1);
	load_file(NULL);
	assert_problem("OPENAI_CHAT_MODEL: names the same model");
}

static void
the_environment_overrides_a_conventional_provider_too(void **state)
{
	const struct provider_conf *p;

	(void)state;
	(void)setenv("OPENAI_API_KEY", "sk-fake-1", 1);
	(void)setenv("XAI_API_KEY", "xai-fake-1", 1);
	(void)setenv("EASEL_PROVIDERS_OPENAI_CONCURRENCY", "2", 1);
	(void)setenv("EASEL_PROVIDERS_OPENAI_BASE_URL", "http://127.0.0.1:1/v1", 1);
	(void)setenv("EASEL_PROVIDERS_XAI_API_KEYS", "xai-fake-2,xai-fake-3", 1);
	load_file(NULL);
	assert_loaded();
	p = config_provider(box.c, "openai");
	assert_int_equal(p->concurrency, 2);
	assert_string_equal(p->base_url, "http://127.0.0.1:1/v1");
	assert_string_equal(p->api_keys.v[0], "sk-fake-1");
	assert_shown("concurrency = 2  # environment EASEL_PROVIDERS_OPENAI_CONCURRENCY\n");
	p = config_provider(box.c, "xai");
	assert_int_equal(p->api_keys.n, 2);
	assert_string_equal(p->api_keys.v[0], "xai-fake-2");

	/* What the file names is overridden as ever, and what nobody names is refused. */
	load_text("[providers.relay]\ndialect = \"openai\"\napi_key = \"k\"\n");
	assert_problem("no provider of that name is configured; EASEL_PROVIDERS_OPENAI_DIALECT");
	(void)setenv("EASEL_PROVIDERS_OPENAI_CONCURENCY", "2", 1);
	load_file(box.file);
	assert_problem("environment EASEL_PROVIDERS_OPENAI_");
	write_file("easel.toml", "");
	load_file(box.file);
	assert_problem("did you mean EASEL_PROVIDERS_OPENAI_CONCURRENCY?");
}

static void
a_provider_of_the_file_keeps_the_conventional_one_away(void **state)
{
	(void)state;
	(void)setenv("OPENAI_API_KEY", "sk-fake-1", 1);
	(void)setenv("XAI_API_KEY", "xai-fake-1", 1);
	load_text("[providers.relay]\ndialect = \"openai\"\napi_key = \"sk-fake-2\"\n"
		  "[providers.xai]\ndialect = \"preview\"\n");
	assert_loaded();
	assert_int_equal(box.c->nproviders, 2);
	assert_null(config_provider(box.c, "openai"));
	assert_int_equal(config_provider(box.c, "xai")->dialect, DIALECT_PREVIEW);
	/* A file that names another dialect does not. */
	load_text("[providers.ms]\ndialect = \"modelscope\"\napi_key = \"k\"\n"
		  "[models.painter]\nprovider = \"ms\"\n");
	assert_loaded();
	assert_non_null(config_provider(box.c, "openai"));
	assert_string_equal(box.c->defaults.image_model, "painter");
}

static void
a_setting_that_the_dialect_does_not_read_is_a_warning(void **state)
{
	(void)state;
	load_text(P "api_key = \"k\"\ntoken = \"t\"\n");
	assert_loaded();
	assert_true(
		warned(":4: [providers.p] token is set but the dialect openai does not read it"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, box_setup, box_teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_value_may_be_a_variables),
		TEST(a_variable_that_is_missing_or_misspelt_is_named),
		TEST(a_secret_may_be_a_file),
		TEST(the_environment_overrides_the_file),
		TEST(an_override_that_fits_nothing_is_refused),
		TEST(a_name_that_is_nearly_ours_is_a_warning),
		TEST(the_environment_can_make_a_provider),
		TEST(conventional_variables_work_without_a_file),
		TEST(openais_further_variables_are_read_too),
		TEST(the_environment_overrides_a_conventional_provider_too),
		TEST(a_provider_of_the_file_keeps_the_conventional_one_away),
		TEST(a_setting_that_the_dialect_does_not_read_is_a_warning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
