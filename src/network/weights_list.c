/* weights_list: see weights_list.h. */
#include "network/weights_list.h"

static void visit_patch(network_patch *p, weights_visit_fn *visit, void *user)
{
    const uint64_t out = (uint64_t)p->out, taps = (uint64_t)p->kernel * (uint64_t)p->kernel;
    visit(user, &p->weight, out * taps * (uint64_t)p->in);
    visit(user, &p->tap_bias, taps * out);
    visit(user, &p->bias, out);
    visit(user, &p->gamma, out);
    visit(user, &p->beta, out);
}

static void visit_block(const network_stage *stage, network_block *b, weights_visit_fn *visit, void *user)
{
    const uint64_t c = (uint64_t)stage->width, r = (uint64_t)stage->reduction, hidden = (uint64_t)b->hidden;
    if (stage->reduction > 1) {
        visit(user, &b->reduce, c * r * r * c);
        visit(user, &b->reduce_bias, c);
    }
    visit(user, &b->key, c * c);
    visit(user, &b->value, c * c);
    if (stage->heads > 1) {
        visit(user, &b->query, c * c);
        visit(user, &b->query_bias, c);
        visit(user, &b->project, c * c);
    } else {
        visit(user, &b->key_bias, c);
    }
    visit(user, &b->out_bias, c);
    visit(user, &b->fc1, hidden * c);
    visit(user, &b->fc1_bias, hidden);
    visit(user, &b->depthwise, 9 * hidden);
    visit(user, &b->depthwise_bias, hidden);
    visit(user, &b->fc2, c * hidden);
    visit(user, &b->fc2_bias, c);
}

static void visit_head(network *net, weights_visit_fn *visit, void *user)
{
    network_head *head = &net->head;
    const uint64_t width = (uint64_t)head->width, inner = (uint64_t)head->inner_width, classes = (uint64_t)net->classes;
    for (int i = 0; i < STAGES; i++) {
        const uint64_t c = (uint64_t)net->stages[i].width;
        if (head->kind == HEAD_CONV) {
            visit(user, &head->inner[i], inner * c);
            visit(user, &head->inner_bias[i], inner);
        }
        visit(user, &head->level[i], width * (head->kind == HEAD_CONV ? inner : c));
    }
    visit(user, &head->bias, width);
    visit(user, &head->classifier, classes * width);
    visit(user, &head->classifier_bias, classes);
}

void weights_visit(network *net, weights_visit_fn *visit, void *user)
{
    for (int i = 0; i < STAGES; i++) {
        network_stage *stage = &net->stages[i];
        visit_patch(&stage->patch, visit, user);
        for (int b = 0; b < stage->depth; b++)
            visit_block(stage, &stage->blocks[b], visit, user);
        visit(user, &stage->offset, (uint64_t)stage->width);
    }
    if (net->head.kind != HEAD_NONE)
        visit_head(net, visit, user);
}
