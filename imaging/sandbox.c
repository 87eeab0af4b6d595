#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The largest work is 64 Mpixel (a progressive JPEG of 4:4:4 holds 6 bytes a pixel of coefficients,
 * WebP's encoder 4 of picture and some of tokens) above 200 MiB of libraries and stacks.
 */
#define MEMORY_BYTES (2UL << 30)
#define CPU_SECONDS  30
#define OUTPUT_BYTES (512UL << 20)

static int
limit(int what, rlim_t most, struct fault *f)
{
	struct rlimit r = { most, most };

	if (setrlimit((__rlimit_resource_t)what, &r) < 0)
		return fault_set(f, IMAGING_FAILED, "setrlimit %d: %s", what, strerror(errno));
	return 0;
}

int
sandbox_limits(struct fault *f)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0) < 0)
		return fault_set(f, IMAGING_FAILED, "prctl: %s", strerror(errno));
	if (limit(RLIMIT_CORE, 0, f) < 0 || limit(RLIMIT_CPU, CPU_SECONDS, f) < 0 ||
	    limit(RLIMIT_FSIZE, OUTPUT_BYTES, f) < 0)
		return -1;
#ifndef EASEL_SANITIZED /* the sanitizers reserve terabytes of addresses */
	if (limit(RLIMIT_AS, MEMORY_BYTES, f) < 0)
		return -1;
#endif
	(void)close_range(IMAGING_FD__MAX, ~0U, 0);
	(void)umask(077);
	if (clearenv() != 0)
		return fault_set(f, IMAGING_FAILED, "clearenv");
	return 0;
}

/* Without conditions: nothing here reaches beyond the process and its open descriptors. */
static const int allowed[] = {
	SCMP_SYS(read),
	SCMP_SYS(pread64),
	SCMP_SYS(readv),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(pwrite64),
	SCMP_SYS(lseek),
	SCMP_SYS(fstat),
	SCMP_SYS(close),
	SCMP_SYS(dup),
	SCMP_SYS(fcntl),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(gettid),
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(getrandom),
	SCMP_SYS(getrusage),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

static int
rules(scmp_filter_ctx c)
{
	int rc = 0;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(*allowed); i++)
		rc |= seccomp_rule_add(c, SCMP_ACT_ALLOW, allowed[i], 0);
	/* Memory, but none that can be run: code that a decoder's bug writes stays data. */
	rc |= seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
			       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	rc |= seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
			       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/*
	 * libvips works in threads of its own: a clone that is not a thread is refused.  (RLIMIT_NPROC
	 * would count everything the user runs.)  clone3 hides its flags in memory; told that there is
	 * none, glibc takes clone.
	 */
	rc |= seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
			       SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	rc |= seccomp_rule_add(c, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* fstat() is newfstatat(fd, "") in glibc; without open, a path tells nothing but a name. */
	rc |= seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
			       SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
	rc |= seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
			       SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
	rc |= seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0));
	/* abort() */
	rc |= seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
			       SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	return rc;
}

int
sandbox_close(struct fault *f)
{
	scmp_filter_ctx c = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int rc;

	if (!c)
		return fault_set(f, IMAGING_FAILED, "seccomp_init");
	rc = rules(c);
	if (!rc)
		rc = seccomp_attr_set(c, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!rc)
		rc = seccomp_load(c);
	seccomp_release(c);
	if (rc)
		return fault_set(f, IMAGING_FAILED, "seccomp: %s", strerror(rc < 0 ? -rc : rc));
	return 0;
}
