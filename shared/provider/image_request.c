#include "provider/image_request.h"

static const char *const names[PARAM__MAX] = {
#define X(param, name) [param] = name,
	IMAGE_PARAMS(X)
#undef X
};

const char *
image_param_name(enum image_param p)
{
	return names[p];
}
