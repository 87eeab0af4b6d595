#include "programs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "listen.h"

/* What a program may see of our environment: no secret has a reason to be in any of these. */
static const char *const passed_on[] = { "PATH",          "HOME",         "LANG",
					 "LC_ALL",        "TZ",           "SSL_CERT_FILE",
					 "SSL_CERT_DIR",  "ASAN_OPTIONS", "LSAN_OPTIONS",
					 "UBSAN_OPTIONS", "TSAN_OPTIONS", "EASEL_LIBEXEC" };
#define NPASSED_ON (sizeof(passed_on) / sizeof(passed_on[0]))

static bool
is_file(const char *path, int mode)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, mode) == 0;
}

int
find_installed(const char *variable, const char *const *places, const char *name, char *out)
{
	const char *dir = getenv(variable);
	char self[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (dir && *dir)
		return snprintf(out, PATH_MAX, "%s/%s", dir, name) < PATH_MAX && is_file(out, R_OK)
			       ? 0
			       : -1;
	if (n <= 0)
		return -1;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return -1;
	*slash = '\0';
	for (; *places; places++)
		if (snprintf(out, PATH_MAX, "%s/%s/%s", self, *places, name) < PATH_MAX &&
		    is_file(out, R_OK))
			return 0;
	return -1;
}

int
find_command(const char *name, char *out)
{
	static const char *const system_dirs = "/usr/local/sbin:/usr/sbin:/sbin";
	const char *lists[] = { getenv("PATH"), system_dirs };

	for (size_t i = 0; i < 2; i++)
		for (const char *dir = lists[i]; dir && *dir;) {
			size_t n = strcspn(dir, ":");

			if (*dir == '/' &&
			    snprintf(out, PATH_MAX, "%.*s/%s", (int)n, dir, name) < PATH_MAX &&
			    is_file(out, X_OK))
				return 0;
			dir += n + (dir[n] == ':');
		}
	return -1;
}

bool
program_listens(size_t i)
{
	return strcmp(program_names[i], "task-worker") != 0;
}

int
programs_find(struct programs *p, const struct state *s, struct err *e)
{
	static const char *const places[] = { "handlers", "../libexec/easel", NULL };
	const char *fallback = NULL;
	char name[PROGRAM_NAME_MAX + 8];

	for (size_t i = 0; i < NPROGRAMS; i++) {
		(void)snprintf(name, sizeof(name), "%s.sock", program_names[i]);
		if (path_join(p->socket[i], s->sockets, name, e) < 0)
			return -1;
		if (!strcmp(program_names[i], "fallback"))
			fallback = p->socket[i];
		p->argv[i][0] = p->path[i];
		if (find_installed("EASEL_LIBEXEC", places, program_names[i], p->path[i]) < 0 ||
		    access(p->path[i], X_OK) < 0) {
			p->path[i][0] = '\0';
			continue;
		}
		p->count++;
	}
	if (!p->count)
		return err_set(e, ERR_CONFIG,
			       "no program was found in handlers/ beside this "
			       "executable, in ../libexec/easel or in "
			       "$EASEL_LIBEXEC.");
	for (size_t i = 0; i < NPROGRAMS; i++)
		if (!p->path[i][0] && fallback && p->socket[i] != fallback)
			(void)memcpy(p->socket[i], fallback, strlen(fallback) + 1);
	return 0;
}

int
programs_open(struct programs *p, const struct state *s, struct err *e)
{
	if (programs_find(p, s, e) < 0)
		return -1;
	for (size_t i = 0; i < NPROGRAMS; i++) {
		if (!p->path[i][0] || !program_listens(i))
			continue;
		p->fd[i] = unix_listen(p->socket[i], e);
		if (p->fd[i] < 0)
			return -1;
	}
	return 0;
}

void
programs_close(struct programs *p)
{
	for (size_t i = 0; i < NPROGRAMS; i++)
		if (p->fd[i] >= 0)
			(void)close(p->fd[i]);
}

/* The variable "NAME=value" as it stands in our environment, or NULL. */
static char *
variable(const char *name)
{
	size_t n = strlen(name);

	for (char **v = environ; *v; v++)
		if (!strncmp(*v, name, n) && (*v)[n] == '=')
			return *v;
	return NULL;
}

void
programs_environment(struct programs *p, int config_fd)
{
	size_t n = 0;

	for (size_t i = 0; i < NPASSED_ON; i++) {
		char *v = variable(passed_on[i]);

		if (v)
			p->envp[n++] = v;
	}
	(void)snprintf(p->config_fd_variable, sizeof(p->config_fd_variable), "EASEL_CONFIG_FD=%d",
		       config_fd);
	p->envp[n] = p->config_fd_variable;
}
