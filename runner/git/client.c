#include "runner/git/client.h"

#include "proto/base/mem.h"
#include "runner/git/answer.h"

#include <string.h>

static int feed_refs(void *arg, const char *bytes, size_t len, struct err *err)
{
    return refs_feed(arg, bytes, len, err);
}

struct download {
    struct answer answer;
    struct objects *objects;
};

static int feed_pack(void *arg, const char *bytes, size_t len, struct err *err)
{
    struct download *self = arg;
    while (len > 0) {
        struct answer_out out;
        int rc = answer_step(&self->answer, bytes, len, &out, err);
        if (!rc && out.data_len > 0)
            rc = objects_feed(self->objects, out.data, out.data_len, err);
        if (rc)
            return rc;
        bytes += out.used;
        len -= out.used;
    }
    return 0;
}

static int download(struct transport *transport, const struct refs *refs, struct objects *objects,
                    struct err *err)
{
    struct download self = {.objects = objects};
    owned_buf body = BUF_INIT;
    bool is_shallow;
    refs_put_request(refs, &body, &is_shallow);
    answer_init(&self.answer, is_shallow);
    const struct transport_request request = {.path = "/git-upload-pack",
                                              .type = "application/x-git-upload-pack-result",
                                              .body_type = "application/x-git-upload-pack-request",
                                              .body = body.data,
                                              .body_len = body.len,
                                              .feed = feed_pack,
                                              .arg = &self};
    int rc = transport_send(transport, &request, err);
    if (!rc)
        rc = answer_end(&self.answer, err);
    if (!rc)
        rc = objects_end(objects, err);
    answer_fini(&self.answer);
    return rc;
}

int client_fetch(struct transport *transport, const struct git_url *url, struct objects *objects,
                 struct client_result *out, struct err *err)
{
    struct refs refs;
    refs_init(&refs, url);
    const struct transport_request request = {.path = "/info/refs?service=git-upload-pack",
                                              .type = "application/x-git-upload-pack-advertisement",
                                              .feed = feed_refs,
                                              .arg = &refs};
    int rc = transport_send(transport, &request, err);
    if (!rc)
        rc = refs_end(&refs, err);
    if (!rc)
        rc = download(transport, &refs, objects, err);
    memcpy(out->commit, refs.commit, sizeof out->commit);
    memcpy(out->branch, refs.branch, sizeof out->branch);
    refs_fini(&refs);
    return rc;
}
