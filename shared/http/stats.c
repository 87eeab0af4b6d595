#include "http/stats.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"

/* Upper ends in milliseconds: pictures take seconds, everything else microseconds. */
static const int64_t ends_ms[STATS_BUCKETS] = { 5,     50,     250,    1000,   2500,
						5000,  10000,  20000,  40000,  60000,
						90000, 120000, 180000, 300000, 600000 };

static int
folder(const char *state_dir, char out[512], struct err *e)
{
	int n = snprintf(out, 512, "%s/run", state_dir);

	if (n < 0 || n > 400)
		return err_set(e, ERR_CONFIG, "state_dir is too long");
	(void)mkdir(out, 0700);
	(void)snprintf(out + n, 512 - (size_t)n, "/stats");
	if (mkdir(out, 0700) < 0 && errno != EEXIST)
		return err_set(e, ERR_CONFIG, "state_dir is not writable: %s", strerror(errno));
	return 0;
}

int
stats_open(struct stats **out, const char *state_dir, const char *program, struct err *e)
{
	char path[512];
	size_t n;
	AUTO_FD int fd = -1;
	int code;
	void *p;

	if (folder(state_dir, path, e) < 0)
		return -1;
	n = strlen(path);
	(void)snprintf(path + n, sizeof(path) - n, "/%s", program);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	/* With its blocks: counting on a disk that has become full would end the process (SIGBUS). */
	code = fd < 0 ? errno : posix_fallocate(fd, 0, sizeof(struct stats));
	if (code == ENOSPC || code == EDQUOT)
		return err_set(e, ERR_STORAGE_FULL, "state_dir/run/stats/%s cannot be made",
			       program);
	if (code)
		return err_set(e, ERR_CONFIG, "state_dir is not writable: %s", strerror(code));
	p = mmap(NULL, sizeof(struct stats), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return err_set(e, ERR_INTERNAL, "the counters cannot be mapped");
	*out = p;
	return 0;
}

static void
add(uint64_t *counter, uint64_t n)
{
	(void)__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

void
stats_request(struct stats *s, int status, int64_t duration_us)
{
	int b = 0;

	while (b < STATS_BUCKETS && duration_us > ends_ms[b] * 1000)
		b++;
	add(&s->requests[status >= 0 && status < 600 ? status : 0], 1);
	add(&s->buckets[b], 1);
	add(&s->duration_us, (uint64_t)duration_us);
}

static void
print_one(FILE *out, const char *name, const struct stats *s)
{
	uint64_t sum = 0;

	for (int i = 0; i < 600; i++)
		if (s->requests[i])
			fprintf(out, "easel_http_requests_total{program=\"%s\",code=\"%d\"} %lu\n",
				name, i, (unsigned long)s->requests[i]);
	for (int b = 0; b < STATS_BUCKETS; b++) {
		sum += s->buckets[b];
		fprintf(out,
			"easel_http_request_duration_seconds_bucket{program=\"%s\",le=\"%g\"} "
			"%lu\n",
			name, (double)ends_ms[b] / 1000, (unsigned long)sum);
	}
	sum += s->buckets[STATS_BUCKETS];
	fprintf(out,
		"easel_http_request_duration_seconds_bucket{program=\"%s\",le=\"+Inf\"} %lu\n"
		"easel_http_request_duration_seconds_sum{program=\"%s\"} %.6f\n"
		"easel_http_request_duration_seconds_count{program=\"%s\"} %lu\n"
		"easel_http_requests_shed_total{program=\"%s\"} %lu\n"
		"easel_worker_starts_total{program=\"%s\"} %lu\n"
		"easel_worker_deaths_total{program=\"%s\"} %lu\n",
		name, (unsigned long)sum, name, (double)s->duration_us / 1e6, name,
		(unsigned long)sum, name, (unsigned long)s->shed, name,
		(unsigned long)s->worker_starts, name, (unsigned long)s->worker_deaths);
}

int
stats_print(FILE *out, const char *state_dir, struct err *e)
{
	struct dirent **names = NULL;
	char path[512];
	int n;

	if (folder(state_dir, path, e) < 0)
		return -1;
	n = scandir(path, &names, NULL, alphasort);
	fputs("# HELP easel_http_requests_total Requests answered, by program and HTTP status.\n"
	      "# TYPE easel_http_requests_total counter\n"
	      "# HELP easel_http_request_duration_seconds From accept to the last byte written.\n"
	      "# TYPE easel_http_request_duration_seconds histogram\n"
	      "# HELP easel_http_requests_shed_total Requests answered 503 because of load.\n"
	      "# TYPE easel_http_requests_shed_total counter\n"
	      "# HELP easel_worker_starts_total Worker processes started.\n"
	      "# TYPE easel_worker_starts_total counter\n"
	      "# HELP easel_worker_deaths_total Worker processes that ended by a signal or an "
	      "error.\n"
	      "# TYPE easel_worker_deaths_total counter\n",
	      out);
	fprintf(out,
		"# HELP easel_build_info The version that runs.\n# TYPE easel_build_info gauge\n"
		"easel_build_info{version=\"%s\"} 1\n",
		EASEL_VERSION);
	for (int i = 0; i < n; i++) {
		struct stats *s;

		if (names[i]->d_name[0] != '.' &&
		    stats_open(&s, state_dir, names[i]->d_name, e) == 0) {
			print_one(out, names[i]->d_name, s);
			(void)munmap(s, sizeof(*s));
		}
		free(names[i]);
	}
	free(names);
	return 0;
}
