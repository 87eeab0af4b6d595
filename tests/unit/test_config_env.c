/* What the environment and secret files say, how it is handed on, and how it is wiped. */
#include "config_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

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
		  "[process] workers: expected an integer from 1 to 1024, got 'word'\n" },
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
		assert_string_equal(p->api_keys.n ? p->api_keys.v[0] : p->token, "fake-1");
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

/* ---- the sealed snapshot ---- */

static const char full_text[] =
	"[server]\nlisten = \"127.0.0.1:0\"\ncors_origins = [\"*\"]\nstate_dir = \"data\"\n"
	"[limits]\nimage_pixels = 0\njson_bytes = 0\n"
	"[process]\nmax_age = \"\"\n[process.health]\nworkers = 7\n"
	"[log]\nlevel = \"debug\"\n"
	"[providers.z]\ndialect = \"openai\"\napi_keys = [\"sk-fake-1\", \"${FAKE_KEY}\"]\n"
	"[providers.a]\ndialect = \"novelai\"\nemail = \"a@b.c\"\npassword = \"$${x} file:y\"\n"
	"[providers.g]\ndialect = \"grok\"\ntoken = \"file:secret\"\nconcurrency = 0\n"
	"[models.\"z/m\"]\nprovider = \"z\"\nprice = 0.1\naliases = [\"zm\", \"a,b\"]\n"
	"[models.a]\nprovider = \"a\"\nfallback = [\"z/m\"]\n";

static void
load_full(void)
{
	write_file("secret", "file:fake-token\n");
	(void)setenv("FAKE_KEY", "sk-fake-2,comma", 1);
	(void)setenv("OPENAI_MODEL", "x", 1);
	(void)setenv("MODELSCOPE_API_KEY", "ms-fake-3", 1);
	load_text(full_text);
	assert_loaded();
}

static void
same_strings(const struct strings *a, const struct strings *b)
{
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++)
		assert_string_equal(a->v[i], b->v[i]);
}

/* Every field, the secret ones included. */
static void
same_config(const struct config *a, const struct config *b)
{
	assert_string_equal(a->file, b->file);
	assert_string_equal(a->state_dir, b->state_dir);
	assert_string_equal(a->server.listen, b->server.listen);
	same_strings(&a->server.cors_origins, &b->server.cors_origins);
	assert_memory_equal(&a->limits, &b->limits, sizeof(a->limits));
	assert_memory_equal(&a->process, &b->process, sizeof(a->process));
	assert_int_equal(config_process(a, "health").workers, config_process(b, "health").workers);
	assert_int_equal(config_process(b, "health").max_age_ms, 0);
	assert_int_equal(a->log.level, b->log.level);
	assert_string_equal(a->defaults.image_model, b->defaults.image_model);
	same_strings(&a->warnings, &b->warnings);
	assert_int_equal(a->nproviders, b->nproviders);
	for (size_t i = 0; i < a->nproviders; i++) {
		const struct provider_conf *p = &a->providers[i], *q = &b->providers[i];

		assert_string_equal(p->name, q->name);
		assert_int_equal(p->dialect, q->dialect);
		assert_string_equal(p->base_url, q->base_url);
		assert_string_equal(p->ws_url, q->ws_url);
		assert_string_equal(p->assets_url, q->assets_url);
		same_strings(&p->api_keys, &q->api_keys);
		assert_string_equal(p->token, q->token);
		assert_string_equal(p->email, q->email);
		assert_string_equal(p->password, q->password);
		assert_string_equal(p->proxy, q->proxy);
		assert_int_equal(p->concurrency, q->concurrency);
		assert_int_equal(p->connect_timeout_ms, q->connect_timeout_ms);
	}
	assert_int_equal(a->nmodels, b->nmodels);
	for (size_t i = 0; i < a->nmodels; i++) {
		const struct model_conf *m = &a->models[i], *n = &b->models[i];

		assert_string_equal(m->id, n->id);
		assert_string_equal(m->provider, n->provider);
		assert_string_equal(m->provider_conf->name, n->provider_conf->name);
		assert_int_equal(m->type, n->type);
		assert_string_equal(m->upstream_model, n->upstream_model);
		same_strings(&m->fallback, &n->fallback);
		same_strings(&m->aliases, &n->aliases);
		assert_true(m->price == n->price);
	}
}

static void
a_snapshot_is_read_back_as_the_same(void **state)
{
	struct config *first;
	char number[16], *one, *other;
	int fd;

	(void)state;
	load_full();
	assert_string_equal(config_provider(box.c, "g")->token, "file:fake-token");
	fd = config_snapshot(box.c, &box.e);
	assert_true(fd >= 0);
	first = box.c;
	box.c = NULL;
	(void)clearenv();
	(void)snprintf(number, sizeof(number), "%d", fd);
	(void)setenv("EASEL_CONFIG_FD", number, 1);
	/* The environment has had its say: it is not read again, nor the file. */
	(void)setenv("EASEL_SERVER_LISTEN", "nonsense", 1);
	(void)setenv("OPENAI_API_KEY", "sk-fake-9", 1);
	write_file("easel.toml", "nonsense");
	for (int mode = 0; mode < 4; mode++) {
		load_file(NULL); /* again and again: nobody moves the descriptor's offset */
		assert_loaded();
		same_config(first, box.c);
		one = shown(first, mode & 1, mode & 2);
		other = shown(box.c, mode & 1, mode & 2);
		assert_string_equal(one, other);
		free(one);
		free(other);
	}
	/* A snapshot of what came from one is the same once more. */
	(void)close(fd);
	fd = config_snapshot(box.c, &box.e);
	(void)snprintf(number, sizeof(number), "%d", fd);
	(void)setenv("EASEL_CONFIG_FD", number, 1);
	load_file(NULL);
	assert_loaded();
	same_config(first, box.c);
	/* --config is the stronger word. */
	load_file(box.file);
	assert_problem(":1: ");
	(void)close(fd);
	config_free(first);
}

static void
a_snapshot_is_sealed_and_inherited(void **state)
{
	int fd, seals;

	(void)state;
	load_full();
	fd = config_snapshot(box.c, &box.e);
	assert_true(fd >= 0);
	seals = fcntl(fd, F_GET_SEALS);
	assert_int_equal(seals, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	(void)close(fd);
}

static void
a_snapshot_that_is_none_is_refused(void **state)
{
	static const char *const contents[] = {
		"",
		"{}",
		"[1]",
		"not json",
		"{\"file\":\"\",\"tables\":[{\"section\":\"nope\",\"kind\":0,\"name\":null,"
		"\"origin\":\"x\",\"values\":{}}]}",
		"{\"file\":\"\",\"tables\":[{\"section\":\"log\",\"kind\":0,\"name\":null,"
		"\"origin\":\"x\",\"values\":{\"nope\":[\"a\",\"b\"]}}]}",
		"{\"file\":\"\",\"tables\":[{\"section\":\"log\",\"kind\":0,\"name\":null,"
		"\"origin\":\"x\",\"values\":{\"level\":[\"loud\",\"b\"]}}]}",
		"{\"file\":\"\",\"tables\":[{\"section\":\"models\",\"kind\":9,\"name\":\"m\","
		"\"origin\":\"x\",\"values\":{}}]}",
		"{\"file\":\"\",\"tables\":[5]}",
	};
	char number[16];

	(void)state;
	for (size_t i = 0; i < COUNT(contents); i++) {
		int fd = memfd_create("x", MFD_CLOEXEC);

		assert_true(fd >= 0);
		assert_int_equal(write(fd, contents[i], strlen(contents[i])), strlen(contents[i]));
		(void)snprintf(number, sizeof(number), "%d", fd);
		(void)setenv("EASEL_CONFIG_FD", number, 1);
		assert_int_equal(load_file(NULL), -1);
		assert_true(*problems());
		(void)close(fd);
	}
	load_file(NULL);
	assert_problem("EASEL_CONFIG_FD: the descriptor cannot be read: Bad file descriptor\n");
	(void)setenv("EASEL_CONFIG_FD", "three", 1);
	load_file(NULL);
	assert_problem("EASEL_CONFIG_FD: expected the number of a descriptor\n");
	(void)setenv("EASEL_CONFIG_FD", "-1", 1);
	load_file(NULL);
	assert_problem("EASEL_CONFIG_FD: expected the number of a descriptor\n");
	(void)setenv("EASEL_CONFIG_FD", "", 1);
	load_file(NULL);
	assert_loaded();
}

/* ---- a process of its own: only exec() gives /proc/self/environ known contents ---- */

static const char *const secret_values[] = {
	"fake-openai", "fake-ms",  "fake-xai",   "fake-nai",
	"fake-own",    "fake-cli", "fake-named", "fake-proxy"
};

static bool
in_environ(const char *word)
{
	static char text[65536];
	int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	bool found = n > 0 && memmem(text, (size_t)n, word, strlen(word));

	(void)close(fd);
	return found;
}

/* The exit code says which step failed. */
static int
child(const char *file)
{
	struct config *c = NULL, *again = NULL;
	struct buf lines = { .max = 65536 };
	struct err e;
	int rc = 0;

	for (size_t i = 0; i < COUNT(secret_values); i++)
		if (!in_environ(secret_values[i]))
			return 10 + (int)i; /* the test would prove nothing */
	if (config_load(file, &c, &lines, &e) < 0) {
		(void)fputs(buf_str(&lines), stderr);
		return 1;
	}
	config_wipe_environment(c);
	for (size_t i = 0; i < COUNT(secret_values); i++)
		if (in_environ(secret_values[i]))
			rc = 30 + (int)i;
	if (!in_environ("PLAIN=stays") || getenv("OPENAI_API_KEY") || getenv("MY_OWN_KEY") ||
	    getenv("EASEL_PROVIDERS_P_TOKEN") || getenv("EASEL_API_KEY") || !getenv("PLAIN"))
		rc = 2;
	/* A reload still knows them: the file says ${MY_OWN_KEY} as before. */
	if (!rc && config_load(file, &again, &lines, &e) < 0) {
		(void)fputs(buf_str(&lines), stderr);
		rc = 3;
	}
	if (!rc && (strcmp(config_provider(again, "p")->api_keys.v[0], "fake-own") != 0 ||
		    strcmp(config_provider(again, "p")->token, "fake-named") != 0 ||
		    strcmp(config_provider(again, "openai")->api_keys.v[0], "fake-openai") != 0))
		rc = 4;
	/* And a new value, set since, is the one that counts. */
	config_free(again);
	again = NULL;
	(void)setenv("MY_OWN_KEY", "fake-new", 1);
	if (!rc && (config_load(file, &again, &lines, &e) < 0 ||
		    strcmp(config_provider(again, "p")->api_keys.v[0], "fake-new") != 0))
		rc = 5;
	config_free(again);
	config_free(c);
	buf_done(&lines);
	return rc;
}

static void
no_secret_stays_in_the_environment(void **state)
{
	char *argv[] = { (char *)"test", (char *)"child", box.file, NULL };
	char *envp[] = { (char *)"OPENAI_API_KEY=fake-openai",
			 (char *)"MODELSCOPE_API_KEY=fake-ms",
			 (char *)"PLAIN=stays",
			 (char *)"XAI_API_KEY=fake-xai",
			 (char *)"NOVELAI_TOKEN=fake-nai",
			 (char *)"MY_OWN_KEY=fake-own",
			 (char *)"EASEL_API_KEY=fake-cli",
			 (char *)"EASEL_PROVIDERS_P_TOKEN=fake-named",
			 (char *)"EASEL_PROVIDERS_P_PROXY=http://u:fake-proxy@127.0.0.1:1",
			 (char *)"ASAN_OPTIONS=detect_leaks=0",
			 NULL };
	int status = 0;
	pid_t pid;

	(void)state;
	write_file("easel.toml",
		   "[providers.p]\ndialect = \"grok\"\napi_key = \"${MY_OWN_KEY}\"\n");
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)execve("/proc/self/exe", argv, envp);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, box_setup, box_teardown)
int
main(int argc, char **argv)
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
		TEST(a_provider_of_the_file_keeps_the_conventional_one_away),
		TEST(a_setting_that_the_dialect_does_not_read_is_a_warning),
		TEST(a_snapshot_is_read_back_as_the_same),
		TEST(a_snapshot_is_sealed_and_inherited),
		TEST(a_snapshot_that_is_none_is_refused),
		TEST(no_secret_stays_in_the_environment),
	};

	if (argc == 3 && !strcmp(argv[1], "child"))
		return child(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
