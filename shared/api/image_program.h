#ifndef EASEL_API_IMAGE_PROGRAM_H
#define EASEL_API_IMAGE_PROGRAM_H
/*
 * image_program - what the programs have in common that ask providers for pictures
 */
#include "http/app.h"
#include "job/image_run.h"

/* The settings that such a program uses, for --help. */
extern const char *const image_program_sections[];

/* An engine for the threads of this program.  0, or -1 as image_engine_open(). */
int image_program_engine(struct image_engine *g, const struct app_env *env, struct err *e);

/* The whole of a program whose state is nothing but an engine.  As app_main(). */
int image_program_main(const char *name, const char *summary, const struct route *routes, int argc,
		       char **argv);

#endif
