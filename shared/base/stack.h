#ifndef EASEL_BASE_STACK_H
#define EASEL_BASE_STACK_H
/*
 * stack - give back what a thread's stack has used and no longer needs
 *
 * A thread that waits minutes for a provider keeps every page that any call before touched.
 */

/* Returns the pages below the caller's frame to the system; they read as zero when used again. */
void stack_trim(void);

#endif
