#ifndef EASEL_CLI_TEMPLATE_H
#define EASEL_CLI_TEMPLATE_H
/*
 * template - the web server's configuration from its template
 */
#include "base/buf.h"
#include "base/err.h"

struct place {
	const char *name; /* "MAX_FDS" for @MAX_FDS@ */
	const char *value;
};

/*
 * Adds `text` to out with each @NAME@ replaced.  `places` ends with a zero row.  0, or -1: ERR_INTERNAL
 * for a place that has no value, ERR_CONFIG for a value that could leave the quotes it stands in.
 */
int template_fill(const char *text, const struct place *places, struct buf *out, struct err *e);

#endif
