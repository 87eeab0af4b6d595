#ifndef EASEL_TESTS_COST_HELP_H
#define EASEL_TESTS_COST_HELP_H
/* cost_help - what something costs, to be compared with what something else costs on the same machine */
#include <time.h>

/* Seconds of CPU time: the least of a few runs, so that what disturbed one of them does not count. */
static double
cost_of(void (*run)(const void *), const void *arg)
{
	double least = 1e9;

	for (int i = 0; i < 5; i++) {
		struct timespec a, b;
		double s;

		(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
		run(arg);
		(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
		s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
		if (s < least)
			least = s;
	}
	return least;
}

#endif
