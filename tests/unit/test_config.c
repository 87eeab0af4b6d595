/* What a configuration becomes: defaults, every kind of value, tables, `config show`. */
#include "config_fixture.h"

#include <sys/stat.h>

static void
without_anything_the_defaults_hold(void **state)
{
	char var[96];

	(void)state;
	load_file(NULL);
	assert_loaded();
	(void)snprintf(var, sizeof(var), "%s/var", box.dir);
	assert_string_equal(box.c->file, "");
	assert_string_equal(box.c->state_dir, var);
	assert_string_equal(box.c->server.listen, "127.0.0.1:8080");
	assert_string_equal(box.c->server.public_url, "");
	assert_string_equal(box.c->server.tls_certificate, "");
	assert_string_equal(box.c->server.tls_key, "");
	assert_int_equal(box.c->server.trusted_proxies.n, 0);
	assert_int_equal(box.c->server.cors_origins.n, 0);
	assert_true(box.c->auth.required);
	assert_int_equal(box.c->auth.session_ttl_ms, 86400000);
	assert_string_equal(box.c->store.url, "sqlite:easel.db");
	assert_string_equal(box.c->files.url, "file:files");
	assert_int_equal(box.c->files.keep_ms, 30 * 86400000LL);
	assert_int_equal(box.c->files.max_bytes, 10LL << 30);
	assert_int_equal(box.c->limits.requests_per_minute, 120);
	assert_int_equal(box.c->limits.concurrent, 1024);
	assert_int_equal(box.c->limits.images_per_day, 0);
	assert_int_equal(box.c->limits.queue_length, 10000);
	assert_int_equal(box.c->limits.json_bytes, 32 << 20);
	assert_int_equal(box.c->limits.upload_bytes, 200 << 20);
	assert_int_equal(box.c->limits.image_bytes, 50 << 20);
	assert_int_equal(box.c->limits.image_pixels, 67108864);
	assert_string_equal(box.c->deadline.profile, "");
	assert_int_equal(box.c->deadline.images_generations_ms, 120000);
	assert_int_equal(box.c->deadline.images_edits_ms, 120000);
	assert_int_equal(box.c->deadline.chat_completions_ms, 300000);
	assert_int_equal(box.c->deadline.login_ms, 10000);
	assert_int_equal(box.c->deadline.task_create_ms, 5000);
	assert_int_equal(box.c->deadline.task_status_ms, 5000);
	assert_int_equal(box.c->deadline.task_run_ms, 600000);
	assert_int_equal(box.c->deadline.grace_ms, 600000);
	assert_int_equal(box.c->process.max_requests, 10000);
	assert_int_equal(box.c->process.max_age_ms, 3600000);
	assert_int_equal(box.c->process.idle_exit_ms, 0);
	assert_int_equal(box.c->process.workers, 2);
	assert_int_equal(box.c->process.max_in_flight, 1024);
	assert_int_equal(box.c->process.drain_ms, 30000);
	assert_string_equal(box.c->defaults.image_model, "easel-preview");
	assert_string_equal(box.c->defaults.chat_model, "");
	assert_true(box.c->image.image_ws);
	assert_false(box.c->image.image_ws_nsfw);
	assert_int_equal(box.c->log.level, LEVEL_INFO);
	assert_int_equal(box.c->log.format, LOG_TEXT);
	assert_int_equal(box.c->log.prompts, PROMPTS_CLIP);
	assert_int_equal(box.c->warnings.n, 0);
	assert_null(config_profile(box.c));
}

static void
without_a_provider_there_is_the_preview(void **state)
{
	const struct model_conf *m;

	(void)state;
	load_text("[log]\nlevel = \"debug\"\n");
	assert_loaded();
	assert_int_equal(box.c->nproviders, 1);
	assert_int_equal(box.c->nmodels, 1);
	m = config_model(box.c, "easel-preview");
	assert_non_null(m);
	assert_int_equal(m->type, MODEL_IMAGE);
	assert_string_equal(m->provider, "preview");
	assert_ptr_equal(m->provider_conf, config_provider(box.c, "preview"));
	assert_int_equal(m->provider_conf->dialect, DIALECT_PREVIEW);
	assert_string_equal(m->upstream_model, "easel-preview");
	assert_int_equal(m->provider_conf->api_keys.n, 0);
	assert_int_equal(m->provider_conf->tokens.n, 0);
	assert_string_equal(m->provider_conf->base_url, "");
}

#define RELAY                                            \
	"[providers.relay]\n"                            \
	"dialect = \"openai\"\n"                         \
	"base_url = \"https://relay.example.com/v1/\"\n" \
	"api_key = \"sk-fake-0123456789\"\n"
#define PAINTER              \
	"[models.painter]\n" \
	"provider = \"relay\"\n"

static void
every_table_of_the_file_is_read(void **state)
{
	const struct provider_conf *p;
	const struct model_conf *m;

	(void)state;
	load_text("[server]\n"
		  "listen = \"[::1]:0\"\n"
		  "public_url = \"https://pictures.example.com/\"\n"
		  "trusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n"
		  "cors_origins = [\"https://app.example.com\", \"*\"]\n"
		  "[auth]\nrequired = false\nsession_ttl = \"2m\"\n"
		  "[limits]\nimages_per_day = 5\njson_bytes = \"1kB\"\n"
		  "[deadline]\nprofile = \"lambda\"\nlogin = \"250ms\"\n"
		  "[process]\nidle_exit = \"60s\"\nmax_age = \"\"\n"
		  "[image]\nimage_ws = false\n"
		  "[log]\nlevel = \"error\"\nformat = \"json\"\nprompts = \"none\"\n" RELAY
		  "proxy = \"socks5h://127.0.0.1:1080\"\nconcurrency = 3\n"
		  "connect_timeout = \"2s\"\n"
		  "[models.\"a/b.c\"]\n"
		  "provider = \"relay\"\ntype = \"chat\"\nupstream_model = \"up\"\n"
		  "aliases = [\"x\", \"y\"]\nprice = 0.25\n"
		  "[models.first]\nprovider = \"relay\"\nfallback = [\"second\"]\n"
		  "degrade = [\"quality=medium\", \"quality=low\"]\nprice = 1\n"
		  "[models.second]\nprovider = \"relay\"\n");
	assert_loaded();
	assert_string_equal(box.c->file, box.file);
	assert_string_equal(box.c->server.listen, "[::1]:0");
	assert_string_equal(box.c->server.public_url, "https://pictures.example.com");
	assert_int_equal(box.c->server.trusted_proxies.n, 2);
	assert_string_equal(box.c->server.trusted_proxies.v[1], "::1");
	assert_string_equal(box.c->server.cors_origins.v[0], "https://app.example.com");
	assert_false(box.c->auth.required);
	assert_true(warned("every route is open"));
	assert_int_equal(box.c->auth.session_ttl_ms, 120000);
	assert_int_equal(box.c->limits.images_per_day, 5);
	assert_int_equal(box.c->limits.json_bytes, 1024);
	assert_int_equal(config_profile(box.c)->limit_ms, 900000);
	assert_int_equal(config_profile(box.c)->body_bytes, 6 << 20);
	assert_int_equal(box.c->deadline.login_ms, 250);
	assert_int_equal(box.c->process.idle_exit_ms, 60000);
	assert_int_equal(box.c->process.max_age_ms, 0);
	assert_false(box.c->image.image_ws);
	assert_int_equal(box.c->log.level, LEVEL_ERROR);
	assert_int_equal(box.c->log.format, LOG_JSON);
	assert_int_equal(box.c->log.prompts, PROMPTS_NONE);

	assert_int_equal(box.c->nproviders, 1);
	p = config_provider(box.c, "relay");
	assert_string_equal(p->name, "relay");
	assert_int_equal(p->dialect, DIALECT_OPENAI);
	assert_string_equal(p->base_url, "https://relay.example.com/v1");
	assert_int_equal(p->api_keys.n, 1);
	assert_string_equal(p->api_keys.v[0], "sk-fake-0123456789");
	assert_string_equal(p->proxy, "socks5h://127.0.0.1:1080");
	assert_int_equal(p->concurrency, 3);
	assert_int_equal(p->connect_timeout_ms, 2000);

	/* In the order of the file, not of the alphabet. */
	assert_int_equal(box.c->nmodels, 3);
	assert_string_equal(box.c->models[0].id, "a/b.c");
	assert_string_equal(box.c->models[1].id, "first");
	assert_string_equal(box.c->models[2].id, "second");
	m = &box.c->models[0];
	assert_int_equal(m->type, MODEL_CHAT);
	assert_string_equal(m->upstream_model, "up");
	assert_ptr_equal(config_model(box.c, "y"), m);
	assert_true(m->price == 0.25);
	assert_ptr_equal(m->provider_conf, p);
	m = &box.c->models[1];
	assert_string_equal(m->upstream_model, "first");
	assert_string_equal(m->fallback.v[0], "second");
	assert_int_equal(m->degrade.n, 2);
	assert_true(m->price == 1);
	/* A default that was not set is the first image model. */
	assert_string_equal(box.c->defaults.image_model, "first");
	assert_null(config_model(box.c, "easel-preview"));
	assert_null(config_model(box.c, "a"));
	assert_null(config_provider(box.c, "rela"));
}

static void
inline_and_dotted_tables_are_the_same_tables(void **state)
{
	(void)state;
	load_text("server.listen = \"127.0.0.1:1\"\n"
		  "process = { workers = 3, health = { workers = 1 } }\n"
		  "providers.r = { dialect = \"openai\", api_keys = [\"k1\", \"k2\"] }\n"
		  "models.m.provider = \"r\"\n");
	assert_loaded();
	assert_string_equal(box.c->server.listen, "127.0.0.1:1");
	assert_int_equal(config_process(box.c, "health").workers, 1);
	assert_int_equal(config_process(box.c, "models").workers, 3);
	assert_int_equal(config_provider(box.c, "r")->api_keys.n, 2);
	assert_string_equal(config_model(box.c, "m")->provider, "r");
}

static void
a_programs_own_process_settings_cover_the_common_ones(void **state)
{
	struct process_conf p;

	(void)state;
	load_text("[process]\nworkers = 4\nmax_requests = 7\n"
		  "[process.images-generations]\nworkers = 9\nmax_age = \"\"\n");
	assert_loaded();
	p = config_process(box.c, "images-generations");
	assert_int_equal(p.workers, 9);
	assert_int_equal(p.max_age_ms, 0);
	assert_int_equal(p.max_requests, 7);
	assert_int_equal(p.drain_ms, 30000);
	p = config_process(box.c, "models");
	assert_int_equal(p.workers, 4);
	assert_int_equal(p.max_age_ms, 3600000);
	assert_shown("[process.images-generations]\nmax_age = \"\"  # ");
}

static void
no_limit_on_sizes_is_a_very_large_one(void **state)
{
	(void)state;
	load_text("[limits]\njson_bytes = \"0\"\nupload_bytes = 0\nimage_bytes = \"0B\"\n"
		  "image_pixels = 0\nconcurrent = 0\n[files]\nmax_bytes = 0\nkeep = \"\"\n");
	assert_loaded();
	assert_true(box.c->limits.json_bytes >= 1LL << 40);
	assert_true(box.c->limits.upload_bytes >= 1LL << 40);
	assert_true(box.c->limits.image_bytes >= 1LL << 40);
	assert_true(box.c->limits.image_pixels >= 1LL << 40);
	assert_int_equal(box.c->limits.concurrent, 0);
	assert_int_equal(box.c->files.max_bytes, 0);
	assert_int_equal(box.c->files.keep_ms, 0);
	assert_shown("\njson_bytes = \"0\"  # ");
	assert_shown("\nimage_pixels = 0  # ");
}

static void
a_dialect_knows_its_own_addresses(void **state)
{
	static const struct {
		const char *text, *base_url, *ws_url, *assets_url;
		int64_t concurrency;
	} row[] = {
		{ "dialect = \"openai\"\napi_key = \"k\"\nbase_url = \"\"\n",
		  "https://api.openai.com/v1", "", "", 0 },
		{ "dialect = \"modelscope\"\napi_key = \"k\"\n",
		  "https://api-inference.modelscope.cn/v1", "", "", 1 },
		{ "dialect = \"grok\"\ntoken = \"t\"\n", "https://grok.com",
		  "wss://grok.com/ws/imagine/listen", "https://assets.grok.com", 0 },
		{ "dialect = \"novelai\"\ntoken = \"t\"\nconcurrency = 0\n",
		  "https://image.novelai.net", "", "", 0 },
		{ "dialect = \"preview\"\n", "", "", "", 0 },
		{ "dialect = \"grok\"\napi_key = \"k\"\nbase_url = \"http://[::1]:9/v1//\"\n"
		  "ws_url = \"ws://127.0.0.1:9/ws/\"\n",
		  "http://[::1]:9/v1", "ws://127.0.0.1:9/ws", "https://assets.grok.com", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		const struct provider_conf *p;
		char text[512];

		(void)snprintf(text, sizeof(text), "[providers.p]\n%s", row[i].text);
		load_text(text);
		assert_loaded();
		p = &box.c->providers[0];
		assert_string_equal(p->base_url, row[i].base_url);
		assert_string_equal(p->ws_url, row[i].ws_url);
		assert_string_equal(p->assets_url, row[i].assets_url);
		assert_int_equal(p->concurrency, row[i].concurrency);
		assert_int_equal(p->connect_timeout_ms, 10000);
	}
}

static void
a_provider_without_models_has_the_usual_ones(void **state)
{
	static const struct {
		const char *provider, *model;
	} row[] = {
		{ "dialect = \"openai\"\napi_key = \"k\"\n", "gpt-image-1" },
		{ "dialect = \"modelscope\"\napi_key = \"k\"\n", "Qwen/Qwen-Image" },
		{ "dialect = \"grok\"\ntoken = \"t\"\n", "grok-imagine-1.0" },
		{ "dialect = \"grok\"\napi_key = \"k\"\nbase_url = \"https://api.x.ai/v1\"\n",
		  "grok-imagine-image" },
		{ "dialect = \"novelai\"\ntoken = \"t\"\n", "nai-diffusion-4-5-full" },
		{ "dialect = \"preview\"\n", "easel-preview" },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		(void)snprintf(text, sizeof(text), "[providers.p]\n%s", row[i].provider);
		load_text(text);
		assert_loaded();
		assert_string_equal(box.c->models[0].id, row[i].model);
		assert_string_equal(box.c->models[0].provider, "p");
		assert_string_equal(box.c->defaults.image_model, row[i].model);
	}
	load_text(RELAY PAINTER "[providers.second]\ndialect = \"openai\"\napi_key = \"k\"\n"
				"[providers.third]\ndialect = \"openai\"\napi_key = \"k\"\n");
	assert_loaded();
	assert_int_equal(box.c->nmodels, 2);
	assert_string_equal(config_model(box.c, "gpt-image-1")->provider, "second");
	assert_true(warned("no model uses [providers.third]"));
}

static void
the_preview_comes_when_it_is_named(void **state)
{
	static const struct {
		const char *text;
		bool preview;
	} row[] = {
		{ RELAY PAINTER, false },
		{ RELAY PAINTER "[defaults]\nimage_model = \"easel-preview\"\n", true },
		{ RELAY PAINTER "[defaults]\nchat_model = \"easel-preview\"\n", true },
		{ RELAY PAINTER "fallback = [\"easel-preview\"]\n", true },
		{ RELAY PAINTER "type = \"chat\"\n", true }, /* no image model at all */
		{ RELAY PAINTER "[defaults]\nimage_model = \"painter\"\n", false },
		{ "[models.easel-preview]\nprovider = \"preview\"\naliases = [\"p\"]\n", true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(row); i++) {
		load_text(row[i].text);
		assert_loaded();
		assert_int_equal(config_model(box.c, "easel-preview") != NULL, row[i].preview);
	}
	assert_ptr_equal(config_model(box.c, "p"), config_model(box.c, "easel-preview"));
	load_text("[models.mine]\nprovider = \"preview\"\n");
	assert_loaded();
	assert_int_equal(config_model(box.c, "mine")->provider_conf->dialect, DIALECT_PREVIEW);
	assert_string_equal(box.c->defaults.image_model, "mine");
}

static void
the_nearest_model_is_near(void **state)
{
	static const struct {
		const char *asked, *nearest;
	} row[] = {
		{ "painter", "painter" },
		{ "painte", "painter" },
		{ "Painters", "painter" },
		{ "PAINTER", "painter" },
		{ "pnter", NULL }, /* two away, a third of five is one */
		{ "qwen-image", "qwen-image" },
		{ "qwen-imag", "qwen-image" },
		{ "qwen-imaage2", "qwen-image" },
		{ "qwenxximagexx", NULL },
		{ "", NULL },
		{ "p", NULL },
		{ "dall-e-3", NULL },
	};
	char longest[4096];

	(void)state;
	load_text(RELAY PAINTER "aliases = [\"qwen-image\"]\n");
	assert_loaded();
	for (size_t i = 0; i < COUNT(row); i++) {
		const char *n = config_nearest_model(box.c, row[i].asked);

		if (row[i].nearest)
			assert_string_equal(n, row[i].nearest);
		else
			assert_null(n);
	}
	memset(longest, 'p', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_null(config_nearest_model(box.c, longest));
}

static void
relative_paths_start_at_the_files_folder(void **state)
{
	char want[160];

	(void)state;
	write_file("easel.toml", "[server]\nstate_dir = \"./data\"\ntls_certificate = \"c.pem\"\n"
				 "tls_key = \"/etc/k.pem\"\n");
	assert_int_equal(chdir("/"), 0);
	load_file(box.file);
	assert_loaded();
	(void)snprintf(want, sizeof(want), "%s/data", box.dir);
	assert_string_equal(box.c->state_dir, want);
	(void)snprintf(want, sizeof(want), "%s/c.pem", box.dir);
	assert_string_equal(box.c->server.tls_certificate, want);
	assert_string_equal(box.c->server.tls_key, "/etc/k.pem");

	/* By a relative name of the file, it is the same folder. */
	assert_int_equal(chdir("/tmp"), 0);
	(void)snprintf(want, sizeof(want), "./%s/easel.toml", strrchr(box.dir, '/') + 1);
	load_file(want);
	assert_loaded();
	(void)snprintf(want, sizeof(want), "%s/data", box.dir);
	assert_string_equal(box.c->state_dir, want);
	assert_int_equal(chdir(box.dir), 0);
	load_file("easel.toml");
	assert_loaded();
	assert_string_equal(box.c->state_dir, want);
}

static void
the_file_is_found_where_it_is_said_to_be(void **state)
{
	(void)state;
	write_file("easel.toml", "[log]\nlevel = \"error\"\n");
	write_file("other.toml", "[log]\nlevel = \"debug\"\n");
	load_file(NULL);
	assert_loaded();
	assert_string_equal(box.c->file, "easel.toml");
	assert_int_equal(box.c->log.level, LEVEL_ERROR);
	(void)setenv("EASEL_CONFIG", "other.toml", 1);
	load_file(NULL);
	assert_loaded();
	assert_int_equal(box.c->log.level, LEVEL_DEBUG);
	load_file(box.file);
	assert_loaded();
	assert_int_equal(box.c->log.level, LEVEL_ERROR);
	(void)setenv("EASEL_CONFIG", "", 1);
	load_file(NULL);
	assert_loaded();
	assert_int_equal(box.c->log.level, LEVEL_ERROR);
	(void)setenv("EASEL_CONFIG", "missing.toml", 1);
	load_file(NULL);
	assert_problem("missing.toml: the configuration file cannot be read: No such file");
	load_file(box.dir);
	assert_problem("cannot be read: Is a directory");
}

static void
a_show_masks_every_secret_and_says_where_all_comes_from(void **state)
{
	static const char *const secrets[] = { "sk-fake-0123456789", "fake-token", "painter@x",
					       "fake-password", "fake-proxy-pw" };
	char *text, line[256];

	(void)state;
	(void)setenv("EASEL_SERVER_LISTEN", "127.0.0.1:9", 1);
	load_text(RELAY "proxy = \"http://me:fake-proxy-pw@127.0.0.1:3128\"\n" PAINTER
			"price = 0.05\n"
			"[providers.novelai]\ndialect = \"novelai\"\ntoken = \"fake-token\"\n"
			"email = \"painter@x\"\npassword = \"fake-password\"\n"
			"[providers.many]\ndialect = \"modelscope\"\n"
			"api_keys = [\"fake-token\", \"sk-fake-0123456789\"]\n");
	assert_loaded();
	for (int mode = 0; mode < 4; mode++) {
		text = shown(box.c, mode & 1, mode & 2);
		for (size_t i = 0; i < COUNT(secrets); i++)
			assert_null(strstr(text, secrets[i]));
		assert_non_null(strstr(text, "***"));
		free(text);
	}
	assert_shown("listen = \"127.0.0.1:9\"  # environment EASEL_SERVER_LISTEN\n");
	assert_shown("concurrent = 1024  # default\n");
	assert_shown("max_bytes = \"10GB\"  # default\n");
	(void)snprintf(line, sizeof(line), "base_url = \"https://relay.example.com/v1\"  # %s:3\n",
		       box.file);
	assert_shown(line);
	(void)snprintf(line, sizeof(line), "api_key = \"***\"  # %s:4\n", box.file);
	assert_shown(line);
	assert_shown("api_keys = [\"***\", \"***\"]  # ");
	assert_shown("proxy = \"http://***@127.0.0.1:3128\"  # ");
	assert_shown("price = 0.05  # ");
	text = shown(box.c, false, true);
	assert_non_null(strstr(text, "\"concurrent\": 1024,"));
	assert_non_null(strstr(text, "\"required\": true,"));
	assert_non_null(strstr(text, "\"painter\": {"));
	free(text);
	text = shown(box.c, false, false);
	assert_null(strstr(text, "# default"));
	/* What is shown is a file that reads as the same: nothing is lost or badly quoted. */
	assert_int_equal(load_text(text), 0);
	free(text);
}

static void
help_and_reference_page_know_every_row(void **state)
{
	static const char *const sections[] = { "auth", "log", NULL };
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	config_reference_markdown(f);
	assert_int_equal(fclose(f), 0);
	assert_non_null(strstr(text, "| `session_ttl` | `\"24h\"` | how long a login lasts | "
				     "`EASEL_AUTH_SESSION_TTL` |"));
	assert_non_null(strstr(text, "## [models.\"ID\"]"));
	assert_non_null(strstr(text, "`EASEL_PROVIDERS_NAME_API_KEY`"));
	assert_non_null(strstr(text, "`OPENAI_IMAGE_MODEL`"));
	free(text);
	f = open_memstream(&text, &n);
	config_help(f, sections);
	assert_int_equal(fclose(f), 0);
	assert_non_null(strstr(text, "[auth]"));
	assert_non_null(strstr(text, "  level = \"info\""));
	assert_null(strstr(text, "[server]"));
	free(text);
	f = open_memstream(&text, &n);
	config_help(f, NULL);
	assert_int_equal(fclose(f), 0);
	assert_non_null(strstr(text, "[server]"));
	assert_non_null(strstr(text, "[providers.NAME]"));
	free(text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, box_setup, box_teardown)
static void
a_profile_is_a_ceiling_and_never_a_floor(void **state)
{
	static const struct {
		const char *profile;
		int64_t ms, bytes; /* 0: no ceiling for bodies */
	} rows[] = {
		{ "vercel", 299000, 4718592 },      { "lambda", 899000, 6291456 },
		{ "api-gateway", 28000, 10485760 }, { "cloudflare", 99000, 0 },
		{ "cloud-run", 299000, 0 },
	};
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int64_t ms = rows[i].ms, bytes = rows[i].bytes;

		(void)snprintf(text, sizeof(text), "[deadline]\nprofile = \"%s\"\n",
			       rows[i].profile);
		load_text(text);
		assert_loaded();
		assert_int_equal(config_ceiling_ms(box.c, ms - 1), ms - 1);
		assert_int_equal(config_ceiling_ms(box.c, ms), ms);
		assert_int_equal(config_ceiling_ms(box.c, ms + 1), ms);
		assert_int_equal(config_ceiling_ms(box.c, 1), 1);
		assert_int_equal(config_ceiling_bytes(box.c, 100), 100);
		assert_int_equal(config_ceiling_bytes(box.c, INT64_MAX), bytes ? bytes : INT64_MAX);
		if (bytes)
			assert_int_equal(config_ceiling_bytes(box.c, bytes), bytes);
	}
	load_text("");
	assert_loaded();
	assert_int_equal(config_ceiling_ms(box.c, 86400000), 86400000);
	assert_int_equal(config_ceiling_bytes(box.c, INT64_MAX), INT64_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_profile_is_a_ceiling_and_never_a_floor),
		TEST(without_anything_the_defaults_hold),
		TEST(without_a_provider_there_is_the_preview),
		TEST(every_table_of_the_file_is_read),
		TEST(inline_and_dotted_tables_are_the_same_tables),
		TEST(a_programs_own_process_settings_cover_the_common_ones),
		TEST(no_limit_on_sizes_is_a_very_large_one),
		TEST(a_dialect_knows_its_own_addresses),
		TEST(a_provider_without_models_has_the_usual_ones),
		TEST(the_preview_comes_when_it_is_named),
		TEST(the_nearest_model_is_near),
		TEST(relative_paths_start_at_the_files_folder),
		TEST(the_file_is_found_where_it_is_said_to_be),
		TEST(a_show_masks_every_secret_and_says_where_all_comes_from),
		TEST(help_and_reference_page_know_every_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
