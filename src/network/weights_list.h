/* weights_list: every array of a folded network in one fixed order, with the count that the network's
 * structure asks for.  The engine file holds them in this order; nothing else says where an array lies. */
#ifndef SEGRT_NETWORK_WEIGHTS_LIST_H
#define SEGRT_NETWORK_WEIGHTS_LIST_H

#include "network/network.h"

/* w: the array's place in the network; count: numbers it must hold, at least 1. */
typedef void weights_visit_fn(void *user, weights *w, uint64_t count);

void weights_visit(network *net, weights_visit_fn *visit, void *user);

#endif
