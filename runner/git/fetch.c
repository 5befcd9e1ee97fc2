#include "runner/git/fetch.h"

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/child/child.h"
#include "runner/git/progress.h"
#include "runner/git/request.h"
#include "runner/git/way.h"
#include "runner/intake/manifest.h"

#include <inttypes.h>
#include <string.h>

#define COMPLAINT_BYTES 2048u
#define WAY_TIMES       8u   /* it tries several times, and counts by itself what it takes */
#define GRACE_MS        2000 /* the child minds its time, too, and then has a better word for it */

struct fetch {
    struct child *child;
    struct way way;
    struct buf out; /* what has not been read yet: in the end, the answer */
    bool is_answer; /* no more progress comes */
    bool is_too_long;
    fetch_progress_fn *on_progress;
    void (*remove)(void *arg, const char *path);
    void *remove_arg;
    fetch_done_fn *done;
    void *arg;
    char *out_dir;
};

/* What a killed child left behind, and what it fetched. */
static void tidy(const struct fetch *self)
{
    struct err err = ERR_INIT;
    if (self->remove)
        self->remove(self->remove_arg, self->out_dir);
    else if (file_remove_tree(self->out_dir, &err))
        log_warn("fetch_left_behind", "dir=%s error=%s", self->out_dir, err.text);
}

static void fetch_free(struct fetch *self)
{
    way_close(&self->way);
    buf_fini(&self->out);
    free(self->out_dir);
    free(self);
}

/* Takes one line of progress from the front. False when there is none, or not yet. */
static bool take_progress(struct fetch *self)
{
    struct fetch_progress progress;
    const char *text = buf_str(&self->out);
    const char *end = memchr(text, '\n', self->out.len);
    size_t len = end ? (size_t)(end - text) : 0;
    if (!end)
        return false;
    self->is_answer = !progress_is_line(text, len);
    if (self->is_answer)
        return false;
    bool is_sound = progress_read(&progress, text, len);
    buf_consume(&self->out, len + 1);
    if (is_sound && self->on_progress)
        self->on_progress(self->arg, &progress);
    return true;
}

static void on_bytes(void *arg, const void *bytes, size_t len)
{
    struct fetch *self = arg;
    self->is_too_long = self->is_too_long || self->out.len + len > MANIFEST_MAX;
    if (self->is_too_long)
        return;
    buf_append(&self->out, bytes, len);
    while (!self->is_answer && take_progress(self))
        ;
}

static int judge(const struct fetch *self, const struct child_result *result, struct err *err)
{
    const struct supervise_verdict *verdict = &result->verdict;
    if (verdict->kind == SUPERVISE_LIMITED && verdict->limit == SUPERVISE_LIMIT_WALL)
        return err_refuse(err, ERR_UNAVAILABLE, "repo-timeout", "the fetch took too long");
    if (verdict->kind == SUPERVISE_LIMITED)
        return err_refuse(err, ERR_UNPROCESSABLE, "repo-too-large", "%s", result->text);
    if (verdict->kind != SUPERVISE_EXITED || verdict->code > 1 || self->out.len == 0)
        return err_set(err, ERR_INTERNAL, "the helper died: %s", result->text);
    if (self->is_too_long)
        return err_set(err, ERR_INTERNAL, "the helper's answer is too long");
    return 0;
}

static int nonsense(struct err *err)
{
    return err_set(err, ERR_INTERNAL, "the helper's answer makes no sense");
}

/* The first line. The helper has read strangers' bytes: nothing that it says is taken on trust. */
static int read_facts(struct fetch_facts *self, const char *line, size_t len, struct err *err)
{
    owned_json *root = json_in_parse(line, len, NULL);
    const char *commit = json_in_str(root, "commit", "");
    const char *branch = json_in_str(root, "branch", "");
    int64_t received = json_in_int(root, "received", -1);
    int64_t tries = json_in_int(root, "tries", -1);
    size_t digits = strspn(commit, "0123456789abcdef");
    if (!root || commit[digits] || (digits != 0 && digits != GIT_OID_HEX - 1) ||
        (branch[0] && !git_branch_is_valid(branch)) || received < 0 || tries < 0 || tries > 1000)
        return nonsense(err);
    memcpy(self->commit, commit, digits + 1);
    memcpy(self->branch, branch, strlen(branch) + 1);
    self->received_bytes = (uint64_t)received;
    self->tries = (uint32_t)tries;
    if (json_in_bool(root, "shares_network", false))
        way_note_shared();
    return 0;
}

static int read_answer(const struct fetch *self, const struct buf *out, struct fetch_facts *facts,
                       struct intake_result *result, struct err *err)
{
    const char *text = buf_str(out);
    size_t line = strcspn(text, "\n");
    if (line >= out->len)
        return nonsense(err);
    int rc = read_facts(facts, text, line, err);
    if (!rc)
        rc = manifest_read(result, text + line + 1, out->len - line - 1, self->out_dir, err);
    if (!rc && (result->project_count != 1 || !facts->commit[0]))
        rc = nonsense(err);
    if (!rc && result->projects[0].path && !file_exists(result->projects[0].path))
        rc = err_set(err, ERR_INTERNAL, "the helper did not write the bundle");
    return rc;
}

static void on_done(void *arg, struct child_result *child)
{
    struct fetch *self = arg;
    struct err err = ERR_INIT;
    struct fetch_facts facts = {0};
    struct intake_result result = {0};
    int rc = judge(self, child, &err);
    if (rc)
        log_warn("fetch_helper_failed", "%s stderr=%.500s", err.text, buf_str(&child->err));
    else
        rc = read_answer(self, &self->out, &facts, &result, &err);
    if (rc)
        tidy(self);
    if (rc)
        way_judge(&self->way, &err);
    self->done(self->arg, rc ? NULL : &result, &facts, &err);
    intake_result_fini(&result);
    fetch_free(self);
}

/* Returns the reading end of a pipe that holds the whole request, -1 with an error. */
static int fill_pipe(const struct fetch_spec *spec, struct err *err)
{
    const struct fetch_policy *policy = spec->policy;
    owned_buf url = BUF_INIT;
    owned_mem char *host = mem_printf("%s:%u", spec->url->host, spec->url->port);
    git_url_put(spec->url, NULL, &url);
    const struct request request = {.url = buf_str(&url),
                                    .host = host,
                                    .token = spec->token,
                                    .out_dir = spec->out_dir,
                                    .ca_file = policy->ca_file,
                                    .ca_dir = policy->ca_dir,
                                    .limits = policy->limits,
                                    .bytes_max = policy->bytes_max,
                                    .objects_max = policy->objects_max,
                                    .timeout_ms = spec->timeout_ms,
                                    .silence_ms = policy->silence_ms,
                                    .networks = (struct git_network *)(uintptr_t)policy->also.items,
                                    .network_count = policy->also.count};
    struct buf text = BUF_INIT;
    buf_reserve(&text, REQUEST_MAX); /* it never moves: no copy of the token is left behind */
    request_write(&request, &text);
    return request_pipe(&text, err);
}

struct fetch *fetch_start(struct event_base *base, const struct fetch_spec *spec,
                          fetch_done_fn *done, void *arg, struct err *err)
{
    const char *program = spec->policy->program ? spec->policy->program : "/proc/self/exe";
    owned_fd int in = fill_pipe(spec, err);
    if (in < 0)
        return NULL;
    struct fetch *self = mem_new(sizeof *self);
    *self = (struct fetch){.on_progress = spec->on_progress,
                           .remove = spec->remove,
                           .remove_arg = spec->remove_arg,
                           .done = done,
                           .arg = arg,
                           .out_dir = mem_strdup(spec->out_dir)};
    owned_buf url = BUF_INIT;
    git_url_put_repository(spec->url, &url);
    const struct way_spec way = {.url = buf_str(&url),
                                 .also = &spec->policy->also,
                                 .bytes_max = WAY_TIMES * spec->policy->bytes_max};
    if (way_open(&self->way, spec->policy->egress, &way, err)) {
        fetch_free(self);
        return NULL;
    }
    const char *const argv[] = {program, "--helper", "fetch",
                                way_fd_count(&self->way) ? WAY_WORD : NULL, NULL};
    const struct child_spec child = {
        .argv = argv,
        .stdin_fd = in,
        .fds = &self->way.fd,
        .fd_count = way_fd_count(&self->way),
        .out = {.kind = CHILD_BYTES, .on_bytes = on_bytes},
        .err = {.kind = CHILD_COLLECT, .head_bytes = COMPLAINT_BYTES},
        .limits = {.wall_ms = spec->timeout_ms + GRACE_MS,
                   .output_bytes = MANIFEST_MAX + (1u << 20)},
        .nice = 5,
    };
    self->child = child_start(base, &child, on_done, self, err);
    way_passed(&self->way);
    if (!self->child) {
        fetch_free(self);
        return NULL;
    }
    return self;
}

void fetch_cancel(struct fetch *self)
{
    child_drop(self->child);
    tidy(self);
    fetch_free(self);
}
