#include "base/deadline.h"

#include <time.h>

int64_t
clock_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
clock_wall_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct deadline
deadline_in_ms(int64_t ms)
{
	return (struct deadline){ .at_us = clock_us() + (ms > 0 ? ms * 1000 : 0) };
}

int64_t
deadline_left_ms(const struct deadline *d)
{
	int64_t left = d->at_us - clock_us();

	return left > 0 ? (left + 999) / 1000 : 0;
}

bool
deadline_over(const struct deadline *d)
{
	return d->at_us <= clock_us();
}

struct deadline
deadline_to_begin(const struct deadline *d)
{
	bool sooner = d->first_us && d->first_us < d->at_us;

	return (struct deadline){ .at_us = sooner ? d->first_us : d->at_us };
}

struct deadline
deadline_sooner(const struct deadline *d, int64_t ms)
{
	struct deadline n = deadline_in_ms(ms);

	return n.at_us < d->at_us ? n : *d;
}
