#include "node/net/names.h"

#include "node/net/addr.h"
#include "proto/base/mem.h"

#include <arpa/inet.h>
#include <assert.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/queue.h>

struct question {
    TAILQ_ENTRY(question) links;
    struct names *names; /* NULL: nobody is there any more */
    struct evdns_getaddrinfo_request *request;
    struct event *soon; /* for what is known at once */
    struct wire_addr addrs[NET_ADDRS_MAX];
    size_t count;
    uint16_t port;
    net_resolved_fn *done;
    void *arg;
    bool is_starting; /* evdns may answer inside the call that asks */
};

struct names {
    struct event_base *base;
    char *server;
    struct evdns_base *dns; /* made at the first name: many nodes never ask for one */
    TAILQ_HEAD(, question) questions;
    uint64_t failed;
};

struct names *names_new(struct event_base *base, const char *server)
{
    struct names *self = mem_new(sizeof *self);
    self->server = server ? mem_strdup(server) : NULL;
    self->base = base;
    TAILQ_INIT(&self->questions);
    return self;
}

static void free_question(struct question *self)
{
    if (self->names)
        TAILQ_REMOVE(&self->names->questions, self, links);
    event_free(self->soon);
    free(self);
}

void names_free(struct names *self_owned)
{
    if (!self_owned)
        return;
    struct question *at;
    while ((at = TAILQ_FIRST(&self_owned->questions))) {
        TAILQ_REMOVE(&self_owned->questions, at, links);
        at->names = NULL;
        /* evdns calls back once more for a request that is cancelled, possibly later. */
        if (at->request)
            evdns_getaddrinfo_cancel(at->request);
        else
            free_question(at);
    }
    if (self_owned->dns)
        evdns_base_free(self_owned->dns, 1);
    free(self_owned->server);
    free(self_owned);
}

static void tell(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct question *self = arg;
    if (self->count == 0)
        self->names->failed++;
    self->done(self->arg, self->addrs, self->count);
    free_question(self);
}

static void add(struct question *self, struct wire_addr addr)
{
    if (!wire_addr_is_set(&addr) || self->count == NET_ADDRS_MAX)
        return;
    for (size_t i = 0; i < self->count; i++) {
        if (wire_addr_compare(&self->addrs[i], &addr) == 0)
            return;
    }
    self->addrs[self->count++] = addr;
}

static void on_answer(int result, struct evutil_addrinfo *list, void *arg)
{
    struct question *self = arg;
    self->request = NULL;
    for (const struct evutil_addrinfo *at = list; result == 0 && at; at = at->ai_next)
        add(self, addr_from_socket(at->ai_addr));
    for (size_t i = 0; i < self->count; i++)
        self->addrs[i].port = self->port;
    if (list)
        evutil_freeaddrinfo(list);
    if (self->names)
        event_active(self->soon, 0, 0);
    else if (!self->is_starting)
        free_question(self);
}

static bool read_number(struct question *self, const char *name)
{
    uint8_t ip[16];
    if (inet_pton(AF_INET, name, ip) == 1)
        add(self, wire_addr_v4(ip, self->port));
    else if (inet_pton(AF_INET6, name, ip) == 1)
        add(self, wire_addr_v6(ip, self->port));
    return self->count > 0;
}

static struct evdns_base *ask_whom(struct names *self)
{
    int flags = EVDNS_BASE_DISABLE_WHEN_INACTIVE;
    if (!self->dns)
        self->dns = evdns_base_new(
            self->base, self->server ? flags : flags | EVDNS_BASE_INITIALIZE_NAMESERVERS);
    if (self->dns && self->server && evdns_base_count_nameservers(self->dns) == 0)
        (void)evdns_base_nameserver_ip_add(self->dns, self->server);
    return self->dns;
}

static void ask(struct question *self, const char *name)
{
    struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct evdns_base *dns = ask_whom(self->names);
    if (!dns) { /* no name server and no hosts file: nothing is known */
        event_active(self->soon, 0, 0);
        return;
    }
    self->is_starting = true;
    struct evdns_getaddrinfo_request *request =
        evdns_getaddrinfo(dns, name, NULL, &hints, on_answer, self);
    self->is_starting = false;
    self->request = request; /* NULL when it was answered at once */
}

int names_resolve(struct names *self, const char *text, uint16_t default_port,
                  net_resolved_fn *done, void *arg, struct err *err)
{
    static const char prefix[] = "dns:";
    char name[256];
    uint16_t port;
    if (strncmp(text, prefix, sizeof prefix - 1) == 0)
        text += sizeof prefix - 1;
    int rc = addr_split(text, default_port, name, &port, err);
    if (rc)
        return rc;
    if (*name == '\0' || port == 0 || name[strcspn(name, " \t\r\n/@")] != '\0')
        return err_set(err, ERR_INVALID, "'%.100s' names no node", text);
    struct question *question = mem_new(sizeof *question);
    question->names = self;
    question->port = port;
    question->done = done;
    question->arg = arg;
    question->soon = event_new(self->base, -1, 0, tell, question);
    TAILQ_INSERT_TAIL(&self->questions, question, links);
    if (read_number(question, name))
        event_active(question->soon, 0, 0);
    else
        ask(question, name);
    return 0;
}

uint64_t names_failed(const struct names *self) { return self->failed; }
