#include "runner/git/way.h"

#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/sanitized.h"
#include "runner/jail/confine_spec.h"
#include "runner/jail/gate.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define CONNECTIONS_MAX 8
#define CONNECT_MS      9000 /* a little less than the child waits */

int way_open(struct way *self, struct egress *egress, const struct way_spec *spec, struct err *err)
{
    *self = (struct way){.policy = {.public_only = true, .also = *spec->also}, .fd = {-1, WAY_FD}};
    if (!egress)
        return 0;
    egress_places_add_urls(&self->policy.places, spec->url);
    const struct egress_client_spec client = {.policy = &self->policy,
                                              .bytes_max = spec->bytes_max,
                                              .connections_max = CONNECTIONS_MAX,
                                              .connect_ms = CONNECT_MS};
    self->client = egress_client_new(egress, &client, &self->fd.from, err);
    if (self->client)
        return 0;
    way_close(self);
    return err->code;
}

size_t way_fd_count(const struct way *self) { return self->fd.from >= 0 ? 1 : 0; }

void way_passed(struct way *self) { mem_close_at(&self->fd.from); }

void way_judge(const struct way *self, struct err *err)
{
    size_t count = 0;
    const struct egress_refusal *refusals =
        self->client ? egress_client_refusals(self->client, &count) : NULL;
    if (count == 0 || !err->reason || strcmp(err->reason, "repo-address") != 0)
        return;
    const struct egress_refusal *first = &refusals[0];
    (void)err_refuse(err, ERR_UNPROCESSABLE, "repo-address", "%s has the address %s: %s",
                     first->target.host, first->address[0] ? first->address : first->target.host,
                     egress_verdict_words(first->verdict));
}

void way_close(struct way *self)
{
    way_passed(self);
    egress_client_free(steal_ptr(&self->client));
    egress_places_fini(&self->policy.places);
}

uint16_t way_enter(void)
{
    (void)fcntl(WAY_FD, F_SETFD, FD_CLOEXEC);
    if (gate_take_network()) {
        close(WAY_FD);
        return 0;
    }
    int port = gate_open(WAY_FD);
    return port > 0 ? (uint16_t)port : 0;
}

/* What a proxy says of itself is kept from those who read the host's headers. */
void way_set_up(void *curl, uint16_t port, const char *ca_file, const char *ca_dir)
{
    char proxy[40] = "";
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
    if (ca_dir)
        curl_easy_setopt(curl, CURLOPT_CAPATH, ca_dir);
    if (port)
        (void)snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", port);
    curl_easy_setopt(curl, CURLOPT_PROXY, proxy);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "");
    curl_easy_setopt(curl, CURLOPT_HTTPPROXYTUNNEL, port ? 1L : 0L);
    curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

long way_refusal(void *curl)
{
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_HTTP_CONNECTCODE, &status);
    return status / 100 == 2 ? 0 : status;
}

void way_note_shared(void)
{
    static bool is_said;
    if (!is_said)
        log_warn("fetch_shares_network",
                 "this kernel gives no network namespace to what speaks to git hosts: it connects "
                 "by itself, to addresses that it checks");
    is_said = true;
}

void way_filter(void)
{
    owned_buf code = BUF_INIT;
    if (SANITIZED || filter_compile(&code, NULL)) /* leaks are looked for by what is filtered */
        return;
    struct sock_fprog program = {.len = (unsigned short)(code.len / sizeof(struct sock_filter)),
                                 .filter = (struct sock_filter *)(void *)code.data};
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}
