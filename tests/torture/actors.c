/* actors.c - the programs that ours start, played by this one. */
#include "actors.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* lighttpd.conf: an unset one is a syntax error there. */
static bool settings_are_there(const char *conf)
{
	static char text[65536];
	FILE       *f = fopen(conf, "re");
	size_t      n = f == NULL ? 0 : fread(text, 1, sizeof text - 1, f), len;
	char        name[64], path[512];
	bool        are = n > 0;

	if (f != NULL)
		fclose(f);
	for (char *p = text; are && (p = strstr(p, "env.")) != NULL; p += 4) {
		len = strspn(p + 4, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
		snprintf(name, sizeof name, "%.*s", (int)len, p + 4);
		if (len > 0 && getenv(name) == NULL) {
			fprintf(stderr, "lighttpd: env.%s is not set\n", name);
			are = false;
		}
	}
	snprintf(path, sizeof path, "%s/cgi/predict", are ? getenv("PRELABEL_RUN_DIR") : "");
	if (are && access(path, X_OK) < 0) {
		fprintf(stderr, "lighttpd: no program %s\n", path);
		are = false;
	}
	return are;
}

static int web_server(char *argv[])
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const int          one = 1;
	int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), conn;

	if (argv[1] == NULL || argv[2] == NULL || argv[3] == NULL || !settings_are_there(argv[3]))
		return 1;
	at.sin_port = htons((in_port_t)atoi(getenv("PORT")));
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
	    bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 16) < 0)
		return 1;
	for (;;) {
		conn = accept(fd, NULL, NULL);
		if (conn >= 0)
			close(conn);
	}
}

static int model(const char *how)
{
	char   *line = NULL;
	size_t  cap = 0, n;

	fprintf(stderr, "the model begins\n");
	while (getline(&line, &cap, stdin) > 0) {
		if (strcmp(how, "silent") == 0 && line[2] == 'p')
			continue;
		n = 0;
		for (const char *p = line; (p = strstr(p, "\"updated_at\"")) != NULL; p++)
			n++;
		if (strncmp(line, "{\"fit\"", 6) == 0)
			fputs("{\"learned\":1}\n", stdout);
		else
			fputs("{\"predictions\":[", stdout);
		for (size_t i = 0; i < n && line[2] == 'p'; i++)
			printf("%s{\"result\":[{\"value\":{\"choices\":[\"good\"]}}],\"score\":0.5}", i == 0 ? "" : ",");
		fputs(line[2] == 'p' ? "]}\n" : "", stdout);
		fflush(stdout);
		if (strcmp(how, "ends") == 0)
			break;
	}
	free(line);
	return 0;
}

bool actor(char *argv[], int *status)
{
	const char *slash = strrchr(argv[0], '/'), *how = getenv("ACTOR_MODEL");

	if (strcmp(slash == NULL ? argv[0] : slash + 1, "lighttpd") == 0)
		*status = web_server(argv);
	else if (getenv("ACTOR") != NULL)
		*status = model(how == NULL ? "" : how);
	else
		return false;
	return true;
}
