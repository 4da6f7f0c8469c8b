/*
 * floor.c - the least a FastCGI program behind lighttpd can do: read the body,
 * answer a constant.  What tests/bench/run divides by, so that a figure says
 * how much of a request is ours and how much is the way to it.
 *
 *   THREADS accepting threads (4), as the programs of cgi/ have.
 */
#include <fcgiapp.h>
#include <pthread.h>
#include <stdlib.h>

static const char body[] = "{\"results\":[]}";

static void *answer(void *unused)
{
	FCGX_Request req;
	char         sink[16384];

	FCGX_InitRequest(&req, 0, 0);
	while (FCGX_Accept_r(&req) == 0) {
		while (FCGX_GetStr(sink, (int)sizeof sink, req.in) > 0)
			;
		FCGX_FPrintF(req.out, "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		             (int)sizeof body - 1, body);
		FCGX_Finish_r(&req);
	}
	FCGX_Free(&req, 1);
	return unused;
}

int main(void)
{
	const char *threads = getenv("THREADS");
	int         n = threads != NULL ? atoi(threads) : 4;
	pthread_t   t;

	if (FCGX_Init() != 0)
		return 1;
	while (n-- > 1)
		if (pthread_create(&t, NULL, answer, NULL) != 0)
			return 1;
	answer(NULL);
	return 0;
}
