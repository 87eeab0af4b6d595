#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

static int
refuse(struct err *e, const char *setting, const char *path, const char *why)
{
	ERR_clear_error();
	return err_set(e, ERR_CONFIG, "[server] %s: %s: %s.", setting, path, why);
}

static int
refuse_ssl(struct err *e, const char *setting, const char *path, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	char why[160];

	(void)snprintf(why, sizeof(why), "%s (%s)", what, reason ? reason : "unknown reason");
	return refuse(e, setting, path, why);
}

/* Can it be opened?  OpenSSL's words for it are worse. */
static int
readable(const char *setting, const char *path, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return refuse(e, setting, path, strerror(errno));
	return 0;
}

/* Nobody is at a terminal to be asked for a pass phrase; *asked says that one was wanted. */
static int
no_pass_phrase(char *out, int size, int writing, void *asked)
{
	(void)out;
	(void)size;
	(void)writing;
	*(int *)asked = 1;
	return -1;
}

static void
note_certificate(SSL_CTX *ctx, const char *path, char seen[TLS_SEEN_BYTES])
{
	X509 *x = SSL_CTX_get0_certificate(ctx);
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	(void)X509_digest(x, EVP_sha256(), sum, &n);
	for (unsigned i = 0; i < (TLS_SEEN_BYTES - 1) / 2 && i < n; i++)
		(void)snprintf(seen + (size_t)i * 2, 3, "%02x", sum[i]);
	if (X509_cmp_current_time(X509_get0_notAfter(x)) < 0)
		log_warn(NULL, "[server] tls_certificate: %s has expired", path);
}

int
tls_check(const char *certificate, const char *key, char seen[TLS_SEEN_BYTES], struct err *e)
{
	SSL_CTX *ctx;
	int asked = 0, rc = -1;

	seen[0] = '\0';
	if (readable("tls_certificate", certificate, e) < 0 || readable("tls_key", key, e) < 0)
		return -1;
	ERR_clear_error();
	ctx = SSL_CTX_new(TLS_server_method());
	if (!ctx)
		return err_set(e, ERR_INTERNAL, "out of memory");
	SSL_CTX_set_default_passwd_cb(ctx, no_pass_phrase);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, &asked);
	if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
		(void)refuse_ssl(e, "tls_certificate", certificate,
				 "it holds no usable certificate in PEM");
	else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		(void)(asked ? refuse(e, "tls_key", key,
				      "the key is encrypted; the web server needs one without a "
				      "pass phrase (openssl pkey -in OLD -out NEW)")
			     : refuse_ssl(e, "tls_key", key,
					  "it holds no usable private key in PEM"));
	else if (SSL_CTX_check_private_key(ctx) != 1)
		(void)refuse(e, "tls_key", key, "the key does not belong to the certificate");
	else
		rc = 0;
	if (rc == 0)
		note_certificate(ctx, certificate, seen);
	SSL_CTX_free(ctx);
	return rc;
}
