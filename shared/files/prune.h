#ifndef EASEL_FILES_PRUNE_H
#define EASEL_FILES_PRUNE_H
/*
 * prune - removes pictures that are too old or too many, and what nobody needs any more
 *
 * Pictures with a record go by their age ([files] keep), then the oldest until all pictures together are no more
 * than max_bytes (thumbnails do not count: they are some hundredths of their pictures).  Pictures without a record (their process was killed, or a store was lost) were paid for all
 * the same: they are kept as long as others, by their file's time, but go first when there is too much.  A stray
 * younger than stray_ms may be about to get its record and is never touched.  Thumbnails of pictures that are gone and
 * temporary files go after FILE_LEFTOVER_MS.  Files that are none of ours are never touched.
 *
 * The record goes before its file: dying in between leaves a file without a record.  One at a time: that is
 * the caller's to see to.  Does not log.
 */
#include "files/inventory.h"

#define PRUNE_STEP_MS 30000 /* for one step in the store */

struct prune_rules {
	int64_t now_ms;    /* wall clock */
	int64_t keep_ms;   /* 0: for ever */
	int64_t max_bytes; /* 0: no limit */
	int64_t stray_ms;
	bool dry_run;
};

struct prune_report {
	uint64_t by_age, by_size; /* pictures with a record that are removed */
	uint64_t strays;          /* pictures without one */
	uint64_t thumbnails, temporary; /* that belonged to nothing */
	int64_t bytes;            /* of all of them, thumbnails of removed pictures aside */
	uint64_t records;         /* of the store: tasks, sessions, …; 0 in a dry run */
};

/* 0, or -1 when it did not come to its end; *report is then what was done so far. */
int prune(struct filestore *fs, struct store *s, const struct prune_rules *rules,
	  struct prune_report *report, struct err *e);

#endif
