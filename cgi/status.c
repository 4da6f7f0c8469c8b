/* status.c - what is going on; what older Label Studio releases ask; and /error, where the web server's own refusals
 * come out as our JSON. */
#include "context.h"
#include "older.h"
#include "prometheus.h"
#include "status.h"
#include "web/serve.h"

static const struct route routes[] = {
	{ GET, "/",           status_health,   ROUTE_QUIET },
	{ GET, "/health",     status_health,   ROUTE_QUIET },
	{ GET, "/livez",      status_health,   ROUTE_OPEN | ROUTE_QUIET },
	{ GET, "/versions",   status_versions, 0 },
	{ GET, "/status",     status_status,   0 },
	{ GET, "/job_status", status_job,      0 },
	{ GET, "/metrics",    prometheus_page, 0 },
	{ POST, "/versions",        status_versions,       0 },
	{ POST, "/job_status",      older_job_status,      0 },
	{ POST, "/validate",        older_validate,        0 },
	{ POST, "/delete",          older_delete,          0 },
	{ POST, "/duplicate_model", older_duplicate_model, 0 },
	{ GET, "/error",      web_error,       ROUTE_OPEN | ROUTE_ANY },
};

int main(void)
{
	static const struct service service = {
		"status", routes, countof(routes), .thread_open = context_open, .thread_close = context_close,
		.threads_most = 2,
	};

	return serve(&service);
}
