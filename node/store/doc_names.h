/* doc_names: outcomes and blames by the names that the API and the store have for them. */
#ifndef NODE_STORE_DOC_NAMES_H
#define NODE_STORE_DOC_NAMES_H

#include "node/store/doc.h"

/* False, with *out untouched, for a name that is none. */
bool doc_outcome_parse(const char *name, enum doc_outcome *out);
bool doc_blame_parse(const char *name, enum doc_blame *out);

#endif
