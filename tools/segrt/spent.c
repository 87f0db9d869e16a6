/* spent: see spent.h. */
#include "spent.h"

#include <stdio.h>

enum { DECODE, WRITE, PREPARE, COPY, COMPUTE, REST, PARTS };

static const char *const names[PARTS] = {"decode", "write", "prepare", "copy", "compute", "launch"};

void spent_add(spent *total, const scene *s)
{
    total->decode += 1e-3 * s->decode_ms;
    total->prepare += 1e-3 * s->prepare_ms;
    total->network += 1e-3 * s->network_ms;
    total->write += 1e-3 * s->write_ms;
    total->copy_in += s->device.copy_in;
    total->compute += s->device.compute;
    total->copy_out += s->device.copy_out;
}

/* Seconds of each part.  False: the device does not tell its own, and all of the network stands under REST. */
static bool parts_of(const spent *s, double parts[PARTS])
{
    const double device = s->copy_in + s->compute + s->copy_out;
    parts[DECODE] = s->decode;
    parts[WRITE] = s->write;
    parts[PREPARE] = s->prepare;
    parts[COPY] = s->copy_in + s->copy_out;
    parts[COMPUTE] = s->compute;
    parts[REST] = s->network > device ? s->network - device : 0;
    return device > 0;
}

/* Percent of what `count` workers had. */
static double percent(const spent *s, double seconds, int count)
{
    return s->wall > 0 && count > 0 ? 100 * seconds / (s->wall * count) : 0;
}

static const char *name_of(int part, bool tells)
{
    return part == REST && !tells ? "network" : names[part];
}

const char *spent_bound(const spent *s)
{
    double parts[PARTS];
    const bool tells = parts_of(s, parts);
    const double threads = percent(s, s->decode + s->write, s->threads), sessions = percent(s, s->prepare + s->network, s->sessions);
    int from = DECODE, to = PARTS;
    if (s->threads > 0) {
        from = threads > sessions ? DECODE : PREPARE;
        to = threads > sessions ? PREPARE : PARTS;
    }
    int most = from;
    for (int i = from + 1; i < to; i++)
        if (parts[i] > parts[most])
            most = i;
    return name_of(most, tells);
}

static void print_parts(const spent *s, FILE *to, const double parts[PARTS], int from, int end, int count, bool tells)
{
    const char *between = "";
    for (int i = from; i < end; i++)
        if (tells || (i != COPY && i != COMPUTE)) {
            fprintf(to, "%s%s %.0f", between, name_of(i, tells), percent(s, parts[i], count));
            between = ", ";
        }
}

void spent_print(const spent *s, FILE *to)
{
    double parts[PARTS];
    const bool tells = parts_of(s, parts);
    fprintf(to, "bound by %s: ", spent_bound(s));
    if (s->threads > 0) {
        fprintf(to, "%d session%s %.0f %% busy (", s->sessions, s->sessions == 1 ? "" : "s",
                percent(s, s->prepare + s->network, s->sessions));
        print_parts(s, to, parts, PREPARE, PARTS, s->sessions, tells);
        fprintf(to, "), %d thread%s %.0f %% busy (", s->threads, s->threads == 1 ? "" : "s", percent(s, s->decode + s->write, s->threads));
        print_parts(s, to, parts, DECODE, PREPARE, s->threads, tells);
        fprintf(to, ")\n");
    } else {
        fprintf(to, "one thread in turn (percent: ");
        print_parts(s, to, parts, DECODE, PARTS, 1, tells);
        fprintf(to, ")\n");
    }
}

json_t *spent_json(const spent *s)
{
    return json_pack("{s:f, s:i, s:i, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "seconds", s->wall, "threads", s->threads, "sessions",
                     s->sessions, "bound_by", spent_bound(s), "decode", s->decode, "prepare", s->prepare, "network", s->network, "copy_in",
                     s->copy_in, "compute", s->compute, "copy_out", s->copy_out, "write", s->write);
}
