/* The helper that tells a commit's status: reads its request, locks itself in, and asks once. */
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/mem.h"
#include "runner/git/locked.h"
#include "runner/git/request.h"
#include "runner/git/status.h"
#include "runner/git/way.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#define CONNECT_S     10L
#define ANSWER_MAX    ((size_t)64 << 10) /* bytes of an answer; nobody needs them */
#define REDIRECTS_MAX 3
#define RETRY_MAX_S   3600u
#define AGENT         "testmesh" /* GitHub wants a name */

struct task {
    json_t *root;
    const char *url;
    const char *token;
    const char *body;
    bool is_gitlab;
    uint64_t timeout_ms;
    const char *ca_file;
    const char *ca_dir;
    struct git_network *networks;
    size_t network_count;
    size_t received;
    bool is_address_refused;
    uint16_t proxy_port; /* 0: it connects by itself */
    struct status_answer answer;
};

/* ---- what libcurl asks ----------------------------------------------------------------------- */

static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct task *self = arg;
    const struct git_networks also = {self->networks, self->network_count};
    (void)purpose;
    if (!self->proxy_port && !git_address_is_allowed(&address->addr, &also)) {
        self->is_address_refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* The status line says all that counts. */
static size_t on_bytes(char *bytes, size_t size, size_t count, void *arg)
{
    struct task *self = arg;
    (void)bytes;
    self->received += size * count;
    return self->received > ANSWER_MAX ? 0 : size * count;
}

static const char *value_of(const char *line, const char *name)
{
    size_t len = strlen(name);
    if (strncasecmp(line, name, len) != 0 || line[len] != ':')
        return NULL;
    return line + len + 1 + strspn(line + len + 1, " ");
}

static void wait_at_least(struct status_answer *self, uint64_t seconds)
{
    uint32_t wait_s = seconds < RETRY_MAX_S ? (uint32_t)seconds : RETRY_MAX_S;
    if (self->retry_after_s < wait_s)
        self->retry_after_s = wait_s;
}

/* GitHub says when a limit begins anew as a moment, most others say for how long. */
static void take_header(struct task *self, const char *line)
{
    struct status_answer *answer = &self->answer;
    const char *after = value_of(line, "Retry-After");
    const char *left = value_of(line, "X-RateLimit-Remaining");
    const char *reset = value_of(line, "X-RateLimit-Reset");
    uint64_t now_s = clock_wall_ms() / 1000;
    if (!left)
        left = value_of(line, "RateLimit-Remaining");
    if (after)
        wait_at_least(answer, strtoul(after, NULL, 10));
    if (left && left[0] == '0')
        answer->is_limited = true;
    if (reset && answer->is_limited && strtoull(reset, NULL, 10) > now_s)
        wait_at_least(answer, strtoull(reset, NULL, 10) - now_s);
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    char line[256];
    size_t len = size * count;
    size_t kept = len < sizeof line - 1 ? len : sizeof line - 1;
    memcpy(line, bytes, kept);
    line[kept] = '\0';
    take_header(arg, line);
    return len;
}

/* ---- the request ----------------------------------------------------------------------------- */

static struct curl_slist *headers_of(const struct task *self)
{
    owned_mem char *token =
        mem_printf(self->is_gitlab ? "PRIVATE-TOKEN: %s" : "Authorization: Bearer %s", self->token);
    struct curl_slist *list = curl_slist_append(NULL, token);
    list = curl_slist_append(list, "Content-Type: application/json");
    list = curl_slist_append(list, "Expect:");
    if (self->is_gitlab)
        return list;
    list = curl_slist_append(list, "Accept: application/vnd.github+json");
    return curl_slist_append(list, "X-GitHub-Api-Version: 2022-11-28");
}

static void set_up(CURL *curl, struct task *self, struct curl_slist *headers)
{
    way_set_up(curl, self->proxy_port, self->ca_file, self->ca_dir);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, AGENT);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)self->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, self);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, self);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, self);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_URL, self->url);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, self->body);
}

/* Of a repository that was renamed the API sends on to the new place; it must be the same host's:
 * no other one sees the token. */
static bool sends_on(CURL *curl, const char *url)
{
    const char *to = NULL;
    long http = 0;
    size_t host = strlen("https://") + strcspn(url + strlen("https://"), "/") + 1;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &http);
    curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &to);
    if ((http != 301 && http != 302 && http != 307 && http != 308) || !to ||
        strlen(to) > GIT_URL_MAX || strncasecmp(to, url, host) != 0)
        return false;
    curl_easy_setopt(curl, CURLOPT_URL, to);
    return true;
}

/* Our own words only: what a host says may have in it what we told him. */
static void ask(struct task *self)
{
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = headers_of(self);
    if (!curl)
        abort(); /* out of memory */
    set_up(curl, self, headers);
    CURLcode code = curl_easy_perform(curl);
    for (unsigned i = 0; i < REDIRECTS_MAX && code == CURLE_OK && sends_on(curl, self->url); i++)
        code = curl_easy_perform(curl);
    /* Of an answer that breaks off, or never ends, the status has come all the same. */
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &self->answer.http);
    if (self->answer.http < 200)
        self->answer.http = 0;
    if (way_refusal(curl) == 403)
        self->is_address_refused = true;
    const char *words = self->is_address_refused ? "it has an address that is not public"
                        : self->answer.http      ? ""
                                                 : curl_easy_strerror(code);
    (void)snprintf(self->answer.words, sizeof self->answer.words, "%s", words);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
}

/* "https://host[:port]/…": status_base_find()'s, checked when the node started. */
static uint16_t port_of(const char *url)
{
    const char *host = url + strlen("https://");
    const char *colon = memchr(host, ':', strcspn(host, "/"));
    unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : GIT_HTTPS_PORT;
    return (uint16_t)port;
}

static int read_request(struct task *self, const struct buf *text, struct err *err)
{
    self->root = json_in_parse(buf_str(text), text->len, err);
    const json_t *root = self->root;
    self->url = json_in_str(root, "url", NULL);
    self->token = json_in_str(root, "token", NULL);
    self->body = json_in_str(root, "body", NULL);
    self->is_gitlab = json_in_bool(root, "gitlab", false);
    self->timeout_ms = (uint64_t)json_in_int(root, "timeout_ms", 1);
    self->ca_file = json_in_str(root, "ca_file", NULL);
    self->ca_dir = json_in_str(root, "ca_dir", NULL);
    if (!self->url || strncmp(self->url, "https://", 8) != 0 || !self->token || !self->body)
        return err_set(err, ERR_INVALID, "a member is absent or wrong");
    return request_read_networks(root, &self->networks, &self->network_count, err);
}

static int write_answer(const struct status_answer *answer)
{
    owned_buf text = BUF_INIT;
    struct json_out json;
    json_out_init(&json, &text);
    json_out_open_object(&json);
    json_out_key_int(&json, "http", answer->http);
    json_out_key_uint(&json, "retry_after_s", answer->retry_after_s);
    json_out_key_bool(&json, "is_limited", answer->is_limited);
    json_out_key_bool(&json, "shares_network", answer->shares_network);
    json_out_key_str(&json, "words", answer->words);
    json_out_close_object(&json);
    buf_putc(&text, '\n');
    return file_write_all(STDOUT_FILENO, text.data, text.len, NULL);
}

int helper_status_main(int argc, char **argv)
{
    bool has_way = argc == 2 && strcmp(argv[1], WAY_WORD) == 0;
    struct task task = {0};
    struct err err = ERR_INIT;
    owned_buf in = BUF_INIT;
    if ((argc != 1 && !has_way) || !request_receive(&in) || read_request(&task, &in, &err)) {
        fputs("usage: status [" WAY_WORD "] < REQUEST\n", stderr);
        return 2;
    }
    task.proxy_port = has_way ? way_enter() : 0;
    task.answer.shares_network = has_way && !task.proxy_port;
    way_filter();
    locked_enter(&(struct locked){.dir_fd = -1,
                                  .ca_file = task.ca_file,
                                  .ca_dir = task.ca_dir,
                                  .port = task.proxy_port ? task.proxy_port : port_of(task.url)});
    curl_global_init(CURL_GLOBAL_DEFAULT);
    ask(&task);
    curl_global_cleanup();
    int rc = write_answer(&task.answer);
    free(task.networks);
    json_decref(task.root);
    return rc ? 1 : 0;
}
