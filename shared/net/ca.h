#ifndef EASEL_NET_CA_H
#define EASEL_NET_CA_H
/*
 * ca - the certificate authorities this process trusts, loaded once
 *
 * libcurl 7.88 keeps a store per easy handle: 145 certificates, 0.85 MB and 20 ms of CPU for each.
 * Here is one for all of them.  It comes from $SSL_CERT_FILE and $SSL_CERT_DIR when either is set,
 * else from OpenSSL's own folder of hashed names (certificates are read when one is asked for, so
 * that costs nothing at start), else from OpenSSL's file or a well-known bundle.  Thread-safe.
 */
#include <openssl/x509_vfy.h>

#include "base/err.h"

/*
 * The store, made on the first call and borrowed until ca_store_free().
 * NULL with *e: ERR_UP_TLS, there are no certificates or they cannot be read.
 */
X509_STORE *ca_store(struct err *e);
void ca_store_free(void);

#endif
