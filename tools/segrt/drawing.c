/* drawing: see drawing.h. */
#include "drawing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codecs/codecs.h"
#include "report.h"

void drawing_text(const network *net, const costs *c)
{
    printf("\npicture %d x 3 x %d x %d\n", c->shape.n, c->shape.h, c->shape.w);
    for (int s = 0; s < STAGES; s++) {
        const network_stage *stage = &net->stages[s];
        const stage_shape *at = &c->shape.stage[s];
        printf("  |  convolution %dx%d, stride %d\n", stage->patch.kernel, stage->patch.kernel, stage->patch.stride);
        printf("  v\n");
        printf("stage %d: %d channels at %d x %d%s\n", s + 1, stage->width, at->h, at->w, net->classes ? "  ------> level to the head" : "");
        printf("  |  %d x { attention: %d %s, %d x %d keys; Mix-FFN: %d channels wide }\n", stage->depth, stage->heads,
               stage->heads == 1 ? "head" : "heads", at->key_h, at->key_w, stage->blocks[0].hidden);
    }
    if (net->classes) {
        printf("  v\n");
        printf("head: levels of %d channels, each at its stage's size; upsampled and added at %d x %d; ReLU; %d classes\n", net->head.width,
               c->shape.stage[0].h, c->shape.stage[0].w, net->classes);
    }
}

enum { SVG_WIDTH = 860, BOX_TOP = 70, BOX_MOST = 190, COLUMN = 165, LEFT = 30 };

static void text_at(FILE *f, double x, double y, int size, const char *text)
{
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%d\">", x, y, size);
    for (; *text; text++)
        if (*text == '<' || *text == '&' || *text == '>')
            fprintf(f, "&#%d;", *text);
        else if ((unsigned char)*text >= ' ')
            fputc(*text, f);
    fprintf(f, "</text>\n");
}

static void draw_stage(FILE *f, const network *net, const costs *c, int s)
{
    const network_stage *stage = &net->stages[s];
    const stage_shape *at = &c->shape.stage[s], *first = &c->shape.stage[0];
    const double scale = BOX_MOST * 0.62 / (first->h > first->w ? first->h : first->w), depth = 6 * log2(stage->width / 8.0 + 1);
    const double w = fmax(8, at->w * scale), h = fmax(8, at->h * scale), x = LEFT + COLUMN * s, y = BOX_TOP + BOX_MOST - h;
    char line[96];
    fprintf(f, "<path d=\"M%.1f %.1f l%.1f %.1f h%.1f l%.1f %.1f z\" fill=\"#b8cde8\" stroke=\"#345\"/>\n", x, y, depth, -depth / 2, w, -depth,
            depth / 2);
    fprintf(f, "<path d=\"M%.1f %.1f l%.1f %.1f v%.1f l%.1f %.1f z\" fill=\"#7f9cc4\" stroke=\"#345\"/>\n", x + w, y, depth, -depth / 2, h, -depth,
            depth / 2);
    fprintf(f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#d9e5f5\" stroke=\"#345\"/>\n", x, y, w, h);
    const double under = BOX_TOP + BOX_MOST + 18;
    snprintf(line, sizeof line, "stage %d: %d channels", s + 1, stage->width);
    text_at(f, x, under, 13, line);
    snprintf(line, sizeof line, "%d x %d, %d blocks", at->h, at->w, stage->depth);
    text_at(f, x, under + 16, 12, line);
    snprintf(line, sizeof line, "%d %s, %d keys", stage->heads, stage->heads == 1 ? "head" : "heads", at->key_h * at->key_w);
    text_at(f, x, under + 32, 12, line);
    if (net->classes)
        fprintf(f, "<path d=\"M%.1f %.1f V%d\" stroke=\"#345\" fill=\"none\" marker-end=\"url(#a)\"/>\n", x + 40, under + 40, BOX_TOP + BOX_MOST + 92);
}

bool drawing_svg(const network *net, const costs *c, const char *title, const char *path)
{
    char *text = NULL, line[160];
    size_t size = 0;
    const int head_top = BOX_TOP + BOX_MOST + 94, height = head_top + (net->classes ? 90 : 0);
    FILE *f = open_memstream(&text, &size);
    if (!f) {
        report("out of memory for the drawing");
        return false;
    }
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" fill=\"#123\">\n"
            "<defs><marker id=\"a\" markerWidth=\"8\" markerHeight=\"8\" refX=\"6\" refY=\"3\" orient=\"auto\"><path d=\"M0 0 L6 3 L0 6 z\"/></marker></defs>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            SVG_WIDTH, height);
    text_at(f, LEFT, 26, 16, title);
    snprintf(line, sizeof line, "%d x 3 x %d x %d: %.1f GMAC as published, %.1f folded", c->shape.n, c->shape.h, c->shape.w,
             1e-9 * (double)c->published_total, 1e-9 * (double)c->folded_total);
    text_at(f, LEFT, 46, 13, line);
    for (int s = 0; s < STAGES; s++)
        draw_stage(f, net, c, s);
    if (net->classes) {
        fprintf(f, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"34\" fill=\"#f3e2c2\" stroke=\"#543\"/>\n", LEFT, head_top, 3 * COLUMN + 110);
        snprintf(line, sizeof line, "head: levels of %d channels at each stage's size, upsampled, added, ReLU, %d classes at %d x %d", net->head.width,
                 net->classes, c->shape.stage[0].h, c->shape.stage[0].w);
        text_at(f, LEFT + 12, head_top + 22, 13, line);
        text_at(f, LEFT, head_top + 60, 13, "logits are upsampled and the largest wins, band by band: full-size logits never exist");
    }
    fprintf(f, "</svg>\n");
    segrt_error error = {0};
    const bool made = !fclose(f) && text;
    const bool written = made && !codec_write(path, text, size, &error);
    if (!made)
        report("out of memory for the drawing");
    else if (!written)
        report_error(path, &error);
    free(text);
    return written;
}
