/* wake.h - a word to who started this program: supervisor or service manager. */
#ifndef WAKE_H
#define WAKE_H

#include <stdbool.h>

/* The folder of this start: its sockets, and nothing else.  Set by the
 * supervisor for all that it starts; unset elsewhere (systemd, Apache, CGI). */
#define RUN_DIR_VARIABLE "PRELABEL_RUN_DIR"

/* A socket in that folder: any datagram makes the supervisor look for due
 * trainings now rather than within a second. */
#define WAKE_SOCKET "wake"

/* To be called after the reply to an event that queued a training.  Never
 * blocks.  false: no supervisor is there, and nobody but the caller starts the
 * trainer.  true also when the supervisor has more wakes waiting than it can
 * hold: it is going to look anyway. */
bool supervisor_wake(void);

/* Does a service manager wait for what we say ($NOTIFY_SOCKET, sd_notify(3))? */
bool manager_listens(void);

/* "READY=1", "STOPPING=1".  0 also where nobody listens; else errno. */
int manager_tell(const char *state);

#endif
