/* store_docs: the store as the mesh's machines read it (node/own/docs.h). */
#ifndef NODE_STORE_STORE_DOCS_H
#define NODE_STORE_STORE_DOCS_H

struct docs;
struct store;

/* Fills `out`, which borrows the store. What is asked of it costs no file, but for find() of a
 * final document that nobody asked for lately; digests are kept up to date by each join.
 *
 * A sealed document whose file turns out to be damaged has digest 0 from then on, as if it were
 * not there: so others' stores differ, and sync brings it back. */
void store_docs(struct store *self, struct docs *out);

#endif
