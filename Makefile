# make        builds build/gateway             make check   style, layers, linters
# make run    sample backend + gateway         make test    every test; ends with "N passed, N failed"
# SAN=address or SAN=thread builds a second tree under build/SAN.
SHELL   := /bin/bash
SAN     ?=
BUILD   ?= build$(if $(SAN),/$(SAN))
PREFIX  ?= /usr/local
CC      := $(if $(filter default,$(origin CC)),gcc,$(CC))

PACKAGES := libmicrohttpd libcurl libcjson libuv gnutls libcrypto
WARN     := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla -Werror
CFLAGS   ?= -O2 -g
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -Igateway $(WARN) $(CFLAGS) -fno-omit-frame-pointer -fstack-protector-strong \
	$(if $(SAN),-fsanitize=$(SAN)$(if $(filter address,$(SAN)),$(comma)undefined -fno-sanitize-recover=all),-D_FORTIFY_SOURCE=2) \
	$(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
comma    := ,
LDLIBS    = $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lpthread -lm

ROOMS    := $(shell awk '$$1 ~ /^[0-9]+$$/ {print $$2}' gateway/LAYERS)
# rooms that ROOM may use, highest rank first, as archives: a test links with these alone
lower     = $(shell awk -v room=$(1) '$$1 ~ /^[0-9]+$$/ {rank[$$2]=$$1; name[n++]=$$2} \
	END {for (i=n-1;i>=0;i--) if (rank[name[i]]<rank[room] || name[i]==room) print "$(BUILD)/" name[i] ".a"}' gateway/LAYERS)
archive   = $(BUILD)/$(1).a
UNIT_SRC := $(wildcard tests/unit/*/*_test.c)
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/unit/%)

.PHONY: all clean unit
.SECONDARY:
all: $(BUILD)/gateway

$(BUILD)/gateway: $(BUILD)/obj/gateway/main.o $(foreach r,$(ROOMS),$(call archive,$(r)))
	$(CC) $(ALL_CFLAGS) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LDLIBS)

define ROOM_RULE
$(BUILD)/$(1).a: $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard gateway/$(1)/*.c)) $(wildcard gateway/$(1))
	@rm -f $$@; ar rcs $$@ $$(filter %.o,$$^)
$(BUILD)/unit/$(1)/%: $(BUILD)/obj/tests/unit/$(1)/%.o $(call lower,$(1))
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_CFLAGS) -o $$@ $$< -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(LDLIBS) -lcmocka
endef
$(foreach r,$(ROOMS),$(eval $(call ROOM_RULE,$(r))))

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# make unit ROOM=http builds and runs one room's tests; without ROOM all of them
unit: $(if $(ROOM),$(filter $(BUILD)/unit/$(ROOM)/%,$(UNIT_BIN)),$(UNIT_BIN))
	@for t in $^; do $$t || exit 1; done

clean:
	rm -rf build

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
