/* ranges: how large what products read can be, from the folded weights alone: rows that were normalised have a length of at most
 * the square root of their width, and a map makes of a row at most its length times that of the map's longest row. */
#ifndef SEGRT_CUDA_RANGES_H
#define SEGRT_CUDA_RANGES_H

#include "network/network.h"

/* Of the inputs of a block's products, in size. */
typedef struct block_ranges {
    double normed;            /* of every map that reads the stream */
    double reduced;           /* of keys and values */
    double query, key, value; /* of scores, and of project */
    double hidden;            /* of fc2 */
} block_ranges;

typedef struct head_ranges {
    double stage[STAGES]; /* of the next patch convolution and the level's map */
    double inner[STAGES]; /* of the second map of a level */
    double level;         /* of the levels' outputs */
    double merged;        /* of the classifier */
} head_ranges;

block_ranges ranges_of_block(const network_stage *stage, const network_block *block);
head_ranges ranges_of_head(const network *net);

/* The power of two that brings sizes up to `most` below 2^15, as far as halves' range and float's allow. */
float range_scale(double most);

#endif
