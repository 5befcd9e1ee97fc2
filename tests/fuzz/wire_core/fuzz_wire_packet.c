/* A datagram's body that is read through is written again and read through again, with the same
 * messages. */
#include "proto/wire/wire.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool ok)
{
    if (!ok)
        abort();
}

/* Reads a body and writes it anew. False when it is refused somewhere. */
static bool copy(const void *body, size_t len, struct wire_packet *out)
{
    struct wire_packet_reader reader;
    struct wire_packet_head head;
    if (wire_packet_open(&reader, body, len, &head, NULL))
        return false;
    wire_packet_init(out, &head, SIZE_MAX);
    int more;
    for (;;) {
        owned_wire_msg msg = {0};
        more = wire_packet_next(&reader, &msg, NULL);
        if (more <= 0)
            break;
        expect(wire_kind_is_datagram(msg.kind));
        expect(wire_packet_add(out, &msg));
    }
    return more == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_packet once = {.limit = 0};
    struct wire_packet twice = {.limit = 0};
    if (copy(data, size, &once)) {
        expect(copy(once.body.data, once.body.len, &twice));
        expect(once.count == twice.count && once.body.len == twice.body.len);
        expect(memcmp(once.body.data, twice.body.data, once.body.len) == 0);
    }
    wire_packet_fini(&once);
    wire_packet_fini(&twice);
    return 0;
}
