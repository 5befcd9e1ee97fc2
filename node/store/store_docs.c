#include "node/store/store_docs.h"
#include "node/own/docs.h"
#include "node/store/store.h"
static const struct doc *find(void *arg, uint64_t id) { return store_find(arg, id, NULL); }
static void fill(const struct store_entry *e, struct docs_info *o) { *o = (struct docs_info){.id=e->id,.digest=e->digest,.created_ms=e->created_ms,.is_final=e->final}; }
static bool info(void *arg, uint64_t id, struct docs_info *out) { struct store_entry e; if (!store_entry(arg, id, &e)) return false; fill(&e, out); return true; }
struct eo { docs_doc_fn *fn; void *arg; };
static bool open1(void *arg, const struct doc *doc) { struct eo *e = arg; e->fn(e->arg, doc); return true; }
static void each_open(void *arg, docs_doc_fn *fn, void *fa) { struct eo e={fn,fa}; store_each_unsealed(arg, open1, &e); }
struct ea { docs_info_fn *fn; void *arg; };
static bool one(void *arg, const struct store_entry *e) { struct ea *a = arg; struct docs_info i; fill(e,&i); a->fn(a->arg,&i); return true; }
static void each(void *arg, docs_info_fn *fn, void *fa) { struct ea a={fn,fa}; store_each(arg, UINT64_MAX, UINT64_MAX, one, &a); }
static uint64_t b[DOCS_BUCKETS];
static void add(void *arg, const struct docs_info *i) { (void)arg; b[docs_bucket(i->id)] ^= i->digest; }
static const uint64_t *buckets(void *arg) { for (int i=0;i<DOCS_BUCKETS;i++) b[i]=0; each(arg, add, NULL); return b; }
static bool has(void *arg, const struct hash *h) { return store_has_blob(arg, h, "zst"); }
void store_docs(struct store *s, struct docs *o) { *o = (struct docs){.find=find,.info=info,.each_open=each_open,.each=each,.buckets=buckets,.has_blob=has,.arg=s}; }
