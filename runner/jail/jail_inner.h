/* jail_inner: what the files of jail share. */
#ifndef RUNNER_JAIL_JAIL_INNER_H
#define RUNNER_JAIL_JAIL_INNER_H

#include "runner/jail/jail.h"

/* As jail_command_build(), with the number that the filter's descriptor has in the child; -1: none.
 */
int jail_command_make(const struct jail_spec *spec, int filter_fd, struct jail_command *out,
                      struct err *err) ERR_CHECKED;

/* The command line of the helper is
 *     <binary> --helper jail <uid> <node> <count> <source>… <bubblewrap> <argument>…
 * and JAIL_STAGE "/<n>" is the name of the n-th source behind it. */
#define JAIL_STAGE "/tmp"

/* Exit code of the helper when it fails. */
#define JAIL_HELPER_FAILED 125

/* The end of an exchange with the probe. */
#define JAIL_PROBE_OK "confined"

#endif
