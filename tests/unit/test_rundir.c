/* test_rundir.c - the folder of a start, and those that earlier starts left. */
#include "rundir.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/prelabel-rundir.XXXXXX";

/* A folder in dir, with a file in it. */
static void left_over(const char *name, mode_t mode)
{
	char path[sizeof dir + 64];
	char file[sizeof path + 8];
	int  fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(file, sizeof file, "%s/file", path);
	fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(chmod(path, mode), 0);
}

static bool there(const char *name)
{
	char path[sizeof dir + 64];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static void test_ours(void **state)
{
	struct rundir one, two;
	struct err    e = { 0 };
	struct stat   st;
	char          path[sizeof one.path];

	(void)state;
	assert_int_equal(rundir_make(&one, dir, "run", &e), 0);
	assert_int_equal(stat(one.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	/* Another start beside it takes nothing away. */
	assert_int_equal(rundir_make(&two, dir, "run", &e), 0);
	assert_string_not_equal(one.path, two.path);
	assert_int_equal(access(one.path, F_OK), 0);
	snprintf(path, sizeof path, "%s", one.path);
	rundir_remove(&one);
	assert_int_equal(access(path, F_OK), -1);
	rundir_remove(&two);
	rundir_remove(&(struct rundir){ .lock = -1 });      /* none was made */
}

static void test_swept(void **state)
{
	struct rundir run;
	struct err    e = { 0 };

	(void)state;
	left_over("run.abcdef", 0700);          /* of a start that was killed */
	left_over("run.abcdeg", 0755);          /* not made by us: not so open */
	left_over("run.longer7", 0700);
	left_over("ran.abcdef", 0700);
	left_over("other", 0700);
	assert_int_equal(rundir_make(&run, dir, "run", &e), 0);
	assert_false(there("run.abcdef"));
	assert_true(there("run.abcdeg") && there("run.abcdeg/file"));
	assert_true(there("run.longer7/file") && there("ran.abcdef/file") && there("other/file"));
	rundir_remove(&run);
}

static void test_refused(void **state)
{
	struct rundir run;
	struct err    e = { 0 };
	char          long_name[5000];

	(void)state;
	memset(long_name, 'x', sizeof long_name - 1);
	long_name[0] = '/';
	long_name[sizeof long_name - 1] = '\0';
	assert_int_equal(rundir_make(&run, long_name, "run", &e), -1);
	assert_int_equal(e.code, ERR_USAGE);
	assert_non_null(strstr(e.msg, "too long"));
	err_clear(&e);
	assert_int_equal(rundir_make(&run, "/nonexistent/folder", "run", &e), -1);
	assert_int_equal(e.code, ERR_USAGE);
	assert_string_equal(run.path, "");
	rundir_remove(&run);
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
	static const char *const names[] = { "run.abcdeg", "run.longer7", "ran.abcdef", "other" };
	char                     path[sizeof dir + 64];

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s/file", dir, names[i]);
		unlink(path);
		*strrchr(path, '/') = '\0';
		rmdir(path);
	}
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ours),
		cmocka_unit_test(test_swept),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
