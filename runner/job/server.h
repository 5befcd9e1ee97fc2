/* server: one fork server: a Python process of an environment that starts jobs for the engine. */
#ifndef RUNNER_JOB_SERVER_H
#define RUNNER_JOB_SERVER_H

#include "runner/job/engine.h"
#include "runner/job/wire.h"

#include <sys/types.h>

struct server;

/* All but `gone` come with the id that the job was sent under. None comes from within a call. */
struct server_hooks {
    void (*ready)(void *arg, struct server *server);
    void (*started)(void *arg, uint64_t id, int pidfd_owned);
    void (*exited)(void *arg, const struct wire_answer *answer);
    void (*failed)(void *arg, uint64_t id, const char *text);
    /* It is no more, for whatever reason; `text` is what it said last. It is freed behind this. */
    void (*gone)(void *arg, struct server *server, const char *text);
};

struct server_spec {
    const struct engine_config *config;
    struct job_environment environment;
    bool once; /* a cold start: it serves one job and ends */
    uid_t uid;
};

/* Copies what it needs of `spec`; borrows its config. Errors: ERR_IO, ERR_UNAVAILABLE and others of
 * child_start() and jail_start(). */
struct server *server_start(struct event_base *base, const struct server_spec *spec,
                            const struct server_hooks *hooks, void *arg, struct err *err);

/* Hands a job over. The descriptors are borrowed. Only when ready. Errors: ERR_BUSY when it is to
 * be tried again a little later, ERR_IO. */
int server_send(struct server *self, const struct buf *descriptor, const int *fds, size_t fd_count,
                struct err *err) ERR_CHECKED;

bool server_is_ready(const struct server *self);
bool server_is_stopping(const struct server *self);
bool server_is_once(const struct server *self);
const char *server_key(const struct server *self);

/* A copy of the environment that it was started with, borrowed while it lives. */
const struct job_environment *server_environment(const struct server *self);

/* Kills it; `gone` follows from the loop. */
void server_stop(struct server *self);

/* Kills and frees at once, without `gone`. */
void server_free(struct server *self_owned);

#endif
