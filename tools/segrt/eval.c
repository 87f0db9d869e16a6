/* eval: a model's scores on a folder of pictures and their labels. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "codecs/codecs.h"
#include "command.h"
#include "dataset.h"
#include "metrics/confusion.h"
#include "outputs.h"
#include "preparing.h"
#include "progress.h"
#include "report.h"
#include "target.h"
#include "values.h"

enum { USUAL_IGNORE = 255 };

struct options {
    target_options from;
    preparing prepare;
    int32_t ignore;
    bool reduce;
    const char *json;
};

typedef struct evaluation {
    const struct options *o;
    target t;
    dataset data;
    segrt_preprocessing how;
    labelled scene;
    confusion counts;
    double network_ms;
    size_t done, failed;
} evaluation;

/* False: reported. */
static bool score_picture(evaluation *e, size_t index)
{
    const input *in = &e->data.pictures.list[index];
    codec_picture picture = {0};
    codec_labels truth = {0};
    segrt_error error = {0};
    bool fine = !codec_read(&picture, in->path, CODEC_MOST_BYTES, &error) && !dataset_labels(&e->data, index, &truth, &error);
    if (fine && (truth.width != picture.width || truth.height != picture.height)) {
        report("%s: the picture is %dx%d, its labels %dx%d", in->path, picture.width, picture.height, truth.width, truth.height);
        fine = false;
    } else if (fine && !labelled_room(&e->scene, picture.width, picture.height, false, &error)) {
        const segrt_image view = segrt_image_packed(SEGRT_RGB8, picture.rgb, picture.width, picture.height);
        segrt_result r = {.size = sizeof r, .labels = e->scene.labels, .label_bytes = e->scene.label_bytes};
        fine = !segrt_session_segment(e->t.session, &view, &e->how, &r, &error);
        e->network_ms += r.network_ms;
    } else
        fine = false;
    if (error.status)
        report_error(in->path, &error);
    if (fine)
        confusion_add(&e->counts, (label_map){truth.labels, 2}, (label_map){e->scene.labels, e->scene.label_bytes},
                      (size_t)picture.width * (size_t)picture.height, e->o->ignore, e->o->reduce || e->data.layout->reduce);
    codec_labels_free(&truth);
    codec_picture_free(&picture);
    return fine;
}

static void print_percent(double value)
{
    if (isnan(value))
        printf(" %8s", "-");
    else
        printf(" %8.2f", 100 * value);
}

static void print_scores(const evaluation *e)
{
    const confusion_scores s = confusion_read(&e->counts);
    printf("%s, %zu pictures of %s, on %s, %.1f ms a picture in the network\n\n%-24s %8s %8s\n", e->t.name, e->done, e->data.layout->name,
           segrt_session_device(e->t.session), e->network_ms / (double)(e->done ? e->done : 1), "class", "IoU %", "Acc %");
    for (int k = 0; k < e->t.info.classes; k++) {
        printf("%-24s", target_class_name(&e->t, k));
        print_percent(confusion_iou(&e->counts, k));
        print_percent(confusion_accuracy(&e->counts, k));
        printf("\n");
    }
    printf("\nmIoU ");
    print_percent(s.miou);
    printf("\nmAcc ");
    print_percent(s.macc);
    printf("\naAcc ");
    print_percent(s.aacc);
    printf("\n");
}

static json_t *number(double value) { return isnan(value) ? json_null() : json_real(value); }

static json_t *to_json(const evaluation *e)
{
    const confusion_scores s = confusion_read(&e->counts);
    json_t *classes = json_array();
    for (int k = 0; k < e->t.info.classes; k++)
        json_array_append_new(classes, json_pack("{s:s, s:o, s:o}", "name", target_class_name(&e->t, k), "iou", number(confusion_iou(&e->counts, k)),
                                                 "accuracy", number(confusion_accuracy(&e->counts, k))));
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:f, s:o, s:o, s:o, s:o}", "model", e->t.name, "device", segrt_session_device(e->t.session),
                     "layout", e->data.layout->name, "pictures", (int)e->done, "failed", (int)e->failed, "pixels", (json_int_t)s.pixels,
                     "pixels_ignored", (json_int_t)(e->counts.ignored + e->counts.unknown), "network_ms",
                     e->network_ms / (double)(e->done ? e->done : 1), "miou", number(s.miou), "macc", number(s.macc), "aacc", number(s.aacc),
                     "classes", classes);
}

static int run(evaluation *e)
{
    segrt_error error = {0};
    if (confusion_open(&e->counts, e->t.info.classes, &error)) {
        report_error(NULL, &error);
        return EXIT_SOME_FAILED;
    }
    e->how = preparing_apply(&e->o->prepare, e->t.engine);
    e->scene.label_bytes = e->t.info.classes > 256 ? 2 : 1;
    progress bar = progress_begin(e->data.pictures.count, "pictures");
    for (size_t i = 0; i < e->data.pictures.count; i++) {
        const bool fine = score_picture(e, i);
        e->done += fine;
        e->failed += !fine;
        progress_step(&bar);
    }
    progress_clear(&bar);
    bool written = true;
    if (e->o->json)
        written = report_json(to_json(e), e->o->json);
    else
        print_scores(e);
    return report_flush() && written && !e->failed ? EXIT_DONE : EXIT_SOME_FAILED;
}

int eval_command(int argc, char **argv)
{
    struct options o = {.ignore = USUAL_IGNORE};
    static const char *const examples[] = {"segrt eval segformer-b0-camvid/ camvid/", "segrt eval b2.segrt cityscapes/ --window 1024 --stride 768 --json -",
                                           NULL};
    const arguments_page page = {
        .command = "eval",
        .usage = "[MODEL] FOLDER [options]",
        .about = "Scores a model on pictures and label PNGs: IoU and accuracy of each class, their means, pixel accuracy.\n"
                 "FOLDER is laid out as CamVid (images/, labels/), Cityscapes, ADE20K, or images/ with annotations/ or masks/.\n"
                 "Labels that are no class of the model are left out. Without MODEL: the built-in one.",
        .examples = examples,
        .least = 1,
        .most = 2,
    };
    const argument rows[] = {
        {"--ignore", 0, "LABEL", "a label that is left out (default 255)", value_label, &o.ignore},
        {"--reduce-labels", 0, NULL, "labels count from 1, 0 is none (known for ADE20K's layout)", NULL, &o.reduce},
        {"--json", 0, "FILE", "write the scores as JSON (- for stdout)", value_text, &o.json},
        PREPARING_ARGUMENTS(o.prepare),
        TARGET_SESSION_ARGUMENTS(o.from),
    };
    int operands;
    int exit_code;
    if (arguments_end(arguments_read(&page, rows, sizeof rows / sizeof *rows, argc, argv, &operands), &exit_code))
        return exit_code;
    evaluation e = {.o = &o};
    o.from.model = operands == 2 ? argv[1] : NULL;
    int result = dataset_open(&e.data, argv[operands]) ? target_open(&e.t, &o.from) : EXIT_USAGE;
    if (!result)
        result = run(&e);
    labelled_free(&e.scene);
    confusion_close(&e.counts);
    dataset_close(&e.data);
    target_close(&e.t);
    return result;
}
