/* exposition: writes metrics as Prometheus reads them, text format 0.0.4
 * (prometheus.io/docs/instrumenting/exposition_formats).
 *
 *     exposition_family(&out, EXPOSITION_COUNTER, "testmesh_modules_total", "Modules that …");
 *     exposition_uint(&out, EXPOSITION_LABEL("outcome", "passed"), 7);
 *
 * A family is begun once; its samples follow at once. Names and labels are ours: a wrong one is a
 * bug of ours, and asserted. Pure. */
#ifndef NODE_API_EXPOSITION_H
#define NODE_API_EXPOSITION_H

#include "proto/base/buf.h"
#include "proto/base/histogram.h"

#define EXPOSITION_TYPE   "text/plain; version=0.0.4; charset=utf-8"
#define EXPOSITION_LABELS 4

enum exposition_kind { EXPOSITION_COUNTER, EXPOSITION_GAUGE, EXPOSITION_HISTOGRAM };

struct exposition {
    struct buf *to; /* borrowed */
    const char *family;
    enum exposition_kind kind;
};

/* Pairs; ends with the first that has no name. Values may be any text, names are words. */
struct exposition_labels {
    struct {
        const char *name;
        const char *value;
    } pairs[EXPOSITION_LABELS];
};

#define EXPOSITION_NONE                 ((const struct exposition_labels *)0)
#define EXPOSITION_LABEL(name_, value_) (&(const struct exposition_labels){{{(name_), (value_)}}})

void exposition_init(struct exposition *self, struct buf *to);

/* Begins a family: HELP and TYPE. A counter's name ends in _total. Borrows `name` until the next
 * one. `help` is one sentence. */
void exposition_family(struct exposition *self, enum exposition_kind kind, const char *name,
                       const char *help);

/* One sample of the family. `labels` may be EXPOSITION_NONE. */
void exposition_uint(struct exposition *self, const struct exposition_labels *labels,
                     uint64_t value);
void exposition_real(struct exposition *self, const struct exposition_labels *labels, double value);

/* Milliseconds and microseconds as seconds, exactly. */
void exposition_ms(struct exposition *self, const struct exposition_labels *labels, uint64_t ms);

/* The buckets, added up as the format has it, with +Inf, sum and count. Leaves one label free. */
void exposition_histogram(struct exposition *self, const struct exposition_labels *labels,
                          const struct histogram *histogram);

/* A family of one sample without labels. */
void exposition_counter(struct exposition *self, const char *name, const char *help,
                        uint64_t value);
void exposition_gauge(struct exposition *self, const char *name, const char *help, double value);

#endif
