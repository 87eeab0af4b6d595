#ifndef EASEL_PROVIDER_MODELSCOPE_SIZE_H
#define EASEL_PROVIDER_MODELSCOPE_SIZE_H
/*
 * modelscope_size - which sizes ModelScope's models make
 *
 * The documentation names a range of sides for each family: Qwen-Image 64 to 1664, FLUX (and
 * majicFLUS, which is one) 64 to 1024, Stable Diffusion and all others 64 to 2048.  Any size within
 * it is taken as it is.  Private to provider/.  Thread-safe.
 */
#include <stdbool.h>
#include <stdint.h>

#include "provider/provider.h"

/* Never NULL. */
const struct image_caps *modelscope_caps(const char *model);
const struct image_caps *modelscope_caps_row(unsigned i);

/*
 * Brings a size into the model's range: the aspect ratio stays as far as the range allows, sides
 * become multiples of 8.  Was it outside, that is, has anything changed?
 */
bool modelscope_size(const char *model, uint32_t *width, uint32_t *height);

#endif
