/* build: makes one environment, step by step; env.h has the steps and why they are apart. */
#ifndef ENV_BUILD_H
#define ENV_BUILD_H

#include "proto/base/err.h"
#include "runner/env/env.h"
#include "runner/env/requirements.h"
#include "runner/env/settings.h"

#include <stdbool.h>
#include <stdint.h>

struct build;
struct egress_policy;

/* Byte code is looked for and compiled by one build at a time: what two need, the second finds. */
struct build_turn {
    struct build *holder;
    struct build *waiting; /* in order of arrival */
};

/* Borrowed until the end of the build. */
struct build_spec {
    const struct env_config *config; /* defaults filled in */
    const struct env_settings *settings;
    const struct egress_policy *reach; /* what installers may; only with config's egress */
    const struct python *python;
    const char *uv; /* NULL: pip */
    const char *key;
    const char *dir;  /* data/envs/<key> */
    const char *work; /* data/envs/tmp/<key>; the caller removes it afterwards */
    const char *cache;
    const char *pyc;                         /* data/envs/pyc, for pyc.h */
    struct build_turn *turn;                 /* of all builds of a store */
    const struct requirements *requirements; /* pytest among them */
    bool is_pytest_added;                    /* by the node, hence without a hash */
    const struct requirements *constraints;
};

struct build_result {
    bool is_done; /* the marker is there */
    char pytest_version[64];
    uint64_t bytes;
    enum env_blame blame;
    const char *reason;
    const char *message; /* borrowed for the callback, as log is */
    const char *log;
};

typedef void build_done_fn(void *arg, const struct build_result *result);

/* Starts a build. `done` is called once from the loop; the handle is gone when it returns. Errors
 * (NULL): ERR_IO, ERR_NOT_FOUND, ERR_UNAVAILABLE; nothing runs then. */
struct build *build_start(struct event_base *base, const struct build_spec *spec,
                          build_done_fn *done, void *arg, struct err *err) ERR_CHECKED;

/* Kills it and forgets it; `done` is not called. */
void build_drop(struct build *self_owned);

#endif
