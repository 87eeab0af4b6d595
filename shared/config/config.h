#ifndef EASEL_CONFIG_CONFIG_H
#define EASEL_CONFIG_CONFIG_H
/*
 * config - every setting of an installation, read once at start
 *
 * Sources, the later wins: the default in the table of rows (config/rows.c), the TOML file, the
 * environment (EASEL_SERVER_LISTEN, EASEL_PROVIDERS_MODELSCOPE_API_KEY), the conventional variables
 * (OPENAI_API_KEY, …) for a provider that no file names.  A program that `easel serve` starts does not
 * read them again: it finds the effective values in the sealed memory file whose descriptor is in
 * EASEL_CONFIG_FD, so that no secret is in its environment.
 *
 * A struct config never changes after config_load(); any number of threads may read it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"

enum dialect {
	DIALECT_OPENAI,
	DIALECT_MODELSCOPE,
	DIALECT_GROK,
	DIALECT_NOVELAI,
	DIALECT_PREVIEW,
	DIALECT__MAX
};

enum model_type { MODEL_IMAGE, MODEL_CHAT };
/* Which of its provider's APIs makes a model's pictures. */
enum model_via { VIA_IMAGES, VIA_CHAT };
enum log_level { LEVEL_ERROR, LEVEL_WARN, LEVEL_INFO, LEVEL_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };
enum log_prompts { PROMPTS_NONE, PROMPTS_HASH, PROMPTS_CLIP, PROMPTS_FULL };

struct strings {
	char **v;
	size_t n;
};

struct provider_conf {
	char *name;
	enum dialect dialect;
	char *base_url, *ws_url, *assets_url; /* without a trailing slash */
	struct strings api_keys;              /* api_key or api_keys; secrets */
	struct strings tokens;                /* token or tokens; secrets */
	char *email, *password;               /* secrets */
	char *proxy;
	int64_t concurrency; /* 0: no limit */
	int64_t connect_timeout_ms;
};

struct model_conf {
	char *id;
	char *provider;                            /* a provider's name */
	const struct provider_conf *provider_conf; /* the same, resolved; never NULL */
	enum model_type type;
	enum model_via via;   /* of an image model */
	char *upstream_model; /* never empty: the id where none is set */
	struct strings fallback, degrade, aliases;
	double price;
};

/*
 * Every program, which [process.NAME] can be about and `easel serve` starts where it is there, in the
 * order in which they start: what "ready" waits for comes first.
 */
#define NPROGRAMS 12
extern const char *const program_names[NPROGRAMS];

#define PROCESS_WORKERS_MAX 64 /* of one program */

/* [process] and its [process.NAME] overrides, already merged. */
struct process_conf {
	int64_t max_requests, max_age_ms, idle_exit_ms; /* 0: never */
	int64_t workers;                                /* at most PROCESS_WORKERS_MAX */
	int64_t max_in_flight, drain_ms;
};

struct config {
	char *file;      /* the TOML file, "" when there is none */
	char *state_dir; /* absolute */
	struct {
		char *listen, *public_url, *tls_certificate, *tls_key;
		struct strings trusted_proxies, cors_origins;
		int64_t stream_keep_alive_ms;
	} server;
	struct {
		bool required;
		int64_t session_ttl_ms;
	} auth;
	struct {
		char *url;
		int64_t keep_tasks_ms, task_lease_ms;
	} store;
	struct {
		char *url;
		int64_t keep_ms, max_bytes, prune_every_ms;
	} files;
	struct {
		int64_t requests_per_minute, concurrent, images_per_day, queue_length;
		/* These are never 0: "none" is a very large number. */
		int64_t json_bytes, upload_bytes, image_bytes, image_pixels;
	} limits;
	struct {
		char *profile;
		int64_t images_generations_ms, images_edits_ms, chat_completions_ms, login_ms;
		int64_t task_create_ms, task_status_ms, task_run_ms, grace_ms;
		int64_t chat_idle_ms;
	} deadline;
	struct process_conf process; /* the common values; use config_process() */
	struct {
		char *image_model, *chat_model;
		struct strings image_model_patterns;
		bool provider_models;
	} defaults;
	struct image_conf {
		bool image_ws, image_ws_nsfw;
	} image;
	struct {
		enum log_level level;
		enum log_format format;
		enum log_prompts prompts;
	} log;
	struct provider_conf *providers;
	size_t nproviders;
	struct model_conf *models; /* in the order they are shown: as configured */
	size_t nmodels;
	struct strings warnings; /* said at start and by `config check`: OPENAI_MODEL is set, … */
	void *rest;              /* config.c's own: origins, [process.NAME] */
};

/*
 * Finds and reads the configuration.  `file` is the --config argument or NULL; then EASEL_CONFIG_FD,
 * $EASEL_CONFIG, ./easel.toml, /etc/easel/easel.toml, else defaults and the environment alone.
 *
 * 0: *out is the caller's, to be freed with config_free().
 * -1: ERR_CONFIG; every problem, one a line as "file:line: …", is added to *problems.
 */
int config_load(const char *file, struct config **out, struct buf *problems, struct err *e);
void config_free(struct config *c);
DEFINE_FREEP(config);

/* The values for one program.  Borrowed nothing: a copy. */
struct process_conf config_process(const struct config *c, const char *program);

/* The model with that id or alias, or NULL. */
const struct model_conf *config_model(const struct config *c, const char *id);
/* The provider with that name, or NULL. */
const struct provider_conf *config_provider(const struct config *c, const char *name);
/* Of the dialect grok: is it xAI's official API?  Its keys are no tokens of grok.com's page. */
bool config_grok_is_official(const struct provider_conf *p);
/* The model id or alias nearest to `id` (edit distance <= 3, at most a third of it), or NULL. */
const char *config_nearest_model(const struct config *c, const char *id);
const char *config_dialect_name(enum dialect d);
/* Where a dialect's service is when no base_url says otherwise; "" for one without. */
const char *config_dialect_base_url(enum dialect d);

/* What the platform of [deadline] profile allows. */
struct profile {
	const char *name;
	int64_t limit_ms;   /* of a request; our ceiling is one second less */
	int64_t body_bytes; /* 0: not known */
};
/* NULL when none is set. */
const struct profile *config_profile(const struct config *c);
/* A deadline's length, and the largest body, as far as the profile allows them. */
int64_t config_ceiling_ms(const struct config *c, int64_t ms);
int64_t config_ceiling_bytes(const struct config *c, int64_t bytes);

/*
 * The effective values in a sealed memfd (close-on-exec off), for EASEL_CONFIG_FD of a child.
 * The descriptor, or -1 with *e.
 */
int config_snapshot(const struct config *c, struct err *e);

/*
 * Overwrites, in this process's environment block, the values of every variable that holds a secret
 * (the ones the configuration took a secret from, and the conventional ones), so that
 * /proc/PID/environ shows none.  Call once, after config_load(), while single-threaded.
 */
void config_wipe_environment(const struct config *c);

/* `easel config show`: every effective value, secrets masked; with origins when asked. */
void config_show(const struct config *c, bool origin, bool json, FILE *out);
/* The settings table, for --help of a program (its sections only; NULL: all) and the docs. */
void config_help(FILE *out, const char *const *sections);
void config_reference_markdown(FILE *out);

#endif
