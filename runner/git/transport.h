/* transport: requests to one git host over https (libcurl), in the child.
 *
 * It goes through the node's proxy, which judges every address that it connects to; without one
 * every address is checked here, in the moment in which it is connected to, so that a name that
 * changes its mind between look-up and connection gains nothing. Redirects are followed by hand and
 * on the same host only. All bytes that come are counted. Blocks. */
#ifndef GIT_TRANSPORT_H
#define GIT_TRANSPORT_H

#include "proto/base/err.h"
#include "runner/git/address.h"
#include "runner/git/url.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct transport_spec {
    const struct git_url *url; /* borrowed, as is all below */
    const struct git_networks *also;
    uint16_t proxy_port; /* of way.h, on this network's loopback; 0: there is none */
    const char *token;   /* NULL: none. Sent where the host asks for one, and nowhere else */
    const char *ca_file; /* NULL: the library's */
    const char *ca_dir;
    uint64_t bytes_max;   /* of all answers together */
    uint32_t silence_s;   /* without a byte */
    uint64_t deadline_ms; /* on the monotonic clock */
};

/* Takes the next bytes of an answer of status 200; an error ends the request. */
typedef int transport_feed_fn(void *arg, const char *bytes, size_t len, struct err *err);

struct transport_request {
    const char *path; /* behind the repository's: "/info/refs?service=git-upload-pack" */
    const char *type; /* that the answer must have */
    const char *body_type;
    const void *body; /* NULL: a GET */
    size_t body_len;
    transport_feed_fn *feed;
    void *arg;
};

struct transport;

/* Returns owned. */
struct transport *transport_new(const struct transport_spec *spec);
void transport_free(struct transport *self);

/* Sends and feeds the answer. Errors: those of `feed`; ERR_UNPROCESSABLE or ERR_UNAVAILABLE with
 * one of reason.h's. */
int transport_send(struct transport *self, const struct transport_request *request,
                   struct err *err) ERR_CHECKED;

uint64_t transport_received(const struct transport *self);

/* How long the host wants to be left alone, by its last answer; 0: it did not say. */
uint32_t transport_retry_after_s(const struct transport *self);

#endif
