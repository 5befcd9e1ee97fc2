/* Any text as a key file: refused, or one to three different keys that are found by their kid. And
 * as an address of peers.txt or --join: what reads is written again as the same address. */
#include "proto/wire/addr.h"
#include "proto/wire/keys.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool ok)
{
    if (!ok)
        abort();
}

static void check_keys(const char *text, size_t len)
{
    struct keys keys;
    if (keys_parse(text, len, &keys, NULL)) {
        expect(keys.count == 0);
        return;
    }
    expect(keys.count >= 1 && keys.count <= KEYS_MAX);
    for (size_t i = 0; i < keys.count; i++)
        expect(keys_find(&keys, keys.key[i].kid) == &keys.key[i]);
    keys_wipe(&keys);
}

static void check_addr(const uint8_t *data, size_t size)
{
    char text[64], again[WIRE_ADDR_TEXT];
    struct wire_addr addr, back;
    size_t len = size < sizeof text - 1 ? size : sizeof text - 1;
    memcpy(text, data, len);
    text[len] = '\0';
    if (!wire_addr_parse(text, &addr))
        return;
    expect(wire_addr_is_set(&addr) && addr.port != 0);
    expect(wire_addr_parse(wire_addr_format(&addr, again), &back));
    expect(wire_addr_compare(&addr, &back) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_keys((const char *)data, size);
    check_addr(data, size);
    return 0;
}
