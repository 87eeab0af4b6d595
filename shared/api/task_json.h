#ifndef EASEL_API_TASK_JSON_H
#define EASEL_API_TASK_JSON_H
/*
 * task_json - a task's record and the object that callers see
 *
 * What the texts of struct task_record hold here:
 *
 *	request   the body as it was asked for, without its pictures
 *	input     {"sources":[FILE…],"mask":FILE}, api/task_input.h
 *	history   [{"n","provider","started","outcome","code"}…], as in the object
 *	progress  {"usual_s","credential","remnant","images":[PICTURE…]}: what came so far of several; remnant: so
 *	          is the request (provider/image_request.h); "partials" and "partial_n", api/task_partial.h
 *	result    {"images":[PICTURE…],"receipt":{…},"mode"}; PICTURE: {"id","type","width","height","bytes",
 *	          "revised_prompt"}.  No URLs: they are made for whoever asks
 *	error     error_json(), English; its member "zh" has what is another text in Chinese
 *	callback  {"url","base","tries":[…]}, api/task_hook.h
 */
#include <jansson.h>

#include "http/request.h"
#include "job/image_run.h"
#include "store/store_task.h"

#define TASK_BASE_BYTES 512

/*
 * The object, as a new reference.  position: store_task_position(), 0: none; base: "http://host", as
 * request_base_url() says.
 */
json_t *task_json(const struct task_record *t, uint64_t position, const char *base);
/* The same with its error in that language. */
json_t *
task_json_in(const struct task_record *t, uint64_t position, const char *base, enum err_lang lang);
/* The record's error for a caller, as a new reference; NULL: none. */
json_t *task_json_error_read(const struct task_record *t, enum err_lang lang);

/* The texts for the end of a job's task; the caller's (free), NULL: out of memory. */
char *task_json_result(const struct image_job *job);
char *task_json_error(const struct err *e, const char *request_id, const char *task_id);

#endif
