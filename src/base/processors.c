/* processors: see processors.h.
 *
 * Source: kernel documentation, admin-guide/cgroup-v2.rst ("cpu.max") and scheduler/sched-bwc.rst
 * (cpu.cfs_quota_us). */
#include "base/processors.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/pool.h"

enum { PATH_BYTES = 1024, MOST_PROCESSORS = 65536 };

/* A small text file into `text`; false where it cannot be read. */
static bool read_text(const char *path, char *text, size_t room)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    const size_t got = fread(text, 1, room - 1, file);
    fclose(file);
    text[got] = '\0';
    return got > 0;
}

static int whole_processors(long long quota, long long period)
{
    if (quota <= 0 || period <= 0 || quota / period >= MOST_PROCESSORS)
        return 0;
    return (int)((quota + period - 1) / period);
}

static int quota_v2(const char *folder)
{
    char path[PATH_BYTES + 64], text[128];
    long long quota, period;
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    return read_text(path, text, sizeof text) && sscanf(text, "%lld %lld", &quota, &period) == 2 ? whole_processors(quota, period) : 0;
}

static int quota_v1(const char *folder)
{
    char path[PATH_BYTES + 64], text[128];
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
    if (!read_text(path, text, sizeof text))
        return 0;
    const long long quota = atoll(text);
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    return read_text(path, text, sizeof text) ? whole_processors(quota, atoll(text)) : 0;
}

/* The least quota of a group and of all groups above it: `group` is a path below `mount`. */
static int least_quota(const char *mount, const char *group, int (*quota_of)(const char *folder))
{
    char folder[PATH_BYTES];
    const int length = snprintf(folder, sizeof folder, "%s%s", mount, group);
    if (length < 0 || (size_t)length >= sizeof folder)
        return 0;
    int least = 0;
    for (;;) {
        const int quota = quota_of(folder);
        if (quota && (!least || quota < least))
            least = quota;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < strlen(mount))
            return least;
        *slash = '\0';
    }
}

static bool names_cpu(const char *controllers)
{
    for (const char *name = controllers; *name;) {
        const size_t length = strcspn(name, ",");
        if (length == 3 && !memcmp(name, "cpu", 3))
            return true;
        name += length + (name[length] == ',');
    }
    return false;
}

int processors_quota(const char *root)
{
    char path[PATH_BYTES], text[4096];
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if (!read_text(path, text, sizeof text))
        return 0;
    int least = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) { /* hierarchy:controllers:group */
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        controllers++;
        const bool unified = !*controllers;
        if (!unified && !names_cpu(controllers))
            continue;
        snprintf(path, sizeof path, unified ? "%s/sys/fs/cgroup" : "%s/sys/fs/cgroup/cpu", root);
        const int quota = least_quota(path, strcmp(group, "/") ? group : "", unified ? quota_v2 : quota_v1);
        if (quota && (!least || quota < least))
            least = quota;
    }
    return least;
}

static int processors_by_affinity(void)
{
    for (int room = 1024; room <= MOST_PROCESSORS; room *= 4) { /* the kernel's mask may be wider than ours */
        const size_t bytes = CPU_ALLOC_SIZE((size_t)room);
        cpu_set_t *mask = memory_get(bytes);
        if (!mask)
            break;
        const int refused = sched_getaffinity(0, bytes, mask) ? errno : 0;
        const int count = refused ? 0 : CPU_COUNT_S(bytes, mask);
        memory_free(mask);
        if (!refused)
            return count;
        if (refused != EINVAL)
            break;
    }
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online < MOST_PROCESSORS ? (int)online : 1;
}

int pool_processors(void)
{
    const int allowed = processors_by_affinity(), quota = processors_quota("");
    const int count = quota && quota < allowed ? quota : allowed;
    return count > 0 ? count : 1;
}
