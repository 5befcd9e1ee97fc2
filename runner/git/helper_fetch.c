/* The helper that fetches: reads its request, locks itself in, and tries until the network lets it.
 */
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/mem.h"
#include "runner/git/client.h"
#include "runner/git/export.h"
#include "runner/git/fetch.h"
#include "runner/git/locked.h"
#include "runner/git/progress.h"
#include "runner/git/reason.h"
#include "runner/git/request.h"
#include "runner/git/way.h"
#include "runner/intake/manifest.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define TRIES_MAX   4
#define BACK_OFF_MS 500u
#define PATIENCE_MS 15000u /* the longest that a host may ask us to wait */
#define TELL_MS     500u
#define OBJECT_TIMES                                                                               \
    2 /* an object may be so much larger than a file: it is refused by name then                   \
       */

struct task {
    struct request request;
    struct git_url url;
    uint64_t deadline_ms;
    int out_fd;
    bool out_made;
    struct fetch_facts facts;
    struct export tree;
    const struct transport *transport; /* of this try */
    struct fetch_progress told;
    uint64_t told_ms;
    bool has_way;
    uint16_t proxy_port; /* 0: it connects by itself */
};

static void lock(const struct task *self)
{
    uint64_t most = self->request.limits.project_bytes;
    if (most < self->request.bytes_max)
        most = self->request.bytes_max;
    locked_enter(&(struct locked){.dir_fd = self->out_fd,
                                  .file_bytes = most + most / 8 + (64u << 20),
                                  .ca_file = self->request.ca_file,
                                  .ca_dir = self->request.ca_dir,
                                  .port = self->proxy_port ? self->proxy_port : self->url.port});
}

/* ---- progress -------------------------------------------------------------------------------- */

/* A line for the parent, not too often. That nobody reads it is no reason to stop. */
static void tell(struct task *self, enum fetch_phase phase, uint32_t objects)
{
    uint64_t now_ms = clock_mono_ms();
    const struct fetch_progress *told = &self->told;
    if (phase == told->phase && self->facts.tries == told->tries &&
        now_ms - self->told_ms < TELL_MS)
        return;
    self->told_ms = now_ms;
    self->told = (struct fetch_progress){.phase = phase,
                                         .received_bytes = self->facts.received_bytes,
                                         .objects = objects,
                                         .tries = self->facts.tries};
    if (self->transport)
        self->told.received_bytes += transport_received(self->transport);
    owned_buf line = BUF_INIT;
    progress_put(&self->told, &line);
    (void)!file_write_all(STDOUT_FILENO, line.data, line.len, NULL);
}

static void on_objects(void *arg, uint32_t received, bool is_whole)
{
    tell(arg, is_whole ? FETCH_INDEXING : FETCH_RECEIVING, received);
}

/* ---- one try --------------------------------------------------------------------------------- */

static int open_folder(struct task *self, struct err *err)
{
    const char *path = self->request.out_dir;
    if (mkdir(path, 0700))
        return err_set(err, ERR_IO, "make %s: %m", path);
    self->out_made = true;
    self->out_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return self->out_fd < 0 ? err_set(err, ERR_IO, "open %s: %m", path) : 0;
}

static int export_commit(struct task *self, const struct objects *objects, struct err *err)
{
    const struct export_spec spec = {.commit = self->facts.commit,
                                     .name = git_url_name(&self->url),
                                     .limits = self->request.limits,
                                     .out_fd = self->out_fd};
    return export_run(&self->tree, objects, &spec, err);
}

static int fetch_into(struct task *self, struct transport *transport, const char *folder,
                      struct err *err)
{
    const struct objects_limits limits = {.count = (uint32_t)self->request.objects_max,
                                          .object_bytes =
                                              OBJECT_TIMES * self->request.limits.file_bytes};
    struct objects objects;
    struct client_result result = {0};
    int rc = objects_begin(&objects, folder, &limits, err);
    objects.watch = on_objects;
    objects.watch_arg = self;
    if (!rc)
        rc = client_fetch(transport, &self->url, &objects, &result, err);
    memcpy(self->facts.commit, result.commit, sizeof self->facts.commit);
    memcpy(self->facts.branch, result.branch, sizeof self->facts.branch);
    if (!rc)
        rc = export_commit(self, &objects, err);
    objects_fini(&objects);
    return rc;
}

/* One try, in a folder that is gone afterwards. `*wait_s`: what the host asks for. */
static int try_once(struct task *self, uint32_t *wait_s, struct err *err)
{
    owned_mem char *folder = mem_printf("%s/store", self->request.out_dir);
    const struct git_networks also = {self->request.networks, self->request.network_count};
    const struct transport_spec spec = {.url = &self->url,
                                        .also = &also,
                                        .proxy_port = self->proxy_port,
                                        .token = self->request.token,
                                        .ca_file = self->request.ca_file,
                                        .ca_dir = self->request.ca_dir,
                                        .bytes_max = self->request.bytes_max,
                                        .silence_s =
                                            (uint32_t)((self->request.silence_ms + 999) / 1000),
                                        .deadline_ms = self->deadline_ms};
    if (mkdir(folder, 0700))
        return err_set(err, ERR_IO, "make %s: %m", folder);
    struct transport *transport = transport_new(&spec);
    self->transport = transport;
    tell(self, FETCH_CONNECTING, 0);
    int rc = fetch_into(self, transport, folder, err);
    self->transport = NULL;
    self->facts.received_bytes += transport_received(transport);
    *wait_s = transport_retry_after_s(transport);
    transport_free(transport);
    struct err left = ERR_INIT;
    int removed = file_remove_tree(folder, &left);
    if (removed && !rc) {
        *err = left;
        rc = removed;
    }
    return rc;
}

static void sleep_ms(uint64_t ms)
{
    struct timespec left = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) && errno == EINTR)
        ;
}

static int try_all(struct task *self, struct err *err)
{
    for (;;) {
        uint32_t wait_s = 0;
        *err = (struct err)ERR_INIT;
        self->facts.tries++;
        int rc = try_once(self, &wait_s, err);
        uint64_t wait_ms =
            wait_s ? wait_s * UINT64_C(1000) : BACK_OFF_MS << (2 * (self->facts.tries - 1));
        /* A limit without a word about its end will not be over in seconds. */
        bool is_limit = rc && err->reason && strcmp(err->reason, "repo-rate-limit") == 0;
        if (!rc || !git_reason_is_passing(err->reason) || (is_limit && !wait_s) ||
            self->facts.tries >= TRIES_MAX || wait_ms > PATIENCE_MS ||
            clock_mono_ms() + wait_ms >= self->deadline_ms)
            return rc;
        tell(self, FETCH_WAITING, 0);
        sleep_ms(wait_ms);
    }
}

static int run(struct task *self, const struct buf *text, struct err *err)
{
    int rc = request_read(&self->request, buf_str(text), text->len, err);
    if (rc)
        return rc;
    const struct git_hosts hosts = {&self->request.host, 1};
    self->deadline_ms = clock_mono_ms() + self->request.timeout_ms;
    if (self->request.objects_max > UINT32_MAX)
        return err_set(err, ERR_INVALID, "too many objects are allowed");
    if ((rc = git_url_parse(&self->url, self->request.url, &hosts, err)) ||
        (rc = open_folder(self, err)))
        return rc;
    if (self->has_way)
        self->proxy_port = way_enter();
    way_filter();
    lock(self);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    rc = try_all(self, err);
    curl_global_cleanup();
    return rc;
}

static void put_facts(const struct task *self, struct buf *out)
{
    struct json_out json;
    json_out_init(&json, out);
    json_out_open_object(&json);
    json_out_key_str(&json, "commit", self->facts.commit);
    json_out_key_str(&json, "branch", self->facts.branch);
    json_out_key_uint(&json, "received", self->facts.received_bytes);
    json_out_key_uint(&json, "tries", self->facts.tries);
    json_out_key_bool(&json, "shares_network", self->has_way && !self->proxy_port);
    json_out_close_object(&json);
    buf_putc(out, '\n');
}

int helper_fetch_main(int argc, char **argv)
{
    bool has_way = argc == 2 && strcmp(argv[1], WAY_WORD) == 0;
    struct task task = {.out_fd = -1, .has_way = has_way};
    struct err err = ERR_INIT;
    owned_buf in = BUF_INIT;
    owned_buf out = BUF_INIT;
    if ((argc != 1 && !has_way) || !request_receive(&in)) {
        fputs("usage: fetch [" WAY_WORD "] < REQUEST\n", stderr);
        return 2;
    }
    int rc = run(&task, &in, &err);
    put_facts(&task, &out);
    if (rc)
        manifest_write_error(&out, &err);
    else
        manifest_write(&out, &task.tree.layout, &task.tree.facts);
    export_fini(&task.tree);
    mem_close_at(&task.out_fd);
    if (rc && task.out_made)
        rmdir(task.request.out_dir);
    request_fini(&task.request);
    return file_write_all(STDOUT_FILENO, out.data, out.len, NULL) || rc ? 1 : 0;
}
