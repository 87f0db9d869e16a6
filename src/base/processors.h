/* processors: how many processors this process may keep busy.  Base layer; pool.c asks it. */
#ifndef SEGRT_BASE_PROCESSORS_H
#define SEGRT_BASE_PROCESSORS_H

/* The cgroup CPU quota in whole processors, rounded up; 0 where there is none.  Reads
 * <root>/proc/self/cgroup and <root>/sys/fs/cgroup (versions 1 and 2, every level up to the top counts);
 * root "" is the machine, tests give a folder. */
int processors_quota(const char *root);

#endif
