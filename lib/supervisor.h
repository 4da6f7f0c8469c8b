/*
 * supervisor.h - one start of prelabel: lighttpd, its programs, the trainers.
 *
 * The supervisor is the parent of all that a start consists of, and all of it
 * ends with the supervisor, however that ends:
 *
 *   prelabel start
 *     +- lighttpd -D              a process group of its own: a Ctrl-C reaches the
 *     |    +- predict ...         supervisor alone, which then stops the rest in order
 *     |    +- setup, webhook, status
 *     +- prelabel train --queued ROW     at most two, nice 10
 *
 * - Stopped (SIGTERM, SIGINT, SIGHUP, SIGQUIT): lighttpd gets SIGINT and answers
 *   what it has begun, then the programs SIGTERM, then the trainers SIGTERM, so
 *   that they hand their jobs back.  Each step is bounded, then SIGKILL.
 * - lighttpd ends by itself: the same for what is left, and exit status 1.  Its
 *   programs come to the supervisor, which is the subreaper.
 * - Killed by -9: lighttpd and the trainers have PR_SET_PDEATHSIG; the programs
 *   set it for themselves (lib/web/serve.c), their parent being lighttpd.
 *
 * A service manager that listens (NOTIFY_SOCKET, sd_notify(3)) hears READY=1 as soon as
 * a connection to HOST:PORT is taken, and STOPPING=1.
 *
 * Nothing of an earlier start is ever adopted: the sockets are in a folder of
 * this start (PRELABEL_RUN_DIR in the environment of all children):
 *
 *   cgi -> the programs     wake (wake.h)     predict.socket-0 ... (lighttpd's)
 *   error-400.html ...      the JSON of lighttpd's refusals while /error has no program
 */
#ifndef SUPERVISOR_H
#define SUPERVISOR_H

#include "base/env.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct supervisor {
	const struct env *env;        /* as env_read() gave it */
	const char       *programs;   /* folder of predict, setup, webhook, status; NULL: `prelabel` is
	                               * all of these by their names, and lighttpd (deploy/static) */
	const char       *conf;       /* lighttpd.conf; NULL: program.h's */
	const char       *prelabel;   /* the executable, for trainers */

	/* Fills projects[] with at most max rows whose training is due or lost its
	 * trainer; returns how many, or -1 with *e set.  Asked once a second and
	 * after each wake: one short read of the store. */
	int             (*due)(void *arg, int64_t projects[], size_t max, struct err *e);
	/* NULL, or called once, a second after the start: what may wait until the first
	 * requests have been answered.  -1 with *e set: called again a second later. */
	int             (*settled)(void *arg, struct err *e);
	void             *arg;
};

/* Runs until it is stopped.  Returns the exit status: 0 after a signal, 1 when it
 * could not start or lighttpd ended by itself (a line of the log says why).
 * Changes the environment, the umask, the signal mask and the limits of the
 * process: the last call of a program, before any thread. */
int supervisor_run(const struct supervisor *s);

#endif
