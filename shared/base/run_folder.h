#ifndef EASEL_BASE_RUN_FOLDER_H
#define EASEL_BASE_RUN_FOLDER_H
/*
 * run_folder - the folders below state_dir/run that processes share files in
 *
 * Private to the layers; what lies in them is each module's own.
 */
#include "base/err.h"

/*
 * Opens state_dir/run/NAME, making what lacks of it (mode 0700).  name "": state_dir/run itself.
 * The descriptor, or -1: ERR_CONFIG, ERR_STORAGE_FULL.
 */
int run_folder_open(const char *state_dir, const char *name, struct err *e);

/* Always -1: *e for a file in run/NAME that could not be used, from errno. */
int run_folder_failed(struct err *e, const char *name, const char *what);

#endif
