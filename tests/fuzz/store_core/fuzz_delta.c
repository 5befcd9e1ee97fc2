/* Any text as a delta: refused, or written again it reads as the same delta; what is derived from
 * its document keeps its own rules. */
#include "node/store/doc_json.h"
#include "node/store/summary.h"
#include "node/store/totals.h"
#include "proto/base/mem.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_summary(const struct doc *doc)
{
    owned_summary summary;
    summary_init(&summary, doc, NULL);
    uint64_t modules = summary.executed + summary.executing + summary.pending, good = 0;
    if (modules != summary.module_count)
        __builtin_trap();
    for (size_t p = 0; p < summary.project_count; p++)
        good += summary_good(&summary.projects[p].tally);
    if (good != summary_good(&summary.tally) || summary.marks.nota_e5 > 2000000)
        __builtin_trap();
    struct share share;
    share_init(&share, doc);
    share_fini(&share);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    owned_delta delta = {0}, back = {0};
    if (delta_decode((const char *)data, size, &delta, NULL))
        return 0;
    owned_buf text = BUF_INIT, again = BUF_INIT;
    delta_encode(&delta, &text);
    if (delta_decode(buf_str(&text), text.len, &back, NULL))
        __builtin_trap();
    delta_encode(&back, &again);
    if (strcmp(buf_str(&text), buf_str(&again)) != 0)
        __builtin_trap();
    struct doc *doc = doc_new(delta.id);
    unsigned changed;
    if (doc_apply(doc, &delta, &changed, NULL) == 0) {
        check_summary(doc);
        if (!doc_has(doc, &back))
            __builtin_trap();
        if (doc_apply(doc, &back, &changed, NULL) || changed)
            __builtin_trap();
    }
    doc_free(doc);
    return 0;
}
