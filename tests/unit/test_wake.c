/* test_wake.c - the words to the supervisor and to the service manager. */
#include "wake.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/prelabel-wake.XXXXXX";

/* A socket that hears; '@': an abstract name. */
static int listen_at(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int                fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
	if (path[0] == '@')
		at.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))), 0);
	return fd;
}

static void heard(int fd, const char *want, size_t len)
{
	char got[64];

	assert_int_equal(recv(fd, got, sizeof got, 0), len);
	assert_memory_equal(got, want, len);
}

static void test_supervisor(void **state)
{
	char path[sizeof dir + 32], long_name[200];
	int  fd;
	bool woken = true;

	(void)state;
	unsetenv(RUN_DIR_VARIABLE);
	assert_false(supervisor_wake());
	setenv(RUN_DIR_VARIABLE, "", 1);
	assert_false(supervisor_wake());
	memset(long_name, 'x', sizeof long_name - 1);
	long_name[sizeof long_name - 1] = '\0';
	setenv(RUN_DIR_VARIABLE, long_name, 1);
	assert_false(supervisor_wake());

	setenv(RUN_DIR_VARIABLE, dir, 1);
	assert_false(supervisor_wake());        /* nobody is there */
	snprintf(path, sizeof path, "%s/%s", dir, WAKE_SOCKET);
	fd = listen_at(path);
	assert_true(supervisor_wake());
	heard(fd, "", 1);
	/* One that has many words to read yet will look all the same. */
	for (int i = 0; i < 5000 && woken; i++)
		woken = supervisor_wake();
	assert_true(woken);
	close(fd);
	assert_false(supervisor_wake());        /* it has ended, its socket's name is left */
	unlink(path);
	unsetenv(RUN_DIR_VARIABLE);
}

static void test_manager(void **state)
{
	char path[sizeof dir + 32], name[64], long_name[sizeof ((struct sockaddr_un *)0)->sun_path + 1];
	int  fd;

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_false(manager_listens());
	assert_int_equal(manager_tell("READY=1"), 0);
	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_false(manager_listens());
	memset(long_name, 'x', sizeof long_name - 1);
	long_name[0] = '/';
	long_name[sizeof long_name - 1] = '\0';
	setenv("NOTIFY_SOCKET", long_name, 1);
	assert_false(manager_listens());
	long_name[sizeof long_name - 2] = '\0';
	setenv("NOTIFY_SOCKET", long_name, 1);
	assert_true(manager_listens());
	assert_int_equal(manager_tell("READY=1"), ENOENT);

	snprintf(path, sizeof path, "%s/notify", dir);
	snprintf(name, sizeof name, "@prelabel-test-%d", (int)getpid());
	for (int i = 0; i < 2; i++) {
		const char *at = i == 0 ? path : name;

		fd = listen_at(at);
		setenv("NOTIFY_SOCKET", at, 1);
		assert_true(manager_listens());
		assert_int_equal(manager_tell("READY=1"), 0);
		heard(fd, "READY=1", 7);
		close(fd);
		assert_int_equal(manager_tell("STOPPING=1"), ECONNREFUSED);
	}
	unlink(path);
	unsetenv("NOTIFY_SOCKET");
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_supervisor),
		cmocka_unit_test(test_manager),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
