#ifndef EASEL_HTTP_DURATION_H
#define EASEL_HTTP_DURATION_H
/*
 * duration - "1s", "6m0s", "1h2m3s", "20ms": as OpenAI's x-ratelimit-reset headers write it
 */
#include <stdint.h>

#define DURATION_TEXT 32
/* Whole seconds are rounded up. */
void duration_text(int64_t ms, char out[DURATION_TEXT]);

#endif
