/* A node's answer from any bytes: it is refused with a reason, or its sums are those of its modules
 * and every text that is made of it is safe for a terminal. */
#include "cli/cli.h"
#include "cli/doc.h"
#include "cli/report.h"
#include "proto/base/mem.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

static void check_safe(const struct buf *out)
{
    const unsigned char *bytes = (const unsigned char *)buf_str(out);
    for (size_t i = 0; i < out->len; i++) {
        assert(bytes[i] >= 0x20 || bytes[i] == '\n');
        assert(bytes[i] != 0x7f);
        assert(bytes[i] != 0xc2 || bytes[i + 1] < 0x80 || bytes[i + 1] > 0x9f);
    }
}

static void check_sums(const struct doc *doc)
{
    uint64_t passed = 0;
    size_t modules = 0;
    for (size_t i = 0; i < doc->project_count; i++) {
        passed += doc->projects[i].counts.passed;
        modules += doc->projects[i].modules;
        assert(doc->projects[i].modules_done <= doc->projects[i].modules);
        assert(i == 0 || strcmp(doc->projects[i - 1].name, doc->projects[i].name) < 0);
    }
    assert(passed == doc->counts.passed && modules == doc->module_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    owned_doc doc = {0};
    struct err err = ERR_INIT;
    owned_buf out = BUF_INIT;
    if (doc_read_answer(&doc, (const char *)data, size, &err) != 0) {
        assert(err.code == ERR_CORRUPT && err.text[0] != '\0' && doc.id == NULL);
        return 0;
    }
    check_sums(&doc);
    int code = doc_exit_code(&doc, size % 2 == 0 ? -1 : (double)(size % 101));
    assert(code >= CLI_PASSED && code <= CLI_TIME);
    report_table(&doc, size % 200, false, &out);
    for (size_t i = 0; i < doc.module_count; i++)
        report_module(&doc, &doc.modules[i], false, &out);
    report_status(&doc, 1, 0, 80, &out);
    check_safe(&out);
    return 0;
}
