/* lockin: what a helper gives up before it reads strangers' bytes. */
#ifndef INTAKE_LOCKIN_H
#define INTAKE_LOCKIN_H

#include <stddef.h>
#include <stdint.h>

/* For good: memory to 512 MiB, processor time to 120 s, files to `file_bytes`, no core file, no new
 * privileges, death with the parent; where the kernel has Landlock: no file but below `dir_fd` (-1:
 * none at all), and no network. What is open stays usable. What the kernel does not have is left
 * out: the parent's limits and the checks themselves do not rest on it. */
void lockin(int dir_fd, uint64_t file_bytes);

/* The same for a helper that needs a network: beside `dir_fd` it may read what is named here, and
 * open TCP connections to these ports. (Landlock knows nothing of UDP: names can be looked up.) */
struct lockin_network {
    const char *const *readable; /* files and folders; absent ones are skipped; NULL at the end */
    const uint16_t *ports;
    size_t port_count;
};

void lockin_with_network(int dir_fd, uint64_t file_bytes, const struct lockin_network *network);

#endif
