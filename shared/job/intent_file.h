#ifndef EASEL_JOB_INTENT_FILE_H
#define EASEL_JOB_INTENT_FILE_H
/*
 * intent_file - the file that intents lie in (job/intent.h): who writes it is intent.c, who finds it
 * intent_lost.c and intent_search.c
 *
 * Private to those three.
 */
#include <stdatomic.h>

#include "job/intent.h"

/*
 * The file: a header, then the slots, each some whole cache lines so that two threads never write the same one, then
 * the slots' pictures, apart from what a request touches while it waits.  Another version of Easel may find it after an
 * upgrade: the header says what it is, and the fields of a slot keep their places as long as
 * INTENT_FILE_VERSION stays.
 */
#define INTENT_FOLDER       "intent"
#define INTENT_FILE_MAGIC   0x746e65746e49736cU
#define INTENT_FILE_VERSION 5
#define CACHE_LINE          64
#define INTENT_SLOTS_MAX    65536

struct intent_header {
	uint64_t magic;
	uint32_t version, slot_bytes, slots, pid;
	char program[32];
	_Atomic uint32_t used; /* slots beyond it have never been taken */
} __attribute__((aligned(2 * CACHE_LINE)));

struct intent {
	/* Written last and with release: whoever reads a stage reads whole fields. */
	_Atomic uint32_t stage;
	_Atomic uint32_t sent; /* enum intent_sent */
	int64_t created_ms;
	char request_id[40];
	char key_id[32];
	char model[128];
	char provider[64];
	char upstream_id[96];
	int64_t fence;
	char task_id[40];
	uint32_t hashed;
	unsigned char hash[INTENT_HASH_BYTES];
	char credential[12];
	/* Of its struct intent_rest: */
	_Atomic uint32_t nmade;
	uint32_t ncame; /* when the name came */
	uint32_t nrest; /* when it went */
	uint32_t is_remnant;
	uint32_t is_asked;
} __attribute__((aligned(CACHE_LINE)));

/* What else is known of the slot with the same number; no page of it is there before something is. */
struct intent_rest {
	char asked[INTENT_REQUEST_TEXT];
	struct picture came[INTENT_CAME_MAX];
	struct picture made[INTENT_MADE_MAX];
	char made_request[INTENT_REQUEST_TEXT];
} __attribute__((aligned(CACHE_LINE)));

/* Is the file that `fd` is still the one under this name? */
bool intent_is_current(int dir, const char *name, int fd);
/* Nothing of it has left, if its process is dead. */
bool intent_is_unsent(const struct intent *i, uint32_t stage);
/* A text that is cut where it does not fit. */
void intent_put(char *to, size_t size, const char *text);

#endif
