/* server: HTTP/1.1 for the rest of the daemon, which sees requests and answers as plain values.
 *
 * A request's way: head read -> host, route, origin, token and length are judged -> the sink is
 * opened -> "100 Continue" if the client waits for it -> body -> handler -> answer. So whoever is
 * refused is refused before the body comes, and a handler sees only whole requests.
 *
 *     static const struct http_route routes[] = {
 *         {"GET",  "/evaluation/:id", HTTP_USER, .handler = show},
 *         {"POST", "/eval",           HTTP_USER, HTTP_BODY_BUFFER, MIB, .handler = run},
 *         {"POST", "/evaluation",     HTTP_USER, HTTP_BODY_FORM, .form = &upload,
 *          .handler = submit},
 *     };
 *
 * Everything here runs on the loop's thread and returns at once. A client that closes its side
 * before it is answered counts as gone.
 *
 * An exchange lives from the call of its sink's open, or of its handler, until it is answered
 * (http_reply…) or its client is gone (see http_on_gone). After either it must not be touched.
 * Texts returned by accessors are borrowed for as long. */
#ifndef NODE_HTTP_SERVER_H
#define NODE_HTTP_SERVER_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct http_exchange;
struct http_server;
struct problem;
struct problem_field;
struct sockaddr;

/* ---- routes ---------------------------------------------------------------------------------- */

/* Who may call; what it takes is decided by http_config.authorize. */
enum http_scope { HTTP_PUBLIC, HTTP_USER, HTTP_OPERATOR };

enum http_body {
    HTTP_BODY_NONE,   /* what comes is read and dropped, 413 beyond 64 KiB */
    HTTP_BODY_BUFFER, /* whole in memory, within the node's budget: http_body() */
    HTTP_BODY_SINK,   /* bytes as they come, to http_route.sink */
    HTTP_BODY_FORM,   /* multipart/form-data as it comes, to http_route.form */
};

/* Answers `x` now, or keeps it and answers later from the loop. */
typedef void http_handler_fn(struct http_exchange *x, void *arg);

/* Takes a body in pieces of at most 64 KiB. The state that open returns is the sink's until finish
 * succeeds, and then the handler's, who finds it with http_state(). Where write or finish fail, or
 * the body ends before its time, abort is called (once; it frees the state) and then the problem is
 * answered if there is somebody left. */
struct http_sink {
    /* Called when the head is accepted. NULL with an error refuses before the body is sent. */
    void *(*open)(struct http_exchange *x, void *arg, struct err *err);
    int (*write)(void *state, const void *bytes, size_t len, struct err *err);
    int (*finish)(void *state, struct err *err);
    void (*abort)(void *state);
};

/* One part of a form; texts are borrowed until the callback returns. */
struct http_form_part {
    const char *name;     /* "" where the client gave none */
    const char *filename; /* NULL for a plain field; the client's words: never a path of ours */
    const char *type;     /* media type without parameters, lower case; text/plain by default */
};

/* A sink for forms: as http_sink, but with the body taken apart. A body of one of `raw_types` is
 * handed over as one part called `raw_name` with its own type and no file name: so one route takes
 * `-F file=@x.zip` and `--data-binary @x.zip`. Any other type is 415. */
struct http_form {
    void *(*open)(struct http_exchange *x, void *arg, struct err *err);
    int (*part_begin)(void *state, const struct http_form_part *part, struct err *err);
    int (*part_data)(void *state, const void *bytes, size_t len, struct err *err);
    int (*part_end)(void *state, struct err *err);
    int (*finish)(void *state, struct err *err);
    void (*abort)(void *state);
    const char *const *raw_types; /* NULL-terminated; NULL for none */
    const char *raw_name;
    size_t parts_max; /* 0: 64 */
};

struct http_route {
    const char *method;  /* a GET row answers HEAD as well */
    const char *pattern; /* "/evaluation/:id", or a last segment "*rest" that may hold slashes */
    enum http_scope scope;
    enum http_body body;
    uint64_t body_max; /* bytes; 0: http_limits.body_bytes */
    const struct http_sink *sink;
    const struct http_form *form;
    http_handler_fn *handler;
};

/* ---- the request ----------------------------------------------------------------------------- */

const char *http_method(const struct http_exchange *x);       /* "HEAD" where the client said so */
const char *http_path(const struct http_exchange *x);         /* as sent, without the query */
const char *http_query_string(const struct http_exchange *x); /* as sent; "" for none */

/* A parameter of the route's pattern, decoded: never empty, without NUL; "." and ".." as a whole
 * segment are refused before. `name` must be in the pattern. A "*rest" has no leading slash. */
const char *http_param(const struct http_exchange *x, const char *name);

/* The first query parameter of that name, decoded ("+" is a blank); NULL for none, "" for a bare
 * name. At most 64 parameters. */
const char *http_query(const struct http_exchange *x, const char *name);

/* A whole number in the query, `fallback` where absent. Errors: ERR_INVALID "bad-query". */
int http_query_int(const struct http_exchange *x, const char *name, int64_t fallback, int64_t min,
                   int64_t max, int64_t *out, struct err *err) ERR_CHECKED;

/* The first header of that name (any case), trimmed; NULL for none. */
const char *http_header(const struct http_exchange *x, const char *name);
size_t http_header_count(const struct http_exchange *x);
/* Header `at` in the order sent; the name in lower case. */
void http_header_at(const struct http_exchange *x, size_t at, const char **name,
                    const char **value);

/* Whether the (first) Content-Type is `type`, parameters aside, in any case. */
bool http_is_type(const struct http_exchange *x, const char *type);

/* The announced length, -1 for a chunked body. */
int64_t http_content_length(const struct http_exchange *x);

/* The token of "Authorization: Bearer …"; NULL for none. */
const char *http_bearer(const struct http_exchange *x);

/* The client's numeric "address:port" ("[::1]:4711"), and its socket address. */
const char *http_peer(const struct http_exchange *x);
const struct sockaddr *http_peer_addr(const struct http_exchange *x);

/* The body of an HTTP_BODY_BUFFER route; empty elsewhere. */
const struct buf *http_body(const struct http_exchange *x);

/* What the sink's (or form's) open returned; the handler owns it. */
void *http_state(const struct http_exchange *x);

/* For sinks: stop reading from this client (the disk is behind), and go on. After http_pause()
 * at most the rest of the current piece is still delivered. The time does not count against the
 * client. */
void http_pause(struct http_exchange *x);
void http_resume(struct http_exchange *x);

/* Calls `fn` once if the client leaves, is too slow a reader, or the server is freed, before the
 * exchange is answered; `x` ends with that call. NULL takes it back. Not for sinks: they get abort.
 */
typedef void http_gone_fn(void *arg);
void http_on_gone(struct http_exchange *x, http_gone_fn *fn, void *arg);

/* ---- the answer ------------------------------------------------------------------------------ */

/* Adds a header to the coming answer; copies. Content-Length, Transfer-Encoding, Connection and
 * Date are the server's. */
void http_set_header(struct http_exchange *x, const char *name, const char *value);
void http_set_headerf(struct http_exchange *x, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Answer and end the exchange. `type` NULL sends none; `body` NULL is empty. HEAD is taken care of.
 */
void http_reply(struct http_exchange *x, int status, const char *type,
                const struct buf *body); /* copies */
void http_reply_take(struct http_exchange *x, int status, const char *type,
                     struct buf *body_owned); /* leaves it empty, copies nothing */
void http_reply_static(struct http_exchange *x, int status, const char *type, const void *bytes,
                       size_t len); /* borrows for ever */
void http_reply_json(struct http_exchange *x, int status, struct buf *body_owned);
void http_reply_empty(struct http_exchange *x, int status);

/* An RFC 9457 problem document from an error (problem.h); 401, 429 and 503 get their headers unless
 * set before. */
void http_reply_problem(struct http_exchange *x, const struct err *err);
void http_reply_problem_fields(struct http_exchange *x, const struct err *err,
                               const struct problem_field *fields, size_t field_count);

/* Sets ETag (strong, from the hash of `tag`, any text) and answers 304 where If-None-Match has it.
 * Returns whether it answered. */
bool http_not_modified(struct http_exchange *x, const char *tag);

/* Answers with `len` bytes of a file from `offset`, read in pieces as the client takes them. Takes
 * the descriptor. A file that turns out shorter cuts the connection. */
void http_reply_file(struct http_exchange *x, int status, const char *type, int fd_owned,
                     uint64_t offset, uint64_t len);

/* ---- the server ------------------------------------------------------------------------------ */

struct http_limits {
    size_t head_bytes; /* request line and headers */
    size_t head_fields;
    size_t target_bytes;   /* path and query */
    uint64_t body_bytes;   /* a route's default */
    uint64_t budget_bytes; /* all buffered bodies together; 503 beyond */
    size_t connections;    /* the idlest is closed for a newcomer; lowered to RLIMIT_NOFILE - 128 */
    uint32_t head_ms;      /* first byte to end of head */
    uint32_t body_ms;      /* without a byte of the body */
    uint32_t write_ms;     /* without a byte taken by the client */
    uint32_t idle_ms;      /* between requests */
    uint32_t linger_ms;    /* reading on after a refusal, so that the client sees it */
};

/* 32 KiB, 100 fields, 8 KiB target, 1 MiB, 64 MiB, 4096; 10 s, 30 s, 30 s, 60 s, 2 s. */
struct http_limits http_limits_default(void);

/* Decides whether `x` may use a route of `scope` (never called for HTTP_PUBLIC). Returns 0,
 * ERR_UNAUTHORIZED or ERR_FORBIDDEN. */
typedef int http_authorize_fn(const struct http_exchange *x, enum http_scope scope, void *arg,
                              struct err *err);

/* Takes over a connection whose first four bytes are "MSH1": the descriptor (non-blocking, owned
 * by the callee) and the bytes read so far (borrowed; at least those four). */
typedef void http_adopt_fn(int fd_owned, const void *first, size_t len, void *arg);

/* Told of each answer, for metrics: the route's pattern (NULL for none), not the path. */
struct http_answered {
    const char *method;
    const char *pattern;
    int status;
    uint64_t took_us; /* from the first byte of the request to the last handed to the kernel */
    uint64_t bytes_in;
    uint64_t bytes_out;
    const struct problem *problem; /* its row, where the answer was one that has a row */
};
typedef void http_answered_fn(const struct http_answered *what, void *arg);

struct http_config {
    const struct http_route *routes; /* borrowed for ever; the first row that fits wins */
    size_t route_count;
    void *arg;                    /* for every callback below, for handlers and for open */
    http_authorize_fn *authorize; /* NULL: only HTTP_PUBLIC rows answer */
    http_adopt_fn *adopt;         /* NULL: such a connection is a bad request */
    void *adopt_arg;
    http_answered_fn *answered;
    /* Host names that are ours (without port, any case), beside IP literals and localhost: what
     * stops a web page whose name was rebound to our address. NULL-terminated, copied; "*" for any.
     */
    const char *const *hosts;
    /* Origins ("https://grades.example") whose pages may write, beside our own. NULL-terminated,
     * copied; "*" for any. */
    const char *const *origins;
    struct http_limits limits;
};

/* Returns owned; copies `config`. Listens nowhere yet. Makes the process ignore SIGPIPE: what
 * starts children sets it back for them. */
struct http_server *http_server_new(struct event_base *base, const struct http_config *config);

/* Listens on "127.0.0.1:8080", "[::]:0", ":8080" (every IPv4 address) or "localhost:8080" (numeric
 * or localhost only). Returns 0 and the actual port. May be called again for more addresses.
 * Errors: ERR_INVALID for the text, ERR_CONFLICT for a port in use, ERR_IO. */
int http_server_listen(struct http_server *self, const char *address, uint16_t *port,
                       struct err *err) ERR_CHECKED;

/* Stops accepting, closes idle connections, lets running exchanges end, and then calls `done` (from
 * the loop, never from inside this call). */
void http_server_drain(struct http_server *self, void (*done)(void *arg), void *arg);

/* Cuts what is left (sinks get abort, holders get gone) and frees. NULL is fine. Not from inside a
 * callback of an exchange. */
void http_server_free(struct http_server *self);

struct http_server_stats {
    uint64_t accepted;
    uint64_t requests;
    uint64_t refused;      /* requests that never reached a handler */
    uint64_t evicted;      /* idle connections closed for newcomers */
    uint64_t budget_bytes; /* buffered bodies now */
    size_t connections;    /* now */
};

struct http_server_stats http_server_stats(const struct http_server *self);

/* The server that an exchange belongs to. */
const struct http_server *http_server_of(const struct http_exchange *x);

#endif
