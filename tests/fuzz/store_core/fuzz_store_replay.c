/* Any bytes as a log: the scan stays inside them, what it finds joins into documents, and a
 * document that is written again reads as the same one. Replaying twice and backwards changes
 * nothing. */
#include "node/store/doc_json.h"
#include "node/store/line.h"
#include "proto/base/mem.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay(const char *bytes, size_t size, struct doc **docs, size_t count)
{
    struct line_scan scan;
    const char *json;
    size_t len;
    line_scan_init(&scan, bytes, size);
    while (line_scan_next(&scan, &json, &len)) {
        owned_delta delta = {0};
        unsigned changed;
        if (delta_decode(json, len, &delta, NULL))
            continue;
        size_t at = delta.id % count;
        if (!docs[at])
            docs[at] = doc_new(delta.id);
        if (docs[at]->id == delta.id)
            (void)!doc_apply(docs[at], &delta, &changed, NULL);
    }
    if (scan.good_end > size || scan.bad_bytes > size)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct doc *docs[4] = {0};
    owned_buf log = BUF_INIT;
    buf_append(&log, data, size);
    /* Most inputs would fail at the crc: so each line of the input is also taken as a record. */
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t len = end ? (size_t)(end - data) - at : size - at;
        buf_putc(&log, '\n');
        line_encode((const char *)data + at, len, &log);
        at += len + 1;
    }
    replay(log.data, log.len, docs, 4);
    for (size_t i = 0; i < 4; i++) {
        if (!docs[i])
            continue;
        uint64_t digest = docs[i]->digest;
        replay(log.data, log.len, docs, 4);
        owned_buf text = BUF_INIT;
        doc_encode(docs[i], &text);
        struct doc *back = doc_decode(buf_str(&text), text.len, NULL);
        if (!back || back->digest != digest || docs[i]->digest != digest)
            __builtin_trap();
        doc_free(back);
    }
    for (size_t i = 0; i < 4; i++)
        doc_free(docs[i]);
    return 0;
}
