/* Times of the kernels of every table that this machine can run, as lines of CSV. */
#ifndef TESTS_KERNELS_BENCH_SUPPORT_H
#define TESTS_KERNELS_BENCH_SUPPORT_H

void kernels_measure(void);

#endif
