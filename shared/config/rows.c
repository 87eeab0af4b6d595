#include "config/rows.h"

#define COUNT(a)  (sizeof(a) / sizeof(*(a)))
#define AT(field) offsetof(struct config, field)

#define SECOND 1000
#define HOUR   (3600 * (int64_t)SECOND)
#define DAY    (24 * HOUR)
#define YEARS  (3650 * DAY)

#define KB ((int64_t)1 << 10)
#define MB ((int64_t)1 << 20)
#define GB ((int64_t)1 << 30)
#define TB ((int64_t)1 << 40)

/* More than anybody has of anything that is counted here. */
#define MANY 1000000000

static const char *const profile_words[] = { "vercel",     "lambda",    "api-gateway",
					     "cloudflare", "cloud-run", NULL };
const struct profile profiles[] = {
	{ "vercel", 300 * SECOND, 9 * MB / 2 },  { "lambda", 900 * SECOND, 6 * MB },
	{ "api-gateway", 29 * SECOND, 10 * MB }, { "cloudflare", 100 * SECOND, 0 },
	{ "cloud-run", 300 * SECOND, 0 },        { NULL, 0, 0 },
};
static const char *const level_words[] = { "error", "warn", "info", "debug", NULL };
static const char *const format_words[] = { "text", "json", NULL };
static const char *const prompts_words[] = { "none", "hash", "clip", "full", NULL };
static const char *const dialect_words[] = { "openai",  "modelscope", "grok",
					     "novelai", "preview",    NULL };
static const char *const type_words[] = { "image", "chat", NULL };
static const char *const via_words[] = { "images", "chat", NULL };

const char *const program_names[NPROGRAMS] = { "health",       "fallback", "images-generations",
					       "images-edits", "images",   "chat-completions",
					       "models",       "login",    "task-create",
					       "task-status",  "requests", "task-worker" };

/* clang-format off */
const struct dialect_row dialects[DIALECT__MAX] = {
	[DIALECT_OPENAI]     = { "openai", "https://api.openai.com/v1", "", "", "0" },
	/* Both promise one picture at a time per account (their 429 says so). */
	[DIALECT_MODELSCOPE] = { "modelscope", "https://api-inference.modelscope.cn/v1", "", "", "1" },
	[DIALECT_GROK]       = { "grok", "https://grok.com", "wss://grok.com/ws/imagine/listen",
	                         "https://assets.grok.com", "0" },
	[DIALECT_NOVELAI]    = { "novelai", "https://image.novelai.net", "", "", "1" },
	[DIALECT_PREVIEW]    = { "preview", "", "", "", "0" },
};

static const struct row server_rows[] = {
	{ "listen", K_STRING, AT(server.listen), "127.0.0.1:8080", .wrong = wrong_listen,
	  .help = "HOST:PORT that the web server listens on; port 0 takes a free one" },
	{ "public_url", K_STRING, AT(server.public_url), .flags = ROW_URL, .wrong = wrong_public_url,
	  .help = "absolute base of the URLs handed out; empty: from the request's own host" },
	{ "state_dir", K_PATH, AT(state_dir), "var", .wrong = wrong_empty,
	  .help = "folder of the database, the pictures and the sockets" },
	{ "trusted_proxies", K_LIST, AT(server.trusted_proxies), .wrong = wrong_address,
	  .help = "addresses or networks whose X-Forwarded-* headers are believed" },
	{ "cors_origins", K_LIST, AT(server.cors_origins), .wrong = wrong_origin,
	  .help = "origins that may call from a browser; \"*\" is any" },
	{ "tls_certificate", K_PATH, AT(server.tls_certificate),
	  .help = "PEM file; with tls_key the web server speaks HTTPS and HTTP/2" },
	{ "tls_key", K_PATH, AT(server.tls_key),
	  .help = "PEM file of the certificate's private key" },
	{ "stream_keep_alive", K_DURATION, AT(server.stream_keep_alive_ms), "15s", SECOND / 10,
	  300 * SECOND,
	  .help = "a stream that would be silent for longer gets a comment; below the idle timeout of "
		  "whatever stands in front" },
};

static const struct row auth_rows[] = {
	{ "required", K_BOOL, AT(auth.required), "true",
	  .help = "false opens every route to everybody" },
	{ "session_ttl", K_DURATION, AT(auth.session_ttl_ms), "24h", SECOND, YEARS,
	  .help = "how long a login lasts" },
};

static const struct row store_rows[] = {
	{ "url", K_STRING, AT(store.url), "sqlite:easel.db", .flags = ROW_HIDE | ROW_FILE, .wrong = wrong_store,
	  .help = "sqlite:FILE, within state_dir; redis://[user:password@]host[:port][/db] or "
		  "redis+unix://[user:password@]/path[?db=N]: docs/redis.md" },
	{ "keep_tasks", K_DURATION, AT(store.keep_tasks_ms), "7d", 0, YEARS,
	  .help = "how long a task that has ended can be read; its pictures stay as [files] keep says; empty: "
		  "for ever" },
	{ "task_lease", K_DURATION, AT(store.task_lease_ms), "15s", 3 * SECOND, DAY,
	  .help = "a task whose worker has given no sign of life for so long is another one's; the sign is given "
		  "three times as often" },
};

static const struct row files_rows[] = {
	{ "url", K_STRING, AT(files.url), "file:files", .flags = ROW_HIDE, .wrong = wrong_files,
	  .help = "file:FOLDER of the pictures, within state_dir" },
	{ "keep", K_DURATION, AT(files.keep_ms), "30d", 0, YEARS,
	  .help = "how long a picture is kept; empty: for ever" },
	{ "max_bytes", K_BYTES, AT(files.max_bytes), "10GB", 0, INT64_MAX,
	  .help = "of all pictures together, thumbnails aside; the oldest go first beyond it; 0: no limit" },
	{ "prune_every", K_DURATION, AT(files.prune_every_ms), "1h", 0, DAY,
	  .help = "how often `easel serve` runs `easel files prune`; empty: never" },
};

static const struct row limits_rows[] = {
	{ "requests_per_minute", K_INT, AT(limits.requests_per_minute), "120", 0, MANY,
	  .help = "per key, on the routes that can spend, over all machines of a store; 0: no limit" },
	{ "concurrent", K_INT, AT(limits.concurrent), "1024", 0, MANY,
	  .help = "requests at once per key, counted like those; 0: no limit" },
	{ "images_per_day", K_INT, AT(limits.images_per_day), "0", 0, MANY,
	  .help = "per key, counted like those; 0: no limit" },
	{ "queue_length", K_INT, AT(limits.queue_length), "10000", 0, MANY,
	  .help = "tasks that wait, in the whole installation; 0: no limit" },
	{ "json_bytes", K_BYTES, AT(limits.json_bytes), "32MB", 0, TB, .flags = ROW_ZERO_IS_MAX,
	  .help = "of a JSON body, pictures as data URLs included; 0: no limit; that of a login is 64 KB at most" },
	{ "upload_bytes", K_BYTES, AT(limits.upload_bytes), "200MB", 0, TB, .flags = ROW_ZERO_IS_MAX,
	  .help = "of a multipart body; 0: no limit" },
	{ "image_bytes", K_BYTES, AT(limits.image_bytes), "50MB", 0, TB, .flags = ROW_ZERO_IS_MAX,
	  .help = "of one picture, in or out; 0: no limit" },
	{ "image_pixels", K_INT, AT(limits.image_pixels), "67108864", 0, TB, .flags = ROW_ZERO_IS_MAX,
	  .help = "of one picture, width times height; 0: no limit" },
};

static const struct row deadline_rows[] = {
	{ "profile", K_STRING, AT(deadline.profile), .words = profile_words,
	  .help = "a platform whose time limit, less one second, is the ceiling of each request's deadline below, "
		  "and whose largest body that of a request's; chat_idle, task_run and grace stay as they are" },
	{ "images_generations", K_DURATION, AT(deadline.images_generations_ms), "120s", 1, DAY,
	  .help = "the whole of POST /v1/images/generations" },
	{ "images_edits", K_DURATION, AT(deadline.images_edits_ms), "120s", 1, DAY,
	  .help = "the whole of POST /v1/images/edits" },
	{ "chat_completions", K_DURATION, AT(deadline.chat_completions_ms), "300s", 1, DAY,
	  .help = "the whole of POST /v1/chat/completions" },
	{ "chat_idle", K_DURATION, AT(deadline.chat_idle_ms), "60s", 0, DAY,
	  .help = "chat that is passed through: how long a provider may send nothing; empty: no limit" },
	{ "login", K_DURATION, AT(deadline.login_ms), "10s", 1, DAY, .help = "the whole of /login" },
	{ "task_create", K_DURATION, AT(deadline.task_create_ms), "5s", 1, DAY,
	  .help = "taking a task in" },
	{ "task_status", K_DURATION, AT(deadline.task_status_ms), "5s", 1, DAY,
	  .help = "reading a task" },
	{ "task_run", K_DURATION, AT(deadline.task_run_ms), "600s", 1, DAY,
	  .help = "one run of a task, every attempt included; what its provider has accepted by then has `grace` too" },
	{ "grace", K_DURATION, AT(deadline.grace_ms), "600s", 0, DAY,
	  .help = "how long work already sent to a provider may outlive its request" },
};

#define P(field) offsetof(struct process_conf, field)
static const struct row process_rows[] = {
	{ "max_requests", K_INT, P(max_requests), "10000", 0, MANY,
	  .help = "a process retires after so many requests; 0: never" },
	{ "max_age", K_DURATION, P(max_age_ms), "1h", 0, YEARS,
	  .help = "a process retires at this age; empty: never" },
	{ "idle_exit", K_DURATION, P(idle_exit_ms), "", 0, YEARS,
	  .help = "a process without requests ends after this time; empty: never" },
	{ "workers", K_INT, P(workers), "2", 1, PROCESS_WORKERS_MAX, .help = "processes per program" },
	{ "max_in_flight", K_INT, P(max_in_flight), "1024", 1, 65536,
	  .help = "requests at once per process; beyond it a short queue, then 503" },
	{ "drain", K_DURATION, P(drain_ms), "30s", 0, DAY,
	  .help = "on SIGTERM: how long requests in hand are waited for; then they are answered 503 with task_id" },
};
#undef P

/* Names that say it.  "*-all" of the relays is left out: such models write, too. */
#define IMAGE_MODEL_PATTERNS                                                                       \
	"gpt-image*, chatgpt-image*, dall-e*, *4o-image*, sora_image*, *flash-image*, *pro-image*, " \
	"*nano-banana*, imagen*, qwen-image*, qwen/qwen-image*, wan*-t2i*, z-image*, *z-image-turbo*, " \
	"tongyi-mai/z-image*, flux*, black-forest-labs/*, musepublic/*, mailand/*, *seedream*, "         \
	"stable-diffusion*, grok-imagine*"

static const struct row defaults_rows[] = {
	{ "image_model", K_STRING, AT(defaults.image_model), PREVIEW_MODEL, .wrong = wrong_empty,
	  .help = "for requests that name none; not set: the first image model there is" },
	{ "chat_model", K_STRING, AT(defaults.chat_model),
	  .help = "for chat requests that name none; empty: they must" },
	{ "image_model_patterns", K_LIST, AT(defaults.image_model_patterns), IMAGE_MODEL_PATTERNS,
	  .wrong = wrong_empty,
	  .help = "chat: models that are not configured and whose name is like one of these make pictures; "
	          "* and ?, upper and lower case alike" },
	{ "provider_models", K_BOOL, AT(defaults.provider_models), "true",
	  .help = "chat: also takes the models that are not configured but that a provider of the dialect "
	          "openai lists" },
};

static const struct row image_rows[] = {
	{ "image_ws", K_BOOL, AT(image.image_ws), "true",
	  .help = "grok: true makes pictures over the WebSocket, false over HTTP" },
	{ "image_ws_nsfw", K_BOOL, AT(image.image_ws_nsfw), "false",
	  .help = "grok: asks the WebSocket for NSFW pictures too" },
};

static const struct row log_rows[] = {
	{ "level", K_ENUM, AT(log.level), "info", .words = level_words,
	  .help = "the least important lines that are written" },
	{ "format", K_ENUM, AT(log.format), "text", .words = format_words, .help = "of a line" },
	{ "prompts", K_ENUM, AT(log.prompts), "clip", .words = prompts_words,
	  .help = "how prompts appear in the log: not, as a hash, 50 characters of them, whole" },
};

#define P(field) offsetof(struct provider_conf, field)
#define IS(d)    (1u << DIALECT_##d)
#define BY_KEY   (IS(OPENAI) | IS(MODELSCOPE) | IS(GROK))
#define BY_TOKEN (IS(GROK) | IS(NOVELAI))
#define BY_NET   (BY_KEY | BY_TOKEN)
static const struct row provider_rows[] = {
	{ "dialect", K_ENUM, P(dialect), .flags = ROW_REQUIRED, .words = dialect_words,
	  .help = "which API it speaks" },
	{ "base_url", K_STRING, P(base_url), .flags = ROW_URL, .dialects = BY_NET,
	  .wrong = wrong_http_url, .help = "where it is; empty: the dialect's own address" },
	{ "ws_url", K_STRING, P(ws_url), .flags = ROW_URL, .dialects = IS(GROK),
	  .wrong = wrong_ws_url, .help = "grok: the WebSocket's address" },
	{ "assets_url", K_STRING, P(assets_url), .flags = ROW_URL, .dialects = IS(GROK),
	  .wrong = wrong_http_url, .help = "grok: base of relative picture paths" },
	{ "api_key", K_SECRET, P(api_keys), .flags = ROW_ONE, .dialects = BY_KEY,
	  .help = "the credential; needed by openai and modelscope; grok: of xAI's API, with a base_url "
	          "that ends in /v1" },
	{ "api_keys", K_SECRETS, P(api_keys), .dialects = BY_KEY,
	  .help = "several: the next one on 429, quota or a refused key" },
	{ "token", K_SECRET, P(tokens), .flags = ROW_ONE, .dialects = BY_TOKEN,
	  .help = "the credential of grok.com's page and of novelai" },
	{ "tokens", K_SECRETS, P(tokens), .dialects = IS(GROK),
	  .help = "grok: several; the next one on 429, quota or a refused token" },
	{ "email", K_SECRET, P(email), .dialects = IS(NOVELAI),
	  .help = "novelai: with password, instead of a token" },
	{ "password", K_SECRET, P(password), .dialects = IS(NOVELAI), .help = "novelai: see email" },
	{ "proxy", K_STRING, P(proxy), .flags = ROW_HIDE | ROW_FILE, .dialects = BY_NET,
	  .wrong = wrong_proxy,
	  .help = "http:// or socks5h:// URL; empty: none, the environment's proxies are ignored" },
	{ "concurrency", K_INT, P(concurrency), "0", 0, 65536,
	  .help = "at once per credential, in the whole installation, with Redis over all machines; "
	          "0: no limit; not set: 1 for modelscope and novelai" },
	{ "connect_timeout", K_DURATION, P(connect_timeout_ms), "10s", 1, HOUR, .dialects = BY_NET,
	  .help = "for name, connection and TLS" },
};
#undef P

#define M(field) offsetof(struct model_conf, field)
static const struct row model_rows[] = {
	{ "provider", K_STRING, M(provider), .flags = ROW_REQUIRED, .wrong = wrong_empty,
	  .help = "a name of [providers]" },
	{ "type", K_ENUM, M(type), "image", .words = type_words, .help = "what it makes" },
	{ "via", K_ENUM, M(via), "images", .words = via_words,
	  .help = "image models: which of the provider's APIs makes the pictures; chat: its chat completions" },
	{ "upstream_model", K_STRING, M(upstream_model),
	  .help = "the provider's name for it; empty: the same" },
	{ "fallback", K_LIST, M(fallback), .wrong = wrong_empty,
	  .help = "models to try in order, only while nothing was bought" },
	{ "degrade", K_LIST, M(degrade), .wrong = wrong_degrade,
	  .help = "\"parameter=value\" to ask for less, when time is short" },
	{ "aliases", K_LIST, M(aliases), .wrong = wrong_model_id, .help = "other names for it" },
	{ "price", K_NUMBER, M(price), "0.0", .help = "per image; shown, never guessed" },
};
#undef M

#define FIXED(title, rows_, about) { title, SECTION_FIXED, rows_, COUNT(rows_), 0, about }
const struct section sections[] = {
	FIXED("server", server_rows, "The front door."),
	FIXED("auth", auth_rows, "Who may come in."),
	FIXED("store", store_rows, "Where keys and jobs are kept."),
	FIXED("files", files_rows, "Where pictures are kept."),
	FIXED("limits", limits_rows, "How much is taken in. 0 = none."),
	FIXED("deadline", deadline_rows,
	      "The whole request: queue, every attempt, body, hosting."),
	{ "process", SECTION_FIXED, process_rows, COUNT(process_rows), AT(process),
	  "How long the programs live." },
	FIXED("defaults", defaults_rows, "What a request gets that does not say."),
	FIXED("image", image_rows, "The grok dialect's switches."),
	FIXED("log", log_rows, "What standard error says."),
	{ "process", SECTION_PROGRAM, process_rows, COUNT(process_rows), sizeof(struct process_conf),
	  "The same for one program; what is not set is as in [process]." },
	{ "providers", SECTION_PROVIDER, provider_rows, COUNT(provider_rows),
	  sizeof(struct provider_conf), "Those who make the pictures." },
	{ "models", SECTION_MODEL, model_rows, COUNT(model_rows), sizeof(struct model_conf),
	  "The models there are, in the order in which they are shown." },
};
const size_t nsections = COUNT(sections);

const struct convention_row conventions[] = {
	{ "OPENAI_API_KEY", true, "a provider openai, when none is configured" },
	{ "OPENAI_BASE_URL", false, "its address; default https://api.openai.com/v1" },
	{ "OPENAI_IMAGE_MODEL", false, "its image model; default gpt-image-1" },
	{ "OPENAI_CHAT_MODEL", false, "its chat model; default none" },
	{ "MODELSCOPE_API_KEY", true, "a provider modelscope, when none is configured" },
	{ "XAI_API_KEY", true, "a provider xai (dialect grok), when none is configured" },
	{ "NOVELAI_TOKEN", true, "a provider novelai, when none is configured" },
	{ "OPENAI_MODEL", false, "never read; setting it gives a warning" },
	{ NULL, false, NULL },
};
/* clang-format on */
