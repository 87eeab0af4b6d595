#include "base/alive.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/run_folder.h"

#define FILE_NAME "alive"

static struct {
	pthread_mutex_t mutex; /* guards users; the rest stays as it is while there is one */
	unsigned users;
	int fd;
	uint64_t self, machine;
} own = { .mutex = PTHREAD_MUTEX_INITIALIZER, .fd = -1 };

static int
byte_lock(int fd, int cmd, short type, uint64_t at)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1 };
	int rc;

	do
		rc = fcntl(fd, cmd, &l);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -1 : l.l_type;
}

/* Fits an off_t, and is not 0. */
static int
random_number(uint64_t *out)
{
	if (getrandom(out, sizeof(*out), 0) != sizeof(*out))
		return -1;
	*out = *out >> 2 | 1;
	return 0;
}

/* The number that the file begins with; whoever comes first writes it. */
static int
machine_number(int fd, uint64_t *out)
{
	int rc = 0;

	if (byte_lock(fd, F_OFD_SETLKW, F_WRLCK, 0) < 0)
		return -1;
	if (pread(fd, out, sizeof(*out), 0) != sizeof(*out) || !*out)
		rc = random_number(out) < 0 || pwrite(fd, out, sizeof(*out), 0) != sizeof(*out);
	(void)byte_lock(fd, F_OFD_SETLK, F_UNLCK, 0);
	return rc ? -1 : 0;
}

static void
leave(void)
{
	if (own.fd >= 0)
		(void)close(own.fd);
	own.fd = -1;
	own.self = own.machine = 0;
}

static int
enter(const char *state_dir, struct err *e)
{
	AUTO_FD int dir = run_folder_open(state_dir, "", e);

	if (dir < 0)
		return -1;
	own.fd = openat(dir, FILE_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (own.fd >= 0 && machine_number(own.fd, &own.machine) == 0 &&
	    random_number(&own.self) == 0 && byte_lock(own.fd, F_OFD_SETLK, F_WRLCK, own.self) >= 0)
		return 0;
	(void)run_folder_failed(e, FILE_NAME, "open");
	leave();
	return -1;
}

int
alive_open(const char *state_dir, struct err *e)
{
	int rc = 0;

	(void)pthread_mutex_lock(&own.mutex);
	if (!own.users)
		rc = enter(state_dir, e);
	own.users += rc == 0;
	(void)pthread_mutex_unlock(&own.mutex);
	return rc;
}

void
alive_close(void)
{
	(void)pthread_mutex_lock(&own.mutex);
	if (own.users && !--own.users)
		leave();
	(void)pthread_mutex_unlock(&own.mutex);
}

uint64_t
alive_self(void)
{
	return own.self;
}

bool
alive_is(uint64_t process)
{
	return process == own.self || byte_lock(own.fd, F_OFD_GETLK, F_WRLCK, process) != F_UNLCK;
}

uint64_t
alive_machine(void)
{
	return own.machine;
}
