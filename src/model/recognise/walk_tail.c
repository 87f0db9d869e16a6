/* walk_tail: what an export has behind the classifier: nothing, a resize, a softmax, labels, or
 * mmsegmentation's sliding windows put together again; see walk.h. */
#include "model/recognise/walk.h"

/* A window in the input, in pixels. */
typedef struct window {
    int64_t y, x, h, w;
} window;

static window window_of(const walk *w, int start)
{
    const canon_node *n = walk_at(w, start);
    return (window){n->op == CANON_CROP ? n->at[0] : 0, n->op == CANON_CROP ? n->at[1] : 0, n->extent.of[AXIS_H], n->extent.of[AXIS_W]};
}

static const canon_node *input_of(const walk *w, int start)
{
    const canon_node *n = walk_at(w, start);
    while (n->op == CANON_CROP || n->op == CANON_AFFINE)
        n = canon_input(w->c, n, 0);
    return n;
}

/* From `node`, whatever follows until nothing does: resizes to the input's size, softmax, argmax. */
static segrt_status walk_end(walk *w, int node, const extents *input, tail *t)
{
    for (;;) {
        const int users = walk_user_count(w, node);
        const canon_node *n = walk_at(w, node);
        if (n->op == CANON_RESIZE) {
            t->full_size = true;
            t->align_corners |= n->align_corners;
            if (n->extent.of[AXIS_H] != input->of[AXIS_H] || n->extent.of[AXIS_W] != input->of[AXIS_W])
                return walk_mismatch(w, node, "logits resized to the input's size");
        }
        t->labels |= n->op == CANON_ARGMAX;
        t->probabilities |= n->op == CANON_CLASS_SOFTMAX;
        if (users == 0)
            return SEGRT_OK;
        for (int i = 0; i < users; i++) {
            const int user = walk_user(w, node, i);
            const canon_op op = walk_at(w, user)->op;
            if (op != CANON_RESIZE && op != CANON_CLASS_SOFTMAX && op != CANON_ARGMAX)
                return walk_mismatch(w, user, "the end, a resize, a softmax or an argmax over the classes");
        }
        if (users > 1)
            return walk_mismatch(w, walk_user(w, node, 1), "one way to the end");
        node = walk_user(w, node, 0);
    }
}

/* One window's logits at the window's size, padded to the picture's; *sum is where they are added. */
static segrt_status padded_window(walk *w, const found *f, const extents *input, int *sum)
{
    const window at = window_of(w, f->start);
    walk_place(w, "after the classifier of a window");
    int node = walk_only(w, f->logits, CANON_RESIZE, "the window's logits resized to the window");
    if (node < 0)
        return SEGRT_NOT_SEGFORMER;
    const canon_node *n = walk_at(w, node);
    if (n->align_corners || n->extent.of[AXIS_H] != at.h || n->extent.of[AXIS_W] != at.w)
        return walk_mismatch(w, node, "the window's logits resized to the window, with align_corners = false");
    node = walk_only(w, node, CANON_PAD, "the window's logits padded to the picture");
    if (node < 0)
        return SEGRT_NOT_SEGFORMER;
    n = walk_at(w, node);
    if (n->at[0] != at.y || n->at[1] != at.x || n->extent.of[AXIS_H] != input->of[AXIS_H] || n->extent.of[AXIS_W] != input->of[AXIS_W])
        return walk_mismatch(w, node, "the window's logits where the window lies");
    *sum = walk_only(w, node, CANON_ADD, "the sum of the windows' logits");
    return *sum < 0 ? SEGRT_NOT_SEGFORMER : SEGRT_OK;
}

/* How many summands of the tree of Adds below `node` are padded windows; -1: something else is among them, or more than `most` nodes. */
static int count_summands(const walk *w, int node, int *most)
{
    const canon_node *n = walk_at(w, node);
    if (n->op == CANON_PAD)
        return 1;
    if (n->op != CANON_ADD || (*most)-- <= 0) /* an Add that is read twice is counted twice: bounded, though the tree is none */
        return -1;
    const int right = count_summands(w, n->inputs[1], most), left = right < 0 ? -1 : count_summands(w, n->inputs[0], most);
    return left < 0 ? -1 : left + right;
}

/* Is the map by which the sum is divided the number of windows over each pixel? */
static bool counts_windows(const walk *w, const canon_node *divided, const found *networks, int count, double *numbers)
{
    const int64_t rows = divided->extent.of[AXIS_H], columns = divided->extent.of[AXIS_W];
    onnx_tensor_doubles(divided->map, numbers);
    for (int i = 0; i < count; i++) {
        const window at = window_of(w, networks[i].start);
        for (int64_t y = at.y; y < at.y + at.h && y < rows; y++)
            for (int64_t x = at.x; x < at.x + at.w && x < columns; x++)
                numbers[y * columns + x] -= 1;
    }
    for (int64_t i = 0; i < rows * columns; i++)
        if (numbers[i] != 0)
            return false;
    return true;
}

/* The windows' side, and which steps would lay them so; true where they are mmsegmentation's for this picture. */
static bool is_grid(const walk *w, const found *networks, int count, const extents *input, tail *t)
{
    const window first = window_of(w, networks[0].start);
    const int64_t side[] = {first.h, first.w}, whole[] = {input->of[AXIS_H], input->of[AXIS_W]};
    int64_t step[2] = {0, 0};
    for (int i = 0; i < count; i++) {
        const window at = window_of(w, networks[i].start);
        const int64_t begin[] = {at.y, at.x};
        if (at.h != side[0] || at.w != side[1])
            return false;
        for (int d = 0; d < 2; d++)
            if (begin[d] > 0 && (step[d] == 0 || begin[d] < step[d]))
                step[d] = begin[d];
    }
    int64_t expected = 1;
    for (int i = 0; i < count; i++) {
        const window at = window_of(w, networks[i].start);
        const int64_t begin[] = {at.y, at.x};
        for (int d = 0; d < 2; d++)
            if (begin[d] && begin[d] % step[d] && begin[d] != whole[d] - side[d])
                return false;
    }
    for (int d = 0; d < 2; d++) {
        const bool two =
            step[d] && step[d] == whole[d] - side[d]; /* the second was moved back, or just fits: any step from here did that */
        t->window[d] = (int)side[d];
        t->least[d] = step[d] ? (int)step[d] : 1;
        t->most[d] = !step[d] ? INT32_MAX : two && side[d] > step[d] ? (int)side[d] : (int)step[d];
        expected *= step[d] ? (whole[d] - side[d] + step[d] - 1) / step[d] + 1 : 1;
    }
    return expected == count;
}

static segrt_status walk_windows(walk *w, const found *networks, int count, const extents *input, tail *t)
{
    int sum = -1;
    for (int i = 0; i < count; i++) {
        const segrt_status status = padded_window(w, &networks[i], input, &sum);
        if (status != SEGRT_OK)
            return status;
    }
    walk_place(w, "after the windows' logits");
    while (walk_user_count(w, sum) == 1 && walk_at(w, walk_user(w, sum, 0))->op == CANON_ADD)
        sum = walk_user(w, sum, 0);
    int most = count;
    if (count_summands(w, sum, &most) != count)
        return walk_mismatch(w, sum, "the sum of every window's logits once");
    const int divided = walk_only(w, sum, CANON_COUNT, "the sum divided by the windows over each pixel");
    if (divided < 0)
        return SEGRT_NOT_SEGFORMER;
    double *numbers = arena_get(w->c->scratch, walk_at(w, divided)->map->count, sizeof *numbers);
    if (!numbers)
        return fail_memory(w->error, walk_at(w, divided)->map->count * sizeof *numbers, "a count of windows");
    if (!counts_windows(w, walk_at(w, divided), networks, count, numbers) || !is_grid(w, networks, count, input, t))
        return walk_mismatch(w, divided, "the sum divided by the windows over each pixel, in mmsegmentation's grid");
    t->full_size = true;
    return walk_end(w, divided, input, t);
}

segrt_status walk_tail(walk *w, const found *networks, int count, tail *t)
{
    const extents *input = &input_of(w, networks[0].start)->extent;
    *t = (tail){0};
    if (count > 1)
        return walk_windows(w, networks, count, input, t);
    walk_place(w, "after the classifier");
    return walk_end(w, networks[0].logits, input, t);
}
