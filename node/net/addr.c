#include "node/net/addr.h"

#include "proto/base/mem.h"
#include "proto/base/opt.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

socklen_t addr_to_socket(const struct wire_addr *self, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (self->family == 6) {
        struct sockaddr_in6 *to = (struct sockaddr_in6 *)out;
        to->sin6_family = AF_INET6;
        to->sin6_port = htons(self->port);
        memcpy(&to->sin6_addr, self->ip, 16);
        return sizeof *to;
    }
    struct sockaddr_in *to = (struct sockaddr_in *)out;
    to->sin_family = AF_INET;
    to->sin_port = htons(self->port);
    memcpy(&to->sin_addr, self->ip, 4);
    return sizeof *to;
}

struct wire_addr addr_from_socket(const struct sockaddr *from)
{
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;
        return wire_addr_v4((const uint8_t *)&in->sin_addr, ntohs(in->sin_port));
    }
    if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)from;
        return wire_addr_v6((const uint8_t *)&in->sin6_addr, ntohs(in->sin6_port));
    }
    return (struct wire_addr){.family = 0};
}

static int bad(const char *text, struct err *err)
{
    return err_set(err, ERR_INVALID, "'%.100s' is no address:port", text);
}

int addr_split(const char *text, uint16_t default_port, char name[256], uint16_t *port,
               struct err *err)
{
    const char *start = text, *end = text + strlen(text), *colon = NULL;
    if (*text == '[') {
        start++;
        end = strchr(text, ']');
        if (!end || (end[1] != '\0' && end[1] != ':'))
            return bad(text, err);
        colon = end[1] == ':' ? end + 1 : NULL;
    } else if ((colon = strchr(text, ':')) != NULL) {
        end = colon;
        if (strchr(colon + 1, ':'))
            return bad(text, err);
    }
    int64_t number = default_port;
    if (colon && (!opt_read_int(colon + 1, &number) || number < 0 || number > UINT16_MAX))
        return bad(text, err);
    size_t len = (size_t)(end - start);
    if (len > 255)
        return bad(text, err);
    memcpy(name, start, len);
    name[len] = '\0';
    *port = (uint16_t)number;
    return 0;
}

int addr_read_listen(const char *text, struct wire_addr *out, struct err *err)
{
    char name[256];
    uint16_t port;
    uint8_t ip[16];
    int rc = strchr(text, ':') ? addr_split(text, 0, name, &port, err) : bad(text, err);
    if (rc)
        return rc;
    const char *host = *name == '\0' ? "0.0.0.0" : name;
    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (inet_pton(AF_INET, host, ip) == 1)
        *out = wire_addr_v4(ip, port);
    else if (inet_pton(AF_INET6, host, ip) == 1)
        *out = wire_addr_v6(ip, port);
    else
        return bad(text, err);
    return 0;
}
