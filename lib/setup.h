/* setup.h - Label Studio connects, or looks whether the backend is still there. */
#ifndef SETUP_H
#define SETUP_H

#include "web/serve.h"

/* POST /setup (protocol.md 4.2): keeps the label config and answers the version in
 * force, {"model_version": "…"}.  It is called before nearly everything and has
 * three seconds: where nothing changed it only reads.  The caller's `hostname` and
 * `access_token` are neither used nor kept. */
int setup_project(struct request *req, struct reply *reply, struct err *e);

#endif
