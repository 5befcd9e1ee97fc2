/* skip: what of a folder is no part of the project in it. Pure. */
#ifndef CLI_SKIP_H
#define CLI_SKIP_H

#include <stdbool.h>

/* Whether an entry of that name is left out when a folder is zipped: version control, caches,
 * byte code, folders of build and package tools. Names are matched whole, never in part: a file
 * called cache.py is a file like any other. */
bool skip_entry(const char *name, bool is_folder);

/* The name of the file that makes the folder it lies in a virtual environment (PEP 405). */
#define SKIP_VENV_MARK "pyvenv.cfg"

#endif
