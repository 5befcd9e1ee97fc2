#include "node/store/nodefile.h"

#include "proto/base/file.h"
#include "proto/base/hash.h"
#include "proto/base/json.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct nodefile {
    struct id_node nid;
    uint64_t gen;
    uint64_t seq;
    char cluster[64];
};

static uint32_t crc_of(const struct nodefile *self)
{
    char hex[ID_NODE_HEX];
    owned_mem char *text = mem_printf("%s|%" PRIu64 "|%s|%" PRIu64, id_node_hex(&self->nid, hex),
                                      self->gen, self->cluster, self->seq);
    return hash_crc32c(0, text, strlen(text));
}

static bool decode(const struct buf *text, struct nodefile *out)
{
    owned_json *json = json_in_parse(buf_str(text), text->len, NULL);
    int64_t gen = json_in_int(json, "gen", -1), seq = json_in_int(json, "seq", -1);
    const char *cluster = json_in_str(json, "cluster", "");
    *out = (struct nodefile){.gen = (uint64_t)gen, .seq = (uint64_t)seq};
    if (gen < 0 || seq < 0 || strlen(cluster) >= sizeof out->cluster ||
        !id_node_parse(json_in_str(json, "nid", ""), &out->nid))
        return false;
    memcpy(out->cluster, cluster, strlen(cluster) + 1);
    return json_in_int(json, "crc", -1) == (int64_t)crc_of(out);
}

static int write_node(const struct disk_ops *ops, const char *dir, const struct nodefile *self,
                      struct err *err)
{
    char hex[ID_NODE_HEX];
    owned_buf text = BUF_INIT;
    struct json_out json;
    json_out_init(&json, &text);
    json_out_open_object(&json);
    json_out_key_str(&json, "nid", id_node_hex(&self->nid, hex));
    json_out_key_uint(&json, "gen", self->gen);
    json_out_key_str(&json, "cluster", self->cluster);
    json_out_key_uint(&json, "seq", self->seq);
    json_out_key_uint(&json, "crc", crc_of(self));
    json_out_close_object(&json);
    buf_putc(&text, '\n');
    owned_mem char *path = mem_printf("%s/node.%c.json", dir, self->seq % 2 ? 'a' : 'b');
    owned_mem char *tmp = mem_printf("%s.tmp", path);
    return disk_place_file(ops, tmp, path, text.data, text.len, err);
}

/* Returns how many of the two files exist; `best` has seq 0 if none is valid. */
static int read_both(const char *dir, struct nodefile *best, struct err *err)
{
    int count = 0;
    *best = (struct nodefile){0};
    for (int i = 0; i < 2; i++) {
        owned_mem char *path = mem_printf("%s/node.%c.json", dir, "ab"[i]);
        owned_buf text = BUF_INIT;
        struct nodefile found;
        int rc = file_read(path, 4096, &text, err);
        if (rc == ERR_NOT_FOUND)
            continue;
        if (rc == ERR_IO)
            return rc;
        count++;
        if (rc == 0 && decode(&text, &found) && found.seq > best->seq)
            *best = found;
    }
    return count;
}

int nodefile_start(const struct disk_ops *ops, const char *dir, const char *cluster, uint64_t now_s,
                   struct store_identity *out, struct err *err)
{
    struct nodefile node;
    int count = read_both(dir, &node, err);
    if (count < 0)
        return count;
    if (count > 0 && node.seq == 0)
        return err_set(err, ERR_CORRUPT, "%s/node.a.json and node.b.json are damaged", dir);
    if (count == 0) {
        rand_system(&node.nid, sizeof node.nid);
        (void)snprintf(node.cluster, sizeof node.cluster, "%s", cluster);
    }
    if (strcmp(node.cluster, cluster) != 0)
        return err_set(err, ERR_CONFLICT, "%s belongs to the cluster \"%s\", not \"%s\"", dir,
                       node.cluster, cluster);
    node.gen = node.gen + 1 > now_s ? node.gen + 1 : now_s;
    node.seq++;
    if (write_node(ops, dir, &node, err))
        return err->code;
    *out = (struct store_identity){
        .nid = node.nid, .nid_short = id_node_short(&node.nid), .gen = node.gen};
    return 0;
}

int nodefile_raise(const struct disk_ops *ops, const char *dir, uint64_t gen, struct err *err)
{
    struct nodefile node;
    int count = read_both(dir, &node, err);
    if (count < 0)
        return count;
    if (node.seq == 0)
        return err_set(err, ERR_CORRUPT, "%s/node.a.json and node.b.json are damaged", dir);
    if (node.gen >= gen)
        return 0;
    node.gen = gen;
    node.seq++;
    return write_node(ops, dir, &node, err);
}
