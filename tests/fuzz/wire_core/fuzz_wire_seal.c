/* Strangers' bytes never open. A sealed body opens to itself, once, and not with a changed bit. The
 * window agrees with a set of all counters seen. */
#include "proto/base/mem.h"
#include "proto/wire/seal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool ok)
{
    if (!ok)
        abort();
}

static struct seal *member(uint64_t node)
{
    struct keys keys;
    keys_from_name("c", &keys);
    return seal_new(&(struct seal_config){&keys, "c", node, 1});
}

static struct seal_opened opened;

static void forge(const uint8_t *data, size_t size)
{
    struct seal *bob = member(2);
    expect(seal_open(bob, data, size, &opened) != SEAL_OK);
    /* The same with a head that fits. */
    uint8_t packet[WIRE_PACKET_MAX];
    struct seal *alice = member(1);
    size_t len = seal_close(alice, "", 0, packet);
    if (size > SEAL_HEAD && size <= sizeof packet) {
        memcpy(packet + SEAL_HEAD, data + SEAL_HEAD, size - SEAL_HEAD);
        len = size;
        expect(seal_open(bob, packet, len, &opened) != SEAL_OK);
    }
    expect(seal_sender_count(bob) == 0);
    seal_free(alice);
    seal_free(bob);
}

static void round_trip(const uint8_t *data, size_t size)
{
    if (size < 2 || size - 2 > WIRE_PACKET_BODY)
        return;
    struct seal *alice = member(1);
    struct seal *bob = member(2);
    uint8_t packet[WIRE_PACKET_MAX];
    size_t len = seal_close(alice, data + 2, size - 2, packet);
    size_t bit = ((size_t)data[0] << 8 | data[1]) % (len * 8);
    packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
    expect(seal_open(bob, packet, len, &opened) != SEAL_OK);
    packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
    expect(seal_open(bob, packet, len, &opened) == SEAL_OK);
    expect(opened.len == size - 2 && memcmp(opened.body, data + 2, opened.len) == 0);
    expect(seal_open(bob, packet, len, &opened) == SEAL_REPLAYED);
    seal_free(alice);
    seal_free(bob);
}

#define PACKETS 256

static void window(const uint8_t *data, size_t size)
{
    static uint8_t packets[PACKETS][WIRE_SEAL_OVERHEAD];
    struct seal *alice = member(1);
    struct seal *bob = member(2);
    for (size_t i = 0; i < PACKETS; i++)
        seal_close(alice, "", 0, packets[i]);
    bool seen[PACKETS] = {false};
    int top = -1;
    for (size_t i = 0; i < size && i < 400; i++) {
        enum seal_verdict want = data[i] + SEAL_WINDOW <= top ? SEAL_OLD
                                 : seen[data[i]]              ? SEAL_REPLAYED
                                                              : SEAL_OK;
        expect(seal_open(bob, packets[data[i]], WIRE_SEAL_OVERHEAD, &opened) == want);
        seen[data[i]] = true;
        top = data[i] > top ? data[i] : top;
    }
    seal_free(alice);
    seal_free(bob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] % 3 == 0)
        forge(data + 1, size - 1);
    else if (data[0] % 3 == 1)
        round_trip(data + 1, size - 1);
    else
        window(data + 1, size - 1);
    return 0;
}
