/* shape: token grids of every stage for an input size; see network.h. */
#include <limits.h>

#include "network/network.h"

/* Output side of the convolution into a stage; 0 where the kernel does not fit. */
static int patch_side(const network_patch *patch, int side)
{
    const int64_t room = (int64_t)side + 2 * (int64_t)patch->pad - patch->kernel;
    return room < 0 ? 0 : (int)(room / patch->stride + 1);
}

static bool side_fits(const network *net, int side)
{
    for (int i = 0; i < STAGES; i++) {
        side = patch_side(&net->stages[i].patch, side);
        if (side / net->stages[i].reduction < 1)
            return false;
    }
    return true;
}

static int smallest_side(const network *net)
{
    int side = 1;
    while (side < INT_MAX / 2 && !side_fits(net, side))
        side++;
    return side;
}

segrt_status network_shape_of(network_shape *out, const network *net, int n, int h, int w, segrt_error *error)
{
    *out = (network_shape){.n = n, .h = h, .w = w};
    if (n < 1 || h < 1 || w < 1)
        return fail_with(error, SEGRT_SHAPE, "an input of %dx%dx%d (pictures, rows, columns) is empty", n, h, w);
    if ((int64_t)h * w > INT_MAX || (int64_t)n > INT_MAX / ((int64_t)h * w))
        return fail_with(error, SEGRT_SHAPE, "an input of %dx%dx%d (pictures, rows, columns) has more than 2^31 pixels", n, h, w);
    if (!side_fits(net, h) || !side_fits(net, w))
        return fail_with(error, SEGRT_SHAPE,
                         "an input of %d rows and %d columns is too small: this network takes sides of at least %d pixels", h, w,
                         smallest_side(net));
    for (int i = 0; i < STAGES; i++) {
        const network_stage *stage = &net->stages[i];
        h = patch_side(&stage->patch, h);
        w = patch_side(&stage->patch, w);
        out->stage[i] = (stage_shape){.h = h, .w = w, .key_h = h / stage->reduction, .key_w = w / stage->reduction};
    }
    return SEGRT_OK;
}
