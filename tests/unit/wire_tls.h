#ifndef TESTS_WIRE_TLS_H
#define TESTS_WIRE_TLS_H
/*
 * wire_tls - an authority and certificates of its own, and the server's side of TLS, for tests
 */
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

static inline void
wire_add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (!ext || X509_add_ext(x, ext, -1) != 1)
		abort();
	X509_EXTENSION_free(ext);
}

/* from_s, to_s: validity, relative to now.  ca NULL: signs itself and may sign others. */
static inline X509 *
wire_certificate(EVP_PKEY *key, const char *name, const char *alt, X509 *ca, EVP_PKEY *ca_key,
		 long from_s, long to_s)
{
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);
	static long serial = 1;

	(void)X509_set_version(x, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
	(void)X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name,
					 -1, -1, 0);
	(void)X509_set_issuer_name(x, ca ? X509_get_subject_name(ca) : subject);
	(void)X509_gmtime_adj(X509_getm_notBefore(x), from_s);
	(void)X509_gmtime_adj(X509_getm_notAfter(x), to_s);
	(void)X509_set_pubkey(x, key);
	wire_add_extension(x, ca ? ca : x, NID_basic_constraints,
			   ca ? "critical,CA:FALSE" : "critical,CA:TRUE");
	if (alt)
		wire_add_extension(x, ca ? ca : x, NID_subject_alt_name, alt);
	if (!X509_sign(x, ca ? ca_key : key, EVP_sha256()))
		abort();
	return x;
}

static inline SSL_CTX *
wire_tls_context(X509 *cert, EVP_PKEY *key)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx || SSL_CTX_use_certificate(ctx, cert) != 1 ||
	    SSL_CTX_use_PrivateKey(ctx, key) != 1)
		abort();
	return ctx;
}

#endif
