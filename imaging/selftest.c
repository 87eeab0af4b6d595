#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"

/*
 * Each tries one thing and returns what the kernel said: -1 with errno, or anything else when it was
 * let.  All are harmless where they succeed.
 */
static long
try_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long
try_unix_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long
try_connect(void)
{
	struct sockaddr sa = { .sa_family = AF_UNSPEC };

	return connect(IMAGING_FD_OUT, &sa, sizeof(sa));
}

static long
try_exec(void)
{
	char *const argv[] = { (char *)"true", NULL };

	return execv("/bin/true", argv);
}

static long
try_fork(void)
{
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return pid;
}

static long
try_vfork(void)
{
	long pid = syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return pid;
}

static long
try_open_write(void)
{
	return open("/dev/null", O_WRONLY | O_CLOEXEC);
}

static long
try_open_read(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static long
try_ptrace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static long
try_kill_parent(void)
{
	return kill(getppid(), 0);
}

static long
try_executable_memory(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : 0;
}

static long
try_raise_limit(void)
{
	struct rlimit r = { RLIM_INFINITY, RLIM_INFINITY };

	return setrlimit(RLIMIT_CPU, &r);
}

static const struct {
	const char *name;
	long (*attempt)(void);
} attempts[] = {
	{ "socket", try_socket },
	{ "unix_socket", try_unix_socket },
	{ "connect", try_connect },
	{ "exec", try_exec },
	{ "fork", try_fork },
	{ "vfork", try_vfork },
	{ "open_write", try_open_write },
	{ "open_read", try_open_read },
	{ "ptrace", try_ptrace },
	{ "kill_parent", try_kill_parent },
	{ "executable_memory", try_executable_memory },
	{ "raise_limit", try_raise_limit },
};

int
sandbox_selftest(int fd, struct fault *f)
{
	AUTO(buf) out = BUF_INIT(4096);

	for (size_t i = 0; i < sizeof(attempts) / sizeof(*attempts); i++) {
		const char *said = "allowed";

		errno = 0;
		if (attempts[i].attempt() == -1)
			said = errno == EPERM ? "EPERM" : strerror(errno);
		if (buf_addf(&out, "%s\"%s\":\"%s\"", i ? "," : "{", attempts[i].name, said) < 0)
			return fault_set(f, IMAGING_NO_ROOM, "out of memory");
	}
	if (buf_adds(&out, "}\n") < 0 || write(fd, out.p, out.len) != (ssize_t)out.len)
		return fault_set(f, IMAGING_FAILED, "write: %s", strerror(errno));
	return 0;
}
