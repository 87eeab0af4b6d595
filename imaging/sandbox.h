#ifndef EASEL_IMAGING_SANDBOX_H
#define EASEL_IMAGING_SANDBOX_H
/*
 * sandbox - what this process can no longer do before it looks at anything it was given
 *
 * Two steps, because libvips opens files while it starts: limits first, then libvips, then the
 * filter.  Both stand before the order and the picture are read.
 */
#include "fault.h"

/*
 * Dies with the thread that started it, gains no rights, leaves no core, has bounded memory, time and
 * output, an empty environment and no descriptors but its own.
 */
int sandbox_limits(struct fault *f);

/*
 * From here on: the open descriptors, memory that is not executable, threads.  Every other system
 * call fails with EPERM: no file is opened, no socket made, no program or process started.
 */
int sandbox_close(struct fault *f);

/* Tries what must not work and writes a JSON object of name: "EPERM" or "allowed" to fd. */
int sandbox_selftest(int fd, struct fault *f);

#endif
