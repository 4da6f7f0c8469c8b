/* check.h - `prelabel start --check`: would it serve, and does Label Studio know us? */
#ifndef CHECK_H
#define CHECK_H

#include "base/env.h"
#include "base/err.h"

#include <stdio.h>

/*
 * Prints a line for each thing looked at, what was found behind it: the kinds of
 * model, the program of a model in another language, and of doctor.h the folder of the
 * store, Label Studio and the key.  The settings were right when env could be read.
 * Changes nothing.
 *
 * Returns how many of them are not as they have to be.
 */
size_t check_start(const struct env *env, FILE *out);

#endif
