/* fold_block: attention and Mix-FFN of a block: norms lose their affines, keys and values their
 * biases, one head its query and output products, and what is added to the residual stream its mean.
 * See fold.h. */
#include "network/fold.h"

static const double log2_e = 1.44269504088896340736;

/* The reduction before keys and values: takes norm1's affine in; with a norm behind it its mean over
 * outputs is free, so it goes. */
static segrt_status fold_reduction(fold *f, const model_block *from, network_block *to, const double *gamma, const double *beta)
{
    const size_t c = (size_t)from->reduce.out, taps = (size_t)from->reduce.kernel * (size_t)from->reduce.kernel;
    double *weight = fold_wide_conv(f, &from->reduce), *bias = fold_wide(f, from->reduce.bias, c, 0);
    if (!weight || !bias)
        return SEGRT_NO_MEMORY;
    for (size_t o = 0; o < c; o++)
        for (size_t t = 0; t < taps; t++) /* no padding: every tap is always inside */
            add_product(&bias[o], &weight[(o * taps + t) * c], beta, 1, c);
    scale_columns(weight, c * taps, c, gamma);
    to->reduce_plain = from->reduce_norm.width == 0;
    to->reduce_eps = from->reduce_norm.eps;
    if (!to->reduce_plain) {
        centre_rows(weight, c, taps * c);
        centre_rows(bias, c, 1);
    }
    const segrt_status status = fold_keep(f, &to->reduce, weight, c * taps * c, "reduction");
    return status ? status : fold_keep(f, &to->reduce_bias, bias, c, "reduction bias");
}

/* score_ij = scale (Wq (g x_i + b) + bq) . (Wk y_j + bk): what is constant over j is dropped by the
 * softmax, with it bk.  With one head (c = head width) Wq moves to the keys, and b_j = (Wq b + bq) Wk y_j. */
static segrt_status fold_scores(fold *f, const model_block *from, network_block *to, const double *gamma, const double *beta,
                                const double *key_gamma, int heads)
{
    const size_t c = (size_t)from->query.out;
    double *query = fold_wide(f, from->query.weight, c * c, 0), *bias = fold_wide(f, from->query.bias, c, 0);
    double *key = fold_wide(f, from->key.weight, c * c, 0);
    if (!query || !bias || !key)
        return SEGRT_NO_MEMORY;
    add_product(bias, query, beta, c, c);
    scale_columns(query, c, c, gamma);
    scale_columns(key, c, c, key_gamma);
    for (size_t i = 0; i < c * c; i++)
        query[i] *= from->scale * log2_e;
    for (size_t i = 0; i < c; i++)
        bias[i] *= from->scale * log2_e;

    if (heads > 1) {
        segrt_status status = fold_keep(f, &to->query, query, c * c, "query");
        if (!status)
            status = fold_keep(f, &to->query_bias, bias, c, "query bias");
        return status ? status : fold_keep(f, &to->key, key, c * c, "key");
    }
    double *turned = fold_scratch(f, c * c), *joined = fold_scratch(f, c * c), *key_bias = fold_scratch(f, c);
    if (!turned || !joined || !key_bias)
        return SEGRT_NO_MEMORY;
    for (size_t i = 0; i < c; i++)
        for (size_t j = 0; j < c; j++)
            turned[j * c + i] = query[i * c + j];
    add_matrix_product(joined, turned, key, c, c, c);
    add_matrix_product(key_bias, bias, key, 1, c, c);
    const segrt_status status = fold_keep(f, &to->key, joined, c * c, "key");
    return status ? status : fold_keep(f, &to->key_bias, key_bias, c, "key bias");
}

/* Probabilities sum to one: the value bias passes through, into the output's.  With one head the output
 * projection moves to the values. */
static segrt_status fold_values(fold *f, const model_block *from, network_block *to, const double *key_gamma, const double *key_beta,
                                int heads)
{
    const size_t c = (size_t)from->value.out;
    double *value = fold_wide(f, from->value.weight, c * c, 0), *value_bias = fold_wide(f, from->value.bias, c, 0);
    double *project = fold_wide(f, from->project.weight, c * c, 0), *bias = fold_wide(f, from->project.bias, c, 0);
    if (!value || !value_bias || !project || !bias)
        return SEGRT_NO_MEMORY;
    add_product(value_bias, value, key_beta, c, c);
    scale_columns(value, c, c, key_gamma);
    centre_rows(project, c, c);
    centre_rows(bias, c, 1);
    add_product(bias, project, value_bias, c, c);

    segrt_status status = fold_keep(f, &to->out_bias, bias, c, "attention bias");
    if (status)
        return status;
    if (heads > 1) {
        status = fold_keep(f, &to->value, value, c * c, "value");
        return status ? status : fold_keep(f, &to->project, project, c * c, "projection");
    }
    double *joined = fold_scratch(f, c * c);
    if (!joined)
        return SEGRT_NO_MEMORY;
    add_matrix_product(joined, project, value, c, c, c);
    return fold_keep(f, &to->value, joined, c * c, "value");
}

segrt_status fold_attention(fold *f, const model_block *from, network_block *to)
{
    const model_stage *stage = &f->model->stages[f->stage];
    const size_t c = (size_t)stage->width;
    const double *gamma = fold_wide(f, from->norm1.gamma, c, 1), *beta = fold_wide(f, from->norm1.beta, c, 0);
    const double *key_gamma = gamma, *key_beta = beta; /* the affine that keys and values still have to take in */
    if (!gamma || !beta)
        return SEGRT_NO_MEMORY;
    to->eps1 = from->norm1.eps;
    segrt_status status = SEGRT_OK;
    if (stage->reduction > 1) {
        status = fold_reduction(f, from, to, gamma, beta);
        key_gamma = fold_wide(f, from->reduce_norm.gamma, c, 1);
        key_beta = fold_wide(f, from->reduce_norm.beta, c, 0);
        if (!status && (!key_gamma || !key_beta))
            status = SEGRT_NO_MEMORY;
    }
    if (!status)
        status = fold_scores(f, from, to, gamma, beta, key_gamma, stage->heads);
    return status ? status : fold_values(f, from, to, key_gamma, key_beta, stage->heads);
}

segrt_status fold_feed_forward(fold *f, const model_block *from, network_block *to)
{
    const size_t c = (size_t)from->fc1.in, hidden = (size_t)from->fc1.out;
    to->eps2 = from->norm2.eps;
    to->hidden = from->fc1.out;
    const double *gamma = fold_wide(f, from->norm2.gamma, c, 1), *beta = fold_wide(f, from->norm2.beta, c, 0);
    double *fc1 = fold_wide(f, from->fc1.weight, hidden * c, 0), *fc1_bias = fold_wide(f, from->fc1.bias, hidden, 0);
    double *depthwise = fold_scratch(f, 9 * hidden), *depthwise_bias = fold_wide(f, from->depthwise.bias, hidden, 0);
    double *fc2 = fold_wide(f, from->fc2.weight, c * hidden, 0), *fc2_bias = fold_wide(f, from->fc2.bias, c, 0);
    if (!gamma || !beta || !fc1 || !fc1_bias || !depthwise || !depthwise_bias || !fc2 || !fc2_bias)
        return SEGRT_NO_MEMORY;
    add_product(fc1_bias, fc1, beta, hidden, c);
    scale_columns(fc1, hidden, c, gamma);
    for (size_t h = 0; h < hidden; h++)
        for (size_t t = 0; t < 9; t++)
            depthwise[t * hidden + h] = (double)from->depthwise.weight[h * 9 + t];
    centre_rows(fc2, c, hidden);
    centre_rows(fc2_bias, c, 1);

    const struct {
        weights *to;
        const double *values;
        size_t count;
        const char *name;
    } kept[] = {
        {&to->fc1, fc1, hidden * c, "fc1"},
        {&to->fc1_bias, fc1_bias, hidden, "fc1 bias"},
        {&to->depthwise, depthwise, 9 * hidden, "depthwise"},
        {&to->depthwise_bias, depthwise_bias, hidden, "depthwise bias"},
        {&to->fc2, fc2, c * hidden, "fc2"},
        {&to->fc2_bias, fc2_bias, c, "fc2 bias"},
    };
    segrt_status status = SEGRT_OK;
    for (size_t i = 0; !status && i < sizeof kept / sizeof *kept; i++)
        status = fold_keep(f, kept[i].to, kept[i].values, kept[i].count, kept[i].name);
    return status;
}
