/*
 * prometheus.h - GET /metrics, in Prometheus' text format 0.0.4.
 *
 * First what the programs counted (base/meter.h), all processes together; then what
 * the store holds, in one view of it.  It answers 200 also when the store can't be
 * read: prelabel_store_up is 0 then, the log says why, and what comes from the store
 * is absent.
 *
 * Counting the rows of a project, and the examples among them, reads all of them: a
 * process keeps what it counted until the project's last event, config or version is
 * another one.  As plain CGI every page counts anew.
 */
#ifndef PROMETHEUS_H
#define PROMETHEUS_H

#include "web/serve.h"

int prometheus_page(struct request *req, struct reply *reply, struct err *e);

#endif
