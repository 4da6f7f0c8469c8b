/*
 * main.c - what power cuts, failing disks, damage and dying trainers do to a store.
 *
 *	powercut [--long] [--seed N] [PART...]
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
	const char *name;
	void      (*run)(void);
} parts[] = {
	{ "cuts", check_cuts },
	{ "migrations", check_migrations },
	{ "faults", check_faults },
	{ "orders", check_orders },
	{ "trainers", check_trainers },
	{ "damage", check_damage },
};

static double cpu_s(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

static bool wanted(int argc, char *argv[], int first, const char *name)
{
	for (int i = first; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return first >= argc;
}

int main(int argc, char *argv[])
{
	int first = 1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (; first < argc && argv[first][0] == '-'; first++)
		if (strcmp(argv[first], "--long") == 0) {
			world_long = true;
		} else if (strcmp(argv[first], "--seed") == 0 && first + 1 < argc) {
			world_seed = strtoull(argv[++first], NULL, 10);
		} else {
			fputs("usage: powercut [--long] [--seed N] [PART...]\n", stderr);
			return 2;
		}
	world_open();
	for (size_t i = 0; i < countof(parts); i++)
		if (wanted(argc, argv, first, parts[i].name)) {
			double began = cpu_s();

			parts[i].run();
			printf("#    %s: %.1f s of processor\n", parts[i].name, cpu_s() - began);
		}
	world_close();
	return report();
}
