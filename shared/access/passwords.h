#ifndef EASEL_ACCESS_PASSWORDS_H
#define EASEL_ACCESS_PASSWORDS_H
/*
 * passwords - Argon2id (RFC 9106) by libsodium, a few at a time
 *
 * A hash takes PASSWORD_MEMORY_BYTES and some tens of milliseconds, which is its point; so that a crowd of
 * logins does not take all memory, PASSWORDS_AT_ONCE of a process run at once and the others wait for
 * their turn.  Whoever has a turn holds it over everything that has to be true of one guess at a time.
 *
 * Passwords come as they were typed, white space around them left out by password_trim().  Thread-safe.
 * Does not log; no password is in an error.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/deadline.h"
#include "base/err.h"

/* OWASP's first choice (m = 19 MiB, t = 2, p = 1).  One place: a hash says what it was made with. */
#define PASSWORD_MEMORY_BYTES (19UL << 20)
#define PASSWORD_PASSES	      2
#define PASSWORDS_AT_ONCE     2

#define PASSWORD_TEXT	   128 /* bytes of a hash's text, with the NUL */
#define PASSWORD_MIN_BYTES 8   /* of a new one */
#define PASSWORD_MAX_BYTES 1024

/* Leaves out white space (ASCII) at both ends: pasted texts end in line breaks.  In place. */
char *password_trim(char *text);

/* 0, or -1: ERR_VALUE for `password`: too short, too long, not UTF-8. */
int password_judge(const char *password, struct err *e);

/* A turn, waited for until *d.  0, or -1: ERR_OVERLOADED. */
int password_turn_take(const struct deadline *d, struct err *e);
void password_turn_give(void);

/* These are called with a turn, or where nobody else is (the command line). */

/* 0, or -1: ERR_OVERLOADED (no memory). */
int password_hash(const char *password, char out[PASSWORD_TEXT], struct err *e);
/*
 * *right: is it the password that `hash` was made of?  NULL: there is no such user, which takes as long and
 * is never right.  0, or -1: ERR_OVERLOADED.
 */
int password_check(const char *hash, const char *password, bool *right, struct err *e);

#endif
