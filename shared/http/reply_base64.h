#ifndef EASEL_HTTP_REPLY_BASE64_H
#define EASEL_HTTP_REPLY_BASE64_H
/*
 * reply_base64 - a file as base64 text, within an answer that has begun
 */
#include "http/request.h"

/*
 * The first `bytes` of the file, read from its beginning wherever it stands, in pieces: memory stays
 * constant.  BASE64_ENCODED(bytes) characters.  -1: ERR_GONE; ERR_INTERNAL (it is shorter than that).
 */
int reply_base64(struct request *r, int fd, uint64_t bytes, struct err *e);

#endif
