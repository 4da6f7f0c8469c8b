"""What the manual page prelabel-operations(7) quotes, and the texts of the sources."""
import glob
import re

PAGE = "deploy/man/prelabel-operations.7.in"
LITERALS = re.compile(r'"(?:[^"\\\n]|\\.)*"(?:\s*(?:PRI[du]64)?\s*"(?:[^"\\\n]|\\.)*")*')
CONVERSION = re.compile(r"%[-+ #0]*(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:hh|h|ll|l|z|j)?[diuxXscgfeE]?")
# What is told to people: the functions behind errors, refusals and the log.
TELLS = re.compile(r"\b(?:err_set|failed|refuse|fail|usage_error)\s*\((?:[^;\"]*?)(?=\")|log_line\s*\(\s*LOG_(?:WARNING|ERROR)\s*,\s*(?=\")")
# In these every such message is on the page, but for the ones below.
COVERED = ("lib/supervisor.c", "lib/train.c", "lib/trainer.c", "lib/base/env.c", "lib/store/store_sqlite.c", "lib/studio/ls_api.c")
# Bugs, and what a person sees only together with another line that is on the page.
NOT_ON_PAGE = (
    "can't write the answers for refused requests", "can't make the socket for wakes", "can't take signals", "can't adopt orphans",
    "folder of the programs", "can't start lighttpd", "looking for due trainings", "programs did not end within", "a trainer did not end within",
    ": the trainer \0", "job \0: \0", "the names of the models are too long", "stopped", "told to stop", "MODEL_DIR is too long", "libsodium can't be started",
    "the project is no longer there", "part \"\0\"", "is no method of Label Studio's API", "is no path of Label Studio's API",
    "the address of Label Studio must be", "is not a task", "Label Studio's answer", "sent less than 1 KB/s", "does not answer in HTTP",
    "it asks to wait for", "the service manager can't be told", "project row \0: \0", "trainings could not be run", "can't name the programs",
    "lighttpd.conf is neither in the program nor beside it", "can't write lighttpd.conf", "export is not yet read",
)


def literals(text):
    """Every string of C source, adjacent ones joined; a conversion of printf is a NUL."""
    for m in LITERALS.finditer(text):
        yield m.start(), plain(m.group(0))


def plain(quoted):
    joined = re.sub(r'"\s*"', "", re.sub(r'"\s*PRI[du]64\s*"', "d", quoted))[1:-1]
    return CONVERSION.sub("\0", joined.replace('\\"', '"'))


def sources():
    out = {}
    for path in glob.glob("lib/**/*.[ch]", recursive=True) + glob.glob("cgi/*.c"):
        with open(path, encoding="utf-8") as f:
            out[path] = f.read()
    return out


def quoted(page):
    """The messages of the page's lists of diagnostics."""
    inside = False
    for line in page.splitlines():
        if line.startswith(".Bl "):
            inside = line.startswith(".Bl -diag")
        elif inside and line.startswith(".It "):
            yield line[4:].strip().strip('"')


def pattern(message):
    """Three dots are anything.  A literal may go on behind it: a list of it ends the message."""
    return re.compile(".*".join(map(re.escape, message.split("..."))), re.S)


def told(text):
    """The messages that a source file tells."""
    for m in TELLS.finditer(text):
        at = LITERALS.match(text, m.end())
        if at:
            yield plain(at.group(0))


def main():
    """Prints what the page lacks."""
    with open(PAGE, encoding="utf-8") as f:
        patterns = [pattern(q) for q in quoted(f.read())]
    for path, text in sources().items():
        for t in told(text):
            if path in COVERED and not any(p.search(t) for p in patterns) and not any(n in t for n in NOT_ON_PAGE) and len(t) > 6:
                print(path, repr(t))


if __name__ == "__main__":
    main()
