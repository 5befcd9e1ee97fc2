#include "runner/git/request.h"

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/mem.h"
#include "runner/intake/limits.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NETWORKS_MAX 64

void request_put_networks(const struct git_networks *networks, struct json_out *json)
{
    json_out_key(json, "networks");
    json_out_open_array(json);
    for (size_t i = 0; i < networks->count; i++) {
        const struct git_network *item = &networks->items[i];
        char address[INET6_ADDRSTRLEN];
        inet_ntop(AF_INET6, item->bytes, address, sizeof address);
        owned_mem char *text = mem_printf("%s/%u", address, item->bits);
        json_out_str(json, text);
    }
    json_out_close_array(json);
}

void request_write(const struct request *self, struct buf *out)
{
    struct json_out json;
    owned_mem char *limits = limits_format(&self->limits);
    json_out_init(&json, out);
    json_out_open_object(&json);
    json_out_key_str(&json, "url", self->url);
    json_out_key_str(&json, "host", self->host);
    json_out_key_str(&json, "out_dir", self->out_dir);
    json_out_key_str(&json, "limits", limits);
    json_out_key_uint(&json, "bytes_max", self->bytes_max);
    json_out_key_uint(&json, "objects_max", self->objects_max);
    json_out_key_uint(&json, "timeout_ms", self->timeout_ms);
    json_out_key_uint(&json, "silence_ms", self->silence_ms);
    if (self->token)
        json_out_key_str(&json, "token", self->token);
    if (self->ca_file)
        json_out_key_str(&json, "ca_file", self->ca_file);
    if (self->ca_dir)
        json_out_key_str(&json, "ca_dir", self->ca_dir);
    request_put_networks(&(struct git_networks){self->networks, self->network_count}, &json);
    json_out_close_object(&json);
}

int request_read_networks(const json_t *root, struct git_network **items, size_t *count,
                          struct err *err)
{
    const json_t *list = json_object_get(root, "networks");
    size_t size = json_array_size(list);
    if (!json_is_array(list) || size > NETWORKS_MAX)
        return err_set(err, ERR_INVALID, "networks");
    *items = mem_new_array(size + 1, sizeof **items);
    for (*count = 0; *count < size; (*count)++) {
        const char *text = json_string_value(json_array_get(list, *count));
        if (!text || git_network_parse(&(*items)[*count], text, err))
            return err_set(err, ERR_INVALID, "networks");
    }
    return 0;
}

static bool read_number(const json_t *root, const char *key, uint64_t *out)
{
    int64_t value = json_in_int(root, key, -1);
    *out = (uint64_t)value;
    return value > 0;
}

int request_read(struct request *self, const char *text, size_t len, struct err *err)
{
    *self = (struct request){.root = json_in_parse(text, len, err)};
    const json_t *root = self->root;
    if (!root)
        return err_set(err, ERR_INVALID, "no JSON"); /* the parser's words may show the token */
    self->url = json_in_str(root, "url", NULL);
    self->host = json_in_str(root, "host", NULL);
    self->out_dir = json_in_str(root, "out_dir", NULL);
    self->token = json_in_str(root, "token", NULL);
    self->ca_file = json_in_str(root, "ca_file", NULL);
    self->ca_dir = json_in_str(root, "ca_dir", NULL);
    if (!self->url || !self->host || !self->out_dir ||
        !limits_parse(json_in_str(root, "limits", ""), &self->limits) ||
        !read_number(root, "bytes_max", &self->bytes_max) ||
        !read_number(root, "objects_max", &self->objects_max) ||
        !read_number(root, "timeout_ms", &self->timeout_ms) ||
        !read_number(root, "silence_ms", &self->silence_ms))
        return err_set(err, ERR_INVALID, "a member is absent or wrong");
    return request_read_networks(root, &self->networks, &self->network_count, err);
}

void request_fini(struct request *self)
{
    json_decref(self->root);
    free(self->networks);
    *self = (struct request){0};
}

int request_pipe(struct buf *text, struct err *err)
{
    int ends[2] = {-1, -1};
    if (text->len > REQUEST_MAX)
        err_set(err, ERR_INTERNAL, "a request of %zu bytes", text->len);
    else if (pipe2(ends, O_CLOEXEC))
        err_set(err, ERR_IO, "make a pipe: %m");
    else if (file_write_all(ends[1], text->data, text->len, err))
        mem_close_at(&ends[0]);
    explicit_bzero(text->data, text->capacity);
    buf_fini(text);
    mem_close_at(&ends[1]);
    return ends[0];
}

bool request_receive(struct buf *out)
{
    ssize_t got;
    while ((got = read(STDIN_FILENO, buf_reserve(out, 4096), 4096)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || out->len + (size_t)got > REQUEST_MAX)
            return false;
        buf_added(out, (size_t)got);
    }
    return true;
}
