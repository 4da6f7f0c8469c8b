/* doctor_project.h - the doctor's look at one project: in Label Studio, and in the store. */
#ifndef DOCTOR_PROJECT_H
#define DOCTOR_PROJECT_H

#include "base/env.h"
#include "finding.h"
#include "store/store.h"
#include "studio/ls_api.h"
#include "web/health.h"

#define DOCTOR_STORE_CURE "See prelabel-operations(7), \"Backup and restore\"; a backup may have to take the store's place."

struct patient {
	const struct env *env;
	struct findings  *f;
	struct store     *st;          /* NULL: can't be read, or is not there yet */
	struct ls_api    *api;         /* NULL: Label Studio can't be asked; why has been said */
	struct health     server;      /* at HOST and PORT of this machine */
	bool              server_up;
};

/* id: Label Studio's. */
void doctor_project(struct patient *p, int64_t id);

/* Where no project is known. */
void doctor_nobody(struct patient *p);

#endif
