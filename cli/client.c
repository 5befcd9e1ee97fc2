#include "cli/client.h"

#include "proto/base/id.h"
#include "proto/base/mem.h"

#include <string.h>

/* Between the last byte sent and the answer the node unpacks all of it. */
#define UPLOAD_STALL_MS 600000

#define PAGES_MAX 10000 /* an end for a node that never says one */

int client_check_id(const char *text, struct err *err)
{
    uint64_t id;
    if (id_eval_parse(text, &id))
        return 0;
    return err_set(err, ERR_INVALID, "%.40s: not an evaluation's id (a number, see `testmesh ls`)",
                   text);
}

json_t *client_get_json(struct http_client *http, const char *path, struct err *err)
{
    owned_answer answer = {0};
    struct http_request request = {.path = path};
    if (http_expect(http, &request, &answer, err) != 0)
        return NULL;
    json_t *value = json_in_parse(buf_str(&answer.body), answer.body.len, err);
    if (value == NULL)
        err_wrap(err, "the node's answer is not JSON");
    return value;
}

static void put_repositories(const struct client_upload *upload, struct buf *out)
{
    struct json_out json;
    json_out_init(&json, out);
    json_out_open_object(&json);
    if (upload->token != NULL)
        json_out_key_str(&json, "auth_token", upload->token);
    if (upload->name != NULL)
        json_out_key_str(&json, "name", upload->name);
    if (upload->options != NULL) {
        json_out_key(&json, "options");
        json_out_raw(&json, upload->options, strlen(upload->options));
    }
    if (upload->statuses)
        json_out_key_bool(&json, "statuses", true);
    json_out_key(&json, "projects");
    json_out_open_array(&json);
    for (size_t i = 0; i < upload->url_count; i++)
        json_out_str(&json, upload->urls[i]);
    json_out_close_array(&json);
    json_out_close_object(&json);
}

#define PARTS_MAX 5

/* The parts of a form; the last one is empty. `repositories` is their JSON, "" for none. */
static void list_parts(const struct client_upload *upload, const char *repositories,
                       struct http_part parts[PARTS_MAX])
{
    size_t count = 0;
    if (upload->zip != NULL)
        parts[count++] =
            (struct http_part){.name = "file", .path = upload->zip, .file_name = upload->zip_name};
    else
        parts[count++] = (struct http_part){.name = "projects", .text = repositories};
    if (upload->tests != NULL)
        parts[count++] =
            (struct http_part){.name = "tests", .path = upload->tests, .file_name = "tests.zip"};
    if (upload->zip != NULL && upload->name != NULL)
        parts[count++] = (struct http_part){.name = "name", .text = upload->name};
    if (upload->zip != NULL && upload->options != NULL)
        parts[count++] = (struct http_part){.name = "options", .text = upload->options};
    parts[count] = (struct http_part){0};
}

static int read_accepted(const struct http_client *http, const struct buf *answer, char **id,
                         struct err *err)
{
    owned_json *value = json_in_parse(buf_str(answer), answer->len, err);
    const char *text = json_in_str(value, "id", "");
    uint64_t parsed;
    if (!id_eval_parse(text, &parsed))
        return err_set(err, ERR_CORRUPT, "%s took the upload and named no evaluation",
                       http_url(http));
    *id = mem_strdup(text);
    return 0;
}

int client_submit(struct http_client *http, const struct client_upload *upload, char **id,
                  struct buf *body, struct err *err)
{
    struct http_part parts[PARTS_MAX];
    owned_answer answer = {0};
    owned_buf repositories = BUF_INIT;
    struct http_request request = {
        .method = "POST", .path = "/evaluation", .timeout_ms = UPLOAD_STALL_MS};
    if (upload->zip == NULL)
        put_repositories(upload, &repositories);
    list_parts(upload, buf_str(&repositories), parts);
    if (upload->zip == NULL && upload->tests == NULL)
        request.json = buf_str(&repositories);
    else
        request.parts = parts;
    int rc = http_expect(http, &request, &answer, err);
    if (repositories.len > 0)
        explicit_bzero(repositories.data, repositories.len);
    if (rc == 0)
        rc = read_accepted(http, &answer.body, id, err);
    if (rc == 0)
        buf_append(body, answer.body.data, answer.body.len);
    return rc;
}

static void add_filter(const char *name, const char *value, struct buf *path)
{
    if (value == NULL)
        return;
    buf_printf(path, "&%s=", name);
    http_escape(value, "", path);
}

/* Handles one page; returns the cursor of the next, owned, or NULL at the end. */
static char *take_page(const json_t *page, client_test_fn *each, void *arg)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(page, "items"), i, item)
    {
        if (!each(arg, item))
            return NULL;
    }
    const char *next = json_in_str(page, "next", NULL);
    return next != NULL ? mem_strdup(next) : NULL;
}

int client_each_test(struct http_client *http, const struct client_test_query *query,
                     client_test_fn *each, void *arg, struct err *err)
{
    owned_mem char *cursor = NULL;
    for (unsigned i = 0; i < PAGES_MAX; i++) {
        owned_buf path = BUF_INIT;
        buf_printf(&path, "/evaluation/%s/tests?limit=%u", query->id, query->limit);
        if (!query->detail)
            buf_puts(&path, "&detail=0");
        add_filter("project", query->project, &path);
        add_filter("module", query->module, &path);
        add_filter("outcome", query->outcome, &path);
        add_filter("cursor", cursor, &path);
        owned_json *page = client_get_json(http, buf_str(&path), err);
        if (page == NULL)
            return err->code;
        free(cursor);
        cursor = take_page(page, each, arg);
        if (cursor == NULL)
            break;
    }
    return 0;
}
