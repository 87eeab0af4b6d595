#ifndef EASEL_IMAGING_FAULT_H
#define EASEL_IMAGING_FAULT_H
/*
 * fault - why the helper gives up: its exit status and one line for the log
 */
#include "files/imaging_wire.h"

struct fault {
	enum imaging_exit status;
	char why[240];
};

/* Fills *f and returns -1, so that `return fault_set(…)` is the whole error path. */
int fault_set(struct fault *f, enum imaging_exit status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same with libvips' words; an exhausted memory is told apart from a bad picture. */
int fault_vips(struct fault *f, enum imaging_exit status, const char *doing);

#endif
