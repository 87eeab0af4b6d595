#ifndef EASEL_JOB_PROMPT_LOG_H
#define EASEL_JOB_PROMPT_LOG_H
/*
 * prompt_log - a prompt as [log] prompts lets it into the log
 */
#include "config/config.h"

#define PROMPT_LOG_BYTES 2048 /* a log line is no larger than a pipe takes at once */

void prompt_log(const struct config *c, const char *prompt, char out[PROMPT_LOG_BYTES]);

#endif
