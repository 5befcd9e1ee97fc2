#include "runner/job/environment.h"

#include "proto/base/mem.h"

static char *copy_text(const char *text) { return text ? mem_strdup(text) : NULL; }

void environment_copy(struct job_environment *out, const struct job_environment *from)
{
    struct job_bind *binds = mem_new_array(from->bind_count + 1, sizeof(*binds));
    for (size_t i = 0; i < from->bind_count; i++) {
        binds[i].source = mem_strdup(from->binds[i].source);
        binds[i].target = mem_strdup(from->binds[i].target);
    }
    *out = (struct job_environment){
        .key = copy_text(from->key),
        .dir = copy_text(from->dir),
        .python = copy_text(from->python),
        .binds = binds,
        .bind_count = from->bind_count,
    };
}

/* What a copy points to is its own, whatever the type says to readers. */
static void release(const void *text) { free((void *)(uintptr_t)text); }

void environment_fini(struct job_environment *self)
{
    for (size_t i = 0; i < self->bind_count; i++) {
        release(self->binds[i].source);
        release(self->binds[i].target);
    }
    release(self->binds);
    release(self->key);
    release(self->dir);
    release(self->python);
}
