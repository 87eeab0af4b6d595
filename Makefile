# make            build every program           make run     build, start, make one picture, keep serving
# make test       every test                    make bench   measure, side by side with peers
# make lint       format, banned functions,     make check-asan, make check-tsan
#                 layers, clang-tidy, cppcheck,              the suite under the sanitizers
#                 shellcheck                    make install PREFIX=… DESTDIR=…
# make docs       write the generated pages     make clean
# Settings: CC, CXX, CFLAGS, SAN=asan|tsan, WERROR=1, V=1, BUILD, PREFIX, DESTDIR

SAN     ?=
BUILD   ?= build$(if $(SAN),-$(SAN))
CFLAGS  ?= -O2 -g
PREFIX  ?= /usr/local
VERSION := 0.1.0

PKGS      = openssl libcurl sqlite3 hiredis jansson libsodium libzip libmd
CPPFLAGS += -D_GNU_SOURCE -Ishared -DEASEL_VERSION='"$(VERSION)"'
WARN      = -Wall -Wextra -Wshadow -Wwrite-strings -Wformat=2 -Wvla -Wno-missing-field-initializers \
            $(if $(WERROR),-Werror)
WARN_C    = -Wstrict-prototypes -Wmissing-prototypes
CSTD      = -std=gnu11 -fno-common
CXXSTD    = -std=c++17 -fno-rtti
# Sections: what a program does not call is not in it.
HARDEN    = -fstack-protector-strong -fPIE -ffunction-sections -fdata-sections $(if $(SAN),,-D_FORTIFY_SOURCE=2)
LDHARDEN  = -pie -Wl,-z,relro,-z,now,-z,pack-relative-relocs -Wl,--as-needed,--gc-sections -static-libstdc++ -static-libgcc
SAN_asan  = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -DEASEL_SANITIZED
SAN_tsan  = -fsanitize=thread -O1 -DEASEL_SANITIZED
SANFLAGS  = $(SAN_$(SAN))
LIBS      = $(shell pkg-config --libs $(PKGS)) -lfcgi -lwslay -lpthread

lib_c    := $(wildcard shared/*/*.c)
lib_cxx  := $(wildcard shared/*/*.cc)
app_src  := $(wildcard handlers/*.c)
cli_src  := $(wildcard cli/*.c)
img_src  := $(wildcard imaging/*.c)
unit_src := $(wildcard tests/unit/test_*.c)
lib_obj  := $(lib_c:%.c=$(BUILD)/obj/%.o) $(lib_cxx:%.cc=$(BUILD)/obj/%.o)
apps     := $(app_src:%.c=$(BUILD)/%)
units    := $(unit_src:%.c=$(BUILD)/%)
LIB      := $(BUILD)/libeasel.a
EASEL    := $(if $(cli_src),$(BUILD)/easel)
IMAGE    := $(if $(img_src),$(BUILD)/libexec/easel-image)

Q = $(if $(V),,@)
say = $(if $(V),,@echo "  $(1) $@")

all: $(apps) $(EASEL) $(IMAGE)

# A change of flags rebuilds everything that was built with the old ones.
cc  = $(CC) $(CPPFLAGS) $(CFLAGS) $(CSTD) $(WARN) $(WARN_C) $(HARDEN) $(SANFLAGS)
cxx = $(CXX) $(CPPFLAGS) $(CFLAGS) $(CXXSTD) $(WARN) $(HARDEN) $(SANFLAGS)
$(BUILD)/.flags: FORCE
	$(Q)mkdir -p $(@D); printf '%s\n' "$$FLAGS" | cmp -s - $@ || printf '%s\n' "$$FLAGS" > $@
export FLAGS = $(cc) $(cxx)

$(BUILD)/obj/imaging/%.o: CPPFLAGS += $(shell pkg-config --cflags vips libseccomp 2>/dev/null)
$(BUILD)/obj/%.o: %.c $(BUILD)/.flags
	$(call say,CC )
	$(Q)mkdir -p $(@D) && $(cc) -MMD -MP -c -o $@ $<
$(BUILD)/obj/%.o: %.cc $(BUILD)/.flags
	$(call say,CXX)
	$(Q)mkdir -p $(@D) && $(cxx) -MMD -MP -c -o $@ $<

$(LIB): $(lib_obj)
	$(call say,AR )
	$(Q)rm -f $@ && $(AR) rcs $@ $^

link = $(CXX) $(CFLAGS) $(SANFLAGS) $(LDHARDEN) $(LDFLAGS) -o $@ $(filter %.o %.a,$^)

$(apps): $(BUILD)/handlers/%: $(BUILD)/obj/handlers/%.o $(LIB)
	$(call say,LD )
	$(Q)mkdir -p $(@D) && $(link) $(LIBS)

$(BUILD)/easel: $(cli_src:%.c=$(BUILD)/obj/%.o) $(LIB)
	$(call say,LD )
	$(Q)$(link) $(LIBS)

# The only program that links libvips: pixels are touched there and nowhere else.
$(BUILD)/libexec/easel-image: $(img_src:%.c=$(BUILD)/obj/%.o) $(LIB)
	$(call say,LD )
	$(Q)mkdir -p $(@D) && $(link) $(shell pkg-config --libs vips libseccomp jansson openssl) -lm

$(units): $(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(LIB)
	$(call say,LD )
	$(Q)mkdir -p $(@D) && $(link) $(LIBS) -lcmocka -lz

units: $(units)

# One process a core, unless whoever called says how many.
submake = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

deps:
	$(Q)scripts/install-deps.sh
deps-test:
	$(Q)scripts/install-deps.sh --test

run: deps
	$(Q)$(submake) all && scripts/run.sh $(BUILD)

test: deps-test
	$(Q)$(submake) WERROR=1 all units && BUILD=$(BUILD) tests/run

check-asan: deps-test
	$(Q)$(submake) SAN=asan WERROR=1 all units && BUILD=build-asan tests/run
check-tsan: deps-test
	$(Q)$(submake) SAN=tsan WERROR=1 all units && BUILD=build-tsan tests/run

check-churn: deps-test
	$(Q)$(submake) all && BUILD=$(BUILD) tests/churn
check-kills: deps-test
	$(Q)$(submake) all && BUILD=$(BUILD) tests/kills
fault-table: deps-test
	$(Q)$(submake) all && BUILD=$(BUILD) tests/fault-table

bench: deps-test
	$(Q)$(submake) all && BUILD=$(BUILD) bench/run

lint: export LINT_CPPFLAGS = $(CPPFLAGS)
lint: deps-test
	$(Q)scripts/lint.sh

docs: all
	$(Q)$(BUILD)/easel config reference > docs/settings.md
	$(Q)$(BUILD)/easel explain --markdown > docs/errors.md
	$(Q)$(BUILD)/easel providers reference > docs/providers.md

install: all
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin libexec/easel share/easel/apache share/easel/cgi)
	install -m 0755 $(BUILD)/easel $(DESTDIR)$(PREFIX)/bin/easel
	install -m 0755 $(apps) $(IMAGE) $(DESTDIR)$(PREFIX)/libexec/easel
	install -m 0644 lighttpd/*.in $(DESTDIR)$(PREFIX)/share/easel
	install -m 0644 lighttpd/apache/*.in $(DESTDIR)$(PREFIX)/share/easel/apache
	install -m 0644 lighttpd/cgi/*.in $(DESTDIR)$(PREFIX)/share/easel/cgi

help:
	@sed -n '/^#/!q;s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

clean:
	rm -rf build build-asan build-tsan

.PHONY: all units deps deps-test run test check-asan check-tsan check-churn check-kills fault-table bench lint docs install help clean FORCE
.SECONDARY:
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
