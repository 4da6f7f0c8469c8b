/*
 * main.c - all programs in one file: which one it is, its name says (argv[0]).
 *
 * Not the first word: `prelabel predict` and `prelabel status` are commands.  A file
 * under a name of its own is prelabel.
 */
#include "base/span.h"
#include "program.h"

#include <nss.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* build.sh gives the main of each this name. */
int predict_main(int argc, char *argv[]);
int setup_main(int argc, char *argv[]);
int webhook_main(int argc, char *argv[]);
int status_main(int argc, char *argv[]);
int lighttpd_main(int argc, char *argv[]);
int prelabel_main(int argc, char *argv[]);

static const struct {
	const char *name;
	int       (*run)(int argc, char *argv[]);
} programs[] = {
	{ "predict", predict_main }, { "setup", setup_main }, { "webhook", webhook_main }, { "status", status_main },
	{ "lighttpd", lighttpd_main },
};

/*
 * In place of lighttpd's, which ends where there is no /dev: nothing to read, nowhere to
 * write.  lighttpd with -D puts it on standard input and output, which it does not use.
 */
int fdevent_open_devnull(void);
int fdevent_open_devnull(void)
{
	FILE *f = fopen("/dev/null", "r+e");
	int   fd, end[2];

	if (f != NULL) {
		fd = dup(fileno(f));
		fclose(f);
		return fd;
	}
	if (pipe(end) < 0)
		return -1;
	close(end[1]);
	return end[0];
}

/* OpenSSL looks where its Debian package would be.  Here the machine may be any. */
static void find_certificates(void)
{
	static const char *const places[] = {
		"/etc/ssl/certs/ca-certificates.crt",     /* Debian, Arch, Gentoo */
		"/etc/pki/tls/certs/ca-bundle.crt",       /* Fedora, Red Hat */
		"/etc/ssl/ca-bundle.pem",                 /* SUSE */
		"/etc/ssl/cert.pem",                      /* Alpine */
	};

	if (getenv("SSL_CERT_FILE") != NULL || getenv("SSL_CERT_DIR") != NULL)
		return;
	for (size_t i = 0; i < countof(places); i++)
		if (access(places[i], R_OK) == 0) {
			(void)setenv("SSL_CERT_FILE", places[i], 1);
			return;
		}
}

static int licences(void)
{
	struct span text;

	return program_file("LICENCES", &text) && fwrite(text.p, 1, text.len, stdout) == text.len &&
	       fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char *argv[])
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL, *name;

	name = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "";
	/* What nsswitch.conf names beyond these are shared libraries of that machine's libc,
	 * which a static program must not load. */
	(void)__nss_configure_lookup("hosts", "files dns");
	(void)__nss_configure_lookup("services", "files");
	(void)__nss_configure_lookup("passwd", "files");
	(void)__nss_configure_lookup("group", "files");
	for (size_t i = 0; i < countof(programs); i++)
		if (strcmp(name, programs[i].name) == 0)
			return programs[i].run(argc, argv);
	if (argc == 2 && strcmp(argv[1], "--licences") == 0)
		return licences();
	find_certificates();
	return prelabel_main(argc, argv);
}
