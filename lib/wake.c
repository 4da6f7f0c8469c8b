/* wake.c - a word to who started this program: supervisor or service manager. */
#include "wake.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* 0, or errno.  A path that begins with '@' is an abstract name. */
static int tell(struct sockaddr_un *to, const char *text, size_t len, int flags)
{
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(to->sun_path));
	ssize_t   sent;
	int       fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | flags, 0), failed;

	if (fd < 0)
		return errno;
	if (to->sun_path[0] == '@')
		to->sun_path[0] = '\0';
	sent = sendto(fd, text, len, MSG_NOSIGNAL, (const struct sockaddr *)to, size);
	failed = sent == (ssize_t)len ? 0 : errno;
	close(fd);
	return failed;
}

bool supervisor_wake(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	const char        *dir = getenv(RUN_DIR_VARIABLE);
	int                n, failed;

	if (dir == NULL || dir[0] == '\0')
		return false;
	n = snprintf(to.sun_path, sizeof to.sun_path, "%s/%s", dir, WAKE_SOCKET);
	if (n < 0 || (size_t)n >= sizeof to.sun_path)
		return false;
	failed = tell(&to, "", 1, SOCK_NONBLOCK);
	return failed == 0 || failed == EAGAIN;
}

bool manager_listens(void)
{
	const char *at = getenv("NOTIFY_SOCKET");

	return at != NULL && (at[0] == '/' || at[0] == '@') &&
	       strlen(at) < sizeof ((struct sockaddr_un *)0)->sun_path;
}

int manager_tell(const char *state)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	if (!manager_listens())
		return 0;
	snprintf(to.sun_path, sizeof to.sun_path, "%s", getenv("NOTIFY_SOCKET"));
	return tell(&to, state, strlen(state), 0);
}
