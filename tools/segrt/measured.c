/* measured: see measured.h. */
#include "measured.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The smallest value that `share` of the sorted ones do not exceed. */
static double percentile(const double *sorted, size_t count, double share)
{
    const size_t rank = (size_t)ceil(share * (double)count);
    return sorted[rank ? rank - 1 : 0];
}

double median_of(double *ms, size_t count)
{
    qsort(ms, count, sizeof *ms, by_value);
    return count ? 0.5 * (ms[(count - 1) / 2] + ms[count / 2]) : 0;
}

latency latency_of(double *ms, size_t count)
{
    double sum = 0;
    const double median = median_of(ms, count);
    for (size_t i = 0; i < count; i++)
        sum += ms[i];
    return (latency){.runs = count,
                     .min = ms[0],
                     .mean = sum / (double)count,
                     .median = median,
                     .p90 = percentile(ms, count, 0.90),
                     .p95 = percentile(ms, count, 0.95),
                     .p99 = percentile(ms, count, 0.99)};
}

static double pictures_a_second(const measured *m)
{
    return 1e3 * m->shape.n / m->whole.mean;
}

/* From the file to the first labels, without what the process needs on a device once. */
static double first_labels_ms(const measured *m)
{
    return m->open_ms + m->fold_ms + m->session_ms + m->first_ms;
}

/* ----------------------------------------------------------------------------------------- text */

static void print_device(const measured *m, FILE *to)
{
    const backend_facts *f = &m->facts;
    if (m->device_tells) {
        fprintf(to, "copies        in %.3f  out %.3f ms (medians by the device's clock)\n", m->copy_in_ms, m->copy_out_ms);
        if (m->no_graph_ms > 0)
            fprintf(to, "without graph median %.3f ms of compute\n", m->no_graph_ms);
    }
    fprintf(to, "device memory %.1f MB beyond the context, %.0f of %.0f MB free\n", 1e-6 * (double)m->device_bytes,
            1e-6 * (double)f->memory_free, 1e-6 * (double)f->memory_total);
    if (f->note[0])
        fprintf(to, "device state  %s\n", f->note);
    else
        fprintf(to, "device state  %d MHz, memory %d MHz, %.0f of %.0f W, %.0f C, right after the runs\n", f->core_mhz, f->memory_mhz,
                f->watts, f->watts_most, f->degrees);
}

void measured_print(const measured *m, FILE *to)
{
    const latency *l = &m->whole;
    fprintf(to, "%s on %s, %dx%dx%d (N x H x W), pixels in, labels out\n", m->model, m->device, m->shape.n, m->shape.h, m->shape.w);
    fprintf(to, "throughput    %.2f pictures a second\n", pictures_a_second(m));
    fprintf(to, "host to host  min %.3f  mean %.3f  median %.3f  p90 %.3f  p95 %.3f  p99 %.3f ms (%zu runs)\n", l->min, l->mean, l->median,
            l->p90, l->p95, l->p99, l->runs);
    fprintf(to, "compute       min %.3f  mean %.3f  median %.3f ms in the network's steps alone (%zu runs, %s)\n", m->compute.min,
            m->compute.mean, m->compute.median, m->compute.runs, m->device_tells ? "by the device's clock" : "each step timed");
    fprintf(to, "start         open %.1f  fold %.1f  session %.1f  first run %.1f ms: file to first labels %.1f ms", m->open_ms, m->fold_ms,
            m->session_ms, m->first_ms, first_labels_ms(m));
    if (m->has_device)
        fprintf(to, " beyond the context's %.1f", m->context_ms);
    fprintf(to, "\n");
    if (m->other.n)
        fprintf(to, "new shape     %dx%dx%d: first %.3f  again %.3f ms\n", m->other.n, m->other.h, m->other.w, m->other_first_ms,
                m->other_again_ms);
    fprintf(to, "memory        session %.1f MB, peak of the process %.1f MB\n", 1e-6 * (double)m->session_bytes,
            1e-6 * (double)m->peak_bytes);
    if (m->has_device)
        print_device(m, to);
}

static void row_name(const backend_profile_row *row, char *text, size_t room)
{
    const char *name = operation_name(row->first.kind);
    if (row->first.stage < 0)
        snprintf(text, room, "%s", name);
    else if (row->first.block < 0)
        snprintf(text, room, "stage %d %s", row->first.stage + 1, name);
    else
        snprintf(text, room, "stage %d block %d %s", row->first.stage + 1, row->first.block + 1, name);
    if (row->count > 1)
        snprintf(text + strlen(text), room - strlen(text), " +%d", row->count - 1);
}

/* Percent of the nearer of the machine's two ceilings; 0 where they are unknown. */
static double percent_of_ceiling(const backend_profile_row *row, const backend_ceiling *ceiling, double seconds)
{
    if (seconds <= 0 || ceiling->macs <= 0 || ceiling->bytes <= 0)
        return 0;
    return 100 * fmax((double)row->macs / ceiling->macs, (double)row->bytes / ceiling->bytes) / seconds;
}

void profile_print(const profile *p, FILE *to)
{
    double total = 0;
    if (p->ceiling.macs > 0)
        fprintf(to, "ceiling       products %.1f GMAC/s, copy %.1f GB/s, measured now\n", 1e-9 * p->ceiling.macs, 1e-9 * p->ceiling.bytes);
    for (size_t i = 0; i < p->count; i++)
        total += p->rows[i].seconds;
    fprintf(to, "\n%-32s %-28s %9s %6s %9s %9s %8s %9s\n", "operations", "kernel", "ms", "%", "GMAC", "GMAC/s", "GB/s", "ceiling %");
    for (size_t i = 0; i < p->count; i++) {
        char name[96];
        const backend_profile_row *row = &p->rows[i];
        const double seconds = row->seconds / (double)p->runs, gmac = 1e-9 * (double)row->macs;
        row_name(row, name, sizeof name);
        fprintf(to, "%-32s %-28s %9.3f %6.1f %9.3f %9.1f %8.1f %9.1f\n", name, row->kernel, 1e3 * seconds,
                total > 0 ? 100 * row->seconds / total : 0, gmac, seconds > 0 ? gmac / seconds : 0,
                seconds > 0 ? 1e-9 * (double)row->bytes / seconds : 0, percent_of_ceiling(row, &p->ceiling, seconds));
    }
    fprintf(to, "%-32s %-28s %9.3f\n", "all", "", 1e3 * total / (double)p->runs);
}

/* ----------------------------------------------------------------------------------- JSON and CSV */

json_t *profile_json(const profile *p)
{
    json_t *steps = json_array();
    for (size_t i = 0; i < p->count; i++) {
        char name[96];
        const backend_profile_row *row = &p->rows[i];
        const double seconds = row->seconds / (double)p->runs;
        row_name(row, name, sizeof name);
        json_array_append_new(steps, json_pack("{s:s, s:s, s:f, s:I, s:I, s:f}", "operations", name, "kernel", row->kernel, "ms",
                                               1e3 * seconds, "macs", (json_int_t)row->macs, "bytes", (json_int_t)row->bytes,
                                               "ceiling_percent", percent_of_ceiling(row, &p->ceiling, seconds)));
    }
    return json_pack("{s:f, s:f, s:o}", "ceiling_macs_a_second", p->ceiling.macs, "ceiling_bytes_a_second", p->ceiling.bytes, "steps",
                     steps);
}

static json_t *device_json(const measured *m)
{
    const backend_facts *f = &m->facts;
    return json_pack("{s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:i, s:i, s:f, s:f, s:f, s:s}", "context_ms", m->context_ms, "copy_in_ms",
                     m->copy_in_ms, "copy_out_ms", m->copy_out_ms, "compute_without_graph_ms", m->no_graph_ms, "bytes_beyond_context",
                     (json_int_t)m->device_bytes, "bytes_free", (json_int_t)f->memory_free, "bytes_total", (json_int_t)f->memory_total,
                     "core_mhz", f->core_mhz, "memory_mhz", f->memory_mhz, "watts", f->watts, "watts_most", f->watts_most, "degrees",
                     f->degrees, "note", f->note);
}

json_t *measured_json(const measured *m, json_t *steps)
{
    const latency *l = &m->whole;
    json_t *other = m->other.n ? json_pack("{s:[i,i,i], s:f, s:f}", "shape", m->other.n, m->other.h, m->other.w, "first_run_ms",
                                           m->other_first_ms, "again_ms", m->other_again_ms)
                               : NULL;
    return json_pack("{s:s, s:s, s:s, s:s, s:[i,i,i], s:f, s:{s:i, s:f, s:f, s:f, s:f, s:f, s:f}, s:{s:i, s:f, s:f, s:f}, "
                     "s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:o*, s:o*, s:o*}",
                     "model", m->model, "variant", m->variant, "device", m->device, "version", segrt_version(), "shape", m->shape.n,
                     m->shape.h, m->shape.w, "pictures_a_second", pictures_a_second(m), "latency_ms", "runs", (int)l->runs, "min", l->min,
                     "mean", l->mean, "median", l->median, "p90", l->p90, "p95", l->p95, "p99", l->p99, "compute_ms", "runs",
                     (int)m->compute.runs, "min", m->compute.min, "mean", m->compute.mean, "median", m->compute.median, "open_ms",
                     m->open_ms, "fold_ms", m->fold_ms, "session_ms", m->session_ms, "first_run_ms", m->first_ms, "first_labels_ms",
                     first_labels_ms(m), "session_bytes", (json_int_t)m->session_bytes, "peak_bytes", (json_int_t)m->peak_bytes,
                     "new_shape", other, "device_figures", m->has_device ? device_json(m) : NULL, "profile", steps);
}

void measured_csv(const measured *m, bool heading, FILE *to)
{
    const latency *l = &m->whole;
    if (heading)
        fprintf(to, "model,device,n,h,w,runs,pictures_a_second,min_ms,mean_ms,median_ms,p90_ms,p95_ms,p99_ms,open_ms,fold_ms,session_ms,"
                    "first_run_ms,session_bytes,peak_bytes,compute_min_ms,compute_median_ms,first_labels_ms,new_shape_ms,context_ms,"
                    "copy_in_ms,copy_out_ms,compute_without_graph_ms,device_bytes,core_mhz,watts\n");
    fprintf(to, "%s,\"%s\",%d,%d,%d,%zu,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.1f,%.1f,%.1f,%.1f,%zu,%zu,%.3f,%.3f,%.1f,%.3f", m->model,
            m->device, m->shape.n, m->shape.h, m->shape.w, l->runs, pictures_a_second(m), l->min, l->mean, l->median, l->p90, l->p95,
            l->p99, m->open_ms, m->fold_ms, m->session_ms, m->first_ms, m->session_bytes, m->peak_bytes, m->compute.min, m->compute.median,
            first_labels_ms(m), m->other_first_ms);
    if (m->has_device)
        fprintf(to, ",%.1f,%.4f,%.4f,%.4f,%zu,%d,%.0f\n", m->context_ms, m->copy_in_ms, m->copy_out_ms, m->no_graph_ms, m->device_bytes,
                m->facts.core_mhz, m->facts.watts);
    else
        fprintf(to, ",,,,,,,\n");
}
