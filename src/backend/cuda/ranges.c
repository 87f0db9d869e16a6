/* ranges: see ranges.h. */
#include "backend/cuda/ranges.h"

#include <math.h>

static double largest(weights w)
{
    double most = 0;
    for (size_t i = 0; i < w.count; i++)
        most = fmax(most, fabs(weight_at(w, i)));
    return most;
}

static double length(weights w, size_t first, size_t count)
{
    double squares = 0;
    for (size_t i = first; i < first + count; i++)
        squares += weight_at(w, i) * weight_at(w, i);
    return sqrt(squares);
}

static double longest_row(weights w, int rows, size_t columns)
{
    double most = 0;
    for (int r = 0; r < rows; r++)
        most = fmax(most, length(w, (size_t)r * columns, columns));
    return most;
}

block_ranges ranges_of_block(const network_stage *stage, const network_block *b)
{
    const size_t c = (size_t)stage->width, patch = (size_t)stage->reduction * (size_t)stage->reduction * c;
    const double row = sqrt((double)c);
    block_ranges out = {.normed = row, .reduced = row, .query = row};
    double reduced = row; /* length of a row that keys and values are made of */
    if (stage->reduction > 1 && b->reduce_plain) {
        out.reduced = longest_row(b->reduce, stage->width, patch) * row * stage->reduction + largest(b->reduce_bias);
        reduced = out.reduced * row;
    }
    out.key = longest_row(b->key, stage->width, c) * reduced;
    out.value = longest_row(b->value, stage->width, c) * reduced;
    if (stage->heads > 1)
        out.query = longest_row(b->query, stage->width, c) * row + largest(b->query_bias);
    double taps = 0;
    for (int i = 0; i < b->hidden; i++) {
        double sum = 0;
        for (int t = 0; t < 9; t++)
            sum += fabs(weight_at(b->depthwise, (size_t)t * (size_t)b->hidden + (size_t)i));
        taps = fmax(taps, sum);
    }
    out.hidden = (longest_row(b->fc1, b->hidden, c) * row + largest(b->fc1_bias)) * taps + largest(b->depthwise_bias);
    return out;
}

head_ranges ranges_of_head(const network *net)
{
    const network_head *head = &net->head;
    head_ranges out = {.merged = net->classes ? largest(head->bias) : 0};
    for (int i = 0; i < STAGES; i++) {
        const network_stage *stage = &net->stages[i];
        const double row = sqrt((double)stage->width);
        double reach = row + length(stage->offset, 0, stage->offset.count); /* length of a row of the level's last map's input */
        int width = stage->width;
        out.stage[i] = row + largest(stage->offset);
        if (!net->classes)
            continue;
        if (head->inner_width) {
            out.inner[i] = longest_row(head->inner[i], head->inner_width, (size_t)width) * reach + largest(head->inner_bias[i]);
            width = head->inner_width;
            reach = out.inner[i] * sqrt((double)width);
        }
        const double level = longest_row(head->level[i], head->width, (size_t)width) * reach;
        out.level = fmax(out.level, level);
        out.merged += level;
    }
    return out;
}

float range_scale(double most)
{
    int exponent;
    if (!(most < 0x1p55))
        return 0x1p-40f;
    frexp(most, &exponent); /* most < 2^exponent */
    return ldexpf(1, exponent < -40 ? 55 : 15 - exponent);
}
