/* A server with a route for each thing that the HTTP server can do, for tests/it/test_http.py:
 *
 *     http_testmain [head_ms=300] [connections=50] ...      prints "PORT\n" and serves until
 * SIGTERM drains it
 */
#include "node/http/problem.h"
#include "node/http/server.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/mem.h"

#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct event_base *base;
static struct http_server *server;
static struct {
    unsigned gone;
    unsigned opened;
    unsigned aborted;
    unsigned answered;
    int last_status;
} seen;

static long rss_kib(void)
{
    owned_buf text = BUF_INIT;
    struct err err;
    if (file_read("/proc/self/status", 65536, &text, &err))
        return -1;
    const char *at = strstr(buf_str(&text), "VmRSS:");
    return at ? strtol(at + 6, NULL, 10) : -1;
}

static void reply_text(struct http_exchange *x, const char *text)
{
    http_reply_static(x, 200, "text/plain", text, strlen(text));
}

static int64_t number(struct http_exchange *x, const char *name, int64_t fallback)
{
    int64_t value = fallback;
    struct err err;
    return http_query_int(x, name, fallback, 0, INT64_C(1) << 40, &value, &err) ? fallback : value;
}

/* ---- plain answers ------------------------------------------------------------------------- */

static void healthz(struct http_exchange *x, void *arg)
{
    (void)arg;
    reply_text(x, "ok");
}

static void echo(struct http_exchange *x, void *arg)
{
    (void)arg;
    struct buf out = BUF_INIT;
    struct json_out json;
    json_out_init(&json, &out);
    json_out_open_object(&json);
    json_out_key_str(&json, "method", http_method(x));
    json_out_key_str(&json, "name", http_param(x, "name"));
    json_out_key_str(&json, "rest", http_param(x, "rest"));
    json_out_key_str(&json, "q", http_query(x, "q"));
    json_out_key_str(&json, "x", http_header(x, "X-Test"));
    json_out_key_str(&json, "peer", http_peer(x));
    json_out_close_object(&json);
    http_reply_json(x, 200, &out);
}

static void buffered(struct http_exchange *x, void *arg)
{
    (void)arg;
    http_set_header(x, "X-Evil", "a\r\nInjected: b");
    http_reply(x, 200, "application/octet-stream", http_body(x));
}

static void counters(struct http_exchange *x, void *arg)
{
    (void)arg;
    struct http_server_stats stats = http_server_stats(server);
    struct buf out = BUF_INIT;
    buf_printf(
        &out,
        "{\"gone\": %u, \"opened\": %u, \"aborted\": %u, \"answered\": %u, \"last_status\": %d, "
        "\"evicted\": %" PRIu64 ", \"budget\": %" PRIu64
        ", \"connections\": %zu, \"rss_kib\": %ld}",
        seen.gone, seen.opened, seen.aborted, seen.answered, seen.last_status, stats.evicted,
        stats.budget_bytes, stats.connections, rss_kib());
    http_reply_json(x, 200, &out);
}

static void tagged(struct http_exchange *x, void *arg)
{
    (void)arg;
    if (!http_not_modified(x, "version 1"))
        reply_text(x, "content");
}

static void large(struct http_exchange *x, void *arg)
{
    (void)arg;
    struct buf out = BUF_INIT;
    size_t len = (size_t)number(x, "len", 0);
    memset(buf_reserve(&out, len), 'L', len);
    buf_added(&out, len);
    http_reply_take(x, 200, "text/plain", &out);
}

static void from_file(struct http_exchange *x, void *arg)
{
    (void)arg;
    FILE *file = tmpfile();
    uint64_t len = (uint64_t)number(x, "len", 0);
    if (!file || ftruncate(fileno(file), (off_t)number(x, "real", (int64_t)len)) < 0)
        abort();
    int fd = dup(fileno(file));
    fclose(file);
    http_reply_file(x, 200, "application/octet-stream", fd, 0, len);
}

/* ---- held answers -------------------------------------------------------------------------- */

struct held {
    struct http_exchange *x;
    struct event *timer;
};

static void held_free(struct held *self)
{
    if (self->timer)
        event_free(self->timer);
    free(self);
}

static void on_held_gone(void *arg)
{
    seen.gone++;
    held_free(arg);
}

static void arm(struct held *self, int64_t ms)
{
    event_add(self->timer,
              &(struct timeval){.tv_sec = (time_t)(ms / 1000), .tv_usec = (ms % 1000) * 1000});
}

static void on_hold_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct held *self = arg;
    struct http_exchange *x = self->x;
    held_free(self);
    reply_text(x, "held");
}

static void hold(struct http_exchange *x, void *arg)
{
    (void)arg;
    struct held *self = mem_new(sizeof *self);
    self->x = x;
    self->timer = evtimer_new(base, on_hold_over, self);
    http_on_gone(x, on_held_gone, self);
    arm(self, number(x, "ms", 100));
}

/* ---- sinks --------------------------------------------------------------------------------- */

struct counting {
    struct http_exchange *x;
    struct event *timer; /* a slow one */
    uint64_t bytes;
    uint64_t refuse_at;
};

static struct counting *counting_new(struct http_exchange *x)
{
    struct counting *self = mem_new(sizeof *self);
    self->x = x;
    seen.opened++;
    return self;
}

static void counting_free(struct counting *self)
{
    if (self->timer)
        event_free(self->timer);
    free(self);
}

static void *sink_open(struct http_exchange *x, void *arg, struct err *err)
{
    (void)arg;
    if (http_query(x, "refuse")) {
        err_refuse(err, ERR_MEDIA_TYPE, "form-type", "refused as asked");
        return NULL;
    }
    struct counting *self = counting_new(x);
    self->refuse_at = (uint64_t)number(x, "refuse_at", 0);
    return self;
}

static int sink_write(void *state, const void *bytes, size_t len, struct err *err)
{
    (void)bytes;
    struct counting *self = state;
    self->bytes += len;
    if (self->refuse_at && self->bytes >= self->refuse_at)
        return err_set(err, ERR_UNPROCESSABLE, "refused as asked");
    return 0;
}

static int sink_finish(void *state, struct err *err)
{
    struct counting *self = state;
    return self->bytes == 13 ? err_set(err, ERR_UNPROCESSABLE, "13 bytes bring bad luck") : 0;
}

static void sink_abort(void *state)
{
    seen.aborted++;
    counting_free(state);
}

static const struct http_sink sink = {sink_open, sink_write, sink_finish, sink_abort};

static void on_disk_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct counting *self = arg;
    http_resume(self->x);
}

static void *slow_open(struct http_exchange *x, void *arg, struct err *err)
{
    (void)arg;
    (void)err;
    struct counting *self = counting_new(x);
    self->timer = evtimer_new(base, on_disk_ready, self);
    return self;
}

static int slow_write(void *state, const void *bytes, size_t len, struct err *err)
{
    struct counting *self = state;
    http_pause(self->x);
    event_add(self->timer, &(struct timeval){.tv_usec = 2000});
    return sink_write(state, bytes, len, err);
}

static const struct http_sink slow_sink = {slow_open, slow_write, sink_finish, sink_abort};

static void sunk(struct http_exchange *x, void *arg)
{
    (void)arg;
    struct counting *self = http_state(x);
    struct buf out = BUF_INIT;
    buf_printf(&out, "{\"bytes\": %" PRIu64 ", \"rss_kib\": %ld}", self->bytes, rss_kib());
    counting_free(self);
    http_reply_json(x, 200, &out);
}

/* ---- forms --------------------------------------------------------------------------------- */

struct listing {
    struct buf text;
    uint64_t bytes;
};

static void *form_open(struct http_exchange *x, void *arg, struct err *err)
{
    (void)x;
    (void)arg;
    (void)err;
    seen.opened++;
    return mem_new(sizeof(struct listing));
}

static int part_begin(void *state, const struct http_form_part *part, struct err *err)
{
    struct listing *self = state;
    if (strcmp(part->name, "bad") == 0)
        return err_set(err, ERR_UNPROCESSABLE, "a bad part");
    self->bytes = 0;
    buf_printf(&self->text, "%s|%s|%s|", part->name, part->filename ? part->filename : "-",
               part->type);
    return 0;
}

static int part_data(void *state, const void *bytes, size_t len, struct err *err)
{
    (void)bytes;
    (void)err;
    ((struct listing *)state)->bytes += len;
    return 0;
}

static int part_end(void *state, struct err *err)
{
    (void)err;
    struct listing *self = state;
    buf_printf(&self->text, "%" PRIu64 "\n", self->bytes);
    return 0;
}

static int form_finish(void *state, struct err *err)
{
    (void)state;
    (void)err;
    return 0;
}

static void form_abort(void *state)
{
    struct listing *self = state;
    seen.aborted++;
    buf_fini(&self->text);
    free(self);
}

static const char *const raw_types[] = {"application/zip", NULL};
static const struct http_form form = {.open = form_open,
                                      .part_begin = part_begin,
                                      .part_data = part_data,
                                      .part_end = part_end,
                                      .finish = form_finish,
                                      .abort = form_abort,
                                      .raw_types = raw_types,
                                      .raw_name = "file"};

static void listed(struct http_exchange *x, void *arg)
{
    (void)arg;
    struct listing *self = http_state(x);
    struct buf text = self->text;
    free(self);
    http_reply_take(x, 200, "text/plain", &text);
}

/* ---- the server ---------------------------------------------------------------------------- */

#define MIB UINT64_C(1048576)

static const struct http_route routes[] = {
    {"GET", "/healthz", .handler = healthz},
    {"GET", "/echo/:name/*rest", .handler = echo},
    {"GET", "/counters", .handler = counters},
    {"GET", "/tagged", .handler = tagged},
    {"GET", "/large", .handler = large},
    {"GET", "/file", .handler = from_file},
    {"GET", "/hold", .handler = hold},
    {"POST", "/hold", .handler = hold},
    {"POST", "/buffer", .body = HTTP_BODY_BUFFER, .body_max = MIB, .handler = buffered},
    {"POST", "/sink", .body = HTTP_BODY_SINK, .body_max = 1024 * MIB, .sink = &sink,
     .handler = sunk},
    {"POST", "/slow", .body = HTTP_BODY_SINK, .body_max = 64 * MIB, .sink = &slow_sink,
     .handler = sunk},
    {"POST", "/form", .body = HTTP_BODY_FORM, .body_max = 64 * MIB, .form = &form,
     .handler = listed},
    {"POST", "/user", HTTP_USER, HTTP_BODY_FORM, MIB, .form = &form, .handler = listed},
    {"POST", "/kill", HTTP_OPERATOR, .handler = healthz},
};

static int authorize(const struct http_exchange *x, enum http_scope scope, void *arg,
                     struct err *err)
{
    (void)arg;
    const char *token = http_bearer(x);
    if (!token || strcmp(token, "secret") != 0)
        return err_set(err, ERR_UNAUTHORIZED, "no token, or a wrong one");
    return scope == HTTP_OPERATOR ? err_set(err, ERR_FORBIDDEN, "for operators") : 0;
}

static void adopt(int fd_owned, const void *first, size_t len, void *arg)
{
    (void)arg;
    struct err err;
    owned_fd int fd = fd_owned;
    if (file_write_all(fd, "mesh:", 5, &err) || file_write_all(fd, first, len, &err))
        abort();
}

static void answered(const struct http_answered *what, void *arg)
{
    (void)arg;
    seen.answered++;
    seen.last_status = what->status;
}

static void on_drained(void *arg)
{
    (void)arg;
    event_base_loopbreak(base);
}

static void on_term(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    http_server_drain(server, on_drained, NULL);
}

static void set_limit(struct http_limits *limits, const char *text)
{
    const char *value = strchr(text, '=') + 1;
    uint32_t number_32 = (uint32_t)strtoul(value, NULL, 10);
    const struct {
        const char *name;
        uint32_t *at;
    } times[] = {{"head_ms=", &limits->head_ms},
                 {"body_ms=", &limits->body_ms},
                 {"write_ms=", &limits->write_ms},
                 {"idle_ms=", &limits->idle_ms}};
    for (size_t i = 0; i < countof(times); i++)
        if (strncmp(text, times[i].name, strlen(times[i].name)) == 0)
            *times[i].at = number_32;
    if (strncmp(text, "connections=", 12) == 0)
        limits->connections = number_32;
    if (strncmp(text, "budget_bytes=", 13) == 0)
        limits->budget_bytes = number_32;
}

int main(int argc, char **argv)
{
    static const char *const hosts[] = {"grades.example", NULL};
    struct http_config config = {.routes = routes,
                                 .route_count = countof(routes),
                                 .authorize = authorize,
                                 .adopt = adopt,
                                 .answered = answered,
                                 .hosts = hosts,
                                 .limits = http_limits_default()};
    for (int i = 1; i < argc; i++)
        set_limit(&config.limits, argv[i]);
    base = event_base_new();
    server = http_server_new(base, &config);
    struct event *term = evsignal_new(base, SIGTERM, on_term, NULL);
    event_add(term, NULL);
    struct err err;
    uint16_t port, port_six;
    if (http_server_listen(server, "127.0.0.1:0", &port, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    if (http_server_listen(server, "[::1]:0", &port_six, &err))
        port_six = 0;
    printf("%u %u\n", port, port_six);
    fflush(stdout);
    event_base_dispatch(base);
    http_server_free(server);
    event_free(term);
    event_base_free(base);
    return 0;
}
