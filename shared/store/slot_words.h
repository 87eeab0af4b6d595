#ifndef EASEL_STORE_SLOT_WORDS_H
#define EASEL_STORE_SLOT_WORDS_H
/*
 * slot_words - why a slot was not had, in the same words for every kind of store
 *
 * For shared/store only.  All return -1.
 */
#include "base/err.h"

/* place 0: not known. */
int slot_too_late(const char *provider, unsigned place, struct err *e);
int slot_line_full(const char *provider, struct err *e);
int slot_left_by_all(const char *provider, struct err *e);

#endif
