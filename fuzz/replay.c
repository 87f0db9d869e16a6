/* replay: runs a harness over files without libFuzzer, so that what was found once stays found: ctest runs every harness over
 * fuzz/regressions/<harness>/.  Arguments: files, or folders whose files are taken (not their folders). */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "entry.h"

/* The harness gets a block of exactly this size, so that a sanitizer sees the first byte beyond. */
static int run_file(const char *path)
{
    struct stat facts;
    FILE *file = stat(path, &facts) || !S_ISREG(facts.st_mode) ? NULL : fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "cannot read %s\n", path);
        return 1;
    }
    const size_t size = (size_t)facts.st_size;
    uint8_t *data = malloc(size ? size : 1);
    const int failed = !data || fread(data, 1, size, file) != size;
    if (!failed) {
        printf("%s, %zu bytes\n", path, size);
        fflush(stdout); /* names the input that crashed */
        LLVMFuzzerTestOneInput(data, size);
    }
    free(data);
    fclose(file);
    return failed;
}

static int run_folder(const char *path, DIR *folder)
{
    int failed = 0;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char name[4096];
        struct stat facts;
        if (snprintf(name, sizeof name, "%s/%s", path, entry->d_name) < (int)sizeof name && entry->d_name[0] != '.' &&
            !stat(name, &facts) && S_ISREG(facts.st_mode))
            failed += run_file(name);
    }
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (folder) {
            failed += run_folder(argv[i], folder);
            closedir(folder);
        } else
            failed += run_file(argv[i]);
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
