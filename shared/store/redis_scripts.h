#ifndef EASEL_STORE_REDIS_SCRIPTS_H
#define EASEL_STORE_REDIS_SCRIPTS_H
/*
 * redis_scripts - what happens in Redis at once, or not at all
 *
 * Each is Lua that runs there.  They take no KEYS: what they touch follows from what they find, so that a
 * Redis Cluster is no place for them; one primary is.  Everything is below "easel:".
 *
 *	task:ID             hash: a task's fields, and seq, its place in the order of adding
 *	tasks, tasks:OWNER  sorted by seq
 *	lane:LANE           the queued tasks of a lane, by seq; "lane:" those without one
 *	running             hash: lane → how many run in it
 *	ready               what may be claimed, by the time it is due; the members begin with seq
 *	leases              what runs, by the end of its lease
 *	counts              hash: status → how many
 *	expires, callbacks  ended tasks, by when they are removed, by when their webhook is due
 *	gone:ID             owner of a removed task
 *	wake:0, wake:1      enum task_wait's counters
 *	idem:REQUEST        hash: a record's fields, and same, the name of the set that it is in
 *	idem-key:OWNER:KEY  the request with that key
 *	idem-same:OWNER:HASH  those without one that asked for the same, by when they expire
 *	key:ID key-hash:H keys · job:ID jobs · user:ID user-email:E users · session:H user-sessions:ID
 *	lockout:SUBJECT · usage:DAY usage-days · picture:ID pictures pictures:OWNER pictures-made picture-bytes
 *	limit-minute:KEY    when its bucket of requests is full again, in microseconds
 *	limit-held:KEY      MACHINE/PROCESS/N of its requests in hand, by when they lapse
 *	limit-images:DAY:KEY  hash: n, its pictures of that day; and those of each request in hand
 *	slot:KEY:PROVIDER   who holds a slot, by the end of its lease
 *	slot-line:PROVIDER  who waits, by ticket; slot-queue:KEY:PROVIDER those of them who want that key
 *	slot-seen:PROVIDER  the same, by when they no longer count; slot-wants:PROVIDER hash: who → the keys
 *	slot-tickets, slot-last: given out so far, when one was last waited for
 *	seq, schema
 */
#include "store/redis_conn.h"

enum redis_script_name {
	SCRIPT_KEY_ADD,
	SCRIPT_KEY_GET,
	SCRIPT_KEY_REVOKE,
	SCRIPT_JOB_ADD,
	SCRIPT_EACH,
	SCRIPT_TASK_ADD,
	SCRIPT_TASK_GET,
	SCRIPT_TASK_CLAIM,
	SCRIPT_TASK_RENEW,
	SCRIPT_TASK_ADVANCE,
	SCRIPT_TASK_FINISH,
	SCRIPT_TASK_REQUEUE,
	SCRIPT_TASK_CANCEL,
	SCRIPT_TASK_POSITION,
	SCRIPT_TASK_CALLBACK,
	SCRIPT_TASK_CALLBACK_DONE,
	SCRIPT_LIST,
	SCRIPT_PRUNE,
	SCRIPT_TASK_REBUILD,
	SCRIPT_IDEM_BEGIN,
	SCRIPT_IDEM_BY_KEY,
	SCRIPT_IDEM_BY_BODY,
	SCRIPT_IDEM_SET,
	SCRIPT_IDEM_DROP,
	SCRIPT_USER_ADD,
	SCRIPT_USER_GET,
	SCRIPT_USER_SET,
	SCRIPT_SESSION_ADD,
	SCRIPT_SESSION_GET,
	SCRIPT_SESSION_REVOKE,
	SCRIPT_LOCKOUT_FAIL,
	SCRIPT_USAGE_SUM,
	SCRIPT_PICTURE_ADD,
	SCRIPT_PICTURE_DELETE,
	SCRIPT_PICTURE_OLDEST,
	SCRIPT_LIMIT_TAKE,
	SCRIPT_LIMIT_IMAGES,
	SCRIPT_LIMIT_KEEP,
	SCRIPT_LIMIT_GIVE,
	SCRIPT_LIMIT_HOLDERS,
	SCRIPT_LIMIT_BURY,
	SCRIPT_SLOT_TAKE,
	SCRIPT_SLOT_RENEW,
	SCRIPT_SLOT_DONE,
	SCRIPT_SLOT_BURY,
	SCRIPT__MAX
};

/* A script, ready to run; NULL: out of memory. */
const struct redis_script *redis_script(enum redis_script_name name);

/* For redis_scripts.c: bodies that are in files of their own. */
extern const char redis_task_prelude[], redis_idem_prelude[];
extern const char redis_task_add[];
extern const char redis_task_get[];
extern const char redis_task_claim[];
extern const char redis_task_renew[];
extern const char redis_task_advance[];
extern const char redis_task_finish[];
extern const char redis_task_requeue[];
extern const char redis_task_cancel[];
extern const char redis_task_position[];
extern const char redis_task_callback[];
extern const char redis_task_callback_done[];
extern const char redis_prune[];
extern const char redis_task_rebuild[];
extern const char redis_limit_prelude[];
extern const char redis_limit_take[];
extern const char redis_limit_images[];
extern const char redis_limit_keep[];
extern const char redis_limit_give[];
extern const char redis_limit_holders[];
extern const char redis_limit_bury[];
extern const char redis_slot_prelude[], redis_slot_take[], redis_slot_renew[], redis_slot_done[], redis_slot_bury[];

#endif
