#include "store/sqlite_store.h"

/*
 * The schema, one step a version.  A step never changes once it was released, and does no harm when it
 * runs again over its own result.  Times are wall-clock milliseconds, 0 for "not".
 *
 * tasks.ready is 1 for those that may be claimed as soon as they are due: queued, and the first of their
 * lane.  So a claim reads one entry of an index, however many are queued.  task_counts is kept by triggers:
 * counting would read them all.
 */
static const char *const steps[] = {
	"CREATE TABLE IF NOT EXISTS keys ("
	" id TEXT PRIMARY KEY, name TEXT NOT NULL, hash BLOB NOT NULL UNIQUE,"
	" scopes INTEGER NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,"
	" revoked_ms INTEGER NOT NULL, hint TEXT NOT NULL);"
	"CREATE TABLE IF NOT EXISTS jobs ("
	" id TEXT PRIMARY KEY, request_id TEXT NOT NULL, key_id TEXT NOT NULL,"
	" program TEXT NOT NULL, model TEXT NOT NULL, provider TEXT NOT NULL,"
	" stage TEXT NOT NULL, outcome TEXT NOT NULL, upstream_id TEXT NOT NULL,"
	" created_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL);"
	"CREATE INDEX IF NOT EXISTS jobs_created ON jobs (created_ms);",
	"CREATE TABLE IF NOT EXISTS tasks (seq INTEGER PRIMARY KEY, "
	"id TEXT NOT NULL, request_id TEXT NOT NULL, owner TEXT NOT NULL, "
	"lane TEXT NOT NULL, model TEXT NOT NULL, provider TEXT NOT NULL, "
	"stage TEXT NOT NULL, upstream_id TEXT NOT NULL, worker TEXT NOT NULL, "
	"status INTEGER NOT NULL, dispatched INTEGER NOT NULL, "
	"cancel_requested INTEGER NOT NULL, attempts INTEGER NOT NULL, "
	"created_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL, "
	"ended_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL, "
	"expires_ms INTEGER NOT NULL, lease_until_ms INTEGER NOT NULL, "
	"fence INTEGER NOT NULL, callback_due_ms INTEGER NOT NULL, "
	"callback_tries INTEGER NOT NULL, request TEXT NOT NULL, input TEXT NOT NULL, "
	"history TEXT NOT NULL, progress TEXT NOT NULL, result TEXT NOT NULL, "
	"error TEXT NOT NULL, callback TEXT NOT NULL, secret BLOB NOT NULL"
	", ready INTEGER NOT NULL, UNIQUE (id));"
	"CREATE INDEX IF NOT EXISTS tasks_owner ON tasks (owner);"
	"CREATE INDEX IF NOT EXISTS tasks_lane ON tasks (lane, seq, status) WHERE status<3;"
	"CREATE INDEX IF NOT EXISTS tasks_ready ON tasks (due_ms) WHERE ready=1;"
	"CREATE INDEX IF NOT EXISTS tasks_lease ON tasks (lease_until_ms) WHERE status=1;"
	"CREATE INDEX IF NOT EXISTS tasks_expires ON tasks (expires_ms) WHERE status>=3 AND "
	"expires_ms>0;"
	"CREATE INDEX IF NOT EXISTS tasks_callback ON tasks (callback_due_ms) WHERE "
	"callback_due_ms>0;"
	"CREATE TABLE IF NOT EXISTS task_counts (status INTEGER PRIMARY KEY, n INTEGER NOT NULL);"
	"INSERT OR REPLACE INTO task_counts (status, n)"
	" SELECT column1, (SELECT count(*) FROM tasks WHERE status=column1)"
	" FROM (VALUES (0),(1),(2),(3),(4),(5));"
	"CREATE TRIGGER IF NOT EXISTS tasks_added AFTER INSERT ON tasks BEGIN"
	" UPDATE task_counts SET n=n+1 WHERE status=NEW.status; END;"
	"CREATE TRIGGER IF NOT EXISTS tasks_moved AFTER UPDATE OF status ON tasks"
	" WHEN OLD.status<>NEW.status BEGIN"
	" UPDATE task_counts SET n=n-1 WHERE status=OLD.status;"
	" UPDATE task_counts SET n=n+1 WHERE status=NEW.status; END;"
	"CREATE TRIGGER IF NOT EXISTS tasks_removed AFTER DELETE ON tasks BEGIN"
	" UPDATE task_counts SET n=n-1 WHERE status=OLD.status; END;"
	"CREATE TABLE IF NOT EXISTS gone (id TEXT PRIMARY KEY, owner TEXT NOT NULL,"
	" until_ms INTEGER NOT NULL);"
	"CREATE INDEX IF NOT EXISTS gone_until ON gone (until_ms);"
	"CREATE TABLE IF NOT EXISTS idem (n INTEGER PRIMARY KEY, "
	"owner TEXT NOT NULL, key TEXT NOT NULL, hash BLOB NOT NULL, "
	"request_id TEXT NOT NULL, task_id TEXT NOT NULL, done INTEGER NOT NULL, "
	"status INTEGER NOT NULL, created_ms INTEGER NOT NULL, "
	"expires_ms INTEGER NOT NULL, answer TEXT NOT NULL"
	", UNIQUE (request_id));"
	"CREATE UNIQUE INDEX IF NOT EXISTS idem_key ON idem (owner, key) WHERE key<>'';"
	"CREATE INDEX IF NOT EXISTS idem_body ON idem (owner, hash, expires_ms) WHERE key='';"
	"CREATE INDEX IF NOT EXISTS idem_expires ON idem (expires_ms);"
	"CREATE TABLE IF NOT EXISTS users ("
	"id TEXT NOT NULL, email TEXT NOT NULL, role INTEGER NOT NULL, "
	"password TEXT NOT NULL, disabled INTEGER NOT NULL, created_ms INTEGER NOT NULL"
	", PRIMARY KEY (id), UNIQUE (email));"
	"CREATE TABLE IF NOT EXISTS sessions ("
	"hash BLOB NOT NULL, user_id TEXT NOT NULL, created_ms INTEGER NOT NULL, "
	"expires_ms INTEGER NOT NULL, revoked_ms INTEGER NOT NULL"
	", PRIMARY KEY (hash));"
	"CREATE INDEX IF NOT EXISTS sessions_user ON sessions (user_id);"
	"CREATE INDEX IF NOT EXISTS sessions_expires ON sessions (expires_ms);"
	"CREATE TABLE IF NOT EXISTS lockouts (subject TEXT PRIMARY KEY, count INTEGER NOT NULL,"
	" until_ms INTEGER NOT NULL, forget_at_ms INTEGER NOT NULL);"
	"CREATE INDEX IF NOT EXISTS lockouts_forget ON lockouts (forget_at_ms);"
	"CREATE TABLE IF NOT EXISTS usage ("
	"day TEXT NOT NULL, key_id TEXT NOT NULL, model TEXT NOT NULL, "
	"requests INTEGER NOT NULL, pictures INTEGER NOT NULL, "
	"price_micro INTEGER NOT NULL"
	", PRIMARY KEY (day, key_id, model));"
	"CREATE TABLE IF NOT EXISTS pictures (seq INTEGER PRIMARY KEY, "
	"id TEXT NOT NULL, owner TEXT NOT NULL, request_id TEXT NOT NULL, "
	"task_id TEXT NOT NULL, type TEXT NOT NULL, size TEXT NOT NULL, "
	"model TEXT NOT NULL, provider TEXT NOT NULL, file TEXT NOT NULL, "
	"created_ms INTEGER NOT NULL, bytes INTEGER NOT NULL, seed INTEGER NOT NULL, "
	"prompt TEXT NOT NULL, parameters TEXT NOT NULL, receipt TEXT NOT NULL"
	", UNIQUE (id));"
	"CREATE INDEX IF NOT EXISTS pictures_owner ON pictures (owner, created_ms);"
	"CREATE INDEX IF NOT EXISTS pictures_created ON pictures (created_ms);",
};

static const struct schema_table tables[] = {
	{ "keys", KEY_COLUMNS },
	{ "jobs", JOB_COLUMNS },
	{ "tasks", "seq, " TASK_COLUMNS ", ready" },
	{ "task_counts", "status, n" },
	{ "gone", "id, owner, until_ms" },
	{ "idem", "n, " IDEM_COLUMNS },
	{ "users", USER_COLUMNS },
	{ "sessions", SESSION_COLUMNS },
	{ "lockouts", "subject, count, until_ms, forget_at_ms" },
	{ "usage", USAGE_COLUMNS },
	{ "pictures", "seq, " PICTURE_COLUMNS },
	{ NULL, NULL },
};

const struct schema sqlite_schema = {
	.steps = steps,
	.version = sizeof(steps) / sizeof(*steps),
	.tables = tables,
};
