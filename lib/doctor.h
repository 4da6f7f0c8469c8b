/*
 * doctor.h - `prelabel doctor`: what keeps Label Studio and prelabel from working
 * together, and what to do about it.
 *
 * Looks at the folder and its disk, at Label Studio by calls, at the key, and for each
 * project at what Label Studio says of the backend, the webhook and the predictions, and
 * at what the store says of the trainings.  Label Studio asks the backend itself when
 * its record is read (protocol.md 10): that is the other direction.
 *
 * Changes nothing but the time of Label Studio's last answer (project.api_s).  Two calls
 * ask whether private addresses are refused: a backend and a webhook for project 0,
 * which no Label Studio has, and which it therefore never makes.
 *
 * The parts serve `start --check` too (check.h).
 */
#ifndef DOCTOR_H
#define DOCTOR_H

#include "base/env.h"
#include "finding.h"

/* project: Label Studio's id; STORE_NULL: all that the store knows. */
void doctor(struct findings *f, const struct env *env, int64_t project);

/* MODEL_DIR: the nearest folder that exists, its file system, its disk.  False: what
 * needs the store can't be looked at. */
bool doctor_folder(struct findings *f, const struct env *env);

/* Label Studio: is it there, is its clock ours, does it take the key?  *api: a
 * connection for more calls, close with ls_api_close(); NULL where that makes no sense. */
struct ls_api;
void doctor_studio(struct findings *f, const struct env *env, struct ls_api **api);

#endif
