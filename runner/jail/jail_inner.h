/* jail_inner: what the files of jail share. */
#ifndef RUNNER_JAIL_JAIL_INNER_H
#define RUNNER_JAIL_JAIL_INNER_H

#include "runner/jail/jail.h"

/* The numbers that descriptors have in the child; -1: none. */
struct jail_targets {
    int filter;
    int gate;
};

/* As jail_command_build(), with the descriptors that the command line names. */
int jail_command_make(const struct jail_spec *spec, const struct jail_targets *targets,
                      struct jail_command *out, struct err *err) ERR_CHECKED;

/* From now on no jail of this process has a /proc, or each that does not say otherwise. */
void jail_refuse_proc(bool is_refused);

/* The command line of the helper is
 *     <binary> --helper jail <uid> <node> <count> <source>… <bubblewrap> <argument>…
 * and JAIL_STAGE "/<n>" is the name of the n-th source behind it. */
#define JAIL_STAGE "/tmp"

/* Exit code of the helper when it fails. */
#define JAIL_HELPER_FAILED 125

/* The end of an exchange with the probe. */
#define JAIL_PROBE_OK "confined"

#endif
