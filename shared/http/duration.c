#include "http/duration.h"

#include <stdio.h>

void
duration_text(int64_t ms, char out[DURATION_TEXT])
{
	int64_t s = (ms + 999) / 1000;

	if (ms < 1000)
		(void)snprintf(out, DURATION_TEXT, "%lldms", (long long)ms);
	else if (s < 60)
		(void)snprintf(out, DURATION_TEXT, "%llds", (long long)s);
	else if (s < 3600)
		(void)snprintf(out, DURATION_TEXT, "%lldm%llds", (long long)s / 60,
			       (long long)s % 60);
	else
		(void)snprintf(out, DURATION_TEXT, "%lldh%lldm%llds", (long long)s / 3600,
			       (long long)s / 60 % 60, (long long)s % 60);
}
