/* pkt: git's packet lines (gitprotocol-common(5)): four hex digits of length, and what they
 * announce.
 *
 * Fed with bytes of any split; gives back spans of what it was fed and keeps none of them. */
#ifndef GIT_PKT_H
#define GIT_PKT_H

#include "proto/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define PKT_LINE_MAX 65516 /* bytes behind the length */

enum pkt_event {
    PKT_MORE,  /* all is used up */
    PKT_FLUSH, /* "0000" */
    PKT_DATA,  /* a piece of a line, maybe empty */
    PKT_BAD,   /* no packet line; for good */
};

struct pkt {
    char head[4];
    size_t have; /* digits of `head`; 4 within a line */
    size_t left; /* of the line */
    bool is_bad;
};

struct pkt_out {
    enum pkt_event event;
    size_t used;
    const char *data; /* of PKT_DATA: borrowed from the bytes */
    size_t data_len;
    bool is_last; /* the line ends with this piece */
};

/* A zeroed struct pkt is at its start. */
void pkt_step(struct pkt *self, const char *bytes, size_t len, struct pkt_out *out);

/* Whether it is between two lines. */
bool pkt_is_between(const struct pkt *self);

/* Appends a line. */
void pkt_put(struct buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void pkt_put_flush(struct buf *out);

#endif
