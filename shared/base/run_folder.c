#include "base/run_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

int
run_folder_failed(struct err *e, const char *name, const char *what)
{
	int saved = errno;

	if (saved == ENOSPC || saved == EDQUOT)
		(void)err_set(e, ERR_STORAGE_FULL, "state_dir/run/%s cannot be made", name);
	else
		(void)err_set(e, ERR_CONFIG, "state_dir/run/%s cannot be used.", name);
	err_detail(e, "run/%s: %s: %s", name, what, strerror(saved));
	return -1;
}

/* `up` is closed. */
static int
descend(int up, const char *name)
{
	AUTO_FD int above = up;

	if (mkdirat(above, name, 0700) < 0 && errno != EEXIST)
		return -1;
	return openat(above, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int
run_folder_open(const char *state_dir, const char *name, struct err *e)
{
	int dir;

	if (mkdir(state_dir, 0700) < 0 && errno != EEXIST)
		return run_folder_failed(e, name, "mkdir");
	dir = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0)
		dir = descend(dir, "run");
	if (dir >= 0 && *name)
		dir = descend(dir, name);
	return dir < 0 ? run_folder_failed(e, name, "open") : dir;
}
