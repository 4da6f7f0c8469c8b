# @NAME@ - a backend of prelabel with a model of its own.
#
#   make         builds build/: the programs of prelabel with the models of this folder
#   make run     serves until Ctrl-C, as `prelabel start` with this folder does
#   make test    starts it and runs test_api.py;  make clean

# Where prelabel is: the folder of its prelabel.pc, asked before those that pkg-config
# knows.  Of a checkout that is its build folder: make PRELABEL_DIR=.../prelabel/build
PRELABEL_DIR ?= @PRELABEL_DIR@
PKG_CONFIG   ?= pkg-config
CC           ?= cc
CFLAGS       ?= -O2 -g -Wall -Wextra -fstack-protector-strong -fPIE
LDFLAGS      ?= -pie -Wl,-z,relro,-z,now

pkg = $(shell PKG_CONFIG_PATH="$(PRELABEL_DIR):$$PKG_CONFIG_PATH" $(PKG_CONFIG) $(1) prelabel)

ifneq ($(MAKECMDGOALS),clean)
CGI   := $(call pkg,--variable=cgidir)
LIB   := $(call pkg,--variable=libdir)/libprelabel.a
TABLE := $(call pkg,--variable=table)
ifeq ($(CGI),)
$(error prelabel is not found by pkg-config: install it, or say make PRELABEL_DIR=... (the folder of its prelabel.pc))
endif
endif

# The archive, not the shared library: what was built goes on running as it is when
# prelabel is upgraded, until the next make.
override CPPFLAGS += -D_GNU_SOURCE $(call pkg,--cflags)
LIBS := $(call pkg,--variable=archive)

# Every C file here; a `const struct model_kind model_NAME` in one is a kind, and comes
# before those of the library where both serve a labeling config.
SRC      = $(wildcard *.c)
OBJ      = $(SRC:%.c=build/obj/%.o) build/obj/model_table.o
PROGRAMS = $(patsubst %,build/cgi/%,predict setup webhook status) build/prelabel

all: $(PROGRAMS) build/lighttpd.conf

build/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) -std=c11 $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

build/obj/model_table.o: build/model_table.c
	$(CC) -std=c11 $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

build/obj/cgi/%.o: $(CGI)/%.c Makefile
	@mkdir -p $(@D)
	$(CC) -std=c11 -I$(CGI) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

build/model_table.c: $(SRC) $(TABLE) Makefile
	@mkdir -p build/obj
	@kinds=$$({ sed -n 's/^const struct model_kind \(model_[a-z_0-9]*\) *=.*/\1/p' $(SRC); \
	            sed -n 's/^extern const struct model_kind \(model_[a-z_0-9]*\);/\1/p' $(TABLE); } | awk '!seen[$$0]++'); \
	{ echo '#include "models/model.h"'; echo; \
	  for k in $$kinds; do echo "extern const struct model_kind $$k;"; done; echo; \
	  echo 'const struct model_kind *const model_kinds[] = {'; \
	  for k in $$kinds; do echo "	&$$k,"; done; echo '	NULL'; echo '};'; } >$@

build/cgi/%: build/obj/cgi/%.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIBS)

build/prelabel: build/obj/cgi/prelabel.o $(OBJ) $(LIB)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIBS)

$(filter build/cgi/%,$(PROGRAMS)): $(OBJ) $(LIB)

build/lighttpd.conf: lighttpd.conf
	@mkdir -p $(@D)
	cp $< $@

-include $(wildcard build/obj/*.d build/obj/cgi/*.d)

run: all
	@exec build/prelabel start .

test: all
	PRELABEL=build/prelabel python3 test_api.py

clean:
	rm -rf build

.PHONY: all run test clean
.SECONDARY:
.DELETE_ON_ERROR:
