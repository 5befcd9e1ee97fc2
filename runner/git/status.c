#include "runner/git/status.h"

#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/child/child.h"
#include "runner/git/request.h"
#include "runner/git/way.h"

#include <stdio.h>
#include <string.h>

#define ANSWER_MAX 4096u
#define WAY_BYTES  (UINT64_C(1) << 20)
#define GRACE_MS   2000 /* the child minds its time, too */

struct status {
    struct child *child;
    struct way way;
    status_done_fn *done;
    void *arg;
};

static void status_free(struct status *self)
{
    way_close(&self->way);
    free(self);
}

static void put_request(const struct status_request *self, struct buf *out)
{
    struct json_out json;
    json_out_init(&json, out);
    json_out_open_object(&json);
    json_out_key_str(&json, "url", self->url);
    json_out_key_bool(&json, "gitlab", self->kind == STATUS_GITLAB);
    json_out_key_str(&json, "token", self->token);
    json_out_key_str(&json, "body", self->body);
    json_out_key_uint(&json, "timeout_ms", self->timeout_ms);
    if (self->policy->ca_file)
        json_out_key_str(&json, "ca_file", self->policy->ca_file);
    if (self->policy->ca_dir)
        json_out_key_str(&json, "ca_dir", self->policy->ca_dir);
    request_put_networks(&self->policy->also, &json);
    json_out_close_object(&json);
}

/* Returns the reading end of a pipe that holds the whole request, -1 with an error. */
static int fill_pipe(const struct status_request *request, struct err *err)
{
    struct buf text = BUF_INIT;
    buf_reserve(&text, REQUEST_MAX); /* it never moves: no copy of the token is left behind */
    put_request(request, &text);
    return request_pipe(&text, err);
}

/* The child has read a stranger's bytes: nothing that it says is taken on trust. */
static bool read_answer(struct status_answer *self, const struct buf *text)
{
    owned_json *root = json_in_parse(buf_str(text), text->len, NULL);
    int64_t http = json_in_int(root, "http", -1);
    int64_t retry_s = json_in_int(root, "retry_after_s", -1);
    const char *words = json_in_str(root, "words", "");
    if (http < 0 || http > 999 || retry_s < 0 || retry_s > 86400)
        return false;
    self->http = (long)http;
    self->retry_after_s = (uint32_t)retry_s;
    self->is_limited = json_in_bool(root, "is_limited", false);
    self->shares_network = json_in_bool(root, "shares_network", false);
    for (size_t i = 0; words[i] && i < sizeof self->words - 1; i++)
        self->words[i] = words[i] >= ' ' && words[i] < 0x7f ? words[i] : '?';
    return true;
}

static void on_done(void *arg, struct child_result *child)
{
    struct status *self = arg;
    struct status_answer answer = {0};
    bool is_well = child->verdict.kind == SUPERVISE_EXITED && child->verdict.code == 0 &&
                   read_answer(&answer, &child->out);
    if (!is_well) {
        answer = (struct status_answer){0};
        (void)snprintf(answer.words, sizeof answer.words, "the helper: %.150s", child->text);
        log_warn("status_helper_failed", "%s stderr=%.300s", child->text, buf_str(&child->err));
    }
    if (answer.shares_network)
        way_note_shared();
    self->done(self->arg, &answer);
    status_free(self);
}

struct status *status_start(struct event_base *base, const struct status_request *request,
                            status_done_fn *done, void *arg, struct err *err)
{
    const char *program = request->policy->program ? request->policy->program : "/proc/self/exe";
    owned_fd int in = fill_pipe(request, err);
    if (in < 0)
        return NULL;
    struct status *self = mem_new(sizeof *self);
    *self = (struct status){.done = done, .arg = arg};
    const struct way_spec way = {
        .url = request->url, .also = &request->policy->also, .bytes_max = WAY_BYTES};
    if (way_open(&self->way, request->policy->egress, &way, err)) {
        status_free(self);
        return NULL;
    }
    const char *const argv[] = {program, "--helper", "status",
                                way_fd_count(&self->way) ? WAY_WORD : NULL, NULL};
    const struct child_spec child = {
        .argv = argv,
        .stdin_fd = in,
        .fds = &self->way.fd,
        .fd_count = way_fd_count(&self->way),
        .out = {.kind = CHILD_COLLECT, .head_bytes = ANSWER_MAX},
        .err = {.kind = CHILD_COLLECT, .head_bytes = ANSWER_MAX},
        .limits = {.wall_ms = request->timeout_ms + GRACE_MS, .output_bytes = 4 * ANSWER_MAX},
        .nice = 5,
    };
    self->child = child_start(base, &child, on_done, self, err);
    way_passed(&self->way);
    if (self->child)
        return self;
    status_free(self);
    return NULL;
}

void status_cancel(struct status *self)
{
    child_drop(self->child);
    status_free(self);
}
