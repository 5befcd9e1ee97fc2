/* Commit statuses of the evaluations that this node leads: what is told of which project, and when
 * it has changed. The queue that sends them is node/eval/statuses.h. */
#include "node/host/host_inner.h"

#include "node/eval/status_words.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <event2/event.h>
#include <inttypes.h>
#include <string.h>

#define LEAVE_MS 5000 /* that a node which leaves gives to what is still to be told */
#define PAUSE_MS 50   /* between two looks at one document, at least */
#define PAUSE_OF 20   /* and so many times what the last one took */

/* What was told of one evaluation. */
struct telling {
    uint64_t eval;
    uint64_t *told;   /* a project each: hash of what was said last; 0: nothing */
    uint64_t next_ms; /* not looked at before */
    bool is_dirty;
    bool has_complained;
    struct telling *next;
};

static struct telling **find(struct host *self, uint64_t eval)
{
    struct telling **at = &self->tellings;
    while (*at && (*at)->eval != eval)
        at = &(*at)->next;
    return at;
}

static void forget(struct telling **at)
{
    struct telling *telling = *at;
    *at = telling->next;
    free(telling->told);
    free(telling);
}

/* ---- one project ----------------------------------------------------------------------------- */

/* The repository of a project whose commit is known, and whose host the token is for. */
static bool find_repository(const struct host *self, const struct doc *doc, uint32_t p,
                            const struct secret *secret, struct git_url *out)
{
    struct doc_project project;
    doc_project(doc, p, &project);
    return git_url_parse(out, project.source, &self->config.clones.policy.hosts, NULL) == 0 &&
           out->want == GIT_WANT_COMMIT && out->port == secret->port &&
           strcmp(out->host, secret->host) == 0;
}

static void tell_project(struct host *self, const struct doc *doc,
                         const struct summary_project *project, const struct secret *secret,
                         const struct status_spec *what)
{
    struct git_url url;
    char id[ID_EVAL_TEXT];
    if (!find_repository(self, doc, project->p, secret, &url))
        return;
    id_eval_format(doc->id, id);
    const char *given = self->config.public_url;
    owned_mem char *target =
        mem_printf("%s%s/evaluation/%s", given ? "" : "http://", given ? given : self->address, id);
    owned_mem char *context = mem_printf("testmesh/%s", project->name);
    struct status_spec spec = *what;
    spec.url = &url;
    spec.commit = url.commit;
    spec.context = context;
    spec.target_url = target;
    spec.token = secret->token;
    statuses_tell(self->statuses, &spec);
}

/* ---- one evaluation -------------------------------------------------------------------------- */

static bool open_secret(struct host *self, struct telling *telling, const struct doc *doc,
                        struct secret *out)
{
    const struct secret_place place = host_secrets(self);
    struct err err = ERR_INIT;
    if (secret_open(&place, doc->req, out, &err) == 0)
        return true;
    if (!telling->has_complained)
        log_warn("statuses_not_told", "id=%" PRIu64 " error=%s", doc->id, err.text);
    telling->has_complained = true;
    return false;
}

static void tell_all(struct host *self, struct telling *telling, const struct doc *doc)
{
    owned_summary summary;
    struct secret secret = {0};
    uint64_t began_ms = clock_mono_ms();
    summary_init(&summary, doc, NULL);
    telling->is_dirty = false;
    for (size_t i = 0; i < summary.project_count; i++) {
        const struct summary_project *project = &summary.projects[i];
        owned_buf words = BUF_INIT;
        const struct status_stand stand = {doc_project_is_complete(doc, project->p), doc->cancel};
        enum status_state state = status_words(project, stand, &words);
        uint64_t said = hash_u64(buf_str(&words), words.len) + (uint64_t)state;
        if (said == telling->told[i] || doc_is_uncloned(doc, project->p))
            continue;
        if (!secret.token && !open_secret(self, telling, doc, &secret))
            break;
        telling->told[i] = said;
        tell_project(self, doc, project, &secret,
                     &(struct status_spec){.state = state, .description = buf_str(&words)});
    }
    secret_close(&secret);
    uint64_t now_ms = clock_mono_ms();
    telling->next_ms = now_ms + PAUSE_MS + PAUSE_OF * (now_ms - began_ms);
}

static void look(struct host *self, struct telling *telling, const struct doc *doc)
{
    telling->is_dirty = true;
    if (clock_mono_ms() >= telling->next_ms)
        tell_all(self, telling, doc);
    else if (!evtimer_pending(self->statuses_timer, NULL))
        event_add(self->statuses_timer, &(struct timeval){.tv_usec = PAUSE_MS * 1000});
}

/* When an evaluation is over its token goes: this is called before it does. What changes on the way
 * there may wait, since hundreds of modules end in a second. */
void host_note_statuses(struct host *self, const struct doc *doc)
{
    struct telling **at = find(self, doc->id);
    bool is_ours =
        doc->req && doc->req->statuses && doc->fence && doc->fence->ballot.owner == self->self;
    bool is_final = doc_is_final(doc);
    if (!is_ours || (!*at && is_final)) {
        if (*at)
            forget(at);
        return;
    }
    if (!*at) {
        *at = mem_new(sizeof **at);
        **at = (struct telling){.eval = doc->id,
                                .told = mem_new_array(doc->req->project_count, sizeof(uint64_t))};
    }
    if (is_final || doc->cancel)
        tell_all(self, *at, doc);
    else
        look(self, *at, doc);
    if (is_final)
        forget(at);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct host *self = arg;
    for (struct telling *at = self->tellings; at; at = at->next) {
        const struct doc *doc =
            at->is_dirty ? store_find(self->config.store, at->eval, NULL) : NULL;
        if (doc)
            look(self, at, doc);
    }
}

void host_last_statuses(struct host *self, uint64_t eval)
{
    const struct doc *doc = store_find(self->config.store, eval, NULL);
    if (doc)
        host_note_statuses(self, doc);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void on_leave(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct host *self = arg;
    if (statuses_waiting(self->statuses) == 0 || clock_mono_ms() >= self->leaves_at_ms)
        host_feed(self, (struct mesh_event){.kind = MESH_LEAVE});
    else
        event_add(self->leave_timer, &(struct timeval){.tv_usec = PAUSE_MS * 1000});
}

void host_leave_after_statuses(struct host *self)
{
    self->leaves_at_ms = clock_mono_ms() + LEAVE_MS;
    event_active(self->leave_timer, 0, 0);
}

void host_open_statuses(struct host *self)
{
    struct statuses_config config = self->config.statuses;
    config.base = self->config.base;
    self->statuses = statuses_new(&config);
    self->statuses_timer = evtimer_new(self->config.base, on_timer, self);
    self->leave_timer = evtimer_new(self->config.base, on_leave, self);
}

void host_free_statuses(struct host *self)
{
    if (!self->statuses) /* there was not even a network */
        return;
    while (self->tellings)
        forget(&self->tellings);
    statuses_free(self->statuses);
    event_free(self->statuses_timer);
    event_free(self->leave_timer);
}
