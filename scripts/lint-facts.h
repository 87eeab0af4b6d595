/*
 * lint-facts - what clang's analyzer cannot know, as it reads one file at a time
 *
 * Included in front of every file by scripts/lint.sh, and nowhere else.
 */
#include "base/err.h"

/* base/err.h: both always return -1.  Without that, each caller's result looks unset after a failure. */
#define err_set(...)   ((err_set)(__VA_ARGS__), -1)
#define err_field(...) ((err_field)(__VA_ARGS__), -1)
