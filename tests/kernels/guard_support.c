/* See guard_support.h. */
#include "kernels/guard_support.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MARK = 0xa5 };

guarded guarded_open(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + 64 + page - 1) / page * page;
    guarded g = {.bytes = bytes, .page_bytes = room + page};
    g.pages = mmap(NULL, g.page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.pages == MAP_FAILED || mprotect(g.pages + room, page, PROT_NONE))
        abort();
    g.data = g.pages + room - bytes;
    memset(g.pages, MARK, room - bytes);
    memset(g.data, 0xff, bytes);
    return g;
}

bool guarded_whole(const guarded *g)
{
    for (const char *p = g->pages; p < (const char *)g->data; p++)
        if ((uint8_t)*p != MARK)
            return false;
    return true;
}

void guarded_close(guarded *g) { munmap(g->pages, g->page_bytes); }
