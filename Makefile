# prelabel - machine learning backend for Label Studio.  `make help` lists the targets.

PREFIX   ?= /usr/local
DESTDIR  ?=
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
HARDEN = -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
LDHARD = -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack
ifeq ($(SANITIZE),)
HARDEN += -D_FORTIFY_SOURCE=3
else
SANFLAGS = -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer -g
endif

# What links what: the request programs never link libcurl.
WEB_PKGS  = json-c sqlite3 libxml-2.0 libsodium
TOOL_PKGS = $(WEB_PKGS) libcurl
# Debian's libfcgi and libunistring come without a pkg-config file.
pkg-libs  = $(shell $(PKG_CONFIG) --libs $(1))
WEB_LIBS  = $(call pkg-libs,$(WEB_PKGS)) -lfcgi -lunistring -lm -lpthread
TOOL_LIBS = $(call pkg-libs,$(TOOL_PKGS)) -lfcgi -lunistring -lm -lpthread

CPPFLAGS += -Ilib -I$(BUILD) -D_GNU_SOURCE
CFLAGS   += -std=c11 $(OPT) -g $(WARN) $(HARDEN) $(SANFLAGS) $(PKG_CFLAGS) $(EXTRA_CFLAGS)
LDFLAGS  += $(LDHARD) $(SANFLAGS) $(EXTRA_LDFLAGS) -Wl,--as-needed
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(TOOL_PKGS) 2>/dev/null)

LIB_SRC  = $(wildcard lib/*.c lib/*/*.c)
LIB_OBJ  = $(LIB_SRC:%.c=$(BUILD)/%.o)
PROGRAMS = predict setup webhook status
UNIT_SRC = $(wildcard tests/unit/test_*.c)
UNIT     = $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/%)

.PHONY: all clean test unit

all: $(BUILD)/prelabel $(PROGRAMS:%=$(BUILD)/cgi/%)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/libprelabel.a: $(LIB_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/cgi/%: $(BUILD)/cgi/%.o $(BUILD)/libprelabel.a
	$(CC) $(LDFLAGS) -o $@ $^ $(WEB_LIBS)

$(BUILD)/prelabel: $(BUILD)/cgi/prelabel.o $(BUILD)/libprelabel.a
	$(CC) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS)

$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(BUILD)/libprelabel.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS) -lcmocka

unit: $(UNIT)
	@for t in $(UNIT); do $$t || exit 1; done

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
