/* doc_sketch: what a node has of a document, said in few bytes, and what it therefore lacks.
 *
 * A sketch has the digests of the parts, and two bytes for each result. Whoever gets one answers
 * with those pieces of his own document that the maker of the sketch does not have in the same
 * form. Two documents that give each other nothing are equal (a collision of 16 bits is made good
 * by the next exchange: the sums over a project differ, then all of it is sent).
 *
 * Where the two have different requests under one id, the answer is the request alone: joining it
 * is refused, and so nothing of one evaluation gets into the other. */
#ifndef NODE_STORE_DOC_SKETCH_H
#define NODE_STORE_DOC_SKETCH_H

#include "node/store/doc.h"

/* 38 bytes, 40 or 48 a project and 2 a module. */
#define DOC_SKETCH_MAX (1u << 20)

/* Appends the sketch of a document. */
void doc_sketch_encode(const struct doc *doc, struct buf *out);

/* Calls `fn` with pieces (as doc_split() makes them) of what `doc` has and the sketch does not. An
 * empty sketch, or one that does not read, stands for nothing: the whole document. */
void doc_sketch_split(const struct doc *doc, const void *sketch, size_t len, doc_split_fn *fn,
                      void *arg);

#endif
