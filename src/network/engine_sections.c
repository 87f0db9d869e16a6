/* engine_sections: the fields; see engine_sections.h. */
#include "network/engine_sections.h"

#include <string.h>

const uint8_t engine_magic[8] = {0x89, 'S', 'E', 'G', 'R', 'T', '\n', 0x1a};

const char engine_section_name[ENGINE_SECTIONS][5] = {
    [SECTION_NETWORK] = "NETW", [SECTION_MODEL] = "MODL", [SECTION_OPERATIONS] = "OPER", [SECTION_WEIGHTS] = "WGHT"};

enum { BLOCK_BYTES = 3 * 8 + 2 * 4, CLASS_BYTES = 4 + 4, SETTING_BYTES = 8 };

/* A list that is about to be read: refused where the section can't hold it, so that a count is never trusted. */
static void *list_for(record *r, arena *memory, uint64_t count, size_t size, size_t stored)
{
    if (count > bytes_left(&r->in) / stored) {
        r->in.broken = true;
        return NULL;
    }
    void *list = arena_get(memory, (size_t)count, size);
    r->no_memory = r->no_memory || !list;
    return list;
}

static void record_block(record *r, network_block *b)
{
    int32_t plain = b->reduce_plain;
    record_f64(r, &b->eps1);
    record_f64(r, &b->reduce_eps);
    record_f64(r, &b->eps2);
    record_int(r, &plain);
    record_int(r, &b->hidden);
    b->reduce_plain = plain != 0;
}

static void record_stage(record *r, network *net, network_stage *s)
{
    record_int(r, &s->patch.in);
    record_int(r, &s->patch.out);
    record_int(r, &s->patch.kernel);
    record_int(r, &s->patch.stride);
    record_int(r, &s->patch.pad);
    record_int(r, &s->width);
    record_int(r, &s->heads);
    record_int(r, &s->reduction);
    record_int(r, &s->depth);
    record_f64(r, &s->patch.eps);
    record_f64(r, &s->eps);
    if (r->mode == RECORD_READ) {
        s->blocks = list_for(r, &net->memory, s->depth < 0 ? UINT64_MAX : (uint64_t)s->depth, sizeof *s->blocks, BLOCK_BYTES);
        if (!s->blocks)
            s->depth = 0;
    }
    for (int b = 0; b < s->depth; b++)
        record_block(r, &s->blocks[b]);
}

void engine_record_network(record *r, network *net)
{
    for (int i = 0; i < STAGES; i++)
        record_stage(r, net, &net->stages[i]);
    int32_t kind = (int32_t)net->head.kind;
    record_int(r, &kind);
    net->head.kind = (model_head_kind)kind;
    record_int(r, &net->head.width);
    record_int(r, &net->head.inner_width);
    record_int(r, &net->classes);
    for (int c = 0; c < 3; c++)
        record_f64(r, &net->mean[c]);
    for (int c = 0; c < 3; c++)
        record_f64(r, &net->deviation[c]);
}

static void record_shape(record *r, segrt_shape *s)
{
    record_int(r, &s->n);
    record_int(r, &s->h);
    record_int(r, &s->w);
}

static void record_precision(record *r, segrt_precision *p)
{
    int32_t raw = (int32_t)*p;
    record_int(r, &raw);
    *p = (segrt_precision)raw;
}

static void record_preprocessing(record *r, segrt_preprocessing *p)
{
    int32_t resize = (int32_t)p->resize, resample = (int32_t)p->resample, via_input = p->via_input;
    record_int(r, &resize);
    record_int(r, &p->width);
    record_int(r, &p->height);
    record_int(r, &p->multiple);
    record_int(r, &resample);
    record_int(r, &via_input);
    record_int(r, &p->window);
    record_int(r, &p->stride);
    for (int c = 0; c < 3; c++)
        record_f32(r, &p->mean[c]);
    for (int c = 0; c < 3; c++)
        record_f32(r, &p->deviation[c]);
    p->size = sizeof *p;
    p->resize = (segrt_resize)resize;
    p->resample = (segrt_resample)resample;
    p->via_input = via_input != 0;
}

static void record_classes(record *r, struct segrt_engine *engine)
{
    uint32_t count = (uint32_t)engine->info.classes;
    record_u32(r, &count);
    if (r->mode == RECORD_READ) {
        engine->classes = list_for(r, &engine->memory, count, sizeof *engine->classes, CLASS_BYTES);
        engine->info.classes = engine->classes ? (int32_t)count : 0;
    }
    for (int32_t i = 0; i < engine->info.classes; i++) {
        uint8_t color[4] = {0};
        memcpy(color, engine->classes[i].rgb, 3);
        record_text(r, &engine->classes[i].name);
        record_raw(r, color, sizeof color);
        memcpy(engine->classes[i].rgb, color, 3);
    }
}

void engine_record_model(record *r, struct segrt_engine *engine)
{
    int32_t random_head = engine->info.random_head;
    const char *digest = engine->source_digest, *command = engine->profile.command;
    record_precision(r, &engine->profile.precision);
    record_shape(r, &engine->profile.min);
    record_shape(r, &engine->profile.opt);
    record_shape(r, &engine->profile.max);
    record_text(r, &engine->info.family);
    record_text(r, &engine->info.variant);
    record_int(r, &random_head);
    record_int(r, &engine->info.decoder_width);
    record_u64(r, &engine->info.parameters);
    record_text(r, &engine->source);
    record_text(r, &digest);
    record_text(r, &command);
    record_preprocessing(r, &engine->preprocessing);
    record_classes(r, engine);
    if (r->mode != RECORD_READ)
        return;
    engine->profile.size = sizeof engine->profile;
    engine->profile.command = *command ? command : NULL;
    engine->info.size = sizeof engine->info;
    engine->info.random_head = random_head != 0;
    if (strlen(digest) < sizeof engine->source_digest)
        memcpy(engine->source_digest, digest, strlen(digest) + 1);
    else
        r->in.broken = true;
}

void engine_record_operations(record *r, struct segrt_engine *engine)
{
    uint32_t count = (uint32_t)engine->setting_count;
    record_u32(r, &count);
    if (r->mode == RECORD_READ) {
        engine->settings = list_for(r, &engine->memory, count, sizeof *engine->settings, SETTING_BYTES);
        engine->setting_count = engine->settings ? count : 0;
    }
    for (size_t i = 0; i < engine->setting_count; i++) {
        record_precision(r, &engine->settings[i].precision);
        record_f32(r, &engine->settings[i].input_scale);
    }
}
