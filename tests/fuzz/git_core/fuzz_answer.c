/* Any bytes as a git server's answers: the list of branches and the pack read the same in any
 * split. */
#include "proto/base/mem.h"
#include "runner/git/answer.h"
#include "runner/git/refs.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_refs(const char *bytes, size_t len, size_t piece, char commit[GIT_OID_HEX])
{
    struct git_url url;
    struct refs refs;
    struct err err = ERR_INIT;
    int rc = git_url_parse(&url, "https://github.com/o/n", NULL, &err);
    assert(rc == 0);
    refs_init(&refs, &url);
    for (size_t at = 0; at < len && !rc; at += piece)
        rc = refs_feed(&refs, bytes + at, piece < len - at ? piece : len - at, &err);
    if (!rc)
        rc = refs_end(&refs, &err);
    assert(rc || strlen(refs.commit) == GIT_OID_HEX - 1);
    assert(!refs.branch[0] || git_branch_is_valid(refs.branch));
    memcpy(commit, refs.commit, GIT_OID_HEX);
    refs_fini(&refs);
    return rc;
}

static int read_pack(const char *bytes, size_t len, size_t piece, struct buf *out)
{
    struct answer answer;
    struct err err = ERR_INIT;
    int rc = 0;
    answer_init(&answer, len % 2);
    for (size_t at = 0; at < len && !rc; at += piece) {
        const char *from = bytes + at;
        size_t left = piece < len - at ? piece : len - at;
        while (left > 0 && !rc) {
            struct answer_out step;
            rc = answer_step(&answer, from, left, &step, &err);
            assert(rc || step.used > 0);
            assert(step.used <= left && step.data_len <= left);
            buf_append(out, step.data ? step.data : "", step.data_len);
            from += step.used;
            left -= step.used;
        }
    }
    if (!rc)
        rc = answer_end(&answer, &err);
    answer_fini(&answer);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    char whole[GIT_OID_HEX] = "", split[GIT_OID_HEX] = "";
    owned_buf once = BUF_INIT;
    owned_buf pieces = BUF_INIT;
    size_t piece = size ? 1 + data[0] % 7 : 1;
    assert(read_refs(bytes, size, size ? size : 1, whole) == read_refs(bytes, size, piece, split));
    assert(strcmp(whole, split) == 0);
    assert(read_pack(bytes, size, size ? size : 1, &once) ==
           read_pack(bytes, size, piece, &pieces));
    assert(once.len == pieces.len &&
           (once.len == 0 || memcmp(once.data, pieces.data, once.len) == 0));
    return 0;
}
