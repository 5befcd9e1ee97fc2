#include "runner/git/treename.h"

#include "runner/intake/name.h"

#include <string.h>

/* Characters that HFS+ leaves out when it compares names: U+200C..F, U+202A..E, U+206A..F, U+FEFF.
 * (git's utf8.c has the same list.) */
static size_t ignorable(const char *at, size_t len)
{
    const unsigned char *c = (const unsigned char *)at;
    if (len < 3)
        return 0;
    bool general =
        c[0] == 0xe2 &&
        ((c[1] == 0x80 && ((c[2] >= 0x8c && c[2] <= 0x8f) || (c[2] >= 0xaa && c[2] <= 0xae))) ||
         (c[1] == 0x81 && c[2] >= 0xaa && c[2] <= 0xaf));
    return general || (c[0] == 0xef && c[1] == 0xbb && c[2] == 0xbf) ? 3 : 0;
}

static bool is_word(const char *text, size_t len, const char *word)
{
    return len == strlen(word) && strncasecmp(text, word, len) == 0;
}

bool git_treename_is_dot_git(const char *part, size_t len)
{
    char seen[16];
    size_t at = 0;
    for (size_t i = 0; i < len && at < sizeof seen;) {
        size_t skip = ignorable(part + i, len - i);
        if (skip == 0)
            seen[at++] = part[i++];
        i += skip;
    }
    size_t end = 0;
    while (end < at && seen[end] != ':')
        end++;
    while (end > 0 && (seen[end - 1] == ' ' || seen[end - 1] == '.'))
        end--;
    return is_word(seen, end, ".git") || is_word(seen, end, "git~1");
}

int git_treename_check(const char *path, uint32_t depth_max, struct err *err)
{
    char again[ARCHIVE_PATH_MAX + 1];
    char shown[NAME_SHOW_MAX];
    bool folder = false;
    size_t len = strlen(path);
    struct err why = ERR_INIT;
    name_show((const uint8_t *)path, len, shown);
    if (name_decode((const uint8_t *)path, len, true, depth_max, again, &folder, &why))
        return err_refuse(err, ERR_UNPROCESSABLE, why.reason,
                          "the repository has \"%s\", a path that is not taken", shown);
    if (strcmp(path, again) != 0)
        return err_refuse(err, ERR_UNPROCESSABLE, "archive-bad-name",
                          "the repository has \"%s\", which is another path elsewhere", shown);
    for (const char *at = path; *at;) {
        size_t part = strcspn(at, "/");
        if (git_treename_is_dot_git(at, part))
            return err_refuse(err, ERR_UNPROCESSABLE, "archive-bad-name",
                              "the repository has \"%s\", which git would take for its own folder",
                              shown);
        at += part + (at[part] == '/');
    }
    return 0;
}
