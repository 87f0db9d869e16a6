/* scene: see scene.h. */
#include "scene.h"

#include <stdio.h>
#include <stdlib.h>

#include "progress.h"
#include "report.h"

bool scene_open(scene *s, const scene_plan *plan)
{
    const size_t classes = (size_t)plan->t->info.classes;
    *s = (scene){.labels.label_bytes = classes > PALETTE_ROOM ? 2 : 1, .counts = calloc(classes, sizeof *s->counts)};
    if (!s->counts)
        report("out of memory for %zu counts", classes);
    return s->counts != NULL;
}

void scene_clear(scene *s)
{
    codec_picture_free(&s->picture);
    labelled_free(&s->labels);
    outputs_free(s->files);
    *s = (scene){.labels = s->labels, .counts = s->counts};
}

void scene_close(scene *s)
{
    scene_clear(s);
    free(s->counts);
    *s = (scene){0};
}

/* The picture as what is run. */
static bool decoded(scene *s, segrt_status status, double begin)
{
    s->decode_ms = 1e3 * (seconds_now() - begin);
    if (status)
        return false;
    s->view = segrt_image_packed(SEGRT_RGB8, s->picture.rgb, s->picture.width, s->picture.height);
    s->labels.rgb = s->picture.rgb;
    return true;
}

bool scene_read(scene *s, const char *path)
{
    const double begin = seconds_now();
    return decoded(s, codec_read(&s->picture, path, CODEC_MOST_BYTES, &s->error), begin);
}

bool scene_decode(scene *s, const void *data, size_t size)
{
    const double begin = seconds_now();
    return decoded(s, codec_decode(&s->picture, data, size, CODEC_MOST_BYTES, &s->error), begin);
}

size_t scene_bytes(const scene *s, const scene_plan *plan)
{
    return (size_t)s->view.width * (size_t)s->view.height * (size_t)(3 + s->labels.label_bytes + (plan->out.confidence ? 1 : 0));
}

bool scene_run(scene *s, const scene_plan *plan, segrt_session *session)
{
    segrt_status status = labelled_room(&s->labels, s->view.width, s->view.height, plan->out.confidence, &s->error);
    segrt_result r = {
        .size = sizeof r, .labels = s->labels.labels, .label_bytes = s->labels.label_bytes, .confidence = s->labels.confidence};
    if (!status)
        status = segrt_session_segment(session, &s->view, &plan->how, &r, &s->error);
    if (status)
        return false;
    s->input_width = r.input_width;
    s->input_height = r.input_height;
    s->prepare_ms = r.prepare_ms;
    s->network_ms = r.network_ms;
    session_times(session, &s->device);
    return true;
}

bool scene_write(scene *s, const scene_plan *plan)
{
    const double begin = seconds_now();
    labelled_count(&s->labels, s->counts, plan->t->info.classes);
    const bool fine = outputs_write(&plan->out, s->stem, &s->labels, s->files);
    s->write_ms = 1e3 * (seconds_now() - begin);
    return fine;
}

void scene_report(const scene *s)
{
    if (s->error.status)
        report_error(s->name, &s->error);
    for (int i = 0; i < OUTPUT_FILES; i++)
        if (s->files[i].error.status)
            report_error(s->files[i].path, &s->files[i].error);
}

/* -------------------------------------------------------------------------------------- telling */

typedef struct share {
    int32_t label;
    uint64_t pixels;
} share;

static int by_pixels(const void *a, const void *b)
{
    const share *x = a, *y = b;
    return x->pixels != y->pixels ? (x->pixels < y->pixels ? 1 : -1) : x->label - y->label;
}

void print_shares(const target *t, const uint64_t *counts)
{
    const int32_t classes = t->info.classes;
    uint64_t total = 0;
    share *shares = calloc((size_t)classes, sizeof *shares);
    for (int32_t k = 0; shares && k < classes; k++) {
        shares[k] = (share){k, counts[k]};
        total += counts[k];
    }
    if (shares && total) {
        qsort(shares, (size_t)classes, sizeof *shares, by_pixels);
        for (int32_t k = 0; k < classes && shares[k].pixels; k++)
            printf("  %6.2f %%  %s\n", 100.0 * (double)shares[k].pixels / (double)total, target_class_name(t, shares[k].label));
    }
    free(shares);
}

json_t *shares_json(const target *t, const uint64_t *counts)
{
    uint64_t total = 0;
    json_t *shares = json_object();
    for (int32_t k = 0; k < t->info.classes; k++)
        total += counts[k];
    for (int32_t k = 0; k < t->info.classes; k++)
        if (counts[k])
            json_object_set_new(shares, target_class_name(t, k), json_real((double)counts[k] / (double)total));
    return shares;
}

void scene_print(const scene *s, const scene_plan *plan, const char *device)
{
    printf("%s (%dx%d, seen as %dx%d on %s, %.0f ms)\n", s->name, s->view.width, s->view.height, s->input_width, s->input_height, device,
           s->prepare_ms + s->network_ms);
    print_shares(plan->t, s->counts);
    for (int i = 0; i < OUTPUT_FILES; i++)
        if (s->files[i].path)
            printf("  %-10s %s\n", s->files[i].key, s->files[i].path);
}

json_t *scene_json(const scene *s, const scene_plan *plan)
{
    json_t *files = json_object();
    for (int i = 0; i < OUTPUT_FILES; i++)
        if (s->files[i].path)
            json_object_set_new(files, s->files[i].key, json_string(s->files[i].path));
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:o, s:o, s:{s:f, s:f, s:f, s:f}}", "file", s->name, "width", s->view.width, "height",
                     s->view.height, "input_width", s->input_width, "input_height", s->input_height, "outputs", files, "shares",
                     shares_json(plan->t, s->counts), "ms", "decode", s->decode_ms, "prepare", s->prepare_ms, "network", s->network_ms,
                     "write", s->write_ms);
}
