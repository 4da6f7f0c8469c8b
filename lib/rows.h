/* rows.h - Label Studio's objects as rows of the store. */
#ifndef ROWS_H
#define ROWS_H

#include "store/store.h"
#include "studio/annotation.h"

/* task: its id, where the annotation itself does not say (exports of old). */
static inline struct annotation_row annotation_row_of(const struct annotation *a, int64_t task)
{
	return (struct annotation_row){
		.id = a->id, .task = a->task != 0 ? a->task : task, .result = a->result,
		.completed_by = a->completed_by == 0 ? STORE_NULL : a->completed_by,
		.updated_us = a->updated_us == UPDATED_UNKNOWN ? STORE_NULL : a->updated_us,
		.was_cancelled = a->was_cancelled, .ground_truth = a->ground_truth,
	};
}

static inline struct task_row task_row_of(const struct ls_task *t)
{
	return (struct task_row){ .id = t->id, .data = t->data,
	                          .updated_us = t->updated_us == UPDATED_UNKNOWN ? STORE_NULL : t->updated_us };
}

#endif
