#include "runner/git/transport.h"

#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "runner/git/way.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define REDIRECTS_MAX 3
#define CONNECT_S     10L
#define RETRY_MAX_S   3600u
#define AGENT         "git/2.0 (testmesh)" /* hosts tell git from browsers by the first word */

struct transport {
    struct transport_spec spec;
    CURL *curl;
    char *base; /* where the repository is: changes when the host says that it has moved */
    uint64_t received;
    bool sends_token;
    /* of the request under way */
    const struct transport_request *request;
    struct err *err;
    bool has_failed; /* `err` is filled */
    bool is_refused; /* an address was not allowed */
    bool is_limited; /* by its headers, the host counts requests and has had enough */
    uint32_t retry_after_s;
    char address[INET6_ADDRSTRLEN]; /* the one that was refused */
};

/* What a callback returns to end the request: `err` is filled. */
static size_t fail(struct transport *self, int rc)
{
    self->has_failed = rc != 0;
    return 0;
}

/* ---- what libcurl asks ----------------------------------------------------------------------- */

static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transport *self = arg;
    (void)purpose;
    /* With a proxy it is the only place that is connected to, by its number. */
    if (!self->spec.proxy_port && !git_address_is_allowed(&address->addr, self->spec.also)) {
        const void *from =
            address->family == AF_INET
                ? (const void *)&((struct sockaddr_in *)(void *)&address->addr)->sin_addr
                : (const void *)&((struct sockaddr_in6 *)(void *)&address->addr)->sin6_addr;
        self->is_refused = true;
        inet_ntop(address->family, from, self->address, sizeof self->address);
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool has_right_type(struct transport *self)
{
    const char *type = NULL;
    curl_easy_getinfo(self->curl, CURLINFO_CONTENT_TYPE, &type);
    size_t len = strlen(self->request->type);
    return type && strncasecmp(type, self->request->type, len) == 0 &&
           (type[len] == '\0' || type[len] == ';' || type[len] == ' ');
}

static size_t on_bytes(char *bytes, size_t size, size_t count, void *arg)
{
    struct transport *self = arg;
    size_t len = size * count;
    long status = 0;
    self->received += len;
    curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, &status);
    if (self->received > self->spec.bytes_max)
        return fail(self, err_refuse(self->err, ERR_UNPROCESSABLE, "repo-too-large",
                                     "more than %llu MiB came, and there is no end",
                                     (unsigned long long)self->spec.bytes_max >> 20));
    if (status != 200)
        return len;
    if (!has_right_type(self))
        return fail(self, err_refuse(self->err, ERR_UNPROCESSABLE, "repo-not-git",
                                     "what answers there is no git server"));
    int rc = self->request->feed(self->request->arg, bytes, len, self->err);
    return rc ? fail(self, rc) : len;
}

static bool is_header(const char *line, size_t len, const char *name, const char **value)
{
    size_t name_len = strlen(name);
    if (len <= name_len || strncasecmp(line, name, name_len) != 0 || line[name_len] != ':')
        return false;
    *value = line + name_len + 1;
    while (**value == ' ')
        (*value)++;
    return true;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct transport *self = arg;
    size_t len = size * count;
    char line[256];
    const char *value;
    size_t kept = len < sizeof line - 1 ? len : sizeof line - 1;
    memcpy(line, bytes, kept);
    line[kept] = '\0';
    self->received += len;
    if (is_header(line, kept, "Retry-After", &value)) {
        unsigned long seconds = strtoul(value, NULL, 10); /* 0 where it is a date */
        self->retry_after_s = seconds < RETRY_MAX_S ? (uint32_t)seconds : RETRY_MAX_S;
    } else if (is_header(line, kept, "X-RateLimit-Remaining", &value) ||
               is_header(line, kept, "RateLimit-Remaining", &value)) {
        self->is_limited = value[0] == '0';
    }
    return len;
}

/* ---- what came of it ------------------------------------------------------------------------- */

static int unreachable(const struct transport *self, const char *reason, const char *what,
                       struct err *err)
{
    return err_refuse(err, ERR_UNAVAILABLE, reason, "%s: %s", self->spec.url->host, what);
}

/* What the node's proxy said instead of leading there; 0 where it did, or there is none. */
static int judge_proxy(const struct transport *self, struct err *err)
{
    switch (self->spec.proxy_port ? way_refusal(self->curl) : 0) {
    case 0:
        return 0;
    case 403:
        return err_refuse(err, ERR_UNPROCESSABLE, "repo-address",
                          "%s has an address that is not connected to", self->spec.url->host);
    case 504:
        return unreachable(self, "repo-unreachable", "it cannot be connected to", err);
    default:
        return unreachable(self, "repo-unreachable",
                           "this node cannot find out its address, or its own proxy does not lead "
                           "there",
                           err);
    }
}

static int judge_failure(const struct transport *self, CURLcode code, const char *words,
                         struct err *err)
{
    int rc = judge_proxy(self, err);
    if (rc)
        return rc;
    switch ((int)code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return unreachable(self, "repo-unreachable", "this node cannot find out its address", err);
    case CURLE_OPERATION_TIMEDOUT:
        return unreachable(self, "repo-timeout", "it does not answer in time", err);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
        return unreachable(self, "repo-certificate",
                           "its certificate is not trusted by this node (SSL_CERT_FILE names the "
                           "authorities)",
                           err);
    default:
        if (self->is_refused)
            return err_refuse(err, ERR_UNPROCESSABLE, "repo-address",
                              "%s has the address %s, which is not a public one",
                              self->spec.url->host, self->address);
        return unreachable(self, "repo-unreachable", words, err);
    }
}

/* A host that hides what one may not see says 401 or 404 for it; which of the two, and whether a
 * token was there, decides what a user can do. */
static int judge_hidden(const struct transport *self, long status, struct err *err)
{
    if (!self->spec.token)
        return err_refuse(err, ERR_UNPROCESSABLE, "repo-not-found",
                          "there is no such repository, or it is private: no token was given");
    if (status == 401)
        return err_refuse(err, ERR_UNPROCESSABLE, "repo-token",
                          "%s does not take the token, or there is no such repository",
                          self->spec.url->host);
    return err_refuse(err, ERR_UNPROCESSABLE, "repo-not-found",
                      "there is no such repository, or it is private and the token does not open "
                      "it");
}

static int judge_status(const struct transport *self, long status, struct err *err)
{
    if (status == 429 || (status == 403 && (self->is_limited || self->retry_after_s)))
        return err_refuse(err, ERR_UNAVAILABLE, "repo-rate-limit",
                          "%s has a rate limit, and it is used up (HTTP %ld)%s",
                          self->spec.url->host, status,
                          self->spec.token ? "" : "; with a token it is higher");
    if (status == 401 || status == 404)
        return judge_hidden(self, status, err);
    if (status == 403)
        return err_refuse(err, ERR_UNPROCESSABLE, "repo-forbidden", "%s forbids it (HTTP 403)",
                          self->spec.url->host);
    if (status >= 500)
        return err_refuse(err, ERR_UNAVAILABLE, "repo-unreachable", "%s has a fault (HTTP %ld)",
                          self->spec.url->host, status);
    return err_refuse(err, ERR_UNPROCESSABLE, "repo-not-git", "%s answers with HTTP %ld",
                      self->spec.url->host, status);
}

/* ---- redirects ------------------------------------------------------------------------------- */

/* A repository that was renamed: the new address must be the same host's, and end with what was
 * asked for; the rest is the repository's new place. */
static int follow(struct transport *self, struct err *err)
{
    const char *to = NULL;
    owned_buf host = BUF_INIT;
    curl_easy_getinfo(self->curl, CURLINFO_REDIRECT_URL, &to);
    buf_printf(&host, "https://%s", self->spec.url->host);
    if (self->spec.url->port != GIT_HTTPS_PORT)
        buf_printf(&host, ":%u", self->spec.url->port);
    buf_putc(&host, '/');
    size_t len = to ? strlen(to) : 0;
    size_t end = strlen(self->request->path);
    if (len > GIT_URL_MAX || len < host.len || strncasecmp(to, host.data, host.len) != 0)
        return err_refuse(err, ERR_UNPROCESSABLE, "repo-redirect",
                          "the host sends on to another place, which is not followed");
    if (len < host.len + end || strcmp(to + len - end, self->request->path) != 0)
        return err_refuse(err, ERR_UNPROCESSABLE, "repo-not-found",
                          "there is no such repository: the host sends on to a page of its own");
    free(self->base);
    self->base = mem_strndup(to, len - end);
    return 0;
}

/* ---- a request ------------------------------------------------------------------------------- */

static void set_request(struct transport *self, const char *url, struct curl_slist *headers)
{
    const struct transport_request *request = self->request;
    CURL *curl = self->curl;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    if (request->body) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)request->body_len);
    } else {
        curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    }
    if (self->sends_token) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(curl, CURLOPT_USERNAME, "x-access-token");
        curl_easy_setopt(curl, CURLOPT_PASSWORD, self->spec.token);
    }
}

/* Returns the status, or a negative code. */
static long perform(struct transport *self, struct err *err)
{
    char words[CURL_ERROR_SIZE] = "";
    owned_mem char *url = mem_printf("%s%s", self->base, self->request->path);
    owned_mem char *type =
        mem_printf("Content-Type: %s", self->request->body_type ? self->request->body_type : "");
    uint64_t now = clock_mono_ms();
    long status = 0;
    if (now >= self->spec.deadline_ms)
        return unreachable(self, "repo-timeout", "no time is left", err);
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    if (self->request->body)
        headers = curl_slist_append(headers, type);
    set_request(self, url, headers);
    curl_easy_setopt(self->curl, CURLOPT_ERRORBUFFER, words);
    curl_easy_setopt(self->curl, CURLOPT_TIMEOUT_MS, (long)(self->spec.deadline_ms - now));
    self->has_failed = self->is_refused = self->is_limited = false;
    self->retry_after_s = 0;
    self->err = err;
    CURLcode code = curl_easy_perform(self->curl);
    curl_slist_free_all(headers);
    curl_easy_setopt(self->curl, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(self->curl, CURLOPT_ERRORBUFFER, NULL);
    if (self->has_failed)
        return err->code;
    if (code != CURLE_OK)
        return judge_failure(self, code, words[0] ? words : curl_easy_strerror(code), err);
    curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

int transport_send(struct transport *self, const struct transport_request *request, struct err *err)
{
    self->request = request;
    for (unsigned redirects = 0;;) {
        long status = perform(self, err);
        if (status < 0)
            return (int)status;
        if (status == 200)
            return 0;
        if (status >= 301 && status <= 308 && !request->body && ++redirects <= REDIRECTS_MAX) {
            int rc = follow(self, err);
            if (rc)
                return rc;
        } else if (self->spec.token && !self->sends_token &&
                   (status == 401 || status == 403 || status == 404)) {
            self->sends_token = true; /* nobody sees it who has not asked */
        } else {
            return judge_status(self, status, err);
        }
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void set_up(struct transport *self)
{
    CURL *curl = self->curl;
    way_set_up(curl, self->spec.proxy_port, self->spec.ca_file, self->spec.ca_dir);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, AGENT);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)self->spec.silence_s);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, self);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, self);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, self);
}

struct transport *transport_new(const struct transport_spec *spec)
{
    struct transport *self = mem_new(sizeof *self);
    owned_buf base = BUF_INIT;
    git_url_put_repository(spec->url, &base);
    buf_puts(&base, ".git"); /* every host takes it so, and some would send on to it */
    *self = (struct transport){.spec = *spec, .curl = curl_easy_init(), .base = buf_steal(&base)};
    if (!self->curl)
        abort(); /* out of memory */
    set_up(self);
    return self;
}

void transport_free(struct transport *self)
{
    if (!self)
        return;
    curl_easy_cleanup(self->curl);
    free(self->base);
    free(self);
}

uint64_t transport_received(const struct transport *self) { return self->received; }
uint32_t transport_retry_after_s(const struct transport *self) { return self->retry_after_s; }
