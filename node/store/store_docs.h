#ifndef NODE_STORE_STORE_DOCS_H
#define NODE_STORE_STORE_DOCS_H
struct docs; struct store;
void store_docs(struct store *self, struct docs *out);
#endif
