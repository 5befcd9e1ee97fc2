/* machine: what the daemon asks of the machine when it starts. */
#ifndef NODE_MACHINE_H
#define NODE_MACHINE_H

/* How many modules it can run at once: a core and a GiB of memory for each, at least one. */
unsigned machine_slots(void);

/* All of its memory, in MiB. */
unsigned machine_memory_mb(void);

/* Returns the path of this very program, owned. */
char *machine_program(void);

/* Asks for the processor before other programs, where that is allowed: who runs tests must not miss
 * what others ask of it meanwhile, or they take it for dead. */
void machine_raise_priority(void);

/* Raises the limit of open descriptors as far as it goes: every connection and job needs some. */
void machine_raise_descriptors(void);

/* Keeps what passes through this process to itself: no core file, no look from outside (root's
 * aside), and what libevent and jansson allocate is overwritten when it is freed: requests, with
 * the tokens in them, pass through both. Before either is used. */
void machine_keep_secrets(void);

#endif
