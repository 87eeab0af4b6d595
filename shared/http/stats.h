#ifndef EASEL_HTTP_STATS_H
#define EASEL_HTTP_STATS_H
/*
 * stats - counters that outlive a worker
 *
 * One mapped file a program, state_dir/run/stats/PROGRAM, to which all its workers add atomically; it
 * lives as long as the installation is not restarted on a fresh run folder.  `health` reads them all
 * for /metrics.
 */
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

#define STATS_BUCKETS 15

struct stats {
	uint64_t requests[600];              /* by HTTP status */
	uint64_t buckets[STATS_BUCKETS + 1]; /* by duration; the last is +Inf */
	uint64_t duration_us;
	uint64_t shed, worker_starts, worker_deaths;
};

/* The program's counters, mapped; for the life of the process. */
int stats_open(struct stats **out, const char *state_dir, const char *program, struct err *e);
void stats_request(struct stats *s, int status, int64_t duration_us);
/* Prometheus text of every program's counters. */
int stats_print(FILE *out, const char *state_dir, struct err *e);

#endif
