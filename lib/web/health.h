/* health.h - `prelabel health`: does the server of these settings answer?  The one file
 * here that needs libcurl, and none of the request programs has it. */
#ifndef WEB_HEALTH_H
#define WEB_HEALTH_H

#include "base/env.h"
#include "base/err.h"

#define HEALTH_SECONDS 2.0

struct health {
	char   url[320];     /* what was asked: known on failure, too */
	double seconds;      /* until the answer was whole */
};

/*
 * Asks GET /livez at HOST and PORT, where an address that stands for all of the machine
 * (0.0.0.0, ::) is asked at its loopback, by no proxy.  Takes HEALTH_SECONDS at most.
 *
 * Returns 0 when the answer is 200 and {"status":"UP",…}, else -1: ERR_REMOTE.
 */
int health_ask(const struct env *env, struct health *h, struct err *e);

#endif
