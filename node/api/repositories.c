#include "node/api/repositories.h"

#include "proto/base/mem.h"
#include "runner/git/reason.h"
#include "runner/intake/fold.h"
#include "runner/intake/layout.h"

#include <string.h>

static bool is_taken(const struct intake_result *result, const char *name)
{
    char want[2 * LAYOUT_NAME_MAX];
    char have[2 * LAYOUT_NAME_MAX];
    fold_path(name, want, sizeof want);
    for (size_t i = 0; i < result->project_count; i++) {
        fold_path(result->projects[i].name, have, sizeof have);
        if (strcmp(want, have) == 0)
            return true;
    }
    return false;
}

/* Returns owned: the project's own name, or with a number behind it where that is taken. Names are
 * given in the order of the request, so that the first of two has the plain one. */
static char *name_for(const struct intake_result *result, const char *raw)
{
    char clean[LAYOUT_NAME_MAX + 1];
    char name[LAYOUT_NAME_MAX + 1];
    layout_name_clean(raw, clean);
    memcpy(name, clean, sizeof name);
    for (unsigned number = 2; is_taken(result, name); number++)
        layout_name_number(clean, number, name);
    return mem_strdup(name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct intake_project *)a)->name,
                  ((const struct intake_project *)b)->name);
}

/* What may be told again of text that is no URL which we take: it may hold a password. */
static const char *shown(const char *url)
{
    return strpbrk(url, "@?#") || strlen(url) > GIT_URL_MAX ? "(a URL that may hold a secret)"
                                                            : url;
}

static void add_good(struct intake_result *out, const struct git_url *url)
{
    struct buf source = BUF_INIT;
    git_url_put(url, NULL, &source);
    char *name = name_for(out, git_url_name(url));
    out->projects[out->project_count++] =
        (struct intake_project){.name = name, .source = buf_steal(&source)};
}

static void add_bad(struct intake_result *out, const char *url, const struct err *why)
{
    owned_mem char *number = mem_printf("project-%zu", out->project_count + 1);
    char *name = name_for(out, number);
    out->projects[out->project_count++] =
        (struct intake_project){.name = name,
                                .source = mem_strdup(shown(url)),
                                .failure = mem_printf("%s (%s)", why->text, err_name(why)),
                                .is_clusters = !git_reason_is_projects(why->reason)};
}

int repositories_name(const struct git_request *request, const struct git_hosts *hosts,
                      struct intake_result *out, struct git_url *token_for, struct err *err)
{
    size_t good = 0;
    struct err first = ERR_INIT;
    *out = (struct intake_result){.projects =
                                      mem_new_array(request->url_count + 1, sizeof *out->projects)};
    for (size_t i = 0; i < request->url_count; i++) {
        struct git_url url;
        struct err why = ERR_INIT;
        if (git_url_parse(&url, request->urls[i], hosts, &why) == 0) {
            if (good++ == 0)
                *token_for = url;
            add_good(out, &url);
            continue;
        }
        add_bad(out, request->urls[i], &why);
        if (first.code == ERR_NONE)
            (void)err_refuse(&first, why.code, why.reason, "projects[%zu]: %.400s", i, why.text);
    }
    qsort(out->projects, out->project_count, sizeof *out->projects, by_name);
    if (good > 0)
        return 0;
    *err = first;
    return first.code;
}
