/* Who may include whom: docs/architecture.md's table, checked over every source file.  A room is a path
 * prefix; a row lists what the files below it may include with quotes (beside the system's <...>). */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const struct room {
    const char *path;
    const char *sees[11]; /* prefixes of what is included */
} rooms[] = {
    /* The first row that fits counts: the narrower stands above. */
    {"src/base/", {"base/", "segrt/segrt.h"}},
    {"src/formats/", {"base/", "formats/", "segrt/segrt.h"}},
    {"src/image/", {"base/", "image/", "segrt/segrt.h"}},
    {"src/metrics/", {"base/", "metrics/", "segrt/segrt.h"}},
    {"src/model/", {"base/", "formats/", "model/", "image/palette.h", "segrt/segrt.h"}},
    {"src/network/", {"base/", "formats/", "model/", "network/", "segrt/segrt.h"}},
    {"src/backend/reference/", {"base/", "model/", "network/", "backend/backend.h", "backend/reference/", "segrt/segrt.h"}},
    {"src/backend/cpu/", {"base/", "model/", "network/", "backend/backend.h", "backend/cpu/", "segrt/segrt.h"}},
    {"src/backend/cuda/", {"base/", "model/", "network/", "backend/backend.h", "backend/cuda", "segrt/segrt.h"}},
    {"src/backend/", {"base/", "model/", "network/", "backend/", "segrt/segrt.h"}},
    {"src/export/", {"base/", "formats/", "model/", "network/", "export/", "segrt/segrt.h"}},
    {"src/api/", {"base/", "formats/", "model/", "network/", "backend/", "export/", "image/", "metrics/", "api/", "segrt/segrt.h"}},
    {"include/segrt/", {NULL}},
    {"tools/codecs/", {"codecs/", "segrt/segrt.h"}},
    {"tools/scene/", {NULL}},
    {"tools/segrt/", {"codecs/", "metrics/", "image/image.h", "api/inside.h", "segrt/segrt.h"}},
    {"examples/", {"segrt/segrt.h"}},
};

static const struct room *room_of(const char *path)
{
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        if (!strncmp(path, rooms[i].path, strlen(rooms[i].path)))
            return &rooms[i];
    return NULL;
}

static bool allows(const struct room *room, const char *included)
{
    if (!strchr(included, '/')) /* a neighbour in the same folder */
        return true;
    for (size_t i = 0; i < sizeof room->sees / sizeof *room->sees && room->sees[i]; i++)
        if (!strncmp(included, room->sees[i], strlen(room->sees[i])))
            return true;
    return false;
}

static int files_seen, complaints;

static void check_file(const char *path)
{
    char full[4096], line[1024], included[512];
    snprintf(full, sizeof full, PROJECT_ROOT "/%.1024s", path);
    const struct room *room = room_of(path);
    if (!room) {
        print_error("%s lies in no room of docs/architecture.md\n", path);
        complaints++;
        return;
    }
    FILE *file = fopen(full, "r");
    assert_non_null(file);
    for (int number = 1; fgets(line, sizeof line, file); number++)
        if (sscanf(line, " # include \"%511[^\"]\"", included) == 1 && !allows(room, included)) {
            print_error("%s:%d: %s may not include \"%s\"\n", path, number, room->path, included);
            complaints++;
        }
    fclose(file);
    files_seen++;
}

static bool is_source(const char *name)
{
    static const char *const endings[] = {".c", ".h", ".cu", ".cuh"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (!strcmp(dot, endings[i]))
            return true;
    return false;
}

static void check_folder(const char *path)
{
    char full[4096];
    snprintf(full, sizeof full, PROJECT_ROOT "/%.1024s", path);
    DIR *folder = opendir(full);
    if (!folder)
        return; /* not every room is built yet */
    for (struct dirent *entry; (entry = readdir(folder));) {
        char below[1024];
        struct stat facts;
        if (entry->d_name[0] == '.')
            continue;
        snprintf(below, sizeof below, "%.500s/%.255s", path, entry->d_name);
        snprintf(full, sizeof full, PROJECT_ROOT "/%.1024s", below);
        if (!stat(full, &facts) && S_ISDIR(facts.st_mode))
            check_folder(below);
        else if (is_source(entry->d_name))
            check_file(below);
    }
    closedir(folder);
}

static void every_file_includes_only_what_its_room_may_see(void **state)
{
    (void)state;
    static const char *const tops[] = {"src", "include", "tools", "examples"};
    for (size_t i = 0; i < sizeof tops / sizeof *tops; i++)
        check_folder(tops[i]);
    assert_true(files_seen > 15); /* the walk found the tree */
    assert_int_equal(complaints, 0);
}

static void the_rule_itself_refuses_what_it_should(void **state)
{
    (void)state;
    assert_false(allows(room_of("src/base/memory.c"), "formats/zip.h"));
    assert_false(allows(room_of("src/formats/torch/zip.c"), "model/model.h"));
    assert_false(allows(room_of("src/model/open.c"), "image/resample.h"));
    assert_false(allows(room_of("src/network/fold.c"), "backend/backend.h"));
    assert_false(allows(room_of("src/backend/cpu/attend.c"), "backend/reference/reference.h"));
    assert_false(allows(room_of("tools/segrt/main.c"), "base/memory.h"));
    assert_true(allows(room_of("src/api/session.c"), "backend/backend.h"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_includes_only_what_its_room_may_see),
        cmocka_unit_test(the_rule_itself_refuses_what_it_should),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
