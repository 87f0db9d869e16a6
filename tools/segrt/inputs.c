/* inputs: see inputs.h. */
#include "inputs.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "report.h"

enum { DEEPEST_FOLDER = 32 };

char *text_of(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    const int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0) {
        report("out of memory for a file name");
        exit(EXIT_SOME_FAILED);
    }
    return text;
}

static bool add(inputs *in, char *path, char *stem, bool from_folder)
{
    if (in->count == in->room) {
        const size_t room = in->room ? 2 * in->room : 64;
        input *list = realloc(in->list, room * sizeof *list);
        if (!list) {
            report("out of memory for %zu file names", room);
            free(path);
            free(stem);
            return false;
        }
        in->list = list;
        in->room = room;
    }
    in->list[in->count++] = (input){.path = path, .stem = stem, .from_folder = from_folder};
    return true;
}

static const char *ending_of(const char *name)
{
    const char *slash = strrchr(name, '/'), *dot = strrchr(name, '.');
    return dot && dot != name && (!slash || dot > slash + 1) ? dot : name + strlen(name);
}

static bool is_picture(const char *name)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png", ".webp", ".ppm", ".pgm", ".pnm"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (!strcasecmp(ending_of(name), endings[i]))
            return true;
    return false;
}

static bool collect_folder(inputs *in, const char *path, const char *below, int depth)
{
    struct dirent **entries = NULL;
    const int count = depth < DEEPEST_FOLDER ? scandir(path, &entries, NULL, alphasort) : 0;
    bool fine = true;
    if (count < 0) {
        report("%s: cannot read the folder: %s", path, strerror(errno));
        in->failed++;
        return true;
    }
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        struct stat facts;
        if (name[0] != '.' && fine) {
            char *full = text_of("%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", name);
            char *relative = text_of("%s%s%s", below, *below ? "/" : "", name);
            if (!stat(full, &facts) && S_ISDIR(facts.st_mode))
                fine = collect_folder(in, full, relative, depth + 1);
            else if (is_picture(name)) {
                fine = add(in, full, relative, true);
                full = relative = NULL;
            }
            free(full);
            free(relative);
        }
        free(entries[i]);
    }
    free(entries);
    return fine;
}

/* By what stands before the ending, then by the ending. */
static int compare_bases(const char *a, const char *b)
{
    const size_t length_a = (size_t)(ending_of(a) - a), length_b = (size_t)(ending_of(b) - b);
    const int order = memcmp(a, b, length_a < length_b ? length_a : length_b);
    return order ? order : (length_a > length_b) - (length_a < length_b);
}

static int by_stem(const void *a, const void *b)
{
    const char *stem_a = (*(input *const *)a)->stem, *stem_b = (*(input *const *)b)->stem;
    const int order = compare_bases(stem_a, stem_b);
    return order ? order : strcmp(stem_a, stem_b);
}

/* So far stems are file names.  The ending goes, but where names differ by it only ("a.jpg", "a.png"); the same name
 * from several folders is numbered. */
static bool finish_stems(inputs *in)
{
    input **sorted = malloc((in->count + 1) * sizeof *sorted);
    if (!sorted) {
        report("out of memory for %zu file names", in->count);
        return false;
    }
    for (size_t i = 0; i < in->count; i++)
        sorted[i] = &in->list[i];
    qsort(sorted, in->count, sizeof *sorted, by_stem);
    for (size_t i = 0, same; i < in->count; i += same) {
        for (same = 1; i + same < in->count && !compare_bases(sorted[i]->stem, sorted[i + same]->stem); same++)
            ;
        if (same == 1)
            sorted[i]->stem[ending_of(sorted[i]->stem) - sorted[i]->stem] = 0;
        for (size_t k = same - 1; k > 0; k--) /* from the end: its predecessor still has its own name */
            if (!strcmp(sorted[i + k]->stem, sorted[i + k - 1]->stem)) {
                char *stem = sorted[i + k]->stem;
                sorted[i + k]->stem = text_of("%s.%zu", stem, k + 1);
                free(stem);
            }
    }
    free(sorted);
    return true;
}

bool inputs_collect(inputs *in, char *const *operands, int count)
{
    *in = (inputs){0};
    for (int i = 0; i < count; i++) {
        const char *path = operands[i], *slash = strrchr(path, '/');
        struct stat facts;
        bool fine;
        if (!strcmp(path, "-"))
            fine = add(in, text_of("-"), text_of("stdin"), false);
        else if (!stat(path, &facts) && S_ISDIR(facts.st_mode)) {
            const size_t before = in->count + in->failed;
            fine = collect_folder(in, path, "", 0);
            if (fine && in->count + in->failed == before) {
                report("%s: no pictures there", path);
                in->failed++;
            }
        }
        else
            fine = add(in, text_of("%s", path), text_of("%s", slash ? slash + 1 : path), false);
        if (!fine)
            return false;
    }
    return finish_stems(in);
}

void inputs_free(inputs *in)
{
    for (size_t i = 0; i < in->count; i++) {
        free(in->list[i].path);
        free(in->list[i].stem);
    }
    free(in->list);
    *in = (inputs){0};
}

segrt_status make_folders_for(const char *path, segrt_error *error)
{
    char *copy = text_of("%s", path);
    segrt_status status = SEGRT_OK;
    for (char *slash = strchr(copy + 1, '/'); slash && !status; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(copy, 0777) && errno != EEXIST)
            status = failed(error, SEGRT_IO, copy, "cannot make the folder: %s", strerror(errno));
        *slash = '/';
    }
    free(copy);
    return status;
}
