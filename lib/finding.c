/* finding.c - what a look at the set-up found. */
#include "finding.h"

#include "base/err.h"
#include <json-c/json.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define FOREIGN_MAX 100

static const char *const names[FAULT__MAX] = {
	[FAULT_FOLDER] = "folder-not-writable",      [FAULT_NETWORK_FS] = "network-file-system",
	[FAULT_DISK] = "disk-full",                  [FAULT_STORE] = "store-unreadable",
	[FAULT_COMMAND] = "model-command",
	[FAULT_LS_UNREACHABLE] = "ls-unreachable",   [FAULT_LS_SCHEME] = "ls-wrong-scheme",
	[FAULT_LS_PREFIX] = "ls-wrong-prefix",       [FAULT_LS_ERROR] = "ls-error",
	[FAULT_CLOCK] = "clock-off",
	[FAULT_KEY_MISSING] = "key-missing",         [FAULT_KEY_MALFORMED] = "key-malformed",
	[FAULT_KEY_WRONG] = "key-wrong",             [FAULT_KEY_LEGACY] = "key-legacy-disabled",
	[FAULT_KEY_REVOKED] = "key-revoked",         [FAULT_KEY_EXPIRED] = "key-expired",
	[FAULT_KEY_ACCESS] = "key-access-token",
	[FAULT_BLOCKS_BACKEND] = "ls-blocks-backend", [FAULT_BLOCKS_WEBHOOK] = "ls-blocks-webhook",
	[FAULT_PROJECT] = "project-unknown",         [FAULT_CONFIG] = "config-no-choices",
	[FAULT_LABELS] = "labels-too-few",
	[FAULT_NOT_CONNECTED] = "backend-not-connected", [FAULT_DISCONNECTED] = "backend-disconnected",
	[FAULT_BACKEND_ERROR] = "backend-error",     [FAULT_TWICE] = "backend-twice",
	[FAULT_LOCALHOST] = "backend-localhost",     [FAULT_BACKEND_AUTH] = "backend-auth",
	[FAULT_DOWN] = "server-down",
	[FAULT_HOOK_MISSING] = "webhook-missing",    [FAULT_HOOK_INACTIVE] = "webhook-inactive",
	[FAULT_HOOK_PAYLOAD] = "webhook-no-payload", [FAULT_HOOK_ACTIONS] = "webhook-actions",
	[FAULT_HOOK_URL] = "webhook-wrong-url",      [FAULT_HOOK_NO_SECRET] = "webhook-no-secret",
	[FAULT_HOOK_SECRET] = "webhook-wrong-secret", [FAULT_HOOK_REFUSED] = "webhook-refused",
	[FAULT_PREDICTIONS_OFF] = "predictions-off", [FAULT_OTHER_MODEL] = "predictions-other-model",
	[FAULT_BEHIND] = "predictions-behind",       [FAULT_RANDOM] = "uncertainty-random",
	[FAULT_TRAINER] = "trainer-failing",         [FAULT_TRAINER_ABSENT] = "trainer-absent",
};

void findings_init(struct findings *f, FILE *text)
{
	*f = (struct findings){ .text = text, .list = json_object_new_array() };
}

void findings_clear(struct findings *f)
{
	json_object_put(f->list);
	f->list = NULL;
}

static bool put(json_object *o, const char *key, json_object *value)
{
	if (json_object_object_add(o, key, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

static json_object *text_or_null(const char *s)
{
	return s == NULL ? NULL : json_object_new_string(s);
}

static void keep(struct findings *f, const char *what, const char *fault, const char *text, const char *cure)
{
	json_object *o = f->list == NULL ? NULL : json_object_new_object();

	if (o != NULL && put(o, "check", text_or_null(what)) &&
	    put(o, "project", f->project == 0 ? NULL : json_object_new_int64(f->project)) &&
	    put(o, "ok", json_object_new_boolean(fault == NULL)) && put(o, "fault", text_or_null(fault)) &&
	    put(o, "text", text_or_null(text)) && put(o, "cure", text_or_null(cure)) && json_object_array_add(f->list, o) == 0)
		return;
	json_object_put(o);
	findings_clear(f);
}

static void put_line(struct findings *f, const char *what, const char *fault, char *text)
{
	char *cure = fault == NULL ? NULL : strchr(text, '\n');

	if (cure != NULL)
		*cure++ = '\0';
	err_plain(text);
	if (cure != NULL)
		err_plain(cure);
	if (f->text != NULL) {
		fprintf(f->text, "%-4s %-14s %s", fault == NULL ? "ok" : "FAIL", what, text);
		if (fault != NULL)
			fprintf(f->text, " (%s)", fault);
		fputc('\n', f->text);
		if (cure != NULL)
			fprintf(f->text, "     %-14s %s\n", "", cure);
	}
	keep(f, what, fault, text, cure);
}

void found(struct findings *f, const char *what, const char *fmt, ...)
{
	char    text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	put_line(f, what, NULL, text);
}

void found_fault(struct findings *f, enum fault fault, const char *what, const char *fmt, ...)
{
	char    text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	f->faults++;
	put_line(f, what, names[fault], text);
}

json_object *findings_document(const struct findings *f)
{
	json_object *o = json_object_new_object(), *faults = json_object_new_array(), *name;
	bool         ok = o != NULL && faults != NULL && f->list != NULL;

	for (size_t i = 0; ok && i < json_object_array_length(f->list); i++) {
		name = json_object_object_get(json_object_array_get_idx(f->list, i), "fault");
		if (name != NULL && json_object_array_add(faults, json_object_get(name)) != 0) {
			json_object_put(name);
			ok = false;
		}
	}
	ok = ok && put(o, "healthy", json_object_new_boolean(f->faults == 0)) && put(o, "checks", json_object_get(f->list));
	if (ok && json_object_object_add(o, "faults", faults) == 0)
		return o;
	json_object_put(faults);
	json_object_put(o);
	return NULL;
}

/* From behind a "://" at p: where the credentials end that may stand there.  A password
 * may hold any character but those that end a URL within a text. */
static const char *behind_credentials(const char *p, const char *end)
{
	const char *after = p;

	for (const char *q = p; q < end && strchr(" \t\r\n\"'<>", *q) == NULL; q++)
		if (*q == '@')
			after = q + 1;
	return after;
}

const char *foreign(struct span text, char out[FOREIGN_BYTES])
{
	const char *p = text.p, *end = text.p == NULL ? NULL : text.p + text.len;
	size_t      n = 0;

	while (p < end && n < FOREIGN_MAX) {
		out[n++] = *p++;
		if (n >= 3 && memcmp(out + n - 3, "://", 3) == 0)
			p = behind_credentials(p, end);
	}
	for (; p < end && n > 0 && ((unsigned char)*p & 0xc0) == 0x80; p--)
		n--;                                    /* no half character */
	out[n] = '\0';
	err_plain(out);
	return out;
}
