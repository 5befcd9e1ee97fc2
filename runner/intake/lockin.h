/* lockin: what a helper gives up before it reads strangers' bytes. */
#ifndef INTAKE_LOCKIN_H
#define INTAKE_LOCKIN_H

#include <stdint.h>

/* For good: memory to 512 MiB, processor time to 120 s, files to `file_bytes`, no core file, no new
 * privileges, death with the parent; where the kernel has Landlock: no file but below `dir_fd`, and
 * no network. What is open stays usable. What the kernel does not have is left out: the parent's
 * limits and the checks themselves do not rest on it. */
void lockin(int dir_fd, uint64_t file_bytes);

#endif
