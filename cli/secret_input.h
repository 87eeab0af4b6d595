#ifndef EASEL_CLI_SECRET_INPUT_H
#define EASEL_CLI_SECRET_INPUT_H
/*
 * secret_input - a secret from standard input: a terminal without echo, asked twice, or a pipe or file
 */
#include <stddef.h>

/*
 * Reads up to size - 1 bytes, white space at both ends left out.  CLI_OK, or CLI_USAGE or CLI_FAILED with
 * the reason said; out is then wiped.
 */
int secret_read(const char *what, char *out, size_t size);

#endif
