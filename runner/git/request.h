/* request: what the parent tells the child that fetches, through a pipe and in no other way: the
 * token is in it. One JSON object. */
#ifndef GIT_REQUEST_H
#define GIT_REQUEST_H

#include "proto/base/buf.h"
#include "proto/base/json.h"
#include "runner/git/address.h"
#include "runner/git/url.h"
#include "runner/intake/archive.h"

/* A pipe takes so many bytes before anybody reads. */
#define REQUEST_MAX ((size_t)60 << 10)

struct request {
    const char *url;     /* git_url_put()'s */
    const char *host;    /* as "name:port": the one host that is spoken to */
    const char *token;   /* NULL: none */
    const char *out_dir; /* made by the child; must not exist */
    const char *ca_file; /* NULL: the library's */
    const char *ca_dir;
    struct archive_limits limits;
    uint64_t bytes_max;
    uint64_t objects_max;
    uint64_t timeout_ms; /* from the start of the child */
    uint64_t silence_ms;
    struct git_network *networks;
    size_t network_count;
    json_t *root; /* owns the texts of a request that was read */
};

void request_write(const struct request *self, struct buf *out);

/* In the parent: returns the reading end of a pipe that holds all of `text`, -1 with an error.
 * Wipes and frees `text` in any case. */
int request_pipe(struct buf *text, struct err *err);

/* In the child: reads all of standard input. False where that is more than REQUEST_MAX. */
bool request_receive(struct buf *out);

/* Reads one; request_fini() in any case. Errors: ERR_INVALID. */
int request_read(struct request *self, const char *text, size_t len, struct err *err) ERR_CHECKED;
void request_fini(struct request *self);

/* The member "networks" of a request. Reading: *items is the caller's to free in any case. Errors:
 * ERR_INVALID. */
void request_put_networks(const struct git_networks *networks, struct json_out *json);
int request_read_networks(const json_t *root, struct git_network **items, size_t *count,
                          struct err *err) ERR_CHECKED;

#endif
