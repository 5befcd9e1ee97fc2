/* answers: who of the API waits for what. They are told when a step is done with, since what they
 * do then may be the next one. */
#include "node/host/host_inner.h"

#include "proto/base/byid.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <inttypes.h>
#include <string.h>

static struct waiter *add_waiter(struct host *self, enum waiter_kind kind, uint64_t eval, void *arg)
{
    struct waiter *waiter = mem_new(sizeof *waiter);
    *waiter = (struct waiter){
        .kind = kind, .eval = eval, .token = ++self->last_token, .arg = arg, .next = self->waiters};
    self->waiters = waiter;
    return waiter;
}

void host_submit(struct host *self, const struct delta *delta, host_submit_fn *done, void *arg)
{
    struct waiter *waiter = add_waiter(self, WAITER_SUBMIT, delta->id, arg);
    waiter->submit = done;
    host_feed(self,
              (struct mesh_event){
                  .kind = MESH_SUBMIT, .eval = delta->id, .token = waiter->token, .delta = delta});
}

void host_cancel(struct host *self, uint64_t id, host_cancel_fn *done, void *arg)
{
    struct waiter *waiter = add_waiter(self, WAITER_CANCEL, id, arg);
    waiter->cancel = done;
    host_feed(self, (struct mesh_event){.kind = MESH_CANCEL, .eval = id, .token = waiter->token});
}

void host_ask(struct host *self, uint64_t id, host_ask_fn *done, void *arg)
{
    struct waiter *waiter = add_waiter(self, WAITER_ASK, id, arg);
    waiter->ask = done;
    host_feed(self, (struct mesh_event){.kind = MESH_ASK, .eval = id, .token = waiter->token});
}

void host_forget(struct host *self, const void *arg)
{
    host_forget_blobs(self, arg);
    for (struct waiter *waiter = self->waiters; waiter; waiter = waiter->next)
        if (waiter->arg == arg)
            waiter->ask = NULL;
    for (struct answer *answer = self->answers; answer; answer = answer->next)
        if (answer->waiter && answer->waiter->arg == arg)
            answer->waiter->ask = NULL;
}

/* ---- what is said ---------------------------------------------------------------------------- */

/* A submission without a key has an id of its own, and is answered by it. */
static struct waiter *take_waiter(struct host *self, const struct mesh_effect *effect)
{
    bool by_id = !effect->token;
    for (struct waiter **at = &self->waiters; *at; at = &(*at)->next) {
        struct waiter *waiter = *at;
        if (by_id ? waiter->kind == WAITER_SUBMIT && waiter->eval == effect->eval
                  : waiter->token == effect->token) {
            *at = waiter->next;
            return waiter;
        }
    }
    return NULL;
}

static struct answer *add_answer(struct host *self)
{
    struct answer *answer = mem_new(sizeof *answer);
    answer->err = (struct err)ERR_INIT;
    *self->answers_end = answer;
    self->answers_end = &answer->next;
    return answer;
}

/* The words for people; problems.tbl has the rest. */
static void explain(struct err *err, const char *reason)
{
    static const char *const texts[][2] = {
        {"too-few-replicas",
         "fewer than two nodes can be reached, and this work should survive one"},
        {"replicas-too-late", "the other nodes did not confirm in time that they have it"},
        {"store-not-writable", "this node's store cannot be written"},
        {"draining", "this node is about to stop"}};
    if (strcmp(reason, "id-taken") == 0) {
        err_set(err, ERR_CONFLICT, "another evaluation has this id");
        return;
    }
    if (strcmp(reason, "idempotency-key-reused") == 0) {
        err_refuse(err, ERR_UNPROCESSABLE, "idempotency-key-reused",
                   "another request was sent under this Idempotency-Key");
        return;
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i][0], reason) == 0)
            err_refuse(err, ERR_UNAVAILABLE, texts[i][0], "%s", texts[i][1]);
}

void host_note_answer(struct host *self, const struct mesh_effect *effect)
{
    struct waiter *waiter = take_waiter(self, effect);
    if (!waiter)
        return;
    struct answer *answer = add_answer(self);
    answer->waiter = waiter;
    answer->eval = effect->eval;
    answer->is_ok = effect->is_ok;
    answer->replicas = effect->replicas;
    answer->retry_s = effect->retry_s;
    answer->stale_ms = effect->stale_ms;
    if (effect->kind == MESH_REFUSED)
        explain(&answer->err, effect->reason);
}

void host_note_final(struct host *self, uint64_t eval)
{
    log_info("eval_done", "id=%" PRIu64, eval);
    owned_mem struct revision *gone = byid_find(self->revisions, self->revision_count, eval);
    if (gone)
        byid_remove(self->revisions, &self->revision_count, eval);
    add_answer(self)->eval = eval;
}

static void tell(struct host *self, const struct answer *answer)
{
    const struct waiter *waiter = answer->waiter;
    if (!waiter) {
        if (self->on_final)
            self->on_final(self->on_final_arg, answer->eval);
        return;
    }
    if (!waiter->ask) /* forgotten, whichever it was */
        return;
    switch (waiter->kind) {
    case WAITER_SUBMIT:
        waiter->submit(waiter->arg, &answer->err, answer->replicas, answer->retry_s);
        break;
    case WAITER_CANCEL:
        waiter->cancel(waiter->arg, answer->is_ok);
        break;
    case WAITER_ASK:
        waiter->ask(waiter->arg, answer->eval, answer->is_ok, answer->stale_ms);
        break;
    }
}

static struct answer *take_answer(struct host *self)
{
    struct answer *answer = self->answers;
    self->answers = answer->next;
    if (!self->answers)
        self->answers_end = &self->answers;
    return answer;
}

void host_tell_answers(struct host *self)
{
    if (self->is_stepping || self->is_answering)
        return;
    self->is_answering = true;
    while (self->answers) {
        struct answer *answer = take_answer(self);
        tell(self, answer);
        free(answer->waiter);
        free(answer);
    }
    self->is_answering = false;
}

void host_touch(struct host *self, uint64_t eval)
{
    struct revision *at = byid_find(self->revisions, self->revision_count, eval);
    if (!at) {
        at = mem_new(sizeof *at);
        at->eval = eval;
        self->revisions =
            byid_add(self->revisions, &self->revision_count, &self->revision_room, at);
    }
    at->count = ++self->revision;
}

void host_free_answers(struct host *self)
{
    while (self->answers) {
        struct answer *answer = take_answer(self);
        free(answer->waiter);
        free(answer);
    }
    for (struct waiter *at = self->waiters, *next; at; at = next) {
        next = at->next;
        free(at);
    }
    for (size_t i = 0; i < self->revision_count; i++)
        free(self->revisions[i]);
    free(self->revisions);
}
