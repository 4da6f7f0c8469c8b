/* program_files.c - what a program that has its files beside it carries: nothing.  A file
 * of its own, so that the linker leaves it out where another program_files is. */
#include "program.h"

const struct program_file program_files[] = { { NULL, NULL, NULL } };
