/* route.h - which handler a request goes to. */
#ifndef WEB_ROUTE_H
#define WEB_ROUTE_H

#include "web/serve.h"

/* What a path and a method lead to. */
struct route_match {
	const struct route *route;     /* NULL: none, because of … */
	bool                path_known; /* false: 404; true: 405 */
	unsigned            flags;     /* ROUTE_* of the path, also when the method is wrong */
	char                allow[40]; /* of the path: "GET, HEAD", "POST"; "" when unknown */
};

/* method: as the request has it, any text. */
struct route_match route_find(const struct service *service, struct span path, const char *method);

/* SCRIPT_NAME + PATH_INFO into the request's path.  -1 ERR_MEMORY. */
int route_path(struct request *req, struct err *e);

#endif
