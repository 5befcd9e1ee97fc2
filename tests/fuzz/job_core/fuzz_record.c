/* A stream of packets (two bytes of length before each), as a hostile job could send it: the
 * verdict must hold what it promises whatever comes. */
#include "proto/base/json.h"
#include "runner/job/verdict.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool ok)
{
    if (!ok)
        abort();
}

static uint32_t sum(const struct job_counts *counts)
{
    return counts->passed + counts->failed + counts->errors + counts->skipped + counts->xfailed +
           counts->xpassed;
}

/* Each line is JSON that a strict reader takes. */
static uint32_t check_lines(const struct buf *cases)
{
    uint32_t lines = 0;
    const char *at = buf_str(cases);
    for (const char *end; (end = strchr(at, '\n')); at = end + 1, lines++) {
        struct err err = ERR_INIT;
        owned_json *line = json_in_parse(at, (size_t)(end - at), &err);
        expect(line && json_in_str(line, "test", NULL) && json_in_str(line, "outcome", NULL));
    }
    return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct verdict verdict;
    struct verdict_result result;
    struct buf cases = BUF_INIT;
    if (size < 1)
        return 0;
    verdict_init(&verdict, (enum job_kind)(data[0] % 4), "test_a.py");
    for (size_t at = 1; at + 2 <= size;) {
        size_t len = (size_t)data[at] << 8 | data[at + 1];
        at += 2;
        len = len < size - at ? len : size - at;
        verdict_take(&verdict, data + at, len);
        at += len;
    }
    struct job_end end = {.wait_status = data[0] >> 4, .foreign_record = data[0] & 4};
    bool clean = verdict.ended && !verdict.tampered && !end.foreign_record;
    verdict_conclude(&verdict, &end, "words", &cases, &result);
    if (verdict.kind == JOB_RUN && result.outcome == JOB_PASSED)
        expect(clean && result.counts.failed == 0 && result.counts.errors == 0 &&
               sum(&result.counts) > result.counts.skipped);
    expect(check_lines(&cases) == sum(&result.counts));
    expect(result.outcome != JOB_LOST || result.blame == JOB_BLAME_CLUSTER);
    verdict_fini(&verdict);
    buf_fini(&cases);
    return 0;
}
