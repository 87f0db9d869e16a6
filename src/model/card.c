/* card: see card.h. */
#include "model/card.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/json.h"

enum { SIDE_CAP = 16384 };

static const char *const resizes[] = {
    [SEGRT_RESIZE_NONE] = "none", [SEGRT_RESIZE_EXACT] = "exact", [SEGRT_RESIZE_SHORT_SIDE] = "short-side", [SEGRT_RESIZE_FIT] = "fit"};
static const char *const resamples[] = {[SEGRT_RESAMPLE_PILLOW_BILINEAR] = "pillow-bilinear",
                                        [SEGRT_RESAMPLE_PILLOW_BICUBIC] = "pillow-bicubic",
                                        [SEGRT_RESAMPLE_OPENCV_LINEAR] = "opencv-linear",
                                        [SEGRT_RESAMPLE_NEAREST] = "nearest"};
enum { RESIZES = sizeof resizes / sizeof *resizes, RESAMPLES = sizeof resamples / sizeof *resamples };

/* --------------------------------------------------------------------------------------- out */

static json_t *classes_json(const segrt_model *m, json_t **palette)
{
    json_t *names = json_object();
    *palette = json_array();
    for (int i = 0; m->classes && i < m->class_count; i++) {
        char label[16];
        const model_class *c = &m->classes[i];
        snprintf(label, sizeof label, "%d", i);
        json_t *name = json_string(c->name);
        json_object_set_new(names, label, name ? name : json_sprintf("class %d", i)); /* a name that is no UTF-8 */
        json_array_append_new(*palette, json_pack("[i, i, i]", c->rgb[0], c->rgb[1], c->rgb[2]));
    }
    return names;
}

static json_t *preprocessing_json(const segrt_preprocessing *p)
{
    const char *resize = resizes[p->resize] ? resizes[p->resize] : resizes[SEGRT_RESIZE_NONE];
    const char *resample = resamples[p->resample] ? resamples[p->resample] : resamples[SEGRT_RESAMPLE_PILLOW_BILINEAR];
    return json_pack("{s:s, s:i, s:i, s:i, s:s, s:b, s:i, s:i, s:[f,f,f], s:[f,f,f]}", "resize", resize, "width", p->width, "height",
                     p->height, "multiple", p->multiple, "resample", resample, "via_input", p->via_input, "window", p->window, "stride",
                     p->stride, "mean", (double)p->mean[0], (double)p->mean[1], (double)p->mean[2], "deviation", (double)p->deviation[0],
                     (double)p->deviation[1], (double)p->deviation[2]);
}

segrt_status model_card_write(const segrt_model *m, arena *memory, const char **text, segrt_error *error)
{
    char digest[MODEL_DIGEST] = "";
    const char *name = strrchr(m->path, '/');
    json_t *palette, *names = classes_json(m, &palette);
    if (m->file_count)
        model_digest(m, digest);
    json_t *card = json_pack("{s:o, s:o, s:o, s:{s:s, s:s, s:s, s:s}}", "id2label", names, "palette", palette, "preprocessing",
                             preprocessing_json(&m->preprocessing), "source", "file", name && name[1] ? name + 1 : m->path, "family",
                             m->family, "variant", m->variant, "sha256", digest);
    const size_t classes = m->classes ? (size_t)m->class_count : 0; /* what found no memory above is missing */
    const bool whole = card && json_object_size(names) == classes && json_array_size(palette) == classes;
    const size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(9), size = whole ? json_dumpb(card, NULL, 0, flags) : 0;
    char *written = size ? arena_get(memory, size + 1, 1) : NULL;
    *text = written && json_dumpb(card, written, size, flags) == size ? written : NULL;
    json_decref(card);
    return *text ? SEGRT_OK : fail_memory(error, 0, "the model's card");
}

/* ---------------------------------------------------------------------------------------- in */

static segrt_status read_word(const json_t *object, const char *field, const char *const *words, int count, int *out, segrt_error *error)
{
    const char *word = json_text_or(object, field, "");
    for (int i = 0; i < count; i++)
        if (words[i] && !strcmp(word, words[i])) {
            *out = i;
            return SEGRT_OK;
        }
    return fail_with(error, SEGRT_MALFORMED, MODEL_CARD_KEY ": \"%s\" is '%.32s', which is none", field, word);
}

static segrt_status read_side(const json_t *object, const char *field, int least, int32_t *out, segrt_error *error)
{
    const json_t *value = json_object_get(object, field);
    const json_int_t side = json_is_integer(value) ? json_integer_value(value) : -1;
    if (side < least || side > SIDE_CAP)
        return fail_with(error, SEGRT_MALFORMED, MODEL_CARD_KEY ": \"%s\" must be a whole number in %d..%d", field, least, (int)SIDE_CAP);
    *out = (int32_t)side;
    return SEGRT_OK;
}

static segrt_status read_triple(const json_t *object, const char *field, bool positive, float out[3], segrt_error *error)
{
    const json_t *list = json_object_get(object, field);
    for (size_t c = 0; c < 3; c++) {
        const json_t *item = json_array_get(list, c);
        const double value = json_is_number(item) ? json_number_value(item) : NAN;
        if (!(fabs(value) <= 1e9) || (positive && !(value >= 1e-9)))
            return fail_with(error, SEGRT_MALFORMED, MODEL_CARD_KEY ": \"%s\" must be three %snumbers", field, positive ? "positive " : "");
        out[c] = (float)value;
    }
    return SEGRT_OK;
}

static segrt_status read_preprocessing(const json_t *object, segrt_preprocessing *out, segrt_error *error)
{
    segrt_preprocessing p = {.size = sizeof p, .via_input = json_flag(object, "via_input", false)};
    int resize = 0, resample = 0;
    segrt_status status = read_word(object, "resize", resizes, RESIZES, &resize, error);
    if (!status)
        status = read_word(object, "resample", resamples, RESAMPLES, &resample, error);
    const int least = resize == SEGRT_RESIZE_NONE ? 0 : 1;
    const struct {
        const char *field;
        int least;
        int32_t *to;
    } sides[] = {{"width", least, &p.width},
                 {"height", least, &p.height},
                 {"multiple", 0, &p.multiple},
                 {"window", 0, &p.window},
                 {"stride", 0, &p.stride}};
    for (size_t i = 0; i < sizeof sides / sizeof *sides && !status; i++)
        status = read_side(object, sides[i].field, sides[i].least, sides[i].to, error);
    if (!status)
        status = read_triple(object, "mean", false, p.mean, error);
    if (!status)
        status = read_triple(object, "deviation", true, p.deviation, error);
    if (!status && (p.stride > p.window || (p.window > 0) != (p.stride > 0)))
        status = fail_with(error, SEGRT_MALFORMED, MODEL_CARD_KEY ": window %d with stride %d", p.window, p.stride);
    if (!status && resize == SEGRT_RESIZE_FIT && p.multiple < 1)
        status = fail_with(error, SEGRT_MALFORMED, MODEL_CARD_KEY ": \"multiple\" is %d", p.multiple);
    if (status)
        return status;
    p.resize = (segrt_resize)resize;
    p.resample = (segrt_resample)resample;
    *out = p;
    return SEGRT_OK;
}

segrt_status model_card_read(const char *text, arena *memory, model_config *classes, segrt_preprocessing *preprocessing, segrt_error *error)
{
    json_t *root = NULL;
    segrt_status status = json_parse_object(&root, text, strlen(text), 0, error);
    if (status)
        return status;
    status = model_config_classes(classes, memory, root, error);
    const json_t *prepared = json_object_get(root, "preprocessing");
    if (!status && prepared)
        status = read_preprocessing(prepared, preprocessing, error);
    json_decref(root);
    return status;
}
