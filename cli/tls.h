#ifndef EASEL_CLI_TLS_H
#define EASEL_CLI_TLS_H
/*
 * tls - is the certificate of [server] one that the web server can use?
 *
 * Asked before the web server is started or replaced, because it would only say "cannot start".
 */
#include "base/err.h"

#define TLS_SEEN_BYTES 33

/*
 * Reads both PEM files.  0, with a text in `seen` that changes when the certificate does; or -1:
 * ERR_CONFIG with the file and what is wrong with it: unreadable, no PEM, encrypted, a key that belongs
 * to another certificate.  One that has expired is only warned of: the clients say it themselves.
 */
int tls_check(const char *certificate, const char *key, char seen[TLS_SEEN_BYTES], struct err *e);

#endif
