# SPDX-License-Identifier: MIT
# Building, testing and installing. Directories can be set on the command line; DESTDIR is put in front of all of them.

PREFIX ?= /usr
BINDIR ?= $(PREFIX)/bin
LIBEXECDIR ?= $(PREFIX)/lib/sdme
SYSTEMDSYSTEMUNITDIR ?= $(PREFIX)/lib/systemd/system
SYSTEMDSYSTEMGENERATORDIR ?= $(PREFIX)/lib/systemd/system-generators
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
PRESETDIR ?= $(PREFIX)/lib/systemd/system-preset
SYSCTLDIR ?= $(PREFIX)/lib/sysctl.d
DATADIR ?= $(PREFIX)/share
MANDIR ?= $(DATADIR)/man
APPARMORDIR ?= /etc/apparmor.d
CARGO ?= cargo
INSTALL ?= install

# Compiled into the units and programs.
SYSCTL_FILE = $(SYSCTLDIR)/50-sdme.conf
export BINDIR LIBEXECDIR SYSCTL_FILE

TARGET = $(or $(CARGO_TARGET_DIR),target)
# What is installed: the tool, and the directory of the two programs that bring their C library along.
PROGRAM ?= $(TARGET)/release/sdme-gen
STATIC ?= $(TARGET)/static/release
# Manual pages and completions, which the tool writes itself.
DOCUMENTS ?= $(TARGET)/documents
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

.PHONY: all build install deb rpm arch test reproducible demo bench fuzz-build lint clean

all: build

# Paths of the build machine are replaced in the programs; `make reproducible` compares builds in two directories.
REMAP = --remap-path-prefix=$(CURDIR)=/usr/src/sdme-gen --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/usr/src/cargo

# The launcher runs in every image, so it brings its C library along; so does the generator, which starts sooner for it.
build: export RUSTFLAGS := $(strip $(RUSTFLAGS) $(REMAP))
build:
	$(CARGO) build --locked --release --bin sdme-gen
	for bin in sdme-generator sdme-oci-run; do \
	  $(CARGO) rustc --locked --release --no-default-features --bin $$bin --target-dir $(TARGET)/static \
	    -- -C target-feature=+crt-static || exit 1; done
	rm -rf $(DOCUMENTS) && $(PROGRAM) documents $(DOCUMENTS)

install:
	@test -x $(PROGRAM) && test -x $(STATIC)/sdme-oci-run || { echo "run make build first" >&2; exit 1; }
	$(INSTALL) -D -m 0755 $(PROGRAM) $(DESTDIR)$(BINDIR)/sdme-gen
	$(INSTALL) -D -m 0755 $(STATIC)/sdme-generator $(DESTDIR)$(SYSTEMDSYSTEMGENERATORDIR)/sdme-generator
	$(INSTALL) -D -m 0755 $(STATIC)/sdme-oci-run $(DESTDIR)$(LIBEXECDIR)/sdme-oci-run
	for script in forward link network; do $(INSTALL) -D -m 0755 units/$$script $(DESTDIR)$(LIBEXECDIR)/$$script || exit 1; done
	$(INSTALL) -d $(DESTDIR)$(SYSTEMDSYSTEMUNITDIR) $(DESTDIR)/etc/sdme
	for unit in units/*.service units/*.target units/*.timer units/*.path; do \
	  sed 's|@BINDIR@|$(BINDIR)|g; s|@LIBEXECDIR@|$(LIBEXECDIR)|g' $$unit >$(DESTDIR)$(SYSTEMDSYSTEMUNITDIR)/$${unit##*/} || exit 1; done
	sed 's/sdme-gen pull/sdme-gen download/; s/^Description=Image/Description=Download of a new version of image/' \
	  $(DESTDIR)$(SYSTEMDSYSTEMUNITDIR)/sdme-image@.service >$(DESTDIR)$(SYSTEMDSYSTEMUNITDIR)/sdme-download@.service
	$(INSTALL) -D -m 0644 units/sdme.tmpfiles.conf $(DESTDIR)$(TMPFILESDIR)/sdme.conf
	$(INSTALL) -D -m 0644 units/sdme.sysusers.conf $(DESTDIR)$(SYSUSERSDIR)/sdme.conf
	$(INSTALL) -D -m 0644 units/sdme.sysctl.conf $(DESTDIR)$(SYSCTL_FILE)
	$(INSTALL) -D -m 0644 packaging/apparmor/sdme-default $(DESTDIR)$(APPARMORDIR)/sdme-default
	$(INSTALL) -D -m 0644 units/sdme.preset $(DESTDIR)$(PRESETDIR)/80-sdme.preset
	for page in $(DOCUMENTS)/man/*; do \
	  $(INSTALL) -D -m 0644 $$page $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/} || exit 1; done
	$(INSTALL) -D -m 0644 $(DOCUMENTS)/completions/sdme-gen $(DESTDIR)$(DATADIR)/bash-completion/completions/sdme-gen
	$(INSTALL) -D -m 0644 $(DOCUMENTS)/completions/_sdme-gen $(DESTDIR)$(DATADIR)/zsh/site-functions/_sdme-gen
	$(INSTALL) -D -m 0644 $(DOCUMENTS)/completions/sdme-gen.fish \
	  $(DESTDIR)$(DATADIR)/fish/vendor_completions.d/sdme-gen.fish

# Packages of what `make build` has built, below target/packages; needs debhelper, rpmbuild or makepkg. A distribution
# builds them from packaging/ as it is used to.
deb rpm arch:
	packaging/build $@

# Every tier; what a machine lacks is named and skipped. Debian packages that are missing are installed.
test:
	tests/prepare host
	tests/prepare vm & prepared=$$!; $(MAKE) build && wait $$prepared
	tests/run

# Builds the sources in two directories and compares the programs. Takes as long as two complete builds.
reproducible:
	tests/reproducible

demo:
	@tests/demo

# Side by side with Quadlet, podman, skopeo, umoci and tar, each in one run; prints ratios. Takes about ten minutes.
bench:
	tests/prepare bench
	$(MAKE) build
	tests/bench
	tests/bench-images
	tests/bench-ports
	tests/bench-networks
	tests/bench-containers

# The fuzz targets compile, with the stable toolchain and our versions of what both need; needs a C++ compiler.
# tests/fuzz/Cargo.toml says how to run them.
fuzz-build:
	cp Cargo.lock tests/fuzz/Cargo.lock
	$(CARGO) build --manifest-path tests/fuzz/Cargo.toml --target-dir $(TARGET)/fuzz

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

clean:
	$(CARGO) clean
