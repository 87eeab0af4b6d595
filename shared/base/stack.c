#include "base/stack.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096
#define KEPT_BYTES 256 /* below the frame: the red zone and what the system call itself needs */

/*
 * noinline: its own frame must be the lowest that is in use.  AddressSanitizer keeps its own books of
 * the stack, so there it does nothing.
 */
__attribute__((noinline)) void
stack_trim(void)
{
#ifndef EASEL_SANITIZED
	static __thread uintptr_t low; /* of this thread's stack; 1: not known */
	uintptr_t end = (uintptr_t)__builtin_frame_address(0) - KEPT_BYTES;
	pthread_attr_t attr;
	void *at;
	size_t size;

	if (!low) {
		low = 1;
		if (pthread_getattr_np(pthread_self(), &attr) == 0) {
			if (pthread_attr_getstack(&attr, &at, &size) == 0)
				low = (uintptr_t)at;
			(void)pthread_attr_destroy(&attr);
		}
	}
	end &= ~(uintptr_t)(PAGE_BYTES - 1);
	if (low > 1 && end > low)
		(void)madvise((void *)low, end - low, MADV_DONTNEED);
#endif
}
