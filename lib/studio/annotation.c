/* annotation.c - annotations and tasks as Label Studio sends them. */
#include "studio/annotation.h"
#include "base/clock.h"
#include "base/json.h"

/* ---- fields ---- */

static bool present(struct span object, const char *key, struct span *value)
{
	return json_member(object, key, value) == 0 && json_type(*value) != JSON_NULL;
}

static int require_object(struct span object, const char *where, struct err *e)
{
	if (json_type(object) != JSON_OBJECT)
		return err_set(e, ERR_SHAPE, "%s is not an object", where);
	return 0;
}

static int id_of(struct span object, const char *where, const char *key, int64_t *id, struct err *e)
{
	struct span value;

	if (!present(object, key, &value))
		return err_set(e, ERR_SHAPE, "%s.%s is missing", where, key);
	if (json_int(value, 1, INT64_MAX, id) < 0)
		return err_set(e, ERR_SHAPE, "%s.%s is not a whole number from 1 to 2^63 - 1", where, key);
	return 0;
}

static int flag_of(struct span object, const char *where, const char *key, bool *flag, struct err *e)
{
	struct span value;

	*flag = false;
	if (!present(object, key, &value))
		return 0;
	if (json_type(value) != JSON_BOOL)
		return err_set(e, ERR_SHAPE, "%s.%s is neither true nor false", where, key);
	*flag = json_true(value);
	return 0;
}

static int updated_of(struct span object, const char *where, int64_t *us, struct err *e)
{
	struct span value;

	*us = UPDATED_UNKNOWN;
	if (!present(object, "updated_at", &value))
		return 0;
	/* Time stamps hold no character that JSON would escape. */
	if (json_type(value) != JSON_STRING ||
	    clock_parse_iso((struct span){ value.p + 1, value.len - 2 }, us) < 0)
		return err_set(e, ERR_SHAPE, "%s.updated_at is not a time (ISO 8601)", where);
	return 0;
}

/* A user is an id in events and exports, an object in some versions' exports.
 * Anything else is nobody: no label is refused for who gave it. */
static int64_t user_of(struct span object)
{
	struct span value;
	int64_t     id;

	if (!present(object, "completed_by", &value) ||
	    (json_type(value) == JSON_OBJECT && !present(value, "id", &value)) ||
	    json_int(value, 1, INT64_MAX, &id) < 0)
		return 0;
	return id;
}

/* ---- objects ---- */

int ls_id_parse(int64_t *id, struct span object, const char *where, struct err *e)
{
	if (require_object(object, where, e) < 0)
		return -1;
	return id_of(object, where, "id", id, e);
}

int annotation_parse(struct annotation *a, struct span object, const char *where, struct err *e)
{
	struct span task;

	*a = (struct annotation){ 0 };
	if (ls_id_parse(&a->id, object, where, e) < 0 ||
	    (present(object, "task", &task) && id_of(object, where, "task", &a->task, e) < 0) ||
	    flag_of(object, where, "was_cancelled", &a->was_cancelled, e) < 0 ||
	    flag_of(object, where, "ground_truth", &a->ground_truth, e) < 0 ||
	    updated_of(object, where, &a->updated_us, e) < 0)
		return -1;
	a->completed_by = user_of(object);
	if (!present(object, "result", &a->result))
		a->result = SPAN("[]");
	if (json_type(a->result) != JSON_ARRAY)
		return err_set(e, ERR_SHAPE, "%s.result is not an array", where);
	return 0;
}

int ls_task_parse(struct ls_task *t, struct span object, const char *where, struct err *e)
{
	*t = (struct ls_task){ 0 };
	if (ls_id_parse(&t->id, object, where, e) < 0 ||
	    updated_of(object, where, &t->updated_us, e) < 0)
		return -1;
	if (!present(object, "data", &t->data))
		return err_set(e, ERR_SHAPE, "%s.data is missing", where);
	if (json_type(t->data) != JSON_OBJECT)
		return err_set(e, ERR_SHAPE, "%s.data is not an object", where);
	return 0;
}

/* ---- the label ---- */

/* What is looked at of a region, found by one walk over it. */
enum member { TYPE, FROM_NAME, TO_NAME, VALUE, MEMBERS };

static const char *const member_name[MEMBERS] = {
	[TYPE] = "type", [FROM_NAME] = "from_name", [TO_NAME] = "to_name", [VALUE] = "value",
};

static bool is_name(struct span value, const char *s)
{
	return value.p != NULL && json_is(value, span_of(s));
}

/* Is it a region of this control?  A result without to_name is taken; one that
 * names an object the control is not over belongs to an older config. */
static bool region_of(const struct span member[MEMBERS], const struct control_tag *control)
{
	const struct span to_name = member[TO_NAME];

	if (!is_name(member[TYPE], "choices") || !is_name(member[FROM_NAME], control->name))
		return false;
	if (to_name.p == NULL || json_type(to_name) == JSON_NULL)
		return true;
	for (size_t i = 0; i < control->n_to_name; i++)
		if (json_is(to_name, span_of(control->to_name[i])))
			return true;
	return false;
}

/* The list in a region's value.choices; nothing is in it where there is none, or where
 * the region is not of this control. */
static struct json_iter choices_of(struct span region, const struct control_tag *control)
{
	struct span member[MEMBERS], choices = SPAN("[]");

	if (json_type(region) == JSON_OBJECT) {
		json_members(region, member_name, MEMBERS, member);
		if (region_of(member, control) && member[VALUE].p != NULL)
			(void)json_member(member[VALUE], "choices", &choices);
	}
	return json_each(json_type(choices) == JSON_ARRAY ? choices : SPAN("[]"));
}

/* Of a nested choice the last name.  0; 1 it is no name; -1 ERR_MEMORY. */
static int choice_name(struct span choice, struct arena *scratch, struct span *name, struct err *e)
{
	struct json_iter it;

	if (json_type(choice) == JSON_ARRAY) {
		struct span last = SPAN("null");

		for (it = json_each(choice); json_next(&it, NULL, &choice); )
			last = choice;
		choice = last;
	}
	return json_text(choice, scratch, name, e);
}

/* The first name in value.choices.  0 found; 1 none; -1 ERR_MEMORY. */
static int first_choice(struct span region, const struct control_tag *control, struct arena *scratch, struct span *name,
                        struct err *e)
{
	struct json_iter it = choices_of(region, control);
	struct span      choice;

	return json_next(&it, NULL, &choice) ? choice_name(choice, scratch, name, e) : 1;
}

int annotation_label(struct span result, const struct label_config *config, struct arena *scratch,
                     enum annotation_outcome *outcome, struct span *label, struct err *e)
{
	const struct control_tag *control = config->choices;
	struct json_iter          it;
	struct span               region, name;
	int                       i, rc;

	*outcome = ANNOTATION_EMPTY;
	if (control == NULL || json_type(result) != JSON_ARRAY)
		return 0;
	for (it = json_each(result); json_next(&it, NULL, &region); ) {
		if ((rc = first_choice(region, control, scratch, &name, e)) < 0)
			return -1;
		if (rc == 1)
			continue;
		i = control_label(control, name);
		*outcome = i < 0 ? ANNOTATION_UNKNOWN_LABEL : ANNOTATION_LABEL;
		if (i >= 0)
			*label = span_of(control->labels[i].name);
		return 0;
	}
	return 0;
}

/* Marks the labels among a region's choices; *outcome is what the regions before said. */
static int mark_choices(struct span region, const struct control_tag *control, struct arena *scratch, bool *chosen,
                        enum annotation_outcome *outcome, struct err *e)
{
	struct json_iter it = choices_of(region, control);
	struct span      choice, name;
	int              i, rc;

	while (json_next(&it, NULL, &choice)) {
		if ((rc = choice_name(choice, scratch, &name, e)) < 0)
			return -1;
		if (rc == 1)
			continue;
		if ((i = control_label(control, name)) >= 0) {
			chosen[i] = true;
			*outcome = ANNOTATION_LABEL;
		} else if (*outcome == ANNOTATION_EMPTY) {
			*outcome = ANNOTATION_UNKNOWN_LABEL;
		}
	}
	return 0;
}

int annotation_labels(struct span result, const struct label_config *config, struct arena *scratch,
                      enum annotation_outcome *outcome, const uint32_t **labels, size_t *n, struct err *e)
{
	const struct control_tag *control = config->choices;
	struct json_iter          it;
	struct span               region;
	uint32_t                 *at;
	bool                     *chosen;

	*outcome = ANNOTATION_EMPTY;
	*labels = NULL;
	*n = 0;
	if (control == NULL || json_type(result) != JSON_ARRAY)
		return 0;
	chosen = arena_array(scratch, control->n_labels, sizeof *chosen);
	if (chosen == NULL)
		return err_memory(e);
	for (it = json_each(result); json_next(&it, NULL, &region); )
		if (mark_choices(region, control, scratch, chosen, outcome, e) < 0)
			return -1;
	for (size_t i = 0; i < control->n_labels; i++)
		*n += chosen[i];
	*labels = at = arena_array(scratch, *n, sizeof *at);
	if (at == NULL)
		return err_memory(e);
	for (uint32_t i = 0; i < control->n_labels; i++)
		if (chosen[i])
			*at++ = i;
	return 0;
}
