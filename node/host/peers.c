/* peers: where others may be: what the operator named, and who was there in an earlier life. */
#include "node/host/host_inner.h"

#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"

#include <stdio.h>
#include <string.h>

#define PEERS_FILE_MAX 65536
#define DEFAULT_PORT   5001

void host_read_peers(const struct host *self, struct buf *out)
{
    struct err err = ERR_INIT;
    if (file_read(self->peers_path, PEERS_FILE_MAX, out, &err))
        buf_clear(out);
}

void host_join_peers(struct host *self, const struct buf *peers)
{
    owned_mem char *text = mem_strdup(buf_str(peers));
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        struct wire_addr addr;
        if (wire_addr_parse(line, &addr))
            host_feed(self, (struct mesh_event){.kind = MESH_JOIN, .addr = addr});
    }
}

void host_write_peers(const struct host *self)
{
    const struct swim *swim = mesh_members(self->mesh);
    owned_buf text = BUF_INIT;
    struct err err = ERR_INIT;
    for (size_t i = 0; i < swim_count(swim); i++) {
        struct swim_view view;
        char addr[WIRE_ADDR_TEXT];
        swim_at(swim, i, &view);
        if (!view.is_self && view.member.st != WIRE_STATE_LEFT)
            buf_printf(&text, "%s\n", wire_addr_format(&view.member.addr, addr));
    }
    if (file_replace(self->peers_path, buf_str(&text), text.len, 0600, &err))
        log_warn("peers_not_written", "%s", err.text);
}

/* ---- names ----------------------------------------------------------------------------------- */

static void on_resolved(void *arg, const struct wire_addr *addrs, size_t count)
{
    const struct join *join = arg;
    if (count == 0)
        log_warn("name_not_found", "name=%s", join->text);
    for (size_t i = 0; i < count; i++)
        host_feed(join->host, (struct mesh_event){.kind = MESH_JOIN, .addr = addrs[i]});
}

static int resolve(struct join *join, struct err *err)
{
    return net_resolve(join->host->net, join->text, DEFAULT_PORT, on_resolved, join, err);
}

void host_resolve_joins(struct host *self)
{
    struct err err = ERR_INIT;
    for (struct join *join = self->joins; join; join = join->next)
        if (resolve(join, &err))
            log_warn("name_not_found", "%s", err.text);
}

int host_join(struct host *self, const char *address, struct err *err)
{
    struct join *join = mem_new(sizeof *join);
    *join = (struct join){.host = self, .text = mem_strdup(address)};
    if (resolve(join, err)) {
        free(join->text);
        free(join);
        return err->code;
    }
    join->next = self->joins;
    self->joins = join;
    return 0;
}

void host_free_joins(struct host *self)
{
    while (self->joins) {
        struct join *next = self->joins->next;
        free(self->joins->text);
        free(self->joins);
        self->joins = next;
    }
}
