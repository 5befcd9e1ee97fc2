/* Any bytes as a head: what is taken is written anew as one head of one request, which reads as the
 * same again, and names a host that reads as the same again; a status is one of four. */
#include "proto/base/mem.h"
#include "runner/egress/head.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_target(const struct egress_target *target)
{
    struct egress_target again;
    owned_buf form = BUF_INIT;
    egress_target_put(target, &form);
    assert(egress_target_parse(&again, buf_str(&form), form.len, 0));
    assert(again.port == target->port && strcmp(again.host, target->host) == 0);
}

static void check_one_head(const struct buf *text)
{
    const char *end = memmem(text->data, text->len, "\r\n\r\n", 4);
    assert(end && (size_t)(end - text->data) + 4 == text->len);
    for (size_t i = 0; i < text->len; i++)
        assert(text->data[i] != '\n' || (i > 0 && text->data[i - 1] == '\r'));
    assert(!memchr(text->data, '\0', text->len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct egress_head head, again;
    owned_mem char *bytes = mem_dup(data, size); /* exactly so long: a byte beyond is a fault */
    owned_buf out = BUF_INIT;
    (void)egress_head_status(bytes, size);
    int status = egress_head_parse(&head, bytes, size);
    if (status) {
        assert(status == 400 || status == 405 || status == 431 || status == 505);
        return 0;
    }
    check_target(&head.target);
    if (head.is_tunnel) {
        egress_head_put_connect(&head.target, "Basic x", &out);
        check_one_head(&out);
        assert(egress_head_parse(&again, out.data, out.len) == 0 && again.is_tunnel);
    } else {
        egress_head_put(&head, true, NULL, &out);
        check_one_head(&out);
        int status_again = egress_head_parse(&again, out.data, out.len);
        if (status_again == 431) /* two headers of ours came to as many as are taken */
            return 0;
        assert(status_again == 0 && !again.is_tunnel);
        assert(again.path_len == head.path_len &&
               memcmp(again.path, head.path, head.path_len) == 0);
    }
    assert(again.target.port == head.target.port &&
           strcmp(again.target.host, head.target.host) == 0);
    return 0;
}
