#include "access/seal.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "access/key_file.h"

#define NONCE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG   crypto_aead_xchacha20poly1305_ietf_ABYTES

static unsigned char key[KEY_FILE_BYTES];

_Static_assert(crypto_aead_xchacha20poly1305_ietf_KEYBYTES == KEY_FILE_BYTES, "the key's length");

int
seal_init(const char *state_dir, struct err *e)
{
	if (sodium_init() < 0)
		return err_set(e, ERR_INTERNAL, "libsodium does not start");
	return key_file(state_dir, "task-seal.key", key, e);
}

int
seal(const char *task_id, const char *text, size_t n, struct store_bytes *out, struct err *e)
{
	unsigned char *box = malloc(NONCE + n + TAG);
	unsigned long long len = 0;

	if (!box)
		return err_set(e, ERR_INTERNAL, "out of memory");
	randombytes_buf(box, NONCE);
	(void)crypto_aead_xchacha20poly1305_ietf_encrypt(box + NONCE, &len,
							 (const unsigned char *)text, n,
							 (const unsigned char *)task_id,
							 strlen(task_id), NULL, box, key);
	*out = (struct store_bytes){ box, NONCE + (size_t)len };
	return 0;
}

int
seal_open(const char *task_id, const struct store_bytes *box, char **text, struct err *e)
{
	unsigned long long len = 0;
	char *p = box->len >= NONCE + TAG ? malloc(box->len - NONCE - TAG + 1) : NULL;

	if (!p || crypto_aead_xchacha20poly1305_ietf_decrypt((unsigned char *)p, &len, NULL,
							     box->p + NONCE, box->len - NONCE,
							     (const unsigned char *)task_id,
							     strlen(task_id), box->p, key) < 0) {
		free(p);
		return err_set(e, ERR_CONFIG,
			       "the task's credential was sealed with another task-seal.key.");
	}
	p[len] = '\0';
	*text = p;
	return 0;
}

void
seal_wipe(char **text)
{
	if (*text)
		sodium_memzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
}
