# prelabel - machine learning backend for Label Studio.  `make help` lists the targets.

PREFIX   ?= /usr/local
DESTDIR  ?=
# Of the library, below PREFIX.
LIBDIR   ?= lib
BUILD    ?= build
CC       ?= cc
AR       ?= ar
PKG_CONFIG ?= pkg-config
OPT      ?= -O2
# Extra flags of one build: make SANITIZE=address,undefined BUILD=build/asan
SANITIZE ?=
EXTRA_CFLAGS  ?=
EXTRA_LDFLAGS ?=

WARN   = -Wall -Wextra -Wconversion -Wshadow -Wvla -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Werror
HARDEN = -fstack-protector-strong -fstack-clash-protection $(HARDEN_CPU) -fPIE
LDHARD = -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack
ifeq ($(SANITIZE),)
HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
else
SANFLAGS = -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
endif

PROGRAMS = predict setup webhook status

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all run tests test unit fuzz fuzzers tidy analyze memcheck trapv cover e2e bench deps man static deb install uninstall clean help FORCE
all:

help:
	@echo 'make             builds everything into $(BUILD)/'
	@echo 'make run         installs what is missing, builds, serves until Ctrl-C (settings: README.md)'
	@echo 'make test        installs what the tests need, builds, runs all tests'
	@echo 'make test STEPS="unit http"   some of them; make unit: those in C; make tests: builds alone'
	@echo 'make fuzz        libFuzzer: FUZZ_SECONDS=60 for each target of tests/fuzz, or TARGETS="json auth"'
	@echo 'make tidy        clang-tidy over the sources (.clang-tidy)'
	@echo 'make analyze     gcc -fanalyzer and cppcheck; make memcheck: the unit tests under valgrind; make trapv: with -ftrapv'
	@echo 'make cover       lines and branches of lib/ that the tests reach, file by file; COVER_STEPS="unit http": of some'
	@echo 'make e2e         the checks against a real Label Studio (installs it, into a cache folder)'
	@echo 'make bench       the benchmarks, into tests/bench/RESULTS.md; BENCH="load fit": some, BENCH_RUNS=1 BENCH_SECONDS=1: short'
	@echo 'make static      one static binary of all programs and the web server: $(BUILD)/static/prelabel'
	@echo 'make deps        the installing step alone, for run and test'
	@echo 'make install     into $$DESTDIR$$PREFIX (now $(DESTDIR)$(PREFIX)); make uninstall takes it away'
	@echo 'make deb         Debian packages of this tree, in $(BUILD)/deb'
	@echo 'make clean       removes $(BUILD)/'
	@echo 'Variables: CC, OPT, SANITIZE=address,undefined (with a BUILD of its own), PREFIX, DESTDIR'

clean:
	rm -rf $(BUILD)

# ---- what it is built with ---------------------------------------------------
# $(BUILD)/deps.mk holds the flags of pkg-config.  Made once, and again when one of the
# files that it rests on is gone: so a second `make run` asks nobody anything.  The
# targets that promise it install what is missing; the others name it and stop.

INSTALLING = run tests test unit fuzz analyze memcheck trapv cover e2e bench deps static
GOALS      = $(or $(MAKECMDGOALS),all)
DEPS       = CC='$(CC)' PKG_CONFIG='$(PKG_CONFIG)' sh deploy/deps.sh

ifneq ($(filter-out help clean uninstall deb,$(GOALS)),)
include $(BUILD)/deps.mk
ifneq ($(words $(DEPS_FILES)),$(words $(wildcard $(DEPS_FILES))))
$(BUILD)/deps.mk: FORCE
endif
endif

$(BUILD)/deps.mk: deploy/deps.sh
	@mkdir -p $(@D)
	@$(DEPS) $(if $(filter $(INSTALLING),$(GOALS)),install,check) --make $@ build

$(BUILD)/deps.test $(BUILD)/deps.e2e $(BUILD)/deps.static $(BUILD)/deps.bench $(BUILD)/deps.fuzz $(BUILD)/deps.check: $(BUILD)/deps.%: deploy/deps.sh
	@$(DEPS) install $*
	@touch $@

deps: $(BUILD)/deps.mk $(BUILD)/deps.test

# ---- build -------------------------------------------------------------------
# What links what; TOOL_LIBS has libcurl where LINK_ALL wants it.  Debian's libfcgi and
# libunistring come without a pkg-config file.

WEB_LIBS  = $(PKG_WEB_LIBS) -lfcgi -lunistring -lm -lpthread
TOOL_LIBS = $(PKG_TOOL_LIBS) -lfcgi -lunistring -lm -lpthread

override CPPFLAGS += -Ilib -I$(BUILD) -D_GNU_SOURCE
override CFLAGS   += -std=c11 $(OPT) -g $(WARN) $(HARDEN) $(SANFLAGS) $(PKG_CFLAGS) $(EXTRA_CFLAGS)
override LDFLAGS  += $(LDHARD) $(SANFLAGS) $(EXTRA_LDFLAGS) -Wl,--as-needed

# What few processes need is opened when it is first needed (base/curl.h, studio/xml.h);
# LINK_ALL=yes, and where there is only a .a: linked.
soname    = $(shell readelf -d "$$($(CC) -print-file-name=$(1).so)" 2>/dev/null | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
LINK_ALL ?=
ifeq ($(LINK_ALL),)
XML_SONAME  := $(call soname,libxml2)
CURL_SONAME := $(call soname,libcurl)
override CPPFLAGS += $(XML_SONAME:%=-DXML_SONAME=%) $(CURL_SONAME:%=-DCURL_SONAME=%)
endif

LIB_SRC  = $(wildcard lib/*.c lib/*/*.c)
LIB_OBJ  = $(LIB_SRC:%.c=$(BUILD)/%.o) $(BUILD)/model_table.o
UNIT_SRC = $(wildcard tests/unit/test_*.c)
UNIT     = $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/%)
SCHEMA   = $(sort $(wildcard schema/[0-9][0-9][0-9][0-9]_*.sql))
MODELS   = $(filter-out lib/models/model.c,$(wildcard lib/models/*.c))
HEADERS  = $(BUILD)/sql.h $(BUILD)/schema.h
VERSION  = $(shell sed -n 's/^\#define PRELABEL_VERSION "\(.*\)"/\1/p' lib/status.h)
ABI      = $(shell sed -n 's/^\#define MODEL_ABI \([0-9]*\).*/\1/p' lib/models/model.h)

all: $(BUILD)/prelabel $(PROGRAMS:%=$(BUILD)/cgi/%) $(BUILD)/lighttpd.conf $(BUILD)/init $(BUILD)/prelabel.pc

# Other flags than last time: everything is compiled anew.
FLAGS = $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)
ifneq ($(strip $(file <$(BUILD)/flags)),$(strip $(FLAGS)))
$(BUILD)/flags: FORCE
endif
$(BUILD)/flags:
	@mkdir -p $(@D)
	$(file >$@,$(FLAGS))@:

$(BUILD)/%.o: %.c $(BUILD)/flags | $(HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/%.o: $(BUILD)/%.c $(BUILD)/flags
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/libprelabel.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/cgi/%: $(BUILD)/cgi/%.o $(BUILD)/libprelabel.a
	$(CC) $(LDFLAGS) -o $@ $^ $(WEB_LIBS)

$(BUILD)/prelabel: $(BUILD)/cgi/prelabel.o $(BUILD)/libprelabel.a
	$(CC) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS)

# Beside the program that reads it, as it is when installed.
$(BUILD)/lighttpd.conf: lighttpd.conf
	@mkdir -p $(@D)
	cp $< $@

# What `prelabel init` writes, beside it too.  Anew as a whole, so that nothing stays of
# a template that was renamed.
$(BUILD)/init: $(wildcard deploy/init/*) deploy/init
	@rm -rf $@
	@mkdir -p $@
	cp deploy/init/* $@/

# By PKG_CONFIG_PATH=$(BUILD) a model finds this tree as it finds an installed library.
$(BUILD)/prelabel.pc: deploy/prelabel.pc.in lib/status.h
	@mkdir -p $(@D)
	sed -e 's|@VERSION@|$(VERSION)|' -e 's|@PREFIX@|$(CURDIR)|' -e 's|@LIBDIR@|$(abspath $(BUILD))|' \
	    -e 's|@INCLUDEDIR@|$(CURDIR)/lib|' -e 's|@CGIDIR@|$(CURDIR)/cgi|' \
	    -e 's|@TABLE@|$(abspath $(BUILD))/model_table.c|' -e 's|@LIBS@|$(TOOL_LIBS)|' $< >$@

# `-- name: parameters` begins a statement of schema/statements.sql; other comments
# are left out.
$(BUILD)/sql.h: schema/statements.sql
	@mkdir -p $(@D)
	@echo GEN $@
	@awk 'function fail(why) { print FILENAME ":" FNR ": " why > "/dev/stderr"; failed = 1; exit 1 } \
	     /^-- [a-z_0-9]+:/ { sub(":", "", $$2); id = toupper($$2); if (id in seen) fail(id " twice"); \
	                         seen[id]; order[++n] = id; next } \
	     /^[ \t]*--/ || !NF { next } \
	     id == "" { fail("no name above the statement") } \
	     { gsub(/["\\]/, "\\\\&"); text[id] = text[id] "\n\t\"" $$0 "\\n\""; \
	       if (length(text[id]) > 4095) fail(id " is longer than a C string may be") } \
	     END { if (failed) exit 1; \
	           for (i = 1; i <= n; i++) if (!(order[i] in text)) fail(order[i] " has no text"); \
	           print "enum sql {"; for (i = 1; i <= n; i++) print "\tSQL_" order[i] ","; \
	           print "\tSQL__MAX\n};\n\nstatic const char *const sql_text[SQL__MAX] = {"; \
	           for (i = 1; i <= n; i++) print "\t[SQL_" order[i] "] =" text[order[i]] ","; print "};" }' $< >$@

# The migrations, the first at 0: as bytes, since C promises no string longer than 4095.
# The folder stands for files that were taken away.
$(BUILD)/schema.h: schema $(SCHEMA)
	@mkdir -p $(@D)
	@n=0; for f in $(SCHEMA); do n=$$((n + 1)); \
	    case $$f in schema/$$(printf %04d $$n)_*) ;; *) echo "$$f: number $$n is expected" >&2; exit 1 ;; esac; done
	@echo GEN $@
	@{ n=0; for f in $(SCHEMA); do n=$$((n + 1)); \
	      echo "/* $$f */"; echo "static const char schema_$$n[] = {"; \
	      od -An -v -tx1 $$f | sed "s/ \([0-9a-f][0-9a-f]\)/'\\\\x\1',/g"; echo "0 };"; done; \
	  echo "static const char *const schema_sql[] = {"; \
	  for i in $$(seq $$n); do echo "	schema_$$i,"; done; echo "};"; \
	  echo "enum { SCHEMA_VERSIONS = $$n };"; } >$@

# A file in lib/models that defines `const struct model_kind model_X` is a kind.
$(BUILD)/model_table.c: lib/models $(MODELS)
	@mkdir -p $(@D)
	@echo GEN $@
	@kinds=$$(sed -n 's/^const struct model_kind \(model_[a-z_0-9]*\) *=.*/\1/p' /dev/null $(MODELS)); \
	{ echo '#include "models/model.h"'; echo; \
	  for k in $$kinds; do echo "extern const struct model_kind $$k;"; done; echo; \
	  echo 'const struct model_kind *const model_kinds[] = {'; \
	  for k in $$kinds; do echo "	&$$k,"; done; echo '	NULL'; echo '};'; } >$@

-include $(patsubst %.o,%.d,$(LIB_OBJ)) $(wildcard $(BUILD)/cgi/*.d $(BUILD)/tests/*.d $(BUILD)/tests/*/*.d)

# ---- run ---------------------------------------------------------------------

run: all
	@exec $(BUILD)/prelabel start

# ---- tests -------------------------------------------------------------------

$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(BUILD)/libprelabel.a | $(BUILD)/deps.test
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS) -lcmocka

$(UNIT_SRC:%.c=$(BUILD)/%.o): | $(BUILD)/deps.test

# The program behind every check of tests/supervisor: it plays all parts.
$(BUILD)/tests/stub: $(BUILD)/tests/supervisor/stub.o $(BUILD)/libprelabel.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ -lfcgi -lm

$(BUILD)/tests/parity: $(BUILD)/tests/parity.o $(BUILD)/libprelabel.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS)

$(BUILD)/tests/spans: $(BUILD)/tests/substring/spans.o $(BUILD)/libprelabel.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS)

# The four programs in one, with a malloc of its own; a sanitizer has its own, too.
TORTURE = $(if $(SANITIZE),,$(BUILD)/tests/torture/torture)

$(BUILD)/tests/torture/%_main.o: $(BUILD)/cgi/%.o
	@mkdir -p $(@D)
	objcopy --redefine-sym main=$*_main $< $@

$(BUILD)/tests/torture/torture: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/torture/*.c)) \
                                $(PROGRAMS:%=$(BUILD)/tests/torture/%_main.o) $(BUILD)/tests/torture/prelabel_main.o \
                                $(BUILD)/libprelabel.a
	@ln -sf /bin/true $(@D)/prelabel
	@ln -sfn ../../cgi $(@D)/cgi; ln -sfn ../../init $(@D)/init; ln -sf ../../lighttpd.conf $(@D)/lighttpd.conf
	$(CC) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS)

# It stands in place of functions that the fortified headers define inline.
$(BUILD)/tests/torture/faults.o: override CFLAGS += -U_FORTIFY_SOURCE -Wno-error=attributes

$(BUILD)/tests/measure: $(BUILD)/tests/bench/measure.o $(BUILD)/libprelabel.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS)

$(BUILD)/tests/floor: $(BUILD)/tests/bench/floor.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ -lfcgi -lpthread

# tests/power, with a clock and a disk that it sets by hand.
$(BUILD)/tests/powercut: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/power/*.c)) $(BUILD)/libprelabel.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -Wl,--wrap=clock_gettime,--wrap=statvfs -o $@ $^ $(TOOL_LIBS)

# A fuzz target, here without libFuzzer: it runs files (tests/fuzz/fuzz.h).
FUZZ_COMMON  = tests/fuzz/fuzz.c tests/fuzz/mutate.c
FUZZ_TARGETS = $(patsubst tests/fuzz/%.c,%,$(filter-out $(FUZZ_COMMON) tests/fuzz/plain.c tests/fuzz/pipe.c,$(wildcard tests/fuzz/*.c)))
FUZZ_PLAIN   = $(FUZZ_TARGETS:%=$(BUILD)/tests/fuzz-%) $(BUILD)/tests/fuzz-pipe

$(BUILD)/tests/fuzz-pipe: $(BUILD)/tests/fuzz/pipe.o $(BUILD)/libprelabel.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS)

$(BUILD)/tests/fuzz-%: $(BUILD)/tests/fuzz/%.o $(BUILD)/tests/fuzz/plain.o $(FUZZ_COMMON:%.c=$(BUILD)/%.o) $(BUILD)/libprelabel.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS)

tests: all $(UNIT) $(BUILD)/tests/parity $(BUILD)/tests/stub $(BUILD)/tests/spans $(TORTURE) $(BUILD)/tests/powercut $(FUZZ_PLAIN)

# tests/run closes with `N passed, N failed`.  STEPS=... runs some of them.
STEPS ?=
test: tests $(BUILD)/deps.test
	@BUILD='$(BUILD)' CC='$(CC)' SANITIZE='$(SANITIZE)' UNIT='$(UNIT)' sh tests/run $(STEPS)

unit: $(UNIT)
	@BUILD='$(BUILD)' UNIT='$(UNIT)' sh tests/run unit

# With libFuzzer, ASan and UBSan: each target FUZZ_SECONDS long (tests/fuzz/run.py --help).
FUZZ_SECONDS ?= 60
FUZZERS = $(FUZZ_TARGETS:%=$(BUILD)/fuzzer-%)

fuzzers: $(FUZZERS)

$(BUILD)/fuzzer-%: $(BUILD)/tests/fuzz/%.o $(FUZZ_COMMON:%.c=$(BUILD)/%.o) $(BUILD)/libprelabel.a
	$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(TOOL_LIBS)

fuzz: $(BUILD)/deps.fuzz
	@$(MAKE) CC=clang BUILD='$(BUILD)/fuzz' SANITIZE=fuzzer-no-link,address,undefined fuzzers
	@BUILD='$(BUILD)' python3 -u tests/fuzz/run.py search --seconds $(FUZZ_SECONDS) $(TARGETS)

tidy: $(HEADERS)
	@printf '%s\n' $(LIB_SRC) $(wildcard cgi/*.c) | xargs -P 2 -n 1 sh -c \
	    'clang-tidy --quiet $$0 -- $(CPPFLAGS) -std=c11 $(PKG_CFLAGS) 2>/dev/null'

# The unit tests under valgrind.  Not test_sandbox, whose filter is over valgrind's own calls too; not
# test_exec, since valgrind 3.19 lacks pidfd_open(2); not test_serve, which starts /proc/self/exe anew
# and would start valgrind.  All three run with ASan.
MEMCHECK = valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect,possible \
           --errors-for-leak-kinds=definite,indirect,possible
memcheck: $(UNIT) $(BUILD)/deps.check
	@BUILD='$(BUILD)' UNIT='$(filter-out %/test_sandbox %/test_exec %/test_serve,$(UNIT))' UNDER='$(MEMCHECK)' SLOW=20 sh tests/run unit

# What is silenced says why at its place: cppcheck-suppress ID ; REASON.
ANALYZE = gcc $(CPPFLAGS) -std=c11 -O2 $(WARN) $(PKG_CFLAGS) -fanalyzer -c -o /dev/null
analyze: $(HEADERS) $(BUILD)/deps.check
	@printf '%s\n' $(LIB_SRC) $(wildcard cgi/*.c) | xargs -P 2 -n 1 $(ANALYZE)
	@cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability --inline-suppr \
	    -Ilib -I$(BUILD) -D_GNU_SOURCE lib cgi

# Where a signed number overflows the program ends.
trapv:
	@$(MAKE) BUILD='$(BUILD)/trapv' EXTRA_CFLAGS=-ftrapv tests
	@$(MAKE) -s BUILD='$(BUILD)/trapv' EXTRA_CFLAGS=-ftrapv test STEPS='unit parity'

# What the tests reach of lib/, by gcc's counters (tests/cover/report.py), and from nothing.  Without
# optimization, so that a branch in the source is one; its false warnings are no errors there.  As
# gnu11, in which gcc knows fork and exec and writes the counters before.  Of torture all but
# `start`, which would fail calls of that writing.
COVER_TORTURE = torture:predict,setup,webhook,train,health,status,versions,job,metrics,validate,delete,duplicate,export,import,evaluate,exec,begin,first,older,command
COVER_STEPS ?= unit parity fuzz http exec connect doctor push operations init supervisor power $(COVER_TORTURE)
COVER = CC=gcc BUILD='$(BUILD)/cover' OPT=-O0 EXTRA_LDFLAGS=--coverage \
        EXTRA_CFLAGS='-std=gnu11 --coverage -fprofile-update=atomic -U_FORTIFY_SOURCE -Wno-error -include tests/cover/exit.h'
cover:
	@$(MAKE) $(COVER) tests
	@find '$(BUILD)/cover' -name '*.gcda' -delete
	@SLOW=4 $(MAKE) -s $(COVER) test STEPS='$(COVER_STEPS)'; status=$$?; \
	    BUILD='$(BUILD)/cover' python3 tests/cover/report.py && exit $$status

E2E_SKIP ?=
e2e: all $(BUILD)/deps.e2e
	@BACKEND_CMD='$(MAKE) -s BUILD=$(BUILD) run' E2E_SKIP='$(E2E_SKIP)' sh tests/e2e/e2e.sh
	@BACKEND_CMD='$(MAKE) -s BUILD=$(BUILD) run' E2E_KEY=legacy E2E_ONLY=connect,train,nopayload,agree sh tests/e2e/e2e.sh

# BENCH="fit load" runs some; BENCH_RUNS, BENCH_SECONDS: tests/bench/run.
BENCH ?=
BENCH_RUNS ?= 3
BENCH_SECONDS ?= 3
bench: all $(BUILD)/deps.bench $(BUILD)/tests/measure $(BUILD)/tests/floor
	@BUILD='$(BUILD)' BENCH_RUNS='$(BENCH_RUNS)' BENCH_SECONDS='$(BENCH_SECONDS)' tests/bench/run $(BENCH)

# ---- static ------------------------------------------------------------------

static: $(BUILD)/deps.static
	@CC='$(CC)' MAKE='$(MAKE)' PKG_CONFIG='$(PKG_CONFIG)' sh deploy/static/build.sh $(BUILD)/static

# ---- install -----------------------------------------------------------------
# deploy/install.sh has the list of what goes where.

# The shared library is made of objects of its own: position-independent code for a
# program is cheaper than for a library.  Its name carries the number of the model
# interface.  A program's own model_kinds comes before the library's: no -Bsymbolic.
SHARED = $(BUILD)/libprelabel.so.$(ABI)
PIC    = $(patsubst $(BUILD)/%.o,$(BUILD)/pic/%.o,$(LIB_OBJ))

$(BUILD)/pic/%.o: %.c $(BUILD)/flags | $(HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -MMD -MP -c -o $@ $<

$(BUILD)/pic/%.o: $(BUILD)/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -MMD -MP -c -o $@ $<

$(SHARED): $(PIC)
	$(CC) $(filter-out -pie,$(LDFLAGS)) -shared -Wl,-soname,$(@F) $(if $(SANITIZE),,-Wl,-z,defs) -o $@ $^ $(TOOL_LIBS)

-include $(PIC:.o=.d)

# The pages of the manual: commands and settings as the program itself prints them.
MAN = $(patsubst deploy/man/%.in,$(BUILD)/man/%,$(wildcard deploy/man/*.in))

$(BUILD)/man/help: $(BUILD)/prelabel
	@mkdir -p $(@D)
	$(BUILD)/prelabel help >$@

$(BUILD)/man/env: $(BUILD)/prelabel
	@mkdir -p $(@D)
	env -i $(BUILD)/prelabel env >$@

$(BUILD)/man/%: deploy/man/%.in deploy/man/fill.awk $(BUILD)/man/help $(BUILD)/man/env
	awk -v help=$(BUILD)/man/help -v env=$(BUILD)/man/env -v version=$(VERSION) \
	    -v date="$$(LC_ALL=C date -u -d "@$${SOURCE_DATE_EPOCH:-$$(stat -c %Y $<)}" '+%B %-d, %Y')" -f deploy/man/fill.awk $< >$@

man: $(MAN)

install: all $(SHARED) $(MAN)
	@BUILD='$(BUILD)' DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' CC='$(CC)' CPPFLAGS='$(CPPFLAGS) $(PKG_CFLAGS)' \
	    LIBS='$(TOOL_LIBS)' LIBDIR='$(LIBDIR)' \
	    sh deploy/install.sh install

uninstall:
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' sh deploy/install.sh uninstall

# dpkg-buildpackage builds them in a tree of its own, from the start.
deb:
	@sh deploy/deps.sh install build deb
	@sh deploy/deb.sh '$(BUILD)/deb'
