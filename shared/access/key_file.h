#ifndef EASEL_ACCESS_KEY_FILE_H
#define EASEL_ACCESS_KEY_FILE_H
/*
 * key_file - a secret of the installation's own: random bytes in state_dir/NAME, mode 0600
 *
 * Made on first use.  Does not log.
 */
#include "base/err.h"

#define KEY_FILE_BYTES 32

/* 0 or -1: ERR_CONFIG (it cannot be read or made, or is damaged), ERR_INTERNAL. */
int key_file(const char *state_dir, const char *name, unsigned char key[KEY_FILE_BYTES],
	     struct err *e);

#endif
