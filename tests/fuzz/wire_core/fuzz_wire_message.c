/* What decodes encodes, and what that gives decodes to the same; nothing costs more than four bytes
 * for each that came. */
#include "proto/wire/wire.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    owned_wire_msg first = {0};
    if (wire_decode(data, size, &first, NULL))
        return 0;
    expect(first.memory.bytes <= 4 * size);
    if (first.kind == WIRE_UNKNOWN)
        return 0;
    owned_buf once = BUF_INIT;
    wire_encode(&first, &once);
    owned_wire_msg second = {0};
    expect(wire_decode(once.data, once.len, &second, NULL) == 0);
    expect(second.memory.bytes <= 4 * once.len);
    owned_buf twice = BUF_INIT;
    wire_encode(&second, &twice);
    expect(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
    return 0;
}
