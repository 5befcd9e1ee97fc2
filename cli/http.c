#include "cli/http.h"

#include "cli/text.h"
#include "proto/base/json.h"
#include "proto/base/mem.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define CONNECT_TIMEOUT_MS 5000
#define STALL_TIMEOUT_MS   30000
#define DETAIL_MAX         300 /* of a problem's words; the hint needs room as well */

struct http_client {
    CURL *curl;
    char *url;
    bool loopback;
    http_tick_fn *tick;
    void *tick_arg;
    struct http_answer *answer; /* of the request under way */
    bool too_large;
};

static bool is_loopback(const char *url)
{
    const char *host = strstr(url, "://") + 3;
    size_t len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
    struct in_addr addr;
    if (strchr(host, '@') != NULL || len > strlen(host))
        return false;
    owned_mem char *name = mem_strndup(host, len);
    return strcmp(name, "localhost") == 0 || strcmp(name, "[::1]") == 0 ||
           (inet_pton(AF_INET, name, &addr) == 1 && ntohl(addr.s_addr) >> 24 == 127);
}

struct http_client *http_open(const char *url, struct err *err)
{
    bool bare = strstr(url, "://") == NULL;
    if (!bare && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        err_set(err, ERR_INVALID, "--node %.200s: must begin with http:// or https://", url);
        return NULL;
    }
    struct http_client *self = mem_new(sizeof(*self));
    self->url = mem_printf("%s%s", bare ? "http://" : "", url);
    for (size_t len = strlen(self->url); len > 0 && self->url[len - 1] == '/'; len--)
        self->url[len - 1] = '\0';
    self->loopback = is_loopback(self->url);
    self->curl = curl_easy_init();
    if (self->curl == NULL) {
        http_close(self);
        err_set(err, ERR_INTERNAL, "libcurl does not start");
        return NULL;
    }
    return self;
}

void http_close(struct http_client *self)
{
    if (self->curl != NULL)
        curl_easy_cleanup(self->curl);
    free(self->url);
    free(self);
}

const char *http_url(const struct http_client *self) { return self->url; }

bool http_is_loopback(const struct http_client *self) { return self->loopback; }

void http_on_tick(struct http_client *self, http_tick_fn *tick, void *arg)
{
    self->tick = tick;
    self->tick_arg = arg;
}

void http_answer_fini(struct http_answer *self)
{
    buf_fini(&self->body);
    *self = (struct http_answer){0};
}

static size_t take_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct http_client *self = arg;
    size_t len = size * count;
    self->too_large = len > HTTP_ANSWER_MAX - self->answer->body.len;
    if (self->too_large)
        return 0;
    buf_append(&self->answer->body, bytes, len);
    return len;
}

/* Returns where the header's value begins, or NULL when it is another header. */
static const char *header_value(const char *line, size_t len, const char *name)
{
    size_t name_len = strlen(name);
    if (len <= name_len || line[name_len] != ':' || strncasecmp(line, name, name_len) != 0)
        return NULL;
    const char *value = line + name_len + 1;
    while (*value == ' ')
        value++;
    return value;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct http_client *self = arg;
    size_t len = size * count;
    owned_mem char *line = mem_strndup(bytes, len);
    line[strcspn(line, "\r\n")] = '\0';
    const char *etag = header_value(line, strlen(line), "etag");
    const char *retry = header_value(line, strlen(line), "retry-after");
    if (etag != NULL && strlen(etag) < HTTP_ETAG_MAX)
        snprintf(self->answer->etag, HTTP_ETAG_MAX, "%s", etag);
    if (retry != NULL)
        self->answer->retry_after_s = strtol(retry, NULL, 10);
    return len;
}

static int take_tick(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                     curl_off_t up)
{
    struct http_client *self = arg;
    (void)down_total;
    (void)down;
    return self->tick != NULL && self->tick(self->tick_arg, (uint64_t)up, (uint64_t)up_total);
}

static curl_mime *make_body(CURL *curl, const struct http_part *parts)
{
    curl_mime *mime = curl_mime_init(curl);
    for (; parts->name != NULL; parts++) {
        curl_mimepart *part = curl_mime_addpart(mime);
        curl_mime_name(part, parts->name);
        if (parts->path != NULL) {
            curl_mime_filedata(part, parts->path);
            curl_mime_filename(part, parts->file_name);
            curl_mime_type(part, "application/zip");
        } else {
            curl_mime_data(part, parts->text, CURL_ZERO_TERMINATED);
        }
    }
    return mime;
}

static struct curl_slist *make_headers(const struct http_request *request)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
    if (request->if_none_match != NULL && request->if_none_match[0] != '\0') {
        owned_mem char *line = mem_printf("If-None-Match: %s", request->if_none_match);
        headers = curl_slist_append(headers, line);
    }
    const char *token = request->token != NULL ? request->token : getenv("TESTMESH_TOKEN");
    if (request->json != NULL)
        headers = curl_slist_append(headers, "Content-Type: application/json");
    if (token != NULL && token[0] != '\0' && strpbrk(token, "\r\n") == NULL) {
        owned_mem char *line = mem_printf("Authorization: Bearer %s", token);
        headers = curl_slist_append(headers, line);
    }
    return headers;
}

/* A proxy from the environment is for the network, not for a node on this machine. */
static void set_options(struct http_client *self, const struct http_request *request)
{
    CURL *curl = self->curl;
    uint32_t stall_ms = request->timeout_ms != 0 ? request->timeout_ms : STALL_TIMEOUT_MS;
    curl_easy_reset(curl);
    if (self->loopback)
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "testmesh/" TESTMESH_VERSION);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)(stall_ms + 999) / 1000);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, self);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, self);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, take_tick);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, self);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    if (request->method != NULL)
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
}

static int explain(const struct http_client *self, CURLcode code, struct err *err)
{
    if (self->too_large)
        return err_set(err, ERR_TOO_LARGE, "%s: the answer is larger than %d MiB", self->url,
                       HTTP_ANSWER_MAX >> 20);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return err_set(err, ERR_CANCELLED, "given up");
    if (code == CURLE_OPERATION_TIMEDOUT)
        return err_set(err, ERR_TIMEOUT, "%s: no answer in time", self->url);
    if (code == CURLE_READ_ERROR)
        return err_set(err, ERR_IO, "the file to send cannot be read");
    if (code == CURLE_URL_MALFORMAT)
        return err_set(err, ERR_INVALID, "--node %.200s: not a URL", self->url);
    return err_set(err, ERR_UNAVAILABLE, "no node answers at %s (%s)", self->url,
                   curl_easy_strerror(code));
}

int http_send(struct http_client *self, const struct http_request *request, struct http_answer *out,
              struct err *err)
{
    set_options(self, request);
    http_answer_fini(out);
    self->answer = out;
    self->too_large = false;
    owned_mem char *url = mem_printf("%s%s", self->url, request->path);
    curl_easy_setopt(self->curl, CURLOPT_URL, url);
    struct curl_slist *headers = make_headers(request);
    curl_easy_setopt(self->curl, CURLOPT_HTTPHEADER, headers);
    curl_mime *mime = request->parts != NULL ? make_body(self->curl, request->parts) : NULL;
    if (mime != NULL)
        curl_easy_setopt(self->curl, CURLOPT_MIMEPOST, mime);
    const char *body = request->json != NULL ? request->json : "";
    if (mime == NULL && request->method != NULL && strcmp(request->method, "POST") == 0)
        curl_easy_setopt(self->curl, CURLOPT_POSTFIELDS, body);
    CURLcode code = curl_easy_perform(self->curl);
    curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, &out->status);
    curl_mime_free(mime);
    curl_slist_free_all(headers);
    /* A node that refuses an upload early answers and closes: its answer is what counts. */
    if (code == CURLE_SEND_ERROR && out->status >= 400)
        code = CURLE_OK;
    return code == CURLE_OK ? 0 : explain(self, code, err);
}

/* The codes by which the verbs decide how to end; any other status is the node's trouble. */
static enum err_code code_of(long status)
{
    static const enum err_code codes[] = {
        ERR_UNAUTHORIZED, ERR_FORBIDDEN,  ERR_NOT_FOUND,     ERR_CONFLICT,
        ERR_TOO_LARGE,    ERR_MEDIA_TYPE, ERR_UNPROCESSABLE, ERR_BUSY,
    };
    for (size_t i = 0; i < countof(codes); i++) {
        if (err_http_status(codes[i]) == status)
            return codes[i];
    }
    return status >= 500 ? ERR_INTERNAL : ERR_INVALID;
}

static int refuse(const struct http_client *self, const struct http_answer *answer, struct err *err)
{
    owned_json *problem = json_in_parse(buf_str(&answer->body), answer->body.len, NULL);
    const char *detail = json_in_str(problem, "detail", json_in_str(problem, "error", NULL));
    const char *hint = json_in_str(problem, "hint", NULL);
    enum err_code code = code_of(answer->status);
    if (detail == NULL)
        return err_set(err, code, "%s answered %ld without saying why", self->url, answer->status);
    owned_buf words = BUF_INIT;
    text_safe(detail, DETAIL_MAX, &words);
    if (hint != NULL) {
        buf_puts(&words, "\n  hint: ");
        text_safe(hint, DETAIL_MAX, &words);
    }
    return err_set(err, code, "%s", buf_str(&words));
}

int http_expect(struct http_client *self, const struct http_request *request,
                struct http_answer *out, struct err *err)
{
    int rc = http_send(self, request, out, err);
    if (rc != 0)
        return rc;
    return out->status >= 400 ? refuse(self, out, err) : 0;
}

void http_escape(const char *text, const char *keep, struct buf *out)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("-._~", c) != NULL || strchr(keep, c) != NULL;
        if (plain)
            buf_putc(out, (char)c);
        else
            buf_printf(out, "%%%02X", c);
    }
}
