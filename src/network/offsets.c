/* offsets: moves a constant per channel out of the stored stage outputs and into the biases of what
 * reads them.  Exact for any constant; the channels' means make 16-bit storage work (a trained head's
 * levels carry large constants that cancel in the sum).  Network layer, after the fold. */
#include "network/fold.h"

/* Room for the new numbers of all stages, so that the network changes as a whole or not at all. */
typedef struct changed {
    weights offset[STAGES], tap_bias[STAGES], inner_bias[STAGES], bias;
} changed;

static double *widened(arena *scratch, weights w)
{
    double *wide = arena_get(scratch, w.count, sizeof *wide);
    for (size_t i = 0; wide && i < w.count; i++)
        wide[i] = weight_at(w, i);
    return wide;
}

/* y [rows] += w [rows][columns] x. */
static void add_weights_product(double *y, weights w, const double *x, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            y[r] += weight_at(w, r * columns + c) * x[c];
}

static bool change_stage(network *net, int i, network_width width, const double *mean, arena *scratch, double *head_bias, changed *out)
{
    const network_stage *stage = &net->stages[i];
    const size_t c = (size_t)stage->width;
    double *step = arena_get(scratch, c, sizeof *step);
    if (!step || !weights_store(&net->memory, width, &out->offset[i], mean, c))
        return false;
    for (size_t k = 0; k < c; k++) /* between the numbers as stored, so that storage and readers agree to the last bit */
        step[k] = weight_at(out->offset[i], k) - weight_at(stage->offset, k);

    if (i + 1 < STAGES) {
        const network_patch *next = &net->stages[i + 1].patch;
        const size_t taps = (size_t)next->kernel * (size_t)next->kernel, width_out = (size_t)next->out;
        double *tap_bias = widened(scratch, next->tap_bias);
        if (!tap_bias)
            return false;
        for (size_t o = 0; o < width_out; o++)
            for (size_t t = 0; t < taps; t++)
                for (size_t k = 0; k < c; k++)
                    tap_bias[t * width_out + o] += weight_at(next->weight, (o * taps + t) * c + k) * step[k];
        if (!weights_store(&net->memory, width, &out->tap_bias[i + 1], tap_bias, next->tap_bias.count))
            return false;
    }
    if (net->head.kind == HEAD_MLP)
        add_weights_product(head_bias, net->head.level[i], step, (size_t)net->head.width, c);
    if (net->head.kind == HEAD_CONV) {
        double *inner_bias = widened(scratch, net->head.inner_bias[i]);
        if (!inner_bias)
            return false;
        add_weights_product(inner_bias, net->head.inner[i], step, (size_t)net->head.inner_width, c);
        if (!weights_store(&net->memory, width, &out->inner_bias[i], inner_bias, net->head.inner_bias[i].count))
            return false;
    }
    return true;
}

segrt_status network_set_offsets(network *net, const double *const mean[STAGES], segrt_error *error)
{
    const network_width width = net->stages[0].offset.f32 ? NETWORK_F32 : NETWORK_F64;
    arena scratch = {0};
    changed fresh = {0};
    double *head_bias = widened(&scratch, net->head.bias);
    bool enough = head_bias != NULL;
    for (int i = 0; enough && i < STAGES; i++)
        enough = change_stage(net, i, width, mean[i], &scratch, head_bias, &fresh);
    if (enough)
        enough = weights_store(&net->memory, width, &fresh.bias, head_bias, net->head.bias.count);
    arena_free(&scratch);
    if (!enough)
        return fail_memory(error, net->head.bias.count * sizeof(double), "offsets");

    for (int i = 0; i < STAGES; i++) {
        net->stages[i].offset = fresh.offset[i];
        if (i)
            net->stages[i].patch.tap_bias = fresh.tap_bias[i];
        if (net->head.kind == HEAD_CONV)
            net->head.inner_bias[i] = fresh.inner_bias[i];
    }
    if (net->head.kind == HEAD_MLP)
        net->head.bias = fresh.bias;
    return SEGRT_OK;
}
