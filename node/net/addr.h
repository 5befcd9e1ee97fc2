/* addr: between wire's addresses, the kernel's, and what people write. */
#ifndef NODE_NET_ADDR_H
#define NODE_NET_ADDR_H

#include "proto/base/err.h"
#include "proto/wire/addr.h"

#include <sys/socket.h>

/* Returns the length. */
socklen_t addr_to_socket(const struct wire_addr *self, struct sockaddr_storage *out);

/* None for families that are not IP's. */
struct wire_addr addr_from_socket(const struct sockaddr *from);

/* As http_server_listen() reads it: "127.0.0.1:0", "[::]:5001", ":5001", "localhost:5001". */
int addr_read_listen(const char *text, struct wire_addr *out, struct err *err) ERR_CHECKED;

/* Takes "name:port", "name", "[::1]:port" apart. `name` has room for 256 bytes.
 * Errors: ERR_INVALID. */
int addr_split(const char *text, uint16_t default_port, char name[256], uint16_t *port,
               struct err *err) ERR_CHECKED;

#endif
