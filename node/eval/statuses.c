#include "node/eval/statuses.h"

#include "proto/base/clock.h"
#include "proto/base/hash.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/wipe.h"

#include <event2/event.h>
#include <inttypes.h>
#include <string.h>

#define TIMEOUT_MS    15000
#define LIFE_MS       3600000 /* then nobody wants to know it any more */
#define TRIES_MAX     9
#define BACK_OFF_MS   1000 /* the first; each one is twice as long as the one before */
#define LOG_DROPS_PER 1000 /* one line for so many */

/* Shared by the statuses of one evaluation: its text is in pages of its own, which are few. */
struct token {
    char *text;
    unsigned uses;
    struct token *next;
};

/* A host that asked for patience. */
struct pause {
    char *url; /* of its API */
    uint64_t until_ms;
    struct pause *next;
};

struct item {
    struct statuses *owner;
    struct item *next;
    uint64_t key; /* of the repository, the commit and the name */
    struct status_base base;
    char *path;
    char commit[GIT_OID_HEX];
    enum status_state state;
    char *body;
    struct token *token;
    struct status *under_way; /* NULL: it waits */
    unsigned tries;
    uint64_t due_ms;
    uint64_t end_ms;
};

struct statuses {
    struct statuses_config config;
    struct item *items; /* in the order told */
    size_t count;
    struct item *running[STATUSES_AT_ONCE]; /* NULL: free */
    struct token *tokens;
    struct pause *pauses;
    struct event *turn;
    uint64_t sent, failed, dropped;
};

static const char *const state_names[STATUS_STATE_COUNT] = {"pending", "success", "failure",
                                                            "error"};

/* ---- tokens ---------------------------------------------------------------------------------- */

static struct token *token_take(struct statuses *self, const char *text)
{
    struct token *at = self->tokens;
    while (at && strcmp(at->text, text) != 0)
        at = at->next;
    if (!at) {
        at = mem_new(sizeof *at);
        *at = (struct token){.text = wipe_keep(text, strlen(text)), .next = self->tokens};
        self->tokens = at;
    }
    at->uses++;
    return at;
}

static void token_drop(struct statuses *self, struct token *token)
{
    struct token **at = &self->tokens;
    if (--token->uses > 0)
        return;
    while (*at != token)
        at = &(*at)->next;
    *at = token->next;
    wipe_drop(token->text);
    free(token);
}

/* ---- places ---------------------------------------------------------------------------------- */

/* Where an item is among those that are under way; NULL: a free place. NULL where there is none. */
static struct item **find_place(struct statuses *self, const struct item *item)
{
    for (size_t i = 0; i < STATUSES_AT_ONCE; i++)
        if (self->running[i] == item)
            return &self->running[i];
    return NULL;
}

static void leave_place(const struct item *item) { *find_place(item->owner, item) = NULL; }

/* ---- items ----------------------------------------------------------------------------------- */

static void item_free(struct item *item)
{
    struct statuses *self = item->owner;
    struct item **at = &self->items;
    while (*at != item)
        at = &(*at)->next;
    *at = item->next;
    self->count--;
    if (item->under_way) {
        status_cancel(item->under_way);
        leave_place(item);
    }
    token_drop(self, item->token);
    status_base_fini(&item->base);
    free(item->path);
    free(item->body);
    free(item);
}

static uint64_t key_of(const struct item *item, const char *context)
{
    owned_mem char *text =
        mem_printf("%s\n%s\n%s\n%s", item->base.url, item->path, item->commit, context);
    return hash_u64(text, strlen(text));
}

static struct item *item_new(struct statuses *self, const struct status_spec *spec)
{
    struct item *item = mem_new(sizeof *item);
    struct buf body = BUF_INIT;
    item->owner = self;
    item->state = spec->state;
    item->path = mem_strdup(spec->url->path);
    memcpy(item->commit, spec->commit, strnlen(spec->commit, sizeof item->commit - 1));
    status_base_find(&item->base, spec->url, self->config.apis, self->config.api_count);
    status_put_body(item->base.kind, spec->state, spec->context, spec->description,
                    spec->target_url, &body);
    item->body = buf_steal(&body);
    item->key = key_of(item, spec->context);
    item->token = token_take(self, spec->token);
    item->end_ms = clock_mono_ms() + LIFE_MS;
    return item;
}

/* ---- pauses ---------------------------------------------------------------------------------- */

static uint64_t paused_until(const struct statuses *self, const char *url)
{
    for (const struct pause *at = self->pauses; at; at = at->next)
        if (strcmp(at->url, url) == 0)
            return at->until_ms;
    return 0;
}

static void forget_pauses(struct statuses *self, uint64_t now_ms)
{
    for (struct pause **at = &self->pauses; *at;) {
        struct pause *pause = *at;
        if (pause->until_ms > now_ms) {
            at = &pause->next;
            continue;
        }
        *at = pause->next;
        free(pause->url);
        free(pause);
    }
}

static void pause_host(struct statuses *self, const char *url, uint64_t until_ms)
{
    struct pause *at = self->pauses;
    while (at && strcmp(at->url, url) != 0)
        at = at->next;
    if (!at) {
        at = mem_new(sizeof *at);
        *at = (struct pause){.url = mem_strdup(url), .next = self->pauses};
        self->pauses = at;
    }
    if (at->until_ms < until_ms)
        at->until_ms = until_ms;
}

/* ---- one of them ----------------------------------------------------------------------------- */

static void note_end(const struct item *item, const struct status_answer *answer)
{
    log_info(status_is_taken(answer) ? "status_sent" : "status_failed",
             "api=%s repository=%s commit=%s state=%s http=%ld tries=%u%s%s", item->base.url,
             item->path, item->commit, state_names[item->state], answer->http, item->tries,
             answer->words[0] ? " why=" : "", answer->words);
}

/* What a user can do about it. */
static void explain(struct status_answer *answer)
{
    const char *words = answer->http == 401   ? "the token is not taken"
                        : answer->http == 403 ? "the token may not write statuses (repo:status)"
                        : answer->http == 404
                            ? "no such repository for this token, or it may not write statuses"
                        : answer->http >= 301 && answer->http <= 308
                            ? "it sends on to another place, which is not followed"
                        : answer->http == 422 ? "no such commit there, or too many statuses of it"
                                              : NULL;
    if (words)
        (void)snprintf(answer->words, sizeof answer->words, "%s", words);
}

static void on_done(void *arg, const struct status_answer *told)
{
    struct item *item = arg;
    struct statuses *self = item->owner;
    struct status_answer answer = *told;
    uint64_t now_ms = clock_mono_ms();
    item->under_way = NULL;
    leave_place(item);
    bool is_passing = status_is_passing(&answer);
    uint64_t wait_ms = answer.retry_after_s > 0 ? answer.retry_after_s * UINT64_C(1000)
                                                : (uint64_t)BACK_OFF_MS << (item->tries - 1);
    if (is_passing || answer.retry_after_s > 0)
        pause_host(self, item->base.url, now_ms + wait_ms);
    event_active(self->turn, 0, 0);
    if (is_passing && item->tries < TRIES_MAX && now_ms + wait_ms < item->end_ms) {
        item->due_ms = now_ms + wait_ms;
        log_info("status_waits", "api=%s repository=%s http=%ld tries=%u next_s=%" PRIu64,
                 item->base.url, item->path, answer.http, item->tries, wait_ms / 1000);
        return;
    }
    if (status_is_taken(&answer))
        self->sent++;
    else
        self->failed++;
    explain(&answer);
    note_end(item, &answer);
    item_free(item);
}

static void start(struct item *item)
{
    struct statuses *self = item->owner;
    struct err err = ERR_INIT;
    owned_buf url = BUF_INIT;
    status_put_url(&item->base, item->path, item->commit, &url);
    item->tries++;
    item->under_way = status_start(self->config.base,
                                   &(struct status_request){.policy = &self->config.policy,
                                                            .kind = item->base.kind,
                                                            .url = buf_str(&url),
                                                            .token = item->token->text,
                                                            .body = item->body,
                                                            .timeout_ms = TIMEOUT_MS},
                                   on_done, item, &err);
    if (item->under_way) {
        *find_place(self, NULL) = item;
        return;
    }
    log_warn("status_not_started", "%s", err.text);
    item->due_ms = clock_mono_ms() + ((uint64_t)BACK_OFF_MS << (item->tries - 1));
}

/* ---- turns ----------------------------------------------------------------------------------- */

static bool is_behind_another(const struct statuses *self, const struct item *item)
{
    for (const struct item *at = self->items; at != item; at = at->next)
        if (at->key == item->key)
            return true;
    return false;
}

static bool is_host_busy(const struct statuses *self, const struct item *item)
{
    unsigned running = 0;
    for (size_t i = 0; i < STATUSES_AT_ONCE; i++)
        running += self->running[i] && strcmp(self->running[i]->base.url, item->base.url) == 0;
    return running >= STATUSES_OF_HOST;
}

static uint64_t when(const struct statuses *self, const struct item *item)
{
    uint64_t until_ms = paused_until(self, item->base.url);
    return until_ms > item->due_ms ? until_ms : item->due_ms;
}

/* The first whose turn it is; else NULL, and when that may change. */
static struct item *find_next(const struct statuses *self, uint64_t now_ms, uint64_t *later_ms)
{
    *later_ms = UINT64_MAX;
    for (struct item *item = self->items; item; item = item->next) {
        uint64_t at_ms = when(self, item);
        if (item->under_way)
            continue;
        if (at_ms > now_ms)
            *later_ms = at_ms < *later_ms ? at_ms : *later_ms;
        else if (!is_host_busy(self, item) && !is_behind_another(self, item))
            return item;
    }
    return NULL;
}

static void give_up(struct item *item)
{
    item->owner->failed++;
    note_end(item, &(struct status_answer){.words = "its time is over"});
    item_free(item);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct statuses *self = arg;
    uint64_t now_ms = clock_mono_ms();
    uint64_t later_ms = UINT64_MAX;
    struct item *item;
    (void)fd;
    (void)what;
    forget_pauses(self, now_ms);
    while (find_place(self, NULL) && (item = find_next(self, now_ms, &later_ms))) {
        if (item->tries >= TRIES_MAX || now_ms >= item->end_ms)
            give_up(item);
        else
            start(item);
    }
    if (later_ms == UINT64_MAX)
        return;
    uint64_t wait_ms = later_ms - now_ms;
    struct timeval wait = {.tv_sec = (time_t)(wait_ms / 1000),
                           .tv_usec = (suseconds_t)(wait_ms % 1000) * 1000};
    event_add(self->turn, &wait);
}

/* ---- the whole ------------------------------------------------------------------------------- */

struct statuses *statuses_new(const struct statuses_config *config)
{
    struct statuses *self = mem_new(sizeof *self);
    self->config = *config;
    self->turn = evtimer_new(config->base, on_turn, self);
    return self;
}

void statuses_free(struct statuses *self)
{
    if (!self)
        return;
    while (self->items)
        item_free(self->items);
    forget_pauses(self, UINT64_MAX);
    event_free(self->turn);
    free(self);
}

/* One that waits to be tried again says what is not true any more. */
static void replace_older(struct statuses *self, uint64_t key)
{
    for (struct item *at = self->items, *next; at; at = next) {
        next = at->next;
        if (at->key == key && at->tries > 0 && !at->under_way)
            item_free(at);
    }
}

void statuses_tell(struct statuses *self, const struct status_spec *spec)
{
    if (self->count >= STATUSES_MAX) {
        if (self->dropped++ % LOG_DROPS_PER == 0)
            log_warn("status_dropped", "%d wait already; repository=%s commit=%s", STATUSES_MAX,
                     spec->url->path, spec->commit);
        return;
    }
    struct item *item = item_new(self, spec);
    struct item **at = &self->items;
    replace_older(self, item->key);
    while (*at)
        at = &(*at)->next;
    *at = item;
    self->count++;
    event_active(self->turn, 0, 0);
}

size_t statuses_waiting(const struct statuses *self) { return self->count; }

unsigned statuses_running(const struct statuses *self)
{
    unsigned running = 0;
    for (size_t i = 0; i < STATUSES_AT_ONCE; i++)
        running += self->running[i] != NULL;
    return running;
}

void statuses_each_counter(const struct statuses *self, statuses_counter_fn *fn, void *arg)
{
    fn(arg, "sent", self->sent);
    fn(arg, "failed", self->failed);
    fn(arg, "dropped", self->dropped);
}
