#include "node/api/repositories.h"

#include "proto/base/mem.h"
#include "runner/git/reason.h"
#include "runner/intake/fold.h"
#include "runner/intake/layout.h"

#include <string.h>

#define FOLDED_MAX (2 * LAYOUT_NAME_MAX)

/* A name that was given, as names are compared, and the number for the next one like it: a class
 * sends hundreds that are called the same. */
struct given {
    char folded[FOLDED_MAX];
    unsigned next;
};

/* In the order of their folded names. */
struct names {
    struct given **items;
    size_t count;
};

/* Where it is, or belongs. */
static bool find(const struct names *self, const char *folded, size_t *at)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(self->items[middle]->folded, folded);
        if (order == 0) {
            *at = middle;
            return true;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    *at = low;
    return false;
}

static bool find_name(const struct names *self, const char *name, char *folded, size_t *at)
{
    fold_path(name, folded, FOLDED_MAX);
    return find(self, folded, at);
}

static void insert(struct names *self, const char *folded, size_t at)
{
    struct given *given = mem_new(sizeof *given);
    memcpy(given->folded, folded, strlen(folded) + 1);
    given->next = 2;
    memmove(&self->items[at + 1], &self->items[at], (self->count - at) * sizeof *self->items);
    self->items[at] = given;
    self->count++;
}

static void names_fini(struct names *self)
{
    for (size_t i = 0; i < self->count; i++)
        free(self->items[i]);
    free(self->items);
}

/* Returns owned: the project's own name, or with a number behind it where that is taken. Names are
 * given in the order of the request, so that the first of two has the plain one. */
static char *name_for(struct names *self, const char *raw)
{
    char clean[LAYOUT_NAME_MAX + 1];
    char name[LAYOUT_NAME_MAX + 1];
    char folded[FOLDED_MAX];
    size_t at;
    layout_name_clean(raw, clean);
    memcpy(name, clean, sizeof name);
    if (find_name(self, clean, folded, &at)) {
        struct given *first = self->items[at];
        do
            layout_name_number(clean, first->next++, name);
        while (find_name(self, name, folded, &at));
    }
    insert(self, folded, at);
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

static void add_good(struct intake_result *out, struct names *names, const struct git_url *url)
{
    struct buf source = BUF_INIT;
    git_url_put(url, NULL, &source);
    char *name = name_for(names, git_url_name(url));
    out->projects[out->project_count++] =
        (struct intake_project){.name = name, .source = buf_steal(&source)};
}

static void add_bad(struct intake_result *out, struct names *names, const char *url,
                    const struct err *why)
{
    owned_mem char *number = mem_printf("project-%zu", out->project_count + 1);
    char *name = name_for(names, number);
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
    struct names names = {.items = mem_new_array(request->url_count + 1, sizeof *names.items)};
    *out = (struct intake_result){.projects =
                                      mem_new_array(request->url_count + 1, sizeof *out->projects)};
    for (size_t i = 0; i < request->url_count; i++) {
        struct git_url url;
        struct err why = ERR_INIT;
        if (git_url_parse(&url, request->urls[i], hosts, &why) == 0) {
            if (good++ == 0)
                *token_for = url;
            add_good(out, &names, &url);
            continue;
        }
        add_bad(out, &names, request->urls[i], &why);
        if (first.code == ERR_NONE)
            (void)err_refuse(&first, why.code, why.reason, "projects[%zu]: %.400s", i, why.text);
    }
    names_fini(&names);
    qsort(out->projects, out->project_count, sizeof *out->projects, by_name);
    if (good > 0)
        return 0;
    *err = first;
    return first.code;
}
