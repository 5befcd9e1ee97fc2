/* gate: the one way out of a network namespace without a route.
 *
 * A socket that listens on the loopback inside is handed out to whoever may connect outside, and
 * who relays (runner/egress). Two users of it:
 *
 *   a jail with jail_spec.gate_fd: bubblewrap has made the namespace. `testmesh-gate FD PROGRAM …`,
 *       which is libc only, opens the gate inside, names it in the variables by which programs find
 *       a proxy (HTTPS_PROXY and its like), and becomes the program
 *   a helper of this binary: gate_take_network(), then gate_open()
 *
 * Who opens it keeps nothing of it: what runs there later can connect to it, and cannot listen in
 * its place. */
#ifndef RUNNER_JAIL_GATE_H
#define RUNNER_JAIL_GATE_H

#include <stdint.h>

/* Opens the gate: listens on 127.0.0.1, at a port of the kernel's choice, and sends the socket
 * through `fd` (a UNIX socket), which is closed. Returns the port, or -1 with errno. */
int gate_open(int fd);

/* Leaves the network of this process for one of its own, with nothing but lo, which is up; by a
 * user namespace of its own where it is not root (or may do no more), whose rights are then given
 * up. For a process with one thread. Returns 0; -1 with errno where the kernel does not let it: nothing has changed
 * then. */
int gate_take_network(void);

#endif
