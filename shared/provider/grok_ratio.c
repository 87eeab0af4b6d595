#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "provider/grok.h"

/* What every client asks the WebSocket for. */
const char *const grok_ws_ratios[] = { "1:1", "2:3", "3:2", "16:9", "9:16", NULL };
const char *const grok_official_ratios[] = { "1:1", "3:4",    "4:3",    "9:16", "16:9", "2:3",
					     "3:2", "9:19.5", "19.5:9", "9:20", "20:9", "1:2",
					     "2:1", "21:9",   "5:2",    NULL };

#define SIDE_MAX 100000.0

double
grok_ratio_read(const char *text)
{
	char *end;
	double width, height;

	/* strtod() would take "inf", "0x10" and blanks as well. */
	if (text[strspn(text, "0123456789.:")] || *text == ':')
		return 0;
	width = strtod(text, &end);
	if (*end != ':' || end[1] == ':' || !end[1])
		return 0;
	height = strtod(end + 1, &end);
	if (*end || !(width > 0) || !(height > 0) || width > SIDE_MAX || height > SIDE_MAX)
		return 0;
	return width / height;
}

const char *
grok_ratio_nearest(const char *const *list, double ratio)
{
	const char *nearest = NULL;
	double least = HUGE_VAL;

	for (; *list; list++) {
		double distance = fabs(log(grok_ratio_read(*list) / ratio));

		if (distance < least) {
			least = distance;
			nearest = *list;
		}
	}
	return nearest;
}

static int
ratio_given(const struct image_call *call, const char *const *list, const char **out, struct err *e)
{
	const char *asked = call->rq->aspect_ratio;
	double ratio = grok_ratio_read(asked);

	for (const char *const *at = list; *at; at++)
		if (!strcmp(*at, asked)) {
			*out = *at;
			return 0;
		}
	if (!(ratio > 0))
		return err_field(e, ERR_VALUE, "aspect_ratio", "a ratio, such as 2:3", "'%.40s'",
				 asked);
	*out = grok_ratio_nearest(list, ratio);
	receipt_note(call->receipt, PARAM_ASPECT_RATIO, "=%s", *out);
	return 0;
}

int
grok_ratio(const struct image_call *call, const char *const *list, const char *otherwise,
	   const char **out, struct err *e)
{
	const struct image_request *rq = call->rq;

	*out = otherwise;
	if (rq->aspect_ratio && strcmp(rq->aspect_ratio, "auto") != 0) {
		grok_drop(call, PARAM_SIZE); /* the more exact wish counts */
		return ratio_given(call, list, out, e);
	}
	if (rq->width)
		*out = grok_ratio_nearest(list, (double)rq->width / rq->height);
	if (rq->given & PARAM_BIT(PARAM_SIZE)) {
		if (*out)
			receipt_note(call->receipt, PARAM_SIZE, "→aspect_ratio=%s", *out);
		else
			receipt_note(call->receipt, PARAM_SIZE, "=the model's default");
	}
	return 0;
}
