#ifndef EASEL_FILES_INVENTORY_H
#define EASEL_FILES_INVENTORY_H
/*
 * inventory - the records of pictures beside what lies in the folder
 *
 * For tidying up and checking.  The records are read first, so that a picture that comes meanwhile is a file
 * without a record, and young, rather than a record without its file.  Some 60 bytes a picture.
 * One thread.  Does not log.
 */
#include "base/deadline.h"
#include "files/filestore.h"
#include "store/store_usage.h"

struct inventory_record {
	struct picture picture; /* id, type, bytes: as the record says */
	int64_t created_ms;
	int64_t file_bytes; /* -1: there is no file */
};

struct inventory {
	struct inventory_record *records; /* by id */
	size_t nrecords;
	/* Whatever belongs to no record, the oldest first. */
	struct file_found *strays;
	size_t nstrays;
	int64_t picture_bytes;   /* of the recorded pictures' files */
	size_t records_room, strays_room;
	bool no_memory;
};

/* 0: to be ended with inventory_done(), as after -1: ERR_STORE, ERR_INTERNAL. */
int inventory_read(struct inventory *v, struct filestore *fs, struct store *s,
		   const struct deadline *d, struct err *e);
void inventory_done(struct inventory *v);

#endif
