/* wake.c - a word to the supervisor that started this program. */
#include "wake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

bool supervisor_wake(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	const char        *dir = getenv(RUN_DIR_VARIABLE);
	ssize_t            sent;
	int                fd, n, failed;

	if (dir == NULL || dir[0] == '\0')
		return false;
	n = snprintf(to.sun_path, sizeof to.sun_path, "%s/%s", dir, WAKE_SOCKET);
	if (n < 0 || (size_t)n >= sizeof to.sun_path)
		return false;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	sent = sendto(fd, "", 1, MSG_NOSIGNAL, (const struct sockaddr *)&to, sizeof to);
	failed = sent == 1 ? 0 : errno;
	close(fd);
	return failed == 0 || failed == EAGAIN;
}
