#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files/sink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/tmp/easel-fuzz-XXXXXX";
static struct filestore *fs;

static void
remove_dir(void)
{
	filestore_free(fs);
	if (chdir(dir) < 0 || rmdir("files") < 0 || rmdir(dir) < 0)
		abort(); /* something was left behind */
}

struct result {
	struct picture p;
	struct err e;
	unsigned char *data;
};

static void
run(struct result *r, bool base64, const uint8_t *data, size_t size, size_t step)
{
	AUTO(sink) s;
	int rc = 0;

	*r = (struct result){ .e = { .kind = ERR_NONE } };
	sink_init(&s, fs);
	for (size_t at = 0, k; at < size && rc == 0; at += k, step = step % 67 + 1) {
		char *piece;

		k = size - at < step ? size - at : step;
		piece = malloc(k);
		if (!piece)
			abort();
		memcpy(piece, data + at, k);
		rc = base64 ? sink_base64(&s, piece, k, &r->e) : sink_bytes(&s, piece, k, &r->e);
		free(piece);
	}
	if (rc == 0 && sink_finish(&s, &r->p, &r->e) == 0) {
		AUTO_FD int fd = filestore_read(fs, &r->p, &r->e);

		r->data = malloc(r->p.bytes + 1);
		if (fd < 0 || !r->data || read(fd, r->data, r->p.bytes + 1) != (ssize_t)r->p.bytes)
			__builtin_trap();
		filestore_remove(fs, &r->p);
	}
}

/* However bytes or base64 are cut, the same file or the same error comes of them. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct result whole, cut;
	bool base64;

	if (!fs) {
		struct err e;

		if (!mkdtemp(dir) ||
		    filestore_open(&fs, "file:files", dir, 3000, 1000000, 0, &e) < 0)
			abort();
		(void)atexit(remove_dir);
	}
	if (size < 2)
		return 0;
	base64 = data[0] & 1;
	run(&whole, base64, data + 2, size - 2, size);
	run(&cut, base64, data + 2, size - 2, data[1] % 67 + 1);
	if (whole.e.kind != cut.e.kind || strcmp(whole.e.about, cut.e.about) != 0 ||
	    whole.p.bytes != cut.p.bytes || whole.p.width != cut.p.width ||
	    whole.p.height != cut.p.height ||
	    (whole.data && memcmp(whole.data, cut.data, whole.p.bytes) != 0))
		__builtin_trap();
	free(whole.data);
	free(cut.data);
	return 0;
}
