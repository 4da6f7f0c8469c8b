/*
 * log.h - one line an event, on standard error.
 *
 *   2026-11-22T00:10:00Z INFO predict 7f3a… project 12: 100 tasks in 0.8 ms
 *   <6>INFO predict 7f3a… project 12: 100 tasks in 0.8 ms
 *
 * The second where standard error is systemd's journal, which has its own clock and
 * reads the priority (sd-daemon(3)).
 *
 * A line is written by one write(), is at most LOG_LINE_MAX bytes of UTF-8, and has
 * what a terminal would obey (err_plain) and what is no UTF-8 escaped as \xNN, so that
 * no input can forge a second line.  Never
 * pass a body, an Authorization header, a key, a password or a task's text.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG__MAX };

#define LOG_LINE_MAX 1024

/* Once, before threads start.  program is borrowed for good. */
void log_open(const char *program, enum log_level least);

/* Did log_open() find the journal behind standard error? */
bool log_to_journal(void);

/* From now on every line that is at least `least` goes to this descriptor as well,
 * whatever goes to standard error; -1: no longer. */
void log_tee(int fd, enum log_level least);

/* The request a thread is at, shown in its lines; "" or NULL for none.  Copied. */
void log_request(const char *request_id);

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
