/* What is accepted is written in one form, and reading that form gives it back; nothing in it is an
 * option, a control character or a path. */
#include "runner/env/requirements.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const char *line)
{
    assert(*line != '-' && *line != '.' && *line != '/' && strchr(line, '\n') == NULL);
    for (const char *at = line; *at != '\0'; at++)
        assert(*at >= ' ' && *at <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct requirements_policy policy = {.allow_urls = size > 0 && (data[0] & 1) != 0};
    owned_requirements first = REQUIREMENTS_INIT;
    struct err err = ERR_INIT;
    int rc = requirements_parse(&first, (const char *)data, size, &policy, &err);
    assert(rc == 0 || (err.code == rc && err.text[0] != '\0'));
    for (size_t i = 0; i < first.count; i++)
        check_line(first.items[i].text);

    owned_buf once = BUF_INIT;
    requirements_format(&first, &once);
    if (once.len > REQUIREMENTS_MAX_BYTES)
        return 0;
    owned_requirements second = REQUIREMENTS_INIT;
    rc = requirements_parse(&second, buf_str(&once), once.len, &policy, &err);
    if (rc == ERR_TOO_LARGE)
        return 0;
    assert(rc == 0);
    owned_buf twice = BUF_INIT;
    requirements_format(&second, &twice);
    assert(strcmp(buf_str(&once), buf_str(&twice)) == 0);
    return 0;
}
