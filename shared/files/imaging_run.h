#ifndef EASEL_FILES_IMAGING_RUN_H
#define EASEL_FILES_IMAGING_RUN_H
/*
 * imaging_run - one run of the helper program, from its start to the picture it made
 *
 * Private to files/imaging.c.
 */
#include <jansson.h>
#include <sys/types.h>

#include "files/imaging.h"

struct imaging_run {
	json_t *order;     /* the run's, whatever comes of it; NULL: out of memory */
	int in;            /* borrowed; -1: none */
	const char *doing; /* for people: "the picture was being drawn" */
	const char *stage;
	bool bought; /* the picture that this is about has been paid for */

	/* Its own; at first 0, -1, -1. */
	pid_t pid;    /* 0: not running */
	int out, why; /* a pipe's reading end; a memory file */
};

/* Where the picture goes: one of `stored` and `source`, the other is NULL. */
struct imaging_result {
	struct picture *stored;
	const struct picture *of; /* `stored` is this one's thumbnail; NULL: it is a picture */
	struct source *source;
};

/* 0 or -1: see imaging.h. */
int imaging_run(struct imaging_run *r, struct filestore *fs, const struct imaging_result *out,
		const struct deadline *d, struct err *e);

/* Always -1: adds the run's stage, and whether it is about something paid for, to *e. */
int imaging_failed(const struct imaging_run *r, struct err *e);

#endif
