# make        builds build/gateway             make check   style, layers, linters, both compilers
# make run    sample backend + gateway         make test    every test; ends with "N passed, N failed"
# make deps   Debian packages for all targets  make format  clang-format on everything
# make unit ROOM=http [SAN=address]            make test PHASES="unit vtc"     make fuzz SECONDS=60
# make install [DESTDIR=] [PREFIX=]  make deb  make clean           make k6      k6 scripts
# make bench  against its peers                make soak MINUTES=10 make big     1 GiB both ways
# make chaos SECONDS=10 RATE=500  targets that break in every way, and what clients see of it
# make conformance  the HTTP cache suite; CACHE_TESTS_DIR names a checkout of the newest
# make release  as install, deb, the image and bench take it: LTO=1 lets the compiler see all rooms at once,
# a tenth fewer instructions for half a minute of linking. SAN=address or SAN=thread builds a tree under build/SAN.
SHELL   := /bin/bash
.DEFAULT_GOAL := all
SAN     ?=
BUILD   ?= build$(if $(SAN),/$(SAN))
PREFIX  ?= /usr/local
CC      := $(if $(filter default,$(origin CC)),gcc,$(CC))

PACKAGES := libmicrohttpd libcurl libcjson libuv gnutls libssl libcrypto zlib libbrotlienc libbrotlidec libzstd hiredis libjpeg libpng libwebp
WARN     := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla -Werror
CFLAGS   ?= -O2 -g
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -Igateway $(WARN) $(CFLAGS) -fno-omit-frame-pointer -fstack-protector-strong $(if $(LTO),-flto=auto) \
	$(if $(SAN),-fsanitize=$(SAN)$(if $(filter address,$(SAN)),$(comma)undefined -fno-sanitize-recover=all),-D_FORTIFY_SOURCE=2) \
	$(PACKAGE_CFLAGS)
comma    := ,
LDLIBS    = $(PACKAGE_LIBS) -lcrypt -lpthread -lm

# build/packages.mk holds what pkg-config says. make builds it first, which installs what a
# fresh Debian lacks, and starts over; the goals below need no compiler.
ifneq ($(filter-out clean deps deps-% format layers sizes format-check cppcheck k6 k6-types test-trixie test-fresh test-image test-stores,$(or $(MAKECMDGOALS),all)),)
include build/packages.mk
endif
build/packages.mk: tests/deps.sh Makefile
	@mkdir -p build; tests/deps.sh build
	@cflags=$$(pkg-config --cflags $(PACKAGES)) && libs=$$(pkg-config --libs $(PACKAGES)) && \
	printf 'PACKAGE_CFLAGS := %s\nPACKAGE_LIBS := %s\n' "$$cflags" "$$libs" >$@.$$$$ && mv $@.$$$$ $@

ROOMS    := $(shell awk '$$1 ~ /^[0-9]+$$/ {print $$2}' gateway/LAYERS)
# rooms that ROOM may use, highest rank first, as archives: a test links with these alone
lower     = $(shell awk -v room=$(1) '$$1 ~ /^[0-9]+$$/ {rank[$$2]=$$1; name[n++]=$$2} \
	END {for (i=n-1;i>=0;i--) if (rank[name[i]]<rank[room] || name[i]==room) print "$(BUILD)/" name[i] ".a"}' gateway/LAYERS)
archive   = $(BUILD)/$(1).a
link      = $(CC) $(ALL_CFLAGS) $(1) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LDLIBS)
SOURCES  := $(shell find gateway tests/unit tests/origin -name '*.c' 2>/dev/null)
HEADERS  := $(shell find gateway tests -name '*.h' 2>/dev/null)
FUZZERS  := $(wildcard tests/fuzz/*_fuzz.c)
UNIT_SRC := $(wildcard tests/unit/*/*_test.c)
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/unit/%)

.PHONY: all programs release run unit objects tidy check layers sizes format-check cppcheck test fuzz format install deb clean deps k6 k6-types \
	bench big soak chaos conformance
.SECONDARY:
all: $(BUILD)/gateway
programs: $(BUILD)/gateway $(BUILD)/origin

$(BUILD)/gateway: $(BUILD)/obj/gateway/main.o $(foreach r,$(ROOMS),$(call archive,$(r)))
	$(call link)

# the sample backend; of our rooms it may use base alone
$(BUILD)/origin: $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/origin/*.c)) $(BUILD)/base.a
	$(call link)

define ROOM_RULE
$(BUILD)/$(1).a: $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard gateway/$(1)/*.c)) $(wildcard gateway/$(1))
	@rm -f $$@; ar rcs $$@ $$(filter %.o,$$^)
$(BUILD)/unit/$(1)/%: $(BUILD)/obj/tests/unit/$(1)/%.o $(call lower,$(1))
	@mkdir -p $$(@D)
	$$(call link) -lcmocka
endef
$(foreach r,$(ROOMS),$(eval $(call ROOM_RULE,$(r))))

# the operators' page, as C: gateway/admin/page/
$(BUILD)/obj/page_text.c: $(wildcard gateway/admin/page/*)
	@mkdir -p $(@D)
	sh gateway/admin/page/embed.sh gateway/admin/page >$@.new && mv $@.new $@
$(BUILD)/obj/page_text.o: $(BUILD)/obj/page_text.c gateway/admin/admin_priv.h
	$(CC) $(ALL_CFLAGS) -c -o $@ $<
$(BUILD)/admin.a: $(BUILD)/obj/page_text.o

# a fuzzer (clang, see tests/phases/fuzz.sh) links with the room that it includes first, and those below
fuzz_room = $(firstword $(filter-out base,$(shell sed -nE 's/^\#include "([a-z]+)\/.*/\1/p' $(1))) base)
define FUZZ_RULE
$(BUILD)/fuzz/$(1:tests/fuzz/%_fuzz.c=%): $(BUILD)/obj/$(1:.c=.o) $(call lower,$(call fuzz_room,$(1)))
	@mkdir -p $$(@D)
	$$(call link,-fsanitize=fuzzer)
endef
$(foreach f,$(FUZZERS),$(eval $(call FUZZ_RULE,$(f))))

# a program that measures one room by itself links the same way
define BENCH_RULE
$(BUILD)/bench/$(1:tests/bench/%_bench.c=%): $(BUILD)/obj/$(1:.c=.o) $(call lower,$(call fuzz_room,$(1)))
	@mkdir -p $$(@D)
	$$(call link) -lcmocka
endef
BENCHES := $(wildcard tests/bench/*_bench.c)
$(foreach f,$(BENCHES),$(eval $(call BENCH_RULE,$(f))))

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# make unit ROOM=http builds and runs one room's tests; without ROOM all of them
unit: $(if $(ROOM),$(filter $(BUILD)/unit/$(ROOM)/%,$(UNIT_BIN)),$(UNIT_BIN))
	@for t in $^; do $$t || exit 1; done

run: deps-run programs
	@tests/origin/run.sh $(BUILD)

# ---- check -----------------------------------------------------------------

objects: $(SOURCES:%.c=$(BUILD)/obj/%.o)
tidy: $(patsubst %.c,$(BUILD)/tidy/%.ok,$(filter gateway/%,$(SOURCES)))

# again only when the object had to be compiled again: that knows the headers
$(BUILD)/tidy/%.ok: %.c $(BUILD)/obj/%.o .clang-tidy
	@mkdir -p $(@D)
	@echo tidy $<; clang-tidy --quiet $< -- -std=c11 -D_GNU_SOURCE -Igateway $(PACKAGE_CFLAGS) 2>$@.log || { cat $@.log; exit 1; }
	@touch $@

layers:
	@tests/layers.sh
sizes: deps-check
	@tests/sizes.sh
format-check: deps-check
	@clang-format --dry-run -Werror $(SOURCES) $(HEADERS) $(FUZZERS)
cppcheck: deps-check
	@tests/lint/cppcheck.sh
k6-types:
	@tests/lint/k6.sh

check: deps-build deps-check
	@status=0; $(MAKE) -s -k -j2 layers sizes format-check cppcheck k6-types objects || status=1; \
	$(MAKE) -s -k -j2 CC=clang BUILD=build/clang objects tidy || status=1; \
	[ $$status = 0 ] && echo "check: all is well"

test: deps-build deps-test
	@tests/run.sh $(PHASES)

# Debian 13, a newcomer's Debian 12, and Redis 8 and Valkey 8, in chroots under build/; these need root
test-trixie test-fresh test-image test-stores:
	@tests/$(@:test-%=%).sh

fuzz: deps-test
	@FUZZ_SECONDS=$(or $(SECONDS),60) tests/run.sh fuzz

k6:
	@k6/run.sh

# three targets, one of them broken in every way in turn, under load; SECONDS of each, RATE requests a second
chaos: programs
	@node tests/chaos.mjs --seconds $(or $(SECONDS),10) --rate $(or $(RATE),500)

bench: deps-bench programs release $(BENCHES:tests/bench/%_bench.c=$(BUILD)/bench/%)
	@for b in $(filter $(BUILD)/bench/%,$^); do $$b || exit 1; done
	@GATEWAY=$(BUILD)/release/gateway node tests/bench/run.mjs
big: programs
	@node tests/load/memory.mjs 1024
soak: programs
	@node tests/load/soak.mjs $(or $(MINUTES),10)
conformance: programs
	@bash tests/phases/conformance.sh

format: deps-check
	@clang-format -i $(SOURCES) $(HEADERS) $(FUZZERS)

deps: deps-build deps-check deps-test deps-bench
deps-%:
	@tests/deps.sh $*

# ---- install ---------------------------------------------------------------

release:
	@$(MAKE) -s $(if $(findstring gcc,$(CC)),LTO=1) BUILD=$(BUILD)/release $(BUILD)/release/gateway

# the configuration goes where packages keep examples: nothing under /etc is ever overwritten
install: release
	install -D -m 755 $(BUILD)/release/gateway $(DESTDIR)$(PREFIX)/bin/gateway
	install -D -m 644 config/gateway.json $(DESTDIR)$(PREFIX)/share/gateway/gateway.json
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system config/systemd/gateway.socket
	config/systemd/unit.sh | install -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/gateway.service

# build/gateway_VERSION_ARCH.deb, as lintian likes it
deb: deps-deb release
	@deb=$$(config/deb/build.sh $(BUILD)/release/gateway build) && echo $$deb && lintian --allow-root --fail-on error,warning $$deb

clean:
	rm -rf build

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
