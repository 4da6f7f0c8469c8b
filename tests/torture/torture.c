/*
 * torture.c - every call that may fail does, in each kind of request and in a training.
 *
 *   torture [--every N] [--seed S] [--point N] [--list] [NAME...]       (every point; every NAME)
 *
 * A case is one request to one of the four programs, or one piece of work of the command
 * line.  It is run again and again on a store that is the same each time: once without a
 * fault, to know what is right, then with call number 0, 1, 2, … failing, alone and with
 * all of its sort behind it, until a run ends before its number comes up.  After each:
 *
 *   - the answer is the right one, or a 503 (507 where a disk is said to be full) in JSON
 *   - the store is whole, and is as it was or as it should be: nothing in between, and
 *     never as it was behind a 2xx
 *   - no lock is held any more: another connection can write
 *   - the same again, without a fault, gives what is right
 *   - no block of memory and no descriptor is left over
 *
 * The programs' main() and everything behind it but libfcgi is here in one process:
 * serve.c's loop is replaced by direct calls of its handle(), as plain CGI.  Each case
 * runs in a child, so that one which dies is found and the next point is tried.
 *
 * Other cases are whole processes (process.h), from main() to the end, forks counted in:
 * a program with its first request, `prelabel start`, a command.  They do what is right,
 * or end with status 1 or 2 and a line that says why; no process is left behind, and the
 * next one does what is right.
 */
#define serve serve_process
#include "../../lib/web/serve.c"
#undef serve

#include "actors.h"
#include "faults.h"
#include "process.h"
#include "../unit/kept_words.h"

#include "context.h"
#include "evaluate.h"
#include "import.h"
#include "schema.h"
#include "serving.h"
#include "studio/ls_api.h"
#include "train.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#define STALL_S    60          /* of the machine's time, in which no point ends: it hangs */
#define TEXT_BYTES ((size_t)256 << 10)
#define BLAMES     24          /* failures that are told, of one case */
#define FRAMES_OF  4           /* and of those, with who called */
#define STAMP      1700000000  /* the projects' created_at */

/* ---- the programs ------------------------------------------------------------------------ */

/* The Makefile gives the main of each this name. */
int predict_main(void);
int setup_main(void);
int status_main(void);
int webhook_main(void);
int prelabel_main(int argc, char *argv[]);

/* They hand us what they would serve. */
static const struct service *handed;
int serve(const struct service *service);
int serve(const struct service *service)
{
	handed = service;
	return 0;
}

/* ---- what is asked -------------------------------------------------------------------------- */

#define XML(choices) "<View><Text name=\\\"text\\\" value=\\\"$text\\\"/><Choices name=\\\"label\\\" toName=\\\"text\\\">" \
                     choices "</Choices></View>"
#define TWO     XML("<Choice value=\\\"good\\\"/><Choice value=\\\"b\\u00e4d\\\"/>")
#define THREE   XML("<Choice value=\\\"good\\\"/><Choice value=\\\"b\\u00e4d\\\"/><Choice value=\\\"so so\\\"/>")
#define SPANS   "<View><Labels name=\\\"label\\\" toName=\\\"text\\\"><Label value=\\\"Food\\\"/><Label value=\\\"Staff\\\"/></Labels>" \
                "<Text name=\\\"text\\\" value=\\\"$text\\\"/></View>"

#define PROJECT(id) "\"project\":{\"id\":" #id ",\"title\":\"Caf\\u00e9\",\"created_at\":\"2023-11-14T22:13:20Z\",\"label_config\":\"" TWO "\"}"
#define TASK(id, text) "{\"id\":" #id ",\"data\":{\"text\":\"" text "\"},\"updated_at\":\"2026-01-02T03:04:05.000001Z\"}"
#define ANNOTATION(id, label, at) \
	"{\"id\":" #id ",\"task\":" #id ",\"completed_by\":1,\"was_cancelled\":false,\"ground_truth\":false,\"updated_at\":\"" at "\"," \
	"\"result\":[{\"from_name\":\"label\",\"to_name\":\"text\",\"type\":\"choices\",\"value\":{\"choices\":[\"" label "\"]}}]}"
#define DAY1 "2026-01-02T03:04:05.000001Z"
#define DAY2 "2026-02-02T03:04:05.000001Z"
#define EVENT(action, rest) "{\"action\":\"" action "\"," PROJECT(1) rest "}"
#define CREATED(id, text, label) \
	EVENT("ANNOTATION_CREATED", ",\"task\":" TASK(id, text) ",\"annotation\":" ANNOTATION(id, label, DAY1))

#define FOUND(id) "[{\"from_name\":\"label\",\"to_name\":\"text\",\"type\":\"labels\",\"id\":\"" #id "\",\"value\":" \
                  "{\"start\":0,\"end\":4,\"text\":\"soup\",\"labels\":[\"Food\"]}}]"

struct answer {
	int    status;                       /* 0: none came */
	char   body[TEXT_BYTES];
	size_t len;
};

struct outcome {
	struct err e;
	char       text[2048];               /* what came of it, if it went well */
};

enum kept { KEPT_FULL, KEPT_NONE, KEPT_OLD };   /* what is in MODEL_DIR: nothing; a store of the first schema */

struct scenario {
	const char *name;
	int       (*program)(void);          /* whose main; NULL: work */
	const char *method, *path, *query, *body;
	bool        moving;                  /* numbers in the answer are times and counts */
	bool        steps;                   /* several transactions: what is between them may be seen */
	int       (*work)(struct outcome *o);
	const char *agent;

	/* A whole process, from main() to its end.  Of a request's fields: what is asked
	 * meanwhile of `program`, which accepts connections. */
	bool        whole;
	const char *command;                 /* prelabel's arguments; "@x": x in the folder of all this */
	bool        serves;                  /* it is `start`, and runs until it is told to end */
	bool        says_no;                 /* it prints what is wrong, and ends with 1 */
	bool        cold;                    /* libcurl is not open yet */
	enum kept   kept;
	const char *with;                    /* settings: NAME=value, one a line */
	bool        refused;                 /* the right answer is 503 */
};

static int work_train(struct outcome *o);
static int work_train_anew(struct outcome *o);
static int work_due(struct outcome *o);
static int work_sync(struct outcome *o);
static int work_lines(struct outcome *o);
static int work_tasks(struct outcome *o);
static int work_evaluate(struct outcome *o);
static int work_crossval(struct outcome *o);

#define COMMAND(name, line, ...) { name, .whole = true, .command = line, .agent = NULL, __VA_ARGS__ }
#define PROGRAM(name, main, method, path, query, body, ...) \
	{ name, main, method, path, query, body, .whole = true, .agent = NULL, __VA_ARGS__ }
#define EXEC "MODEL=exec\nACTOR=model"
#define PREDICT_TWO "{\"project\":\"1.1700000000\",\"label_config\":\"" TWO "\",\"tasks\":[" TASK(1, "the soup was great") "," \
                    TASK(2, "rude \\\"waiter\\\"\\n") "]}"
#define WEBHOOK(name, body) { name, webhook_main, "POST", "/webhook", "", body, .agent = "python-requests/2.34.2" }
#define OF_STATUS(name, method, path, query, body, moving) { name, status_main, method, path, query, body, moving, .agent = NULL }

static const struct scenario scenarios[] = {
	{ "predict", predict_main, "POST", "/predict", "",
	  "{\"project\":\"1.1700000000\",\"label_config\":\"" TWO "\",\"tasks\":[" TASK(1, "the soup was great") ","
	  TASK(2, "rude \\\"waiter\\\"\\n") "," TASK(3, "") "]}", .agent = NULL },
	{ "predict-unknown", predict_main, "POST", "/predict", "",
	  "{\"project\":\"77.1700000000\",\"label_config\":\"" THREE "\",\"tasks\":[" TASK(1, "so so and b\\u00e4d") "]}", .agent = NULL },
	{ "predict-kinds", predict_main, "POST", "/predict", "",
	  "{\"project\":\"3.1700000000\",\"tasks\":[" TASK(1, "the soup was great") "]}", .agent = NULL },
	{ "predict-spans", predict_main, "POST", "/predict", "",
	  "{\"project\":\"2.1700000000\",\"tasks\":[" TASK(1, "soup and soup again") "," TASK(2, "no more s\\u00f6up") "]}", .agent = NULL },
	{ "predict-interactive", predict_main, "POST", "/predict", "",
	  "{\"project\":\"2.1700000000\",\"tasks\":[" TASK(1, "soup and soup again") "],\"params\":{\"login\":\"x\",\"context\":"
	  "{\"result\":" FOUND(a) "}}}", .agent = NULL },
	{ "setup-same", setup_main, "POST", "/setup", "",
	  "{\"project\":\"1.1700000000\",\"schema\":\"" TWO "\",\"hostname\":\"http://127.0.0.1\",\"access_token\":\"x\"}", .agent = NULL },
	{ "setup-new", setup_main, "POST", "/setup", "",
	  "{\"project\":\"9.1700000000\",\"schema\":\"" TWO "\",\"extra_params\":{\"model\":\"tfidf_logreg\"}}", .agent = NULL },
	{ "setup-labels", setup_main, "POST", "/setup", "",
	  "{\"project\":\"1.1700000000\",\"schema\":\"" THREE "\"}", .agent = NULL },
	WEBHOOK("webhook-created", CREATED(21, "a \\u00e9clair, \\\"superb\\\"", "good")),
	WEBHOOK("webhook-updated", EVENT("ANNOTATION_UPDATED", ",\"task\":" TASK(3, "friendly staff") ",\"annotation\":" ANNOTATION(3, "b\\u00e4d", DAY2))),
	WEBHOOK("webhook-bulk", EVENT("ANNOTATIONS_CREATED", ",\"task\":[" TASK(31, "x y") "," TASK(32, "y z") "],\"annotation\":["
	        ANNOTATION(31, "good", DAY1) "," ANNOTATION(32, "b\\u00e4d", DAY1) "]")),
	WEBHOOK("webhook-deleted", EVENT("ANNOTATIONS_DELETED", ",\"annotations\":[{\"id\":1},{\"id\":2},{\"id\":900}]")),
	WEBHOOK("webhook-deleted-one", EVENT("ANNOTATION_DELETED", ",\"annotation\":{\"id\":1}")),
	WEBHOOK("webhook-tasks-deleted", EVENT("TASKS_DELETED", ",\"tasks\":[{\"id\":3},{\"id\":901}]")),
	WEBHOOK("webhook-project", "{\"action\":\"PROJECT_UPDATED\",\"project\":{\"id\":1,\"title\":\"Caf\\u00e9 2\","
	        "\"created_at\":\"2023-11-14T22:13:20Z\",\"label_config\":\"" THREE "\"}}"),
	WEBHOOK("webhook-new-project", "{\"action\":\"ANNOTATION_CREATED\",\"project\":{\"id\":8,\"created_at\":\"2023-11-14T22:13:20Z\",\"label_config\":\""
	        TWO "\"},\"task\":" TASK(1, "one") ",\"annotation\":" ANNOTATION(1, "good", DAY1) "}"),
	WEBHOOK("webhook-start", "{\"action\":\"START_TRAINING\"," PROJECT(1) "}"),
	WEBHOOK("webhook-alone", "{\"action\":\"ANNOTATION_CREATED\"}"),
	{ "webhook-alone-named", webhook_main, "POST", "/webhook", "project=1", "{\"action\":\"ANNOTATION_CREATED\"}", .agent = NULL },
	WEBHOOK("webhook-unknown", EVENT("LABEL_LINK_CREATED", "")),
	{ "webhook-older-start", webhook_main, "POST", "/webhook", "", EVENT("PROJECT_UPDATED", ""), .agent = "heartex/1.10.0" },
	{ "train-request", webhook_main, "POST", "/train", "project=1", "", .agent = NULL },
	{ "train-older", webhook_main, "POST", "/train", "", "{\"project\":\"1.1700000000\",\"label_config\":\"" TWO "\",\"annotations\":["
	  "{\"id\":41,\"data\":{\"text\":\"caf\\u00e9\"},\"updated_at\":\"" DAY1 "\",\"annotations\":[" ANNOTATION(41, "good", DAY1) "]},"
	  "{\"id\":42,\"data\":{\"text\":\"never\"},\"updated_at\":\"" DAY1 "\",\"annotations\":[" ANNOTATION(42, "b\\u00e4d", DAY1) "]}]}",
	  .steps = true, .agent = NULL },
	OF_STATUS("health", "GET", "/health", "", "", true),
	OF_STATUS("status", "GET", "/status", "", "", true),
	OF_STATUS("status-project", "GET", "/status", "project=1", "", true),
	OF_STATUS("versions", "GET", "/versions", "project=1", "", true),
	OF_STATUS("job", "GET", "/job_status", "project=1", "", true),
	OF_STATUS("metrics", "GET", "/metrics", "", "", true),
	OF_STATUS("versions-older", "POST", "/versions", "", "{\"project\":\"1.1700000000\"}", true),
	OF_STATUS("job-older", "POST", "/job_status", "", "{\"job\":\"1\"}", true),
	OF_STATUS("validate-older", "POST", "/validate", "", "{\"config\":\"" THREE "\"}", false),
	OF_STATUS("delete-older", "POST", "/delete", "", "{\"project\":\"1.1700000000\"}", false),
	OF_STATUS("duplicate-older", "POST", "/duplicate_model", "", "{\"project_src\":\"1.1700000000\",\"project_dst\":\"2.1700000000\"}", false),
	{ "train", .steps = true, .work = work_train, .agent = NULL },
	{ "train-anew", .steps = true, .work = work_train_anew, .agent = NULL },
	{ "train-queued", .steps = true, .work = work_due, .agent = NULL },
	{ "export", .steps = true, .work = work_sync, .agent = NULL },
	{ "import-lines", .work = work_lines, .agent = NULL },
	{ "import-tasks", .steps = true, .work = work_tasks, .agent = NULL },
	{ "evaluate-file", .work = work_evaluate, .agent = NULL },
	{ "evaluate-project", .work = work_crossval, .agent = NULL },

	{ "exec-predict", predict_main, "POST", "/predict", "", PREDICT_TWO, .with = EXEC, .agent = NULL },
	{ "exec-ended", predict_main, "POST", "/predict", "", PREDICT_TWO, .with = EXEC "\nACTOR_MODEL=ends", .agent = NULL },
	{ "exec-silent", predict_main, "POST", "/predict", "", PREDICT_TWO, .refused = true,
	  .with = EXEC "\nACTOR_MODEL=silent\nPRELABEL_PREDICT_S=0.02\nPRELABEL_START_S=0.02", .agent = NULL },
	{ "exec-train", .steps = true, .work = work_train, .with = EXEC, .agent = NULL },

	PROGRAM("begin-predict", predict_main, "POST", "/predict", "", PREDICT_TWO, .moving = false),
	PROGRAM("begin-setup", setup_main, "POST", "/setup", "", "{\"project\":\"1.1700000000\",\"schema\":\"" TWO "\"}", .moving = false),
	PROGRAM("begin-webhook", webhook_main, "POST", "/webhook", "", CREATED(21, "a \\u00e9clair", "good"), .steps = true),
	PROGRAM("begin-status", status_main, "GET", "/status", "project=1", "", .moving = true),
	PROGRAM("begin-strict", status_main, "GET", "/health", "", "", .with = "SANDBOX=strict"),
	PROGRAM("begin-fresh", webhook_main, "POST", "/webhook", "", CREATED(21, "a \\u00e9clair", "good"), .kept = KEPT_NONE, .steps = true),
	PROGRAM("begin-older", status_main, "GET", "/status", "", "", .kept = KEPT_OLD, .steps = true, .moving = true),

	COMMAND("start", "start", .serves = true, .steps = true),
	COMMAND("start-fresh", "start", .serves = true, .steps = true, .kept = KEPT_NONE),
	COMMAND("start-check", "start --check", .says_no = true, .moving = true),
	COMMAND("first-store", "status", .kept = KEPT_NONE, .steps = true),
	COMMAND("older-store", "status", .kept = KEPT_OLD, .steps = true),
	COMMAND("command-status", "status", .moving = true),
	COMMAND("command-status-json", "status --project 1 --json", .moving = true),
	COMMAND("command-versions", "versions --project 1", .moving = true),
	COMMAND("command-versions-json", "versions --project 1 --json", .moving = true),
	COMMAND("command-rollback", "rollback --project 1 0"),
	COMMAND("command-forget", "forget --project 1", .steps = true),
	COMMAND("command-env-json", "env --json"),
	COMMAND("command-predict", "predict --project 1 @gold.jsonl", .moving = true),
	COMMAND("command-evaluate", "evaluate --project 1 @gold.jsonl", .moving = true),
	COMMAND("command-evaluate-json", "evaluate --project 1 --json @gold.jsonl", .moving = true),
	COMMAND("command-import", "import --project 5 @lines.jsonl"),
	COMMAND("command-train", "train --project 1 --json", .steps = true, .moving = true),
	COMMAND("command-due", "train --due", .steps = true),
	COMMAND("command-sync", "sync --project 1 --json", .steps = true, .moving = true),
	COMMAND("command-push", "push --project 1 --json", .steps = true, .moving = true),
	COMMAND("command-connect", "connect --project 1 --uncertainty", .steps = true, .moving = true),
	COMMAND("command-connect-new", "connect --title New --label good --label bad --data @lines.jsonl --json", .steps = true, .moving = true),
	COMMAND("command-disconnect", "disconnect --project 3", .steps = true, .moving = true),
	COMMAND("command-doctor", "doctor --project 3", .says_no = true, .steps = true, .moving = true),
	COMMAND("command-doctor-json", "doctor --project 3 --json", .says_no = true, .steps = true, .moving = true),
	COMMAND("command-health", "health --json", .moving = true),
	COMMAND("command-health-cold", "health", .cold = true, .moving = true),
	COMMAND("command-init", "init @new --force", .moving = true),
};

/* ---- what parent and child share ------------------------------------------------------------- */

struct blame {
	long         point;
	bool         warm, on;
	char         text[512];
	struct fault fault;
};

static struct shared {
	/* Where the child is; the parent goes on from there where it died. */
	int    round;                        /* of warm, on */
	long   point;
	bool   at_work, warm, on;
	long   done[FAULT__MAX];
	bool   asserted;                     /* by libfcgi, just now */
	long   excused;                      /* points at which libfcgi asserts */
	size_t n_blames;
	struct blame blame[BLAMES];
	struct fault fault;                  /* of the point at hand */
} *shared;

static long every = 1, seed, only = -1;
static long calls;                       /* that may fail, in the longest run */

static long longer(long a, long b)
{
	return a > b ? a : b;
}
static char scratch[64];                 /* the folder that all is done in */
static int  stub_port;

static void blame(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void blame(const char *fmt, ...)
{
	struct blame *b = &shared->blame[shared->n_blames < BLAMES ? shared->n_blames : BLAMES - 1];
	va_list       ap;

	b->point = shared->point;
	b->warm = shared->warm;
	b->on = shared->on;
	b->fault = shared->fault;
	va_start(ap, fmt);
	vsnprintf(b->text, sizeof b->text, fmt, ap);
	va_end(ap);
	shared->n_blames++;
}

/* ---- a Label Studio --------------------------------------------------------------------------- */

#define ACCESS "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIiwiZXhwIjo4MTAyNTA2MjYxfQ.c2lnbg"
#define REFRESH "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCIsImV4cCI6ODEwMjUwNjI2MX0.c2lnbg"

static const char export[] =
	"[{\"id\":1,\"data\":{\"text\":\"great food\"},\"updated_at\":\"" DAY2 "\",\"annotations\":[" ANNOTATION(1, "good", DAY2) "]},"
	"{\"id\":2,\"data\":{\"text\":\"cold s\\u00f6up\"},\"updated_at\":\"" DAY2 "\",\"annotations\":[" ANNOTATION(2, "b\\u00e4d", DAY2) "]},"
	"{\"id\":3,\"data\":{\"text\":\"friendly staff\"},\"updated_at\":\"" DAY2 "\",\"annotations\":[" ANNOTATION(3, "good", DAY2) "]},"
	"{\"id\":61,\"data\":{\"text\":\"rude, \\\"cold\\\" waiter\"},\"updated_at\":\"" DAY2 "\",\"annotations\":[" ANNOTATION(61, "b\\u00e4d", DAY2) "]},"
	"{\"id\":62,\"data\":{\"text\":\"never again\"},\"updated_at\":\"" DAY2 "\",\"annotations\":[" ANNOTATION(62, "b\\u00e4d", DAY2) "]}]";

#define STUDIO_PROJECT(id) "{\"id\":" #id ",\"title\":\"Caf\\u00e9\",\"created_at\":\"2023-11-14T22:13:20Z\",\"label_config\":\"" TWO "\"}"

/* Project 3 is connected, 1 is not, and nothing that is changed here stays. */
static const struct { const char *begins, *has; int status; const char *body; bool open; } routes[] = {
	{ "GET /livez ", "", 200, "{\"status\":\"UP\"}", true },
	{ "GET /api/version/ ", "", 200, "{\"release\":\"1.23.0\"}", true },
	{ "POST /api/token/refresh/ ", "", 200, "{\"access\":\"" ACCESS "\"}", true },
	{ "GET /api/projects/", "/export?", 200, export, false },
	{ "GET /api/projects/1/ ", "", 200, STUDIO_PROJECT(1), false },
	{ "GET /api/projects/3/ ", "", 200, STUDIO_PROJECT(3), false },
	{ "GET /api/projects/3/model-versions/ ", "", 200, "{}", false },
	{ "GET /api/projects/?title=", "", 200, "{\"count\":0,\"next\":null,\"results\":[]}", false },
	{ "POST /api/projects/ ", "", 201, STUDIO_PROJECT(1), false },
	{ "POST /api/projects/1/import/predictions ", "", 201, "{\"created\":2}", false },
	{ "POST /api/projects/1/import ", "", 201, "{\"task_count\":3}", false },
	{ "GET /api/current-user/whoami ", "", 200, "{\"id\":1,\"email\":\"a@example.org\"}", false },
	{ "GET /api/ml", "project=3", 200, "[{\"id\":5,\"project\":3,\"url\":\"http://localhost:%d\",\"title\":\"prelabel\",\"state\":\"CO\"}]", false },
	{ "GET /api/ml", "", 200, "[]", false },
	{ "GET /api/webhooks/", "project=3", 200, "[{\"id\":7,\"project\":3,\"url\":\"http://localhost:%d/webhook\",\"is_active\":true,"
	  "\"send_payload\":true,\"send_for_all_actions\":true,\"headers\":{},\"actions\":[],\"updated_at\":\"2023-11-14T22:13:20Z\"}]", false },
	{ "GET /api/webhooks/", "", 200, "[]", false },
	{ "GET /api/tasks", "tasks%3Aid%22%2C%22operator%22%3A%22equal", 200, "{\"tasks\":[],\"total\":0}", false },
	{ "GET /api/tasks", "", 200, "{\"tasks\":[{\"id\":71,\"is_labeled\":false,\"data\":{\"text\":\"great soup\"}},"
	  "{\"id\":72,\"is_labeled\":false,\"data\":{\"text\":\"rude waiter\"}}],\"total\":2}", false },
	{ "POST /api/", "", 201, "{\"id\":5}", false },
	{ "PATCH /api/", "", 200, "{\"id\":5}", false },
	{ "DELETE /api/", "", 204, "", false },
};

static bool whole_request(const char *head)
{
	const char *end = strstr(head, "\r\n\r\n"), *length = strcasestr(head, "\r\nContent-Length: ");

	/* The other scheme is tried, too: no TLS here. */
	if (head[0] != '\0' && (head[0] < 'A' || head[0] > 'Z'))
		return true;
	return end != NULL && (length == NULL || length > end || strlen(end + 4) >= strtoul(length + 18, NULL, 10));
}

static void stub_answer(int fd)
{
	static char head[65536], body[4096];
	char        out[512];
	size_t      len = 0, i = 0;
	ssize_t     n;
	int         status = 404;

	head[0] = '\0';
	while (len < sizeof head - 1 && !whole_request(head) && (n = read(fd, head + len, sizeof head - 1 - len)) > 0) {
		len += (size_t)n;
		head[len] = '\0';
	}
	while (i < countof(routes) && !(strncmp(head, routes[i].begins, strlen(routes[i].begins)) == 0 &&
	                                strstr(head, routes[i].has) != NULL))
		i++;
	snprintf(body, sizeof body, "{\"detail\":\"Not found.\"}");
	if (i < countof(routes)) {
		const char *port = strstr(routes[i].body, "%d");

		status = routes[i].status;
		snprintf(body, sizeof body, "%.*s", (int)(port == NULL ? strlen(routes[i].body) : (size_t)(port - routes[i].body)), routes[i].body);
		if (port != NULL)
			snprintf(body + strlen(body), sizeof body - strlen(body), "%d%s", stub_port, port + 2);
		if (!routes[i].open && strstr(head, "Bearer " ACCESS) == NULL) {
			status = 401;
			snprintf(body, sizeof body, "{\"detail\":\"Invalid token.\"}");
		}
	}
	snprintf(out, sizeof out, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
	         status, strlen(body));
	if (write(fd, out, strlen(out)) > 0 && write(fd, body, strlen(body)) >= 0)
		shutdown(fd, SHUT_WR);
	while (read(fd, head, sizeof head) > 0)
		;
	close(fd);
}

static pid_t stub_start(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t          len = sizeof at;
	int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t              pid;

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 64) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) < 0 || (pid = fork()) < 0) {
		perror("torture: stub");
		exit(2);
	}
	stub_port = ntohs(at.sin_port);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGPIPE, SIG_IGN);
		for (;;) {
			const struct timeval patience = { .tv_sec = 5 };
			int one = accept(fd, NULL, NULL);

			if (one < 0)
				continue;
			setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
			stub_answer(one);
		}
	}
	close(fd);
	return pid;
}

/* ---- the store ---------------------------------------------------------------------------------- */

static struct server server;
static unsigned char *template;          /* the store's file, as each point finds it */
static size_t         template_len;

static void die(const char *what)
{
	blame("the test itself: %s: %s", what, strerror(errno));
	_exit(3);
}

static const char *in_folder(const char *name)
{
	static char path[2][256];
	static int  turn;

	turn = !turn;
	snprintf(path[turn], sizeof path[turn], "%s/%s", scratch, name);
	return path[turn];
}

static void write_file(const char *name, const void *bytes, size_t len)
{
	int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
		die(name);
	close(fd);
}

static void remove_store(void)
{
	unlink(in_folder(STORE_FILE));
	unlink(in_folder(STORE_FILE "-wal"));
	unlink(in_folder(STORE_FILE "-shm"));
}

static void put_template(void)
{
	remove_store();
	if (template_len > 0)
		write_file(STORE_FILE, template, template_len);
}

/* All that is kept, but for times and random names.  core: what a second attempt leaves
 * as the first would have. */
#define TABLE(what, from) "(SELECT group_concat(l, x'0a') FROM (SELECT " what " AS l " from "))"
#define CORE \
	"coalesce(" TABLE("p.id||' '||coalesce(title,'-')||' '||coalesce(words_form,'-')||' '||coalesce(config_hash,'-')||' '||coalesce(config_elements,'-')||' '||coalesce(labels,'-')||' '||" \
	"coalesce(extra_params,'-')||' '||updates||' '||coalesce(reason,'-')", "FROM project p ORDER BY p.row") ",'')||x'0a'||" \
	"coalesce(" TABLE("'task '||project||' '||id||' '||coalesce(data,'-')||' '||(deleted>0)", "FROM task ORDER BY project,id") ",'')||x'0a'||" \
	"coalesce(" TABLE("'annotation '||project||' '||id||' '||coalesce(task,'-')||' '||coalesce(result,'-')||' '||was_cancelled||deleted||' '||coalesce(words,'-')||' '||coalesce(label,'-')", \
	"FROM annotation ORDER BY project,id") ",'')||x'0a'||" \
	"'damaged '||(SELECT count(*) FROM model_version WHERE damaged)"
#define COUNTERS \
	"||x'0a'||coalesce(" TABLE("p.id||' '||unread||' '||updates_trained||' '||coalesce(current_version,'-')", "FROM project p ORDER BY p.row") ",'')||x'0a'||" \
	"coalesce(" TABLE("'job '||project||' '||state||' '||reason||' '||coalesce(again,'-')||' '||attempt", "FROM train_job ORDER BY row") ",'')||x'0a'||" \
	"coalesce(" TABLE("'version '||project||' '||name||' '||n_examples", "FROM model_version ORDER BY row") ",'')||x'0a'||" \
	"'events '||(SELECT count(*) FROM event)"

static sqlite3 *looking;                 /* the connection of the next two */

static void look_ends(bool check)
{
	sqlite3_stmt *s = NULL;

	if (looking == NULL)
		return;
	if (check && (sqlite3_prepare_v2(looking, "PRAGMA integrity_check", -1, &s, NULL) != SQLITE_OK ||
	              sqlite3_step(s) != SQLITE_ROW || strcmp((const char *)sqlite3_column_text(s, 0), "ok") != 0))
		blame("the store is not whole");
	sqlite3_finalize(s);
	sqlite3_close(looking);
	looking = NULL;
}

static int schema_of(void)
{
	sqlite3_stmt *s = NULL;
	int           version = 0;

	if (sqlite3_prepare_v2(looking, "PRAGMA user_version", -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
		version = sqlite3_column_int(s, 0);
	sqlite3_finalize(s);
	return version;
}

static void look_at_words(void)
{
	struct store *st;
	struct err    e = { 0 };
	int64_t       row;
	const char   *wrong;

	if (store_open(&st, scratch, 1000, &e) < 0) {
		blame("the store can't be opened: %s", e.msg);
		return;
	}
	if (store_project_find(st, 1, STORE_NULL, &row, &e) == 0) {
		wrong = kept_words_wrong(st, row, (enum token_pattern)server.env.token_pattern, NULL);
		if (wrong[0] != '\0')
			blame("%s", wrong);
	}
	store_close(st);
}

/* Looks at the store as another program would: it must be free to be written to. */
static void dump(bool whole, char out[TEXT_BYTES])
{
	sqlite3_stmt *s = NULL;
	const char   *text = NULL;

	snprintf(out, TEXT_BYTES, "no store");
	if (looking == NULL && access(in_folder(STORE_FILE), F_OK) < 0)
		return;
	if (looking == NULL && sqlite3_open_v2(in_folder(STORE_FILE), &looking, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
		blame("the store can't be opened: %s", sqlite3_errmsg(looking));
		look_ends(false);
		return;
	}
	if (sqlite3_exec(looking, "BEGIN IMMEDIATE; ROLLBACK", NULL, NULL, NULL) != SQLITE_OK)
		blame("the store is locked: %s", sqlite3_errmsg(looking));
	snprintf(out, TEXT_BYTES, "schema %d", schema_of());
	if (schema_of() < SCHEMA_VERSIONS)
		return;
	if (sqlite3_prepare_v2(looking, whole ? "SELECT " CORE COUNTERS : "SELECT " CORE, -1, &s, NULL) == SQLITE_OK &&
	    sqlite3_step(s) == SQLITE_ROW)
		text = (const char *)sqlite3_column_text(s, 0);
	if (text == NULL)
		blame("the store can't be read: %s", sqlite3_errmsg(looking));
	else
		snprintf(out, TEXT_BYTES, "%s", text);
	sqlite3_finalize(s);
	if (whole)
		look_at_words();
}

/* ---- one request ----------------------------------------------------------------------------------- */

static int in_fd, out_fd, null_fd;

static void numbers_away(char *s)
{
	const char *start = s;
	char       *to = s;

	for (; *s != '\0'; s++) {
		const bool after = to > start && to[-1] == '#';

		if (after && *s == 'e' && (s[1] == '-' || s[1] == '+')) {
			s++;                     /* of 9e-05 */
		} else if ((*s >= '0' && *s <= '9') || *s == '.') {
			if (!after)
				*to++ = '#';
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* /metrics: which of its families are there; what it counts are our own requests. */
static void families_alone(char *s)
{
	char *to = s, *line, *rest = s;

	while ((line = strsep(&rest, "\n")) != NULL)
		if (line[0] == '#') {
			const size_t len = strlen(line);

			memmove(to, line, len);
			to += len;
			*to++ = '\n';
		}
	*to = '\0';
}

static void take_answer(const struct scenario *sc, const char *text, struct answer *a)
{
	const char *end, *length;

	*a = (struct answer){ .status = 0 };
	end = strstr(text, "\r\n\r\n");
	length = strstr(text, "Content-Length: ");
	if (end == NULL || length == NULL || strncmp(text, "Status: ", 8) != 0 ||
	    strlen(end + 4) != strtoul(length + 16, NULL, 10))
		return;                          /* cut off */
	a->status = atoi(text + 8);
	snprintf(a->body, sizeof a->body, "%s", end + 4);
	if (a->status < 300 && sc->path != NULL && strcmp(sc->path, "/metrics") == 0)
		families_alone(a->body);
	else if (a->status < 300 && sc->moving)
		numbers_away(a->body);
	else if (a->status == 503 && sc->refused)
		snprintf(a->body, sizeof a->body, "{\"error\":\"\"}");
}

static void read_answer(const struct scenario *sc, struct answer *a)
{
	static char text[TEXT_BYTES + 1024];
	ssize_t     n = pread(out_fd, text, sizeof text - 1, 0);

	text[n < 0 ? 0 : n] = '\0';
	take_answer(sc, text, a);
}

struct variables {
	char  text[5][128];
	char *list[6];
};

static char *const *variables(struct variables *v, const struct scenario *sc)
{
	snprintf(v->text[0], sizeof v->text[0], "REQUEST_METHOD=%s", sc->method);
	snprintf(v->text[1], sizeof v->text[1], "SCRIPT_NAME=%s", sc->path);
	snprintf(v->text[2], sizeof v->text[2], "QUERY_STRING=%s", sc->query);
	snprintf(v->text[3], sizeof v->text[3], "CONTENT_LENGTH=%zu", strlen(sc->body));
	snprintf(v->text[4], sizeof v->text[4], "HTTP_USER_AGENT=%s", sc->agent == NULL ? "heartex/1.23.0" : sc->agent);
	for (size_t i = 0; i < countof(v->text); i++)
		v->list[i] = v->text[i];
	v->list[countof(v->text)] = NULL;
	return v->list;
}

/* A model that has failed is not asked again at once, and one that ends takes a while. */
static void let_children_rest(const struct scenario *sc)
{
	siginfo_t any;

	for (int ms = 0; ms < 100 && strstr(sc->with, "=ends") != NULL && waitid(P_ALL, 0, &any, WEXITED | WNOHANG | WNOWAIT) == 0; ms++)
		really_wait(1);
	usleep(20 * 1000000);
}

static void ask(struct worker *w, const struct scenario *sc, long point, bool on, struct fault *f, struct answer *a)
{
	struct variables   v;
	char *const *const params = variables(&v, sc);

	if (sc->with != NULL)
		let_children_rest(sc);
	if (ftruncate(in_fd, 0) < 0 || ftruncate(out_fd, 0) < 0 || pwrite(in_fd, sc->body, strlen(sc->body), 0) < 0 ||
	    lseek(in_fd, 0, SEEK_SET) < 0 || lseek(out_fd, 0, SEEK_SET) < 0 || dup2(in_fd, 0) < 0 || dup2(out_fd, 1) < 0)
		die("descriptors");
	faults_arm(point, on);
	handle(w, &(struct http){ .params = params });
	calls = longer(calls, faults_disarm(f));
	dup2(null_fd, 0);
	dup2(null_fd, 1);
	read_answer(sc, a);
}

/* ---- work of the command line -------------------------------------------------------------------------- */

static int64_t row_of(struct store *st, int64_t id, struct err *e)
{
	int64_t row;
	int     rc = store_project_find(st, id, STAMP, &row, e);

	return rc < 0 ? -1 : rc == 1 ? err_set(e, ERR_NOT_FOUND, "no project") : row;
}

static int with_store(struct outcome *o, int (*what)(struct store *st, int64_t row, struct outcome *o))
{
	struct store *st;
	int64_t       row;
	int           rc = -1;

	if (store_open(&st, scratch, 2000, &o->e) < 0)
		return -1;
	row = row_of(st, 1, &o->e);
	if (row > 0)
		rc = what(st, row, o);
	store_close(st);
	return rc;
}

/* A training is right when its version is served, from the examples that are meant. */
static int served(struct store *st, int64_t row, const struct train_result *r, struct outcome *o)
{
	struct project  p;
	struct serving *s;
	struct arena    a;
	int             rc = -1;

	if (r->state == JOB_QUEUED)
		return err_set(&o->e, ERR_BUSY, "to be tried again: %s", r->note);
	if (r->state != JOB_DONE)
		return err_set(&o->e, ERR_SHAPE, "%s: %s", job_state_names[r->state], r->note);
	arena_init(&a, 1 << 20);
	if (store_project_get(st, row, &a, &p, &o->e) == 0 && serving_get(st, &server.env, &p, p.label_config, &s, &o->e) == 0) {
		rc = strcmp(s->version, r->version) == 0 ? 0 : err_set(&o->e, ERR_DAMAGED, "%s is served", s->version);
		serving_release(s);
	}
	arena_clear(&a);
	snprintf(o->text, sizeof o->text, "trained %s", strrchr(r->version, '-') == NULL ? "" : strrchr(r->version, '-'));
	return rc;
}

static int train_it(struct store *st, int64_t row, struct outcome *o)
{
	struct train_options opt = { .foreground = true };
	struct train_result  r;

	return train_run(st, &server.env, row, &opt, &r, &o->e) < 0 ? -1 : served(st, row, &r, o);
}

static int work_train(struct outcome *o)
{
	return with_store(o, train_it);
}

/* By another token pattern, so that all that was kept of annotations counts for nothing. */
static int work_train_anew(struct outcome *o)
{
	server.env.token_pattern = TOKEN_WORD1;
	return with_store(o, train_it);
}

static int queued(struct store *st, int64_t row, struct outcome *o)
{
	struct train_options opt = { .full = true };
	struct train_result  r;

	if (store_begin(st, &o->e) < 0 || store_job_queue(st, row, "start", clock_s(), NULL, &o->e) < 0 ||
	    store_commit(st, &o->e) < 0)
		return -1;
	/* One that a dead trainer left: after its lease. */
	for (int i = 0; i < 4; i++) {
		if (train_run(st, &server.env, row, &opt, &r, &o->e) < 0)
			return -1;
		if (r.state != JOB_NONE)
			return served(st, row, &r, o);
		usleep(LEASE_S * 500000);
	}
	return err_set(&o->e, ERR_LEASE, "nothing could be taken");
}

static int work_due(struct outcome *o)
{
	return with_store(o, queued);
}

static bool goes_on(void *arg)
{
	(void)arg;
	return true;
}

static int sync_it(struct store *st, int64_t row, struct outcome *o)
{
	struct reconcile_result r;

	if (reconcile(st, &server.env, row, goes_on, NULL, &r, &o->e) < 0)
		return -1;
	snprintf(o->text, sizeof o->text, "%lld tasks, %lld unreadable", (long long)r.tasks, (long long)r.unreadable);
	return 0;
}

static int work_sync(struct outcome *o)
{
	return with_store(o, sync_it);
}

static int import_it(const char *file, int64_t id, struct outcome *o)
{
	struct reconcile_result r;
	struct store           *st;
	int                     rc;

	if (store_open(&st, scratch, 2000, &o->e) < 0)
		return -1;
	rc = import_file(st, &server.env, id, in_folder(file), &r, &o->e);
	store_close(st);
	snprintf(o->text, sizeof o->text, "%lld tasks, %lld unreadable", (long long)r.tasks, (long long)r.unreadable);
	return rc;
}

static int work_lines(struct outcome *o)
{
	return import_it("lines.jsonl", 5, o);
}

static int work_tasks(struct outcome *o)
{
	return import_it("tasks.json", 6, o);
}

static int print_document(json_object *doc, struct outcome *o)
{
	const char *text;

	if (doc == NULL)
		return -1;
	faults_disarm(NULL);             /* the printing is ours */
	text = json_object_to_json_string(doc);
	snprintf(o->text, sizeof o->text, "%s", text == NULL ? "" : text);
	json_object_put(doc);
	return 0;
}

static int evaluate_lines(struct store *st, int64_t row, struct outcome *o)
{
	return print_document(evaluate_file(st, &server.env, row, in_folder("gold.jsonl"), &o->e), o);
}

static int work_evaluate(struct outcome *o)
{
	return with_store(o, evaluate_lines);
}

static int evaluate_own(struct store *st, int64_t row, struct outcome *o)
{
	return print_document(evaluate_project(st, &server.env, row, &o->e), o);
}

static int work_crossval(struct outcome *o)
{
	return with_store(o, evaluate_own);
}

/* ---- one point -------------------------------------------------------------------------------------------- */

struct right {                           /* what comes without a fault: the first time, and again */
	struct answer  first, again;
	struct outcome work, work_again;
	char           before[TEXT_BYTES], after[TEXT_BYTES], after_again[TEXT_BYTES];
	char           core[TEXT_BYTES];
};

static struct right right;
static struct answer got, then;
static char          seen[TEXT_BYTES], last[TEXT_BYTES];

static int descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static bool same(const struct answer *a, const struct answer *b)
{
	return a->status == b->status && strcmp(a->body, b->body) == 0;
}

/* /metrics says what it can without the store: some families, each of them whole. */
static bool some_families(const char *path, const char *all, const char *some)
{
	const char *end;

	if (strcmp(path, "/metrics") != 0 || some[0] == '\0')
		return false;
	for (; (end = strchr(some, '\n')) != NULL; some = end + 1)
		if (memmem(all, strlen(all), some, (size_t)(end + 1 - some)) == NULL)
			return false;
	return true;
}

static bool json_error(const struct answer *a)
{
	json_object *o = json_tokener_parse(a->body);
	bool         is = o != NULL && json_object_object_get(o, "error") != NULL;

	json_object_put(o);
	return is;
}

static void begin_worker(struct worker *w)
{
	if (worker_open(w, &server) < 0)
		die("worker");
}

/* A disk that gives nothing any more: a version may be taken for damaged, as it should be
 * then.  That nothing dies, hangs or is left over holds all the same. */
static bool disk_is_gone(const struct fault *f)
{
	return f->sort == FAULT_READ && shared->on;
}

static void judge_request(const struct scenario *sc, const struct fault *f)
{
	const bool refused = got.status == 503 || got.status == 507 || (got.status == 400 && f->sort == FAULT_READ);
	const bool lost = got.status == 0 && f->sort == FAULT_WRITE;
	const bool was = strcmp(seen, right.before) == 0, is = strcmp(seen, right.after) == 0;

	if (sc->with == NULL && waitpid(-1, NULL, WNOHANG) >= 0)
		blame("a child is left");
	if (refused ? !json_error(&got) : !lost && !same(&got, &right.first) &&
	              !(got.status == 200 && some_families(sc->path, right.first.body, got.body)))
		blame("answered %d %.300s", got.status, got.body);
	if (!sc->steps && !is && (!was || got.status / 100 == 2))
		blame(was ? "answered %d, and the store does not have it" : "answered %d, and the store is neither as before nor as after: %.300s",
		      got.status, seen);
	if (!same(&then, &right.first) && !same(&then, &right.again))
		blame("the next request is answered %d %.300s", then.status, then.body);
	else if (!sc->steps && !same(&then, is ? &right.again : &right.first))
		blame("the next request is answered %d %.300s, as if the one before had %sbeen kept", then.status, then.body, is ? "not " : "");
	if (strcmp(last, sc->steps ? right.core : is ? right.after_again : right.after) != 0)
		blame("after the next request the store is not what it should be: %.400s", last);
}

static bool request_point(const struct scenario *sc, bool warm, long point, bool on)
{
	struct worker w = { 0 };
	struct fault  f;

	begin_worker(&w);
	if (warm) {
		/* What opens the store and prepares, changing nothing. */
		struct scenario other = *sc;

		if (sc->program == webhook_main) {
			other.path = "/webhook";
			other.query = "";
			other.body = "{\"action\":\"X\",\"project\":{\"id\":1}}";
		}
		if (sc->program == setup_main)
			other.body = "{\"project\":\"1.1700000000\",\"schema\":\"" TWO "\"}";
		ask(&w, &other, FAULT_NEVER, false, NULL, &got);
	}
	ask(&w, sc, point, on, &f, &got);
	shared->fault = f;
	if (f.fired) {
		dump(true, seen);
		ask(&w, sc, FAULT_NEVER, false, NULL, &then);
		dump(!sc->steps, last);
		if (!disk_is_gone(&f))
			judge_request(sc, &f);
	}
	worker_close(&w);
	serving_clear();
	return f.fired;
}

static void learn_request(const struct scenario *sc)
{
	struct worker w = { 0 };

	begin_worker(&w);
	dump(true, right.before);
	ask(&w, sc, FAULT_NEVER, false, NULL, &right.first);
	dump(true, right.after);
	ask(&w, sc, FAULT_NEVER, false, NULL, &right.again);
	dump(true, right.after_again);
	dump(false, right.core);
	worker_close(&w);
	serving_clear();
	if (sc->refused ? right.first.status != 503 || right.again.status != 503
	                : right.first.status / 100 != 2 || right.again.status / 100 != 2)
		blame("without a fault it is answered %d %.200s", right.first.status, right.first.body);
}

static void do_work(const struct scenario *sc, long point, bool on, struct fault *f, struct outcome *o, int *rc)
{
	*o = (struct outcome){ .text = "" };
	faults_arm(point, on);
	*rc = sc->work(o);
	calls = longer(calls, faults_disarm(f));
	serving_clear();
}

/* What a fault of the machine may be taken for, and passes. */
static bool passing(const struct err *e, const struct fault *f)
{
	return e->code == ERR_MEMORY || e->code == ERR_STORE || e->code == ERR_BUSY || e->code == ERR_DISK ||
	       e->code == ERR_REMOTE || e->code == ERR_LEASE || (e->code == ERR_NOT_FOUND && f->sort == FAULT_OPEN) ||
	       ((e->code == ERR_USAGE || e->code == ERR_NOT_FOUND || e->code == ERR_DAMAGED) && f->sort == FAULT_READ);
}

static bool work_point(const struct scenario *sc, long point, bool on)
{
	static struct outcome o, p;
	struct fault          f;
	int                   rc;

	do_work(sc, point, on, &f, &o, &rc);
	shared->fault = f;
	if (!f.fired)
		return false;
	dump(true, seen);
	if (disk_is_gone(&f))
		return true;
	if (rc < 0 && !passing(&o.e, &f))
		blame("fails for another reason (%d): %s", o.e.code, o.e.msg);
	if (rc == 0 && strcmp(o.text, right.work.text) != 0)
		blame("gives %.300s", o.text);
	if (!sc->steps && strcmp(seen, right.after) != 0 && (rc == 0 || strcmp(seen, right.before) != 0))
		blame("%s, and the store is not as it should be: %.300s", rc == 0 ? "succeeds" : "fails", seen);
	do_work(sc, FAULT_NEVER, false, NULL, &p, &rc);
	dump(!sc->steps, last);
	if (rc < 0 || (strcmp(p.text, right.work.text) != 0 && strcmp(p.text, right.work_again.text) != 0))
		blame("the next time it gives %.200s %.200s", p.text, p.e.msg);
	if (strcmp(last, sc->steps ? right.core : strcmp(seen, right.after) == 0 ? right.after_again : right.after) != 0)
		blame("after the next time the store is not what it should be: %.400s", last);
	return true;
}

static void learn_work(const struct scenario *sc)
{
	int rc;

	dump(true, right.before);
	do_work(sc, FAULT_NEVER, false, NULL, &right.work, &rc);
	if (rc < 0)
		blame("without a fault it fails: %s", right.work.e.msg);
	dump(true, right.after);
	do_work(sc, FAULT_NEVER, false, NULL, &right.work_again, &rc);
	if (rc < 0)
		blame("without a fault it fails the second time: %s", right.work_again.e.msg);
	dump(true, right.after_again);
	dump(false, right.core);
}

/* ---- a whole process ---------------------------------------------------------------------------------------- */

static struct process_end ended, ended_then;
static struct answer      met, met_then; /* what a program answered, and then without a fault */
static char               right_out[2][PROCESS_OUT];
static int                right_exit[2]; /* 1: it finds something wrong */
static int                listener;      /* of the program */
static int                served_port;   /* of `start` */
static bool               served_once;   /* it was reached */

static int free_port(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t          len = sizeof at;
	int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 0;

	if (bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && getsockname(fd, (struct sockaddr *)&at, &len) == 0)
		port = ntohs(at.sin_port);
	close(fd);
	return port;
}

static int run_command(void *arg)
{
	static char            line[512], path[16][256];
	const struct scenario *sc = arg;
	char                  *argv[24] = { line }, *rest = line, *word;
	int                    argc = 0;

	snprintf(line, sizeof line, "prelabel %s", sc->command);
	while ((word = strsep(&rest, " ")) != NULL && argc < 16) {
		argv[argc] = word;
		if (word[0] == '@') {
			snprintf(path[argc], sizeof path[argc], "%s/%s", scratch, word + 1);
			argv[argc] = path[argc];
		}
		argc++;
	}
	return prelabel_main(argc, argv);
}

static int run_program(void *arg)
{
	(void)arg;
	dup2(listener, 0);
	close(listener);
	return serve_process(server.service);
}

/* Until the process is at its end: true. */
static bool at_end(pid_t pid)
{
	siginfo_t how = { 0 };

	return waitid(P_PID, (id_t)pid, &how, WEXITED | WNOHANG | WNOWAIT) == 0 && how.si_pid == pid;
}

static void meet_program(void *arg, pid_t pid)
{
	static char            text[TEXT_BYTES];
	const struct scenario *sc = arg;
	struct variables       v;

	close(listener);                 /* with the program the socket is gone */
	listener = -1;
	fcgi_ask(in_folder("socket"), variables(&v, sc), sc->body, 10, text, sizeof text);
	take_answer(sc, text, &met);
	faults_disarm(NULL);
	fcgi_ask(in_folder("socket"), variables(&v, sc), sc->body, 10, text, sizeof text);
	take_answer(sc, text, &met_then);
	kill(pid, SIGTERM);
}

/* The supervisor, as its programs do. */
static void wake(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	const int          fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	DIR               *dir = opendir(in_folder("run"));
	struct dirent     *one;

	while (dir != NULL && (one = readdir(dir)) != NULL) {
		if (one->d_name[0] == '.' ||
		    snprintf(to.sun_path, sizeof to.sun_path, "%s/%.30s/wake", in_folder("run"), one->d_name) >= (int)sizeof to.sun_path)
			continue;
		(void)sendto(fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to);
	}
	if (dir != NULL)
		closedir(dir);
	close(fd);
}

static void meet_start(void *arg, pid_t pid)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int                fd;

	(void)arg;
	to.sin_port = htons((in_port_t)served_port);
	for (int ms = 0; ms < 10000 && !served_once && !at_end(pid); ms += 2) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		served_once = connect(fd, (struct sockaddr *)&to, sizeof to) == 0;
		close(fd);
		really_wait(2);
	}
	/* It looks for what is to be trained, and a second later for what was missed. */
	for (int i = 0; i < 3 && served_once; i++) {
		usleep(1100000);
		wake();
		really_wait(4);
	}
	kill(pid, SIGTERM);
}

static void listen_here(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	snprintf(at.sun_path, sizeof at.sun_path, "%s", in_folder("socket"));
	unlink(at.sun_path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 16) < 0)
		die("socket");
}

static void whole(const struct scenario *sc, long point, bool on, struct fault *f, struct process_end *end)
{
	const struct process p = { .run = sc->program != NULL ? run_program : run_command,
	                           .meet = sc->program != NULL ? meet_program : sc->serves ? meet_start : NULL,
	                           .arg = (void *)(uintptr_t)sc };
	char                 port[16];

	met = met_then = (struct answer){ .status = 0 };
	served_once = false;
	if (sc->program != NULL)
		listen_here();
	if (sc->serves) {
		served_port = free_port();
		snprintf(port, sizeof port, "%d", served_port);
		setenv("PORT", port, 1);
	}
	calls = longer(calls, process_run(&p, point, on, f, end));
	if (sc->moving)
		numbers_away(end->out);
	if (end->hung)
		blame("it does not end");
	if (end->left > 0)
		blame("%zu processes are left", end->left);
}

static int exit_of(const struct process_end *end)
{
	return WIFEXITED(end->status) ? WEXITSTATUS(end->status) : -1;
}

static bool is_right(const struct scenario *sc, const struct process_end *end)
{
	if (sc->program != NULL)
		return exit_of(end) == 0 && (same(&met_then, &right.first) || same(&met_then, &right.again));
	for (int i = 0; i < 2; i++)
		if (exit_of(end) == right_exit[i] && (!sc->serves || served_once) && strcmp(end->out, right_out[i]) == 0)
			return true;
	return false;
}

/* A line that says why: on standard error, or where it says what it finds. */
static bool says_why(const struct scenario *sc, const struct process_end *end)
{
	const char *text = end->err[0] == '\0' && sc->says_no ? end->out : end->err;
	size_t      len = strlen(text);

	return len > 10 && text[len - 1] == '\n' && strstr(text, "(null)") == NULL && strstr(end->out, "(null)") == NULL;
}

static void judge_process(const struct scenario *sc, const struct fault *f)
{
	const bool gave_up = exit_of(&ended) == 1 || exit_of(&ended) == 2;

	if (WIFSIGNALED(ended.status) || ended.hung)
		;                                /* that is told */
	else if (gave_up ? !says_why(sc, &ended) : !is_right(sc, &ended) && !(sc->says_no && says_why(sc, &ended)))
		blame("ends with %d, %.150s, answers %d: %.200s", exit_of(&ended), ended.err, met_then.status, ended.out);
	if (met.status != 0 && met.status != 503 && met.status != 507 && !(met.status == 400 && f->sort == FAULT_READ) &&
	    !same(&met, &right.first))
		blame("answers %d %.300s", met.status, met.body);
	if (met.status != 0 && met.status >= 400 && !json_error(&met))
		blame("answers %d %.300s", met.status, met.body);
	if (!sc->steps && strcmp(seen, right.after) != 0 && (exit_of(&ended) == 0 || strcmp(seen, right.before) != 0))
		blame("ends with %d, and the store is not as it should be: %.300s", exit_of(&ended), seen);
}

static bool in_libfcgi(const struct fault *f)
{
	Dl_info d;

	for (int i = 0; f->fired && f->sort == FAULT_MEMORY && i < f->n_frames; i++)
		if (dladdr(f->frame[i], &d) != 0 && d.dli_fname != NULL && strstr(d.dli_fname, "libfcgi") != NULL)
			return true;
	return false;
}

/* libfcgi asserts that it has got memory; glibc ends a process whose thread finds none
 * for its variables, and at three places in dlopen(), and says so. */
static bool is_excused(void)
{
	return (shared->asserted && WIFSIGNALED(ended.status) && WTERMSIG(ended.status) == SIGABRT) ||
	       (exit_of(&ended) == 127 && (strstr(ended.err, "cannot allocate memory for thread-local data") != NULL ||
	                                   strcmp(ended.err, "out of memory\n") == 0));
}

static bool process_point(const struct scenario *sc, long point, bool on)
{
	struct fault f;

	shared->asserted = false;
	whole(sc, point, on, &f, &ended);
	shared->fault = f;
	if (!f.fired)
		return false;
	dump(true, seen);
	if (is_excused())
		shared->excused++;
	else
		judge_process(sc, &f);
	/* One that changed nothing, and has served nobody, is what came first. */
	if (sc->program == NULL && !sc->serves && strcmp(seen, right.before) == 0)
		return true;
	whole(sc, FAULT_NEVER, false, NULL, &ended_then);
	dump(!sc->steps, last);
	if (!is_right(sc, &ended_then))
		blame("the next time it ends with %d, %.200s, answers %d: %.200s", exit_of(&ended_then), ended_then.err, met_then.status,
		      ended_then.out);
	if (strcmp(last, sc->steps ? right.core : strcmp(seen, right.after) == 0 ? right.after_again : right.after) != 0)
		blame("after the next time the store is not what it should be: %.400s", last);
	return true;
}

static void learn_process(const struct scenario *sc)
{
	dump(true, right.before);
	whole(sc, FAULT_NEVER, false, NULL, &ended);
	right.first = met;
	memcpy(right_out[0], ended.out, sizeof ended.out);
	dump(true, right.after);
	right_exit[0] = exit_of(&ended);
	if (exit_of(&ended) != (sc->says_no && says_why(sc, &ended) ? right_exit[0] & 1 : 0) || (sc->program != NULL && met.status / 100 != 2) || (sc->serves && !served_once))
		blame("without a fault it ends with %d, answers %d: %.250s %.250s", exit_of(&ended), met.status, ended.err, ended.out);
	whole(sc, FAULT_NEVER, false, NULL, &ended);
	right.again = met_then;
	right_exit[1] = exit_of(&ended);
	memcpy(right_out[1], ended.out, sizeof ended.out);
	dump(true, right.after_again);
	dump(false, right.core);
}

static bool one_point(const struct scenario *sc, bool warm, long point, bool on)
{
	bool fired;

	put_template();
	fired = sc->whole ? process_point(sc, point, on) : sc->work != NULL ? work_point(sc, point, on) : request_point(sc, warm, point, on);
	look_ends(fired);
	return fired;
}

/* ---- one case ------------------------------------------------------------------------------------------------ */

static void say_leak(void *const frame[], int n)
{
	struct fault *f = &shared->fault;

	f->n_frames = n;
	memcpy(f->frame, frame, (size_t)n * sizeof *frame);
	blame("leaks a block that was given out here:");
}

/* What a first time leaves for good is no leak: only what each time leaves is. */
static void look_for_leaks(const struct scenario *sc, bool warm, long point, bool on, long *blocks, int *fds)
{
	long left = sc->whole ? 0 : faults_blocks() - *blocks;
	int  open_fds = descriptors() - *fds;

	if (open_fds > 0)
		blame("%d descriptors are left open", open_fds);
	*fds += open_fds;
	if (left > 0) {
		size_t before = shared->n_blames;

		*blocks = faults_blocks();
		faults_trace();
		one_point(sc, warm, point, on);
		if (faults_blocks() > *blocks) {
			shared->n_blames = before;
			faults_trace_end(say_leak);
		} else {
			faults_trace_end(NULL);
		}
	}
	*blocks = faults_blocks();
}

static void ask_plain(struct worker *w, int (*program)(void), const char *method, const char *path, const char *body)
{
	const struct scenario sc = { "", program, method, path, "", body, .agent = NULL };

	program();
	server.service = handed;
	begin_worker(w);
	ask(w, &sc, FAULT_NEVER, false, NULL, &got);
	worker_close(w);
	if (got.status / 100 != 2)
		blame("the store can't be filled: %s answers %d %.200s", path, got.status, got.body);
}

/* Projects 1 (trained), 2 (spans, trained) and 3 (asks for both kinds). */
static void fill(void)
{
	static const char *const setups[] = {
		"{\"project\":\"1.1700000000\",\"schema\":\"" TWO "\"}",
		"{\"project\":\"2.1700000000\",\"schema\":\"" SPANS "\"}",
		"{\"project\":\"3.1700000000\",\"schema\":\"" TWO "\",\"extra_params\":{\"model\":\"substring\\u002btfidf_logreg\"}}",
	};
	static const char *const events[] = {
		CREATED(1, "great food", "good"), CREATED(2, "cold s\\u00f6up", "b\\u00e4d"),
		CREATED(3, "friendly staff", "good"), CREATED(4, "rude waiter", "b\\u00e4d"),
		"{\"action\":\"ANNOTATION_CREATED\",\"project\":{\"id\":2,\"created_at\":\"2023-11-14T22:13:20Z\"},\"task\":" TASK(11, "soup of the day")
		",\"annotation\":{\"id\":11,\"task\":11,\"completed_by\":1,\"updated_at\":\"" DAY1 "\",\"result\":" FOUND(z) "}}",
	};
	struct train_options opt = { .foreground = true };
	struct train_result  r;
	struct worker        w = { 0 };
	struct store        *st;
	struct err           e = { 0 };
	const char          *key = server.env.ls_key;

	remove_store();
	server.env.ls_key = NULL;        /* Label Studio is asked later */
	for (size_t i = 0; i < countof(setups); i++)
		ask_plain(&w, setup_main, "POST", "/setup", setups[i]);
	for (size_t i = 0; i < countof(events); i++)
		ask_plain(&w, webhook_main, "POST", "/webhook", events[i]);
	if (store_open(&st, scratch, 1000, &e) < 0)
		die(e.msg);
	for (int64_t id = 1; id <= 2; id++)
		if (train_run(st, &server.env, row_of(st, id, &e), &opt, &r, &e) < 0 || r.state != JOB_DONE)
			blame("the store can't be filled: %s%s", e.msg, r.note);
	store_close(st);
	/* What is not read yet: the next training keeps its words. */
	ask_plain(&w, webhook_main, "POST", "/webhook", CREATED(5, "good food, friendly", "good"));
	serving_clear();
	server.env.ls_key = key;
}

/* As the first release made it. */
static void make_old_store(void)
{
	sqlite3 *db = NULL;

	if (sqlite3_open(in_folder(STORE_FILE), &db) != SQLITE_OK || sqlite3_exec(db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(db, schema_sql[0], NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(db, "PRAGMA user_version = 1", NULL, NULL, NULL) != SQLITE_OK)
		die("the store");
	sqlite3_close(db);
	chmod(in_folder(STORE_FILE), 0600);
}

static void keep_template(void)
{
	struct stat sb;
	int         fd = open(in_folder(STORE_FILE), O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &sb) < 0)
		die("the store");
	template_len = (size_t)sb.st_size;
	template = mmap(NULL, template_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (template == MAP_FAILED || read(fd, template, template_len) != (ssize_t)template_len)
		die("the store");
	close(fd);
}

static void put_settings(const char *list)
{
	char *copy = strdup(list), *rest = copy, *line, *eq;

	while ((line = strsep(&rest, "\n")) != NULL) {
		eq = strchr(line, '=');
		*eq = '\0';
		if (strncmp(line, "ACTOR", 5) == 0 || strncmp(line, "PRELABEL_P", 10) == 0 || strncmp(line, "PRELABEL_S", 10) == 0)
			env_give(line, eq + 1, true);
		else
			setenv(line, eq + 1, 1);
	}
	free(copy);
}

static void settings(const struct scenario *sc)
{
	char       url[64], port[16], self[PATH_MAX] = "";
	struct err e = { 0 };

	snprintf(url, sizeof url, "http://127.0.0.1:%d", stub_port);
	clearenv();
	setenv("MODEL_DIR", scratch, 1);
	setenv("LABEL_STUDIO_URL", url, 1);
	setenv("LABEL_STUDIO_API_KEY", REFRESH, 1);
	setenv("START_TRAINING_EACH_N_UPDATES", "5", 1);
	setenv("TRAIN_THREADS", "2", 1);
	setenv("THREADS", "2", 1);
	setenv("HOST", "127.0.0.1", 1);
	snprintf(port, sizeof port, "%d", stub_port);
	setenv("PORT", port, 1);
	setenv("PATH", in_folder("bin"), 1);
	setenv("XDG_RUNTIME_DIR", in_folder("run"), 1);
	if (readlink("/proc/self/exe", self, sizeof self - 1) < 0 ||
	    (symlink(self, in_folder("bin/lighttpd")) < 0 && errno != EEXIST))
		die("lighttpd");
	if (sc->with != NULL) {
		setenv("MODEL_COMMAND", self, 1);
		put_settings(sc->with);
		if (getenv("MODEL") == NULL)
			unsetenv("MODEL_COMMAND");
	}
	if (env_read(&server.env, &e) < 0)
		die(e.msg);
	auth_init(&server.auth, &server.env);
}

/* Says where, then dies of it. */
static void dying(int sig)
{
	struct fault *f = &shared->fault;
	struct fault  cause, here = { .fired = true, .sort = FAULT_MEMORY };

	faults_disarm(&cause);
	shared->fault = cause;
	here.n_frames = backtrace(here.frame, FAULT_FRAMES);
	if (sig == SIGABRT && (in_libfcgi(&cause) || in_libfcgi(&here))) {
		shared->asserted = true;
		signal(sig, SIG_DFL);
		raise(sig);
		return;
	}
	blame("dies of signal %d, after this fault:", sig);
	f->n_frames = backtrace(f->frame, FAULT_FRAMES);
	blame("  and here:");
	signal(sig, SIG_DFL);
	raise(sig);
}

/* What a process finds when it is forked. */
static void begin_whole(const struct scenario *sc)
{
	struct ls_api *api;
	struct err     e = { 0 };

	if (!sc->cold && ls_api_open_keyless(&api, server.env.ls_url, &e) == 0)
		ls_api_close(api);
	faults_share();
	signal(SIGPIPE, SIG_DFL);
}

static void run_case(const struct scenario *sc)
{
	static const char lines[] = "{\"text\":\"caf\\u00e9\",\"label\":\"go\\u00f6d\"}\n{\"text\":\"cold\",\"label\":\"bad\"}\n"
	                            "{\"text\":\"again\",\"label\":[\"bad\",\"so so\"]}\nno JSON\n";
	static const char gold[] = "{\"text\":\"great caf\\u00e9\",\"label\":\"good\"}\n{\"text\":\"cold\",\"label\":\"b\\u00e4d\"}\n";
	const long first = seed % every;
	long blocks;
	const bool once = sc->work != NULL || sc->whole;        /* has no warm form */
	int  fds, rounds = once ? 2 : 4;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	in_fd = memfd_create("in", MFD_CLOEXEC);
	out_fd = memfd_create("out", MFD_CLOEXEC);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGSEGV, dying);
	signal(SIGABRT, dying);
	signal(SIGBUS, dying);
	dup2(null_fd, 2);
	dup2(null_fd, 0);
	mkdir(in_folder("bin"), 0700);
	mkdir(in_folder("run"), 0700);
	settings(sc);
	log_open("torture", LOG_DEBUG);
	if (sodium_init() < 0)
		die("sodium");
	/* Who can't open or close libxml2 ends, and another takes its place: whole processes
	 * (begin-…) are for that, and this one has to go on. */
	if (!sc->whole) {
		meter_open(scratch);
		faults_spare_libraries();
	}
	write_file("lines.jsonl", lines, sizeof lines - 1);
	write_file("gold.jsonl", gold, sizeof gold - 1);
	write_file("tasks.json", export, sizeof export - 1);
	if (sc->kept == KEPT_FULL)
		fill();
	else
		remove_store();
	if (sc->kept == KEPT_OLD)
		make_old_store();
	if (sc->kept != KEPT_NONE)
		keep_template();
	if (sc->whole)
		begin_whole(sc);
	calls = 0;
	if (sc->program != NULL) {
		sc->program();
		server.service = handed;
	}
	put_template();
	if (sc->whole)
		learn_process(sc);
	else if (sc->work != NULL)
		learn_work(sc);
	else
		learn_request(sc);
	look_ends(false);
	for (int i = 0; i < 3 && !sc->whole; i++)
		for (int round = 0; round < rounds; round++)
			one_point(sc, round & 1, FAULT_NEVER, false);
	if (shared->n_blames > 0)
		return;
	/* A process takes as long as ten requests, and those of the command line begin alike. */
	if (only < 0 && sc->whole && every > 1) {
		every = calls < 50 * every ? longer(1, calls / 50) : 5 * every;
		shared->point = shared->round == 0 && shared->point == first ? seed % every : shared->point;
	} else if (only < 0 && calls < 10 * every) {
		/* Too few to leave some out. */
		shared->point = shared->round == 0 && shared->point == seed % every ? 0 : shared->point;
		every = 1;
	}
	for (; shared->round < rounds; shared->round++, shared->point = seed % every) {
		const bool warm = !once && (shared->round & 1) != 0;
		const bool on = once ? (shared->round & 1) != 0 : (shared->round & 2) != 0;

		shared->warm = warm;
		shared->on = on;
		blocks = faults_blocks();
		fds = descriptors();
		for (;; shared->point += every) {
			shared->at_work = true;
			if (!one_point(sc, warm, shared->point, on))
				break;
			look_for_leaks(sc, warm, shared->point, on, &blocks, &fds);
			shared->done[shared->fault.sort]++;
			shared->at_work = false;
			if (shared->n_blames >= BLAMES)
				return;
		}
		shared->at_work = false;
	}
}

/* ---- all cases ------------------------------------------------------------------------------------------------ */

/* Which line a frame is, by addr2line where there is one. */
static void print_frames(const struct fault *f)
{
	fflush(stdout);
	for (int i = 0; i < f->n_frames; i++) {
		Dl_info d;
		char    command[512];
		int     rc = -1;

		if (dladdr(f->frame[i], &d) == 0 || d.dli_fname == NULL)
			continue;
		if (d.dli_sname != NULL && i < 3 && (strcmp(d.dli_sname, "malloc") == 0 || strcmp(d.dli_sname, "calloc") == 0))
			continue;
		if (strstr(d.dli_fname, "torture") != NULL) {
			snprintf(command, sizeof command, "addr2line -sfpe /proc/%d/exe %#lx 2>/dev/null | sed 's/^/      /'", (int)getpid(),
			         (unsigned long)((char *)f->frame[i] - (char *)d.dli_fbase) - 1);
			rc = system(command);
		}
		if (rc != 0)
			printf("      %s %s\n", d.dli_fname, d.dli_sname == NULL ? "?" : d.dli_sname);
		fflush(stdout);
	}
}

/* Waits for the child; false: it hung. */
static int wait_for(pid_t pid)
{
	long   round = -1, point = -1;
	int    status, quiet = 0;

	for (;;) {
		const struct timespec fifth = { .tv_nsec = 200000000 };

		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		syscall(SYS_nanosleep, &fifth, NULL);
		quiet = round == shared->round && point == shared->point ? quiet + 1 : 0;
		round = shared->round;
		point = shared->point;
		if (quiet > STALL_S * 5) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return -1;
		}
	}
}

static bool run_one(const struct scenario *sc)
{
	struct timespec t0, t1;
	long            total = 0;

	memset(shared, 0, sizeof *shared);
	shared->point = seed % every;
	clock_gettime(CLOCK_MONOTONIC, &t0);
	for (int deaths = 0; deaths < BLAMES; deaths++) {
		pid_t pid = fork();
		int   status;

		if (pid < 0) {
			perror("torture: fork");
			exit(2);
		}
		if (pid == 0) {
			run_case(sc);
			_exit(0);
		}
		status = wait_for(pid);
		if (status == 0)
			break;
		if (status < 0)
			blame("hangs");
		else if (WIFSIGNALED(status) && WTERMSIG(status) != SIGSEGV && WTERMSIG(status) != SIGABRT &&
		         WTERMSIG(status) != SIGBUS)
			blame("dies of signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
		else if (!WIFSIGNALED(status))
			blame("ends with exit status %d", WEXITSTATUS(status));
		if (!shared->at_work)
			break;
		shared->point += every;
		shared->at_work = false;
	}
	clock_gettime(CLOCK_MONOTONIC, &t1);
	for (int i = 0; i < FAULT__MAX; i++)
		total += shared->done[i];
	printf("%s %s: %ld points", shared->n_blames == 0 && total > 0 ? "ok  " : "FAIL", sc->name, total);
	for (int i = 0; i < FAULT__MAX; i++)
		if (shared->done[i] > 0)
			printf(", %s %ld", fault_sort_names[i], shared->done[i]);
	if (shared->excused > 0)
		printf(", %ld of them ended by libfcgi or glibc itself", shared->excused);
	printf(", %.1f s", (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) * 1e-9);
	if (shared->n_blames > 0)
		printf(" [%zu wrong]", shared->n_blames);
	putchar('\n');
	for (size_t i = 0; i < shared->n_blames && i < BLAMES; i++) {
		const struct blame *b = &shared->blame[i];

		printf("    point %ld, %s%s, %s: %s\n", b->point, b->on ? "from then on" : "once", b->warm ? ", warm" : "",
		       b->fault.fired ? fault_sort_names[b->fault.sort] : "-", b->text);
		if (i < FRAMES_OF)
			print_frames(&b->fault);
	}
	fflush(stdout);
	return shared->n_blames == 0 && total > 0;
}

static bool named(const char *name, char *list[], int n)
{
	for (int i = 0; i < n; i++)
		if (strncmp(list[i], name, strlen(list[i])) == 0)
			return true;
	return n == 0;
}

static void remove_tree(const char *path)
{
	DIR           *dir = opendir(path);
	struct dirent *one;

	while (dir != NULL && (one = readdir(dir)) != NULL)
		if (strcmp(one->d_name, ".") != 0 && strcmp(one->d_name, "..") != 0)
			(void)unlinkat(dirfd(dir), one->d_name, 0);
	if (dir != NULL)
		closedir(dir);
	(void)rmdir(path);
}

static void remove_folder(void)
{
	static const char *const files[] = { "lines.jsonl", "gold.jsonl", "tasks.json", METER_FILE, "train.log", "push.lock", "socket" };

	remove_store();
	for (size_t i = 0; i < countof(files); i++)
		unlink(in_folder(files[i]));
	remove_tree(in_folder("bin"));
	remove_tree(in_folder("run"));
	remove_tree(in_folder("new"));
	remove_tree(in_folder("exec"));
	rmdir(scratch);
}

int main(int argc, char *argv[])
{
	int    failed = 0, passed = 0, at = 1, status;
	pid_t  stub;

	if (actor(argv, &status))
		return status;
	for (; at < argc && argv[at][0] == '-'; at++) {
		if (strcmp(argv[at], "--every") == 0 && at + 1 < argc)
			every = strtol(argv[++at], NULL, 10);
		else if (strcmp(argv[at], "--seed") == 0 && at + 1 < argc)
			seed = strtol(argv[++at], NULL, 10);
		else if (strcmp(argv[at], "--point") == 0 && at + 1 < argc)
			seed = only = strtol(argv[++at], NULL, 10), every = LONG_MAX / 2;
		else if (strcmp(argv[at], "--list") == 0)
			for (size_t i = 0; i < countof(scenarios); i++)
				puts(scenarios[i].name);
		else
			every = 0;
	}
	if (every < 1 || seed < 0) {
		fprintf(stderr, "usage: torture [--every N] [--seed S] [--point N] [--list] [NAME...]\n");
		return 2;
	}
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	/* Thousands of stores are made and synced: in memory, where there is room. */
	snprintf(scratch, sizeof scratch, "%s/torture.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (shared == MAP_FAILED || mkdtemp(scratch) == NULL) {
		perror("torture");
		return 2;
	}
	stub = stub_start();
	for (size_t i = 0; i < countof(scenarios); i++) {
		if (!named(scenarios[i].name, argv + at, argc - at))
			continue;
		if (run_one(&scenarios[i]))
			passed++;
		else
			failed++;
	}
	kill(stub, SIGKILL);
	waitpid(stub, NULL, 0);
	remove_folder();
	printf("%d passed, %d failed\n", passed, failed);
	return failed == 0 && passed > 0 ? 0 : 1;
}
