#include "state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "listen.h"
#include "programs.h"

#define SHORT_DIR_LINK "sockets"
#define SUFFIX_BYTES   (PROGRAM_NAME_MAX + (int)sizeof("/.sock"))
/* lighttpd wants two bytes of sun_path for itself. */
#define SOCKET_PATH_MAX ((int)sizeof(((struct sockaddr_un *)0)->sun_path) - 2)

int
path_join(char *out, const char *dir, const char *name, struct err *e)
{
	if (snprintf(out, PATH_MAX, "%s/%s", dir, name) < PATH_MAX)
		return 0;
	return err_set(e, ERR_CONFIG, "[server] state_dir is too long a path.");
}

static int
failed(struct err *e, const char *what, const char *path)
{
	int error = errno;

	(void)err_set(e, ERR_CONFIG, "[server] state_dir: a folder or file in it cannot be %s.",
		      what);
	err_detail(e, "%s: %s", path, strerror(error));
	return -1;
}

/* Makes the folder and those above it. */
static int
make_dirs(const char *path, struct err *e)
{
	char part[PATH_MAX];

	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	for (size_t i = 1; i < sizeof(part) && path[i]; i++)
		if (path[i] == '/') {
			(void)snprintf(part, sizeof(part), "%.*s", (int)i, path);
			if (mkdir(part, 0700) < 0 && errno != EEXIST)
				return failed(e, "made", part);
		}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return failed(e, "made", path);
	return 0;
}

static int
name_files_dir(struct state *s, const struct config *c, struct err *e)
{
	const char *dir = c->files.url;

	if (strncmp(dir, "file:", 5) != 0)
		return err_set(e, ERR_CONFIG, "[files] url: expected file:DIR, found \"%s\".", dir);
	dir += 5;
	if (*dir != '/')
		return path_join(s->files, c->state_dir, dir, e);
	if (snprintf(s->files, sizeof(s->files), "%s", dir) >= (int)sizeof(s->files))
		return err_set(e, ERR_CONFIG, "[files] url is too long a path.");
	return 0;
}

int
state_files(struct state *s, const struct config *c, struct err *e)
{
	return name_files_dir(s, c, e) < 0 ? -1 : make_dirs(s->files, e);
}

/* Is `run` short enough a name for the sockets in it? */
static bool
sockets_fit(const struct state *s)
{
	return (int)strlen(s->run) + SUFFIX_BYTES <= SOCKET_PATH_MAX;
}

int
state_names(struct state *s, const struct config *c, struct err *e)
{
	*s = (struct state){ .lock_fd = -1 };
	if (path_join(s->run, c->state_dir, "run", e) < 0 || name_files_dir(s, c, e) < 0)
		return -1;
	if (!sockets_fit(s))
		return err_set(e, ERR_CONFIG,
			       "[server] state_dir is too long a path for the sockets in it: "
			       "another web server could not be told where they are.");
	(void)snprintf(s->sockets, sizeof(s->sockets), "%s", s->run);
	return 0;
}

int
state_folders(const struct state *s, struct err *e)
{
	static const char *const folders[] = { "errors", "upload", "empty" };
	char path[PATH_MAX];

	if (make_dirs(s->run, e) < 0 || make_dirs(s->files, e) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (path_join(path, s->run, folders[i], e) < 0 || make_dirs(path, e) < 0)
			return -1;
	return 0;
}

void
state_forget_uploads(const struct state *s)
{
	char path[PATH_MAX];
	struct err ignored;
	const struct dirent *d;
	DIR *dir;

	if (path_join(path, s->run, "upload", &ignored) < 0 || !(dir = opendir(path)))
		return;
	while ((d = readdir(dir)))
		if (d->d_name[0] != '.')
			(void)unlinkat(dirfd(dir), d->d_name, 0);
	(void)closedir(dir);
}

static void
remove_sockets(const char *dir)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < NPROGRAMS; i++)
		if (snprintf(path, sizeof(path), "%s/%s.sock", dir, program_names[i]) <
		    (int)sizeof(path))
			(void)unlink(path);
}

/* Removes the short folder of a run that was killed, if it is still ours. */
static void
remove_short_dir(const struct state *s)
{
	char link[PATH_MAX], dir[PATH_MAX];
	struct stat st;
	ssize_t n;
	struct err ignored;

	if (path_join(link, s->run, SHORT_DIR_LINK, &ignored) < 0)
		return;
	n = readlink(link, dir, sizeof(dir) - 1);
	if (n <= 0)
		return;
	dir[n] = '\0';
	if (lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid()) {
		remove_sockets(dir);
		(void)rmdir(dir);
	}
	(void)unlink(link);
}

/* A socket's path holds 108 bytes: where state_dir is longer, the sockets get a folder elsewhere. */
static int
choose_socket_dir(struct state *s, struct err *e)
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	char link[PATH_MAX];

	if (sockets_fit(s)) {
		(void)snprintf(s->sockets, sizeof(s->sockets), "%s", s->run);
		return 0;
	}
	if (!base || *base != '/' || access(base, W_OK) < 0 ||
	    (int)strlen(base) + 32 + SUFFIX_BYTES > SOCKET_PATH_MAX)
		base = "/tmp";
	(void)snprintf(s->sockets, sizeof(s->sockets), "%s/easel-XXXXXX", base);
	if (!mkdtemp(s->sockets)) { /* mode 0700 */
		s->sockets[0] = '\0';
		return failed(e, "made", base);
	}
	s->short_dir = true;
	if (path_join(link, s->run, SHORT_DIR_LINK, e) < 0)
		return -1;
	return symlink(s->sockets, link) < 0 ? failed(e, "made", link) : 0;
}

int
state_open(struct state *s, const struct config *c, struct err *e)
{
	char path[PATH_MAX];

	*s = (struct state){ .lock_fd = -1 };
	if (path_join(s->run, c->state_dir, "run", e) < 0 || name_files_dir(s, c, e) < 0 ||
	    make_dirs(s->run, e) < 0 || path_join(path, s->run, "serve.lock", e) < 0)
		return -1;
	s->lock_fd = lock_file(path, e);
	if (s->lock_fd < 0 || state_folders(s, e) < 0)
		return -1;
	if (path_join(path, s->run, "lighttpd.conf", e) < 0)
		return -1;
	s->was_killed = access(path, F_OK) == 0;
	remove_short_dir(s);
	return choose_socket_dir(s, e);
}

void
state_close(struct state *s)
{
	char path[PATH_MAX];
	struct err ignored;

	if (s->lock_fd < 0)
		return;
	if (s->sockets[0])
		remove_sockets(s->sockets);
	remove_short_dir(s);
	state_forget_uploads(s);
	if (path_join(path, s->run, "lighttpd.conf", &ignored) == 0)
		(void)unlink(path);
	(void)close(s->lock_fd);
	s->lock_fd = -1;
}
