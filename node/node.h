/* node: the daemon, put together: one event loop, one disk thread, children for all that may block.
 */
#ifndef NODE_NODE_H
#define NODE_NODE_H

/* `testmesh node …`: runs until SIGTERM or SIGINT, which drain it. Returns the exit code: 0 after a
 * drain, 1 for a failure at start, 4 for wrong usage, 75 when the store can no longer be written
 * and a fresh start may help. */
int node_main(int argc, char **argv);

#endif
