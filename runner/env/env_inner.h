/* env_inner: what env.c (requests and builds) and env_disk.c (what lies in the folder) share. */
#ifndef ENV_ENV_INNER_H
#define ENV_ENV_INNER_H

#include "proto/base/hash.h"
#include "runner/child/child.h"
#include "runner/egress/policy.h"
#include "runner/env/build.h"
#include "runner/env/env.h"
#include "runner/env/requirements.h"
#include "runner/env/settings.h"

#define ENTRIES_MAX 4096

enum entry_state {
    ENTRY_QUEUED,
    ENTRY_BUILDING,
    ENTRY_READY,
    ENTRY_FAILED,
};

struct entry {
    char key[HASH_HEX];
    enum entry_state state;
    struct env env; /* READY; its texts are owned by `texts` */
    char *texts[4];
    char pytest[64];
    uint64_t bytes;
    unsigned used;         /* by how many */
    uint64_t last_used_ms; /* wall clock, kept in the marker's time */
    const struct python *python;
    /* QUEUED and BUILDING */
    struct requirements requirements;
    struct requirements constraints;
    bool is_pytest_added;
    struct build *build;
    char *dir;
    char *work;
    uint64_t queued_ms;
    /* FAILED */
    enum env_blame blame;
    const char *reason;
    char *message;
    char *log;
    uint64_t until_ms; /* monotonic */
    struct env_store *store;
};

struct env_ticket {
    struct env_ticket *next;
    struct env_store *store;
    struct entry *entry; /* NULL: refused, with `refusal` */
    env_done_fn *done;
    void *arg;
    struct err refusal;
    bool waited; /* it was no hit */
};

struct sweep {
    struct sweep *next;
    struct env_store *store;
    struct child *child;
    bool is_cache_size; /* it measures the installer's cache */
};

struct env_store {
    struct event_base *base;
    struct env_config config; /* texts owned */
    char *cache;
    char *pyc; /* byte code that environments share */
    struct build_turn turn;
    char *tmp;
    char *uv; /* NULL: pip */
    char *installer;
    char *warning;
    struct env_settings settings;
    struct egress_policy reach; /* of installers */
    struct python *pythons;
    size_t python_count;
    struct entry **entries;
    size_t entry_count;
    size_t entry_capacity;
    struct env_ticket *tickets; /* in order of arrival */
    struct event *kick;         /* tickets may have their answer */
    struct sweep *sweeps;
    bool is_trim_due;       /* byte code may be in no environment any more */
    bool is_cache_size_due; /* wheels were added to the installer's cache */
    unsigned building;
    unsigned gone;          /* numbers the folders that go away */
    struct env_stats stats; /* what is counted; the rest of it is made when asked for */
};

/* Calls back for every ticket that has its answer; the timer's callback. */
void env_on_kick(evutil_socket_t fd, short events, void *arg);

/* Reads what lies in the folder: finished environments become entries, all else goes away. */
int env_disk_scan(struct env_store *self, struct err *err) ERR_CHECKED;

/* Returns a new entry, borrowed. */
struct entry *env_entry_new(struct env_store *self, const char *key);
void env_entry_free(struct env_store *self, struct entry *entry);

/* Makes an entry READY for an interpreter: its folder is finished. */
void env_entry_fill(struct env_store *self, struct entry *entry, const struct python *python);

/* Notes that it was used now. */
void env_entry_touch(struct entry *entry);

/* Moves a folder away at once and removes it by a child; an absent one is fine. */
void env_disk_remove(struct env_store *self, const char *path);

/* Makes the installer's cache where there is none for the uid that installs. */
int env_cache_make(struct env_store *self, struct err *err) ERR_CHECKED;

/* Throws the installer's cache away if it is too large: when no build runs, or after the last. */
void env_disk_bound_cache(struct env_store *self);

/* Whether an answer with this entry is on its way to somebody. */
bool env_is_waited_for(const struct env_store *self, const struct entry *entry);

/* Removes the least recently used environments while all of them are larger than the cap; none
 * that somebody has, or is about to be given. */
void env_disk_evict(struct env_store *self);

#endif
