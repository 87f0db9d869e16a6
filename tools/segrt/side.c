/* side: see side.h. */
#include "side.h"

#include <stdlib.h>
#include <string.h>

#include "inputs.h"
#include "report.h"

static int open_onnx(side *s, const target_options *options)
{
    segrt_error error = {0};
    const char *slash = strrchr(s->name, '/');
    char *folder = slash ? text_of("%.*s", (int)(slash - s->name), s->name) : text_of(".");
    segrt_status status = file_map_open(&s->file, s->name, &error);
    if (!status)
        status = onnx_graph_open(&s->graph, &s->file, folder, NULL, &error);
    if (!status)
        status = segrt_pool_open(&s->pool, options->threads, &error);
    if (!status)
        status = onnx_interpreter_open(&s->interpreter, s->graph, s->pool, 0, &error);
    free(folder);
    if (status)
        report_error(s->name, &error);
    return exit_code_of(status);
}

int side_open(side *s, const char *name, const target_options *options, bool interpret)
{
    const size_t length = strlen(name);
    *s = (side){.name = name};
    if (interpret && length > 5 && !strcmp(name + length - 5, ".onnx"))
        return open_onnx(s, options);
    target_options o = *options;
    o.model = name;
    return target_open(&s->t, &o);
}

void side_close(side *s)
{
    onnx_interpreter_close(s->interpreter);
    onnx_graph_close(s->graph);
    segrt_pool_close(s->pool);
    file_map_close(&s->file);
    target_close(&s->t);
    free(s->logits);
    *s = (side){0};
}

/* Bilinear (align_corners = false) to h x w, then the class with the largest logit. */
static uint16_t *argmax_of(const float *logits, int classes, int from_h, int from_w, int h, int w)
{
    uint16_t *labels = malloc((size_t)h * (size_t)w * sizeof *labels);
    const size_t plane = (size_t)from_h * (size_t)from_w;
    for (int y = 0; labels && y < h; y++) {
        const float fy = ((float)y + 0.5f) * (float)from_h / (float)h - 0.5f, cy = fy > 0 ? fy : 0;
        const int y0 = (int)cy, y1 = y0 + 1 < from_h ? y0 + 1 : y0;
        const float ty = cy - (float)y0;
        for (int x = 0; x < w; x++) {
            const float fx = ((float)x + 0.5f) * (float)from_w / (float)w - 0.5f, cx = fx > 0 ? fx : 0;
            const int x0 = (int)cx, x1 = x0 + 1 < from_w ? x0 + 1 : x0;
            const float tx = cx - (float)x0;
            float best = -3e38f;
            uint16_t winner = 0;
            for (int k = 0; k < classes; k++) {
                const float *above = logits + (size_t)k * plane + (size_t)y0 * (size_t)from_w, *below = above + (size_t)(y1 - y0) * (size_t)from_w;
                const float value = (1 - ty) * ((1 - tx) * above[x0] + tx * above[x1]) + ty * ((1 - tx) * below[x0] + tx * below[x1]);
                if (value > best) {
                    best = value;
                    winner = (uint16_t)k;
                }
            }
            labels[(size_t)y * (size_t)w + (size_t)x] = winner;
        }
    }
    if (!labels)
        report("out of memory for labels of %dx%d", w, h);
    return labels;
}

static bool run_session(side *s, const float *tensor, int h, int w, answer *out)
{
    segrt_error error = {0};
    *out = (answer){.classes = s->t.info.classes, .logits_h = (h + 3) / 4, .logits_w = (w + 3) / 4};
    const size_t count = (size_t)out->classes * (size_t)out->logits_h * (size_t)out->logits_w;
    if (count > s->room) {
        free(s->logits);
        s->logits = malloc(count * sizeof *s->logits);
        s->room = s->logits ? count : 0;
        if (!s->logits) {
            report("out of memory for %zu logits", count);
            return false;
        }
    }
    if (segrt_session_forward(s->t.session, tensor, 1, h, w, s->logits, &error)) {
        report_error(s->name, &error);
        return false;
    }
    out->logits = s->logits;
    return true;
}

/* The first output: logits [1][classes][.][.], or labels of the input's size. */
static bool run_onnx(side *s, const float *tensor, int h, int w, answer *out)
{
    segrt_error error = {0};
    const onnx_output *outputs;
    const int64_t dims[] = {1, 3, h, w};
    const size_t pixels = (size_t)h * (size_t)w;
    *out = (answer){0};
    if (onnx_interpreter_run(s->interpreter, tensor, 4, dims, &outputs, &error)) {
        report_error(s->name, &error);
        return false;
    }
    const onnx_output *o = &outputs[0];
    if (o->floats && o->shape.rank == 4 && o->shape.dims[0] == 1 && o->shape.dims[1] > 1) {
        *out = (answer){.logits = o->floats, .classes = (int)o->shape.dims[1], .logits_h = (int)o->shape.dims[2], .logits_w = (int)o->shape.dims[3]};
        return true;
    }
    if (o->count != pixels) {
        report("%s: its first output is neither logits nor labels of %dx%d", s->name, w, h);
        return false;
    }
    out->labels = malloc(pixels * sizeof *out->labels);
    for (size_t i = 0; out->labels && i < pixels; i++)
        out->labels[i] = (uint16_t)(o->ints ? o->ints[i] : (int64_t)o->floats[i]);
    return out->labels != NULL;
}

bool side_run(side *s, const float *tensor, int h, int w, answer *out)
{
    if (!(s->graph ? run_onnx(s, tensor, h, w, out) : run_session(s, tensor, h, w, out)))
        return false;
    if (!out->labels)
        out->labels = argmax_of(out->logits, out->classes, out->logits_h, out->logits_w, h, w);
    return out->labels != NULL;
}
