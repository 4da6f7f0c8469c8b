/*
 * finding.h - what a look at the set-up found: lines for a person, JSON for programs.
 *
 * A finding is right ("ok") or a fault, with its cause in one sentence and the cure in
 * the next.  Faults have short names that never change; README.md lists them.
 */
#ifndef FINDING_H
#define FINDING_H

#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json_object;     /* of json-c */

enum fault {
	FAULT_FOLDER, FAULT_NETWORK_FS, FAULT_DISK, FAULT_STORE, FAULT_COMMAND,
	FAULT_LS_UNREACHABLE, FAULT_LS_SCHEME, FAULT_LS_PREFIX, FAULT_LS_ERROR, FAULT_CLOCK,
	FAULT_KEY_MISSING, FAULT_KEY_MALFORMED, FAULT_KEY_WRONG, FAULT_KEY_LEGACY, FAULT_KEY_REVOKED, FAULT_KEY_EXPIRED, FAULT_KEY_ACCESS,
	FAULT_BLOCKS_BACKEND, FAULT_BLOCKS_WEBHOOK,
	FAULT_PROJECT, FAULT_CONFIG, FAULT_LABELS,
	FAULT_NOT_CONNECTED, FAULT_DISCONNECTED, FAULT_BACKEND_ERROR, FAULT_TWICE, FAULT_LOCALHOST, FAULT_BACKEND_AUTH, FAULT_DOWN,
	FAULT_HOOK_MISSING, FAULT_HOOK_INACTIVE, FAULT_HOOK_PAYLOAD, FAULT_HOOK_ACTIONS, FAULT_HOOK_URL, FAULT_HOOK_NO_SECRET,
	FAULT_HOOK_SECRET, FAULT_HOOK_REFUSED,
	FAULT_PREDICTIONS_OFF, FAULT_OTHER_MODEL, FAULT_BEHIND, FAULT_RANDOM,
	FAULT_TRAINER, FAULT_TRAINER_ABSENT,
	FAULT__MAX
};

struct findings {
	FILE  *text;              /* lines as they come; NULL: none */
	struct json_object *list;  /* of them all; NULL: out of memory */
	int64_t project;           /* of Label Studio, that the next ones are about; 0: none */
	size_t faults;
};

void findings_init(struct findings *f, FILE *text);
void findings_clear(struct findings *f);

/* what: a few words, "MODEL_DIR".  The cause and the cure are parted by a line feed in
 * the format.  Control characters of the rest become '?'. */
void found(struct findings *f, const char *what, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void found_fault(struct findings *f, enum fault fault, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* {"healthy", "faults": [names], "checks": [{"check", "project", "ok", "fault", "text", "cure"}]},
 * the caller's.  NULL: out of memory. */
struct json_object *findings_document(const struct findings *f);

/* Text from outside for a message: at most 100 bytes, in whole characters, without line
 * feeds, and without the credentials of URLs in it. */
#define FOREIGN_BYTES 128
const char *foreign(struct span text, char out[FOREIGN_BYTES]);

#endif
