/* answer: the answer to a request for a pack, down to the pack's own bytes (gitprotocol-pack(5)).
 *
 *   [shallow <commit> …, flush]  NAK  side-band packets: 1 pack, 2 words, 3 a fatal error …  flush
 */
#ifndef GIT_ANSWER_H
#define GIT_ANSWER_H

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "runner/git/pkt.h"

#include <stdbool.h>

#define ANSWER_NO_BAND (-1)

enum answer_place { ANSWER_SHALLOW, ANSWER_NAK, ANSWER_BANDS, ANSWER_END };

struct answer {
    struct pkt lines;
    enum answer_place place;
    struct buf line; /* of what is not the pack */
    int band;        /* of the line under way; ANSWER_NO_BAND at its start */
};

struct answer_out {
    size_t used;
    const char *data; /* the pack's next bytes, borrowed from what was fed */
    size_t data_len;
};

void answer_init(struct answer *self, bool is_shallow);
void answer_fini(struct answer *self);

/* Takes bytes until some of the pack are found or all are used up: `used` 0 of more than 0 never
 * happens without an error. Errors: ERR_UNPROCESSABLE with repo-not-git, repo-commit, or
 * repo-unreachable where the server gives up. */
int answer_step(struct answer *self, const char *bytes, size_t len, struct answer_out *out,
                struct err *err) ERR_CHECKED;

/* All bytes have come. Errors: ERR_UNAVAILABLE repo-unreachable when that was too early. */
int answer_end(const struct answer *self, struct err *err) ERR_CHECKED;

#endif
