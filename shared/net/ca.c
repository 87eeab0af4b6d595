#include "net/ca.h"

#include <dirent.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static X509_STORE *store;

/* Where distributions without OpenSSL's defaults, and small containers, keep them. */
static const char *const bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
};

/* Does the folder hold certificates by hash ("2e5ac55d.0"), as `openssl rehash` links them? */
static bool
is_hashed(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *f;
	bool found = false;

	if (!d)
		return false;
	while (!found && (f = readdir(d)))
		found = strlen(f->d_name) == 10 && strspn(f->d_name, "0123456789abcdef") == 8 &&
			!strcmp(f->d_name + 8, ".0");
	(void)closedir(d);
	return found;
}

static bool
fill(X509_STORE *s)
{
	const char *folder = X509_get_default_cert_dir();

	if (getenv(X509_get_default_cert_file_env()) || getenv(X509_get_default_cert_dir_env()))
		return X509_STORE_set_default_paths(s) == 1;
	if (is_hashed(folder))
		return X509_STORE_load_path(s, folder) == 1;
	if (!access(X509_get_default_cert_file(), R_OK))
		return X509_STORE_load_file(s, X509_get_default_cert_file()) == 1;
	for (size_t i = 0; i < sizeof(bundles) / sizeof(bundles[0]); i++)
		if (!access(bundles[i], R_OK))
			return X509_STORE_load_file(s, bundles[i]) == 1;
	return false;
}

X509_STORE *
ca_store(struct err *e)
{
	X509_STORE *s;

	(void)pthread_mutex_lock(&lock);
	if (!store) {
		s = X509_STORE_new();
		/* The flags libcurl would set; set here, its own attempt changes nothing. */
		if (s && fill(s) &&
		    X509_STORE_set_flags(s, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN))
			store = s;
		else
			X509_STORE_free(s);
	}
	s = store;
	(void)pthread_mutex_unlock(&lock);
	if (!s) {
		(void)err_set(e, ERR_UP_TLS, "no CA certificates were found on this machine");
		err_detail(e, "%s", ERR_reason_error_string(ERR_peek_last_error()));
		ERR_clear_error();
	}
	return s;
}

void
ca_store_free(void)
{
	(void)pthread_mutex_lock(&lock);
	X509_STORE_free(store);
	store = NULL;
	(void)pthread_mutex_unlock(&lock);
}
