#include "access/fingerprint.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/id.h"

#define KEY_FILE     "fingerprint.key"
#define KEY_BYTES    32
#define SHA256_BLOCK 64

static unsigned char key[KEY_BYTES];
static EVP_MD_CTX *keyed[2]; /* inner, outer; read-only once they are made */

static int
file_failed(struct err *e, const char *what)
{
	int saved = errno;

	(void)err_set(e, ERR_CONFIG, KEY_FILE " in state_dir cannot be %s.", what);
	err_detail(e, KEY_FILE ": %s", strerror(saved));
	return -1;
}

/* 1 read, 0 there is none, -1 *e. */
static int
read_key(int dir, struct err *e)
{
	AUTO_FD int fd = openat(dir, KEY_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	unsigned char read_bytes[KEY_BYTES + 1];

	if (fd < 0)
		return errno == ENOENT ? 0 : file_failed(e, "read");
	if (read(fd, read_bytes, sizeof(read_bytes)) != KEY_BYTES)
		return err_set(e, ERR_CONFIG,
			       KEY_FILE " in state_dir is damaged: it must be %d bytes "
					"long. Remove it; a new one will be made.",
			       KEY_BYTES);
	memcpy(key, read_bytes, KEY_BYTES);
	return 1;
}

/*
 * The file appears under its name whole, by link(), which does not replace: of processes that start at
 * once the first one's key stands, and all read that.
 */
static int
make_key(int dir, struct err *e)
{
	unsigned char fresh[KEY_BYTES];
	char name[ID_TEXT + 32];
	AUTO_FD int fd = -1;
	int rc = -1;

	id_make("." KEY_FILE ".", name, sizeof(name));
	if (RAND_bytes(fresh, sizeof(fresh)) != 1)
		return err_set(e, ERR_INTERNAL, "no random numbers");
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return file_failed(e, "made");
	if (fchmod(fd, 0600) == 0 && write(fd, fresh, sizeof(fresh)) == sizeof(fresh) &&
	    fsync(fd) == 0 && (linkat(dir, name, dir, KEY_FILE, 0) == 0 || errno == EEXIST))
		rc = 0;
	else
		(void)file_failed(e, "made");
	(void)unlinkat(dir, name, 0);
	OPENSSL_cleanse(fresh, sizeof(fresh));
	return rc;
}

/*
 * HMAC (RFC 2104) from two digests that have the key's blocks in them already: it stands in log lines of
 * every request, and OpenSSL's own costs six times as much.
 */
static int
prepare(struct err *e)
{
	unsigned char block[SHA256_BLOCK];

	for (int i = 0; i < 2; i++) {
		memset(block, i ? 0x5c : 0x36, sizeof(block));
		for (int k = 0; k < KEY_BYTES; k++)
			block[k] ^= key[k];
		if (!keyed[i])
			keyed[i] = EVP_MD_CTX_new();
		if (!keyed[i] || !EVP_DigestInit_ex(keyed[i], EVP_sha256(), NULL) ||
		    !EVP_DigestUpdate(keyed[i], block, sizeof(block)))
			return err_set(e, ERR_INTERNAL, "no SHA-256");
	}
	OPENSSL_cleanse(block, sizeof(block));
	return 0;
}

int
fingerprint_init(const char *state_dir, struct err *e)
{
	AUTO_FD int dir = -1;
	int got;

	if (mkdir(state_dir, 0700) < 0 && errno != EEXIST)
		return file_failed(e, "made");
	dir = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return file_failed(e, "read");
	got = read_key(dir, e);
	if (got == 0)
		got = make_key(dir, e) < 0 ? -1 : read_key(dir, e);
	if (got == 0)
		return file_failed(e, "read");
	return got < 0 ? -1 : prepare(e);
}

void
fingerprint(const void *secret, size_t n, char out[FINGERPRINT_TEXT])
{
	unsigned char mac[EVP_MAX_MD_SIZE] = { 0 };
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned len = 0;

	if (!ctx || !keyed[1] || !EVP_MD_CTX_copy_ex(ctx, keyed[0]) ||
	    !EVP_DigestUpdate(ctx, secret, n) || !EVP_DigestFinal_ex(ctx, mac, &len) ||
	    !EVP_MD_CTX_copy_ex(ctx, keyed[1]) || !EVP_DigestUpdate(ctx, mac, len) ||
	    !EVP_DigestFinal_ex(ctx, mac, &len))
		memset(mac, 0, sizeof(mac));
	EVP_MD_CTX_free(ctx);
	(void)snprintf(out, FINGERPRINT_TEXT, "%02x%02x%02x%02x", mac[0], mac[1], mac[2], mac[3]);
}
