#ifndef EASEL_TESTS_STATE_FOLDER_H
#define EASEL_TESTS_STATE_FOLDER_H
/*
 * state_folder - for the tests of the dialects: a folder of pictures of their own, and the connections
 *
 * For a file that includes cmocka.h.
 */
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "files/filestore.h"
#include "net/upstream.h"

static struct filestore *files;
static char folder[] = "/tmp/easel-test-XXXXXX";

static int
folder_setup(void **state)
{
	struct err e;

	(void)state;
	if (!mkdtemp(folder) || upstream_init(&e) < 0)
		return -1;
	return filestore_open(&files, "file:files", folder, 1 << 20, 1 << 26, 0, &e);
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static int
folder_teardown(void **state)
{
	(void)state;
	filestore_free(files);
	upstream_shutdown();
	return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static unsigned
files_stored(void)
{
	char path[128];
	struct dirent *f;
	unsigned n = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/files", folder);
	d = opendir(path);
	assert_non_null(d);
	while ((f = readdir(d)))
		n += f->d_type == DT_REG;
	(void)closedir(d);
	return n;
}

#endif
