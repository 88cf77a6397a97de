# SPDX-License-Identifier: MIT
# Build, test and install. Directories can be set on the command line; DESTDIR is prepended to all
# of them.

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

# These paths are compiled into the units and programs.
SYSCTL_FILE = $(SYSCTLDIR)/50-sdme.conf
export BINDIR LIBEXECDIR SYSCTL_FILE

TARGET = $(or $(CARGO_TARGET_DIR),target)
# The installed programs: the tool, and the directory of the two statically linked programs.
PROGRAM ?= $(TARGET)/release/sdme-gen
STATIC ?= $(TARGET)/static
# Manual pages and completion scripts, which the tool writes itself.
DOCUMENTS ?= $(TARGET)/documents
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

.PHONY: all build install deb rpm arch test reproducible demo bench fuzz-build lint site pictures clean

all: build

# Paths of the build machine are replaced in the programs, so that builds in different directories
# are equal; `make reproducible` checks that.
REMAP = --remap-path-prefix=$(CURDIR)=/usr/src/sdme-gen --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/usr/src/cargo

# The launcher is linked statically, because it runs in every image. So is the generator, because it
# then starts faster.
build: export RUSTFLAGS := $(strip $(RUSTFLAGS) $(REMAP))
build:
	$(CARGO) build --locked --release --bin sdme-gen
	for bin in sdme-generator sdme-oci-run; do \
	  $(CARGO) rustc --locked --profile static --no-default-features --bin $$bin --target-dir $(TARGET) \
	    -- -C target-feature=+crt-static || exit 1; done
	rm -rf $(DOCUMENTS) && $(PROGRAM) documents $(DOCUMENTS)

install:
	@test -x $(PROGRAM) && test -x $(STATIC)/sdme-oci-run || { echo "run make build first" >&2; exit 1; }
	$(INSTALL) -D -m 0755 $(PROGRAM) $(DESTDIR)$(BINDIR)/sdme-gen
	$(INSTALL) -D -m 0755 $(STATIC)/sdme-generator $(DESTDIR)$(SYSTEMDSYSTEMGENERATORDIR)/sdme-generator
	$(INSTALL) -D -m 0755 $(STATIC)/sdme-oci-run $(DESTDIR)$(LIBEXECDIR)/sdme-oci-run
	for script in forward link network; do $(INSTALL) -D -m 0755 units/$$script $(DESTDIR)$(LIBEXECDIR)/$$script || exit 1; done
	$(INSTALL) -d $(DESTDIR)$(SYSTEMDSYSTEMUNITDIR) $(DESTDIR)/etc/sdme
	$(INSTALL) -d $(DESTDIR)$(LIBEXECDIR)/container
	cp -RP units/container/. $(DESTDIR)$(LIBEXECDIR)/container
	chmod -R u=rwX,go=rX $(DESTDIR)$(LIBEXECDIR)/container
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

# Makes packages from the result of `make build`, below target/packages; this needs debhelper,
# rpmbuild or makepkg. A distribution builds packages from packaging/ with its own tools.
deb rpm arch:
	packaging/build $@

# Runs all tests. Tests that lack something are listed and skipped. Missing Debian packages are
# installed.
test:
	tests/host/packages test
	{ tests/prepare host && tests/prepare vm; } & prepared=$$!; $(MAKE) build && wait $$prepared
	tests/run

# Builds the sources in two directories and compares the programs. This takes as long as two
# complete builds.
reproducible:
	tests/reproducible

demo:
	@tests/demo

# Compares with Quadlet, podman, skopeo, umoci and tar in the same run, and prints ratios. This
# takes about ten minutes.
bench:
	tests/prepare bench
	$(MAKE) build
	tests/bench
	tests/bench-images
	tests/bench-ports
	tests/bench-networks
	tests/bench-containers

# Compiles the fuzz targets with the stable toolchain and the crate versions of Cargo.lock. This
# needs a C++ compiler. tests/fuzz/Cargo.toml describes how to run the targets.
fuzz-build:
	cp Cargo.lock tests/fuzz/Cargo.lock
	$(CARGO) build --manifest-path tests/fuzz/Cargo.toml --target-dir $(TARGET)

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

# The pages as a web site, in target/site/book. Needs mdBook: cargo install --locked mdbook.
site:
	docs/build-site $(TARGET)/site

# Draws the units of the files that two pages show, with Graphviz. tests/docs.rs fails if a picture shows other units.
pictures:
	SDME_UPDATE=1 $(CARGO) test --locked --test docs pictures
	for graph in docs/pictures/*.dot; do \
	  sed 's/rankdir=LR/rankdir=TB/' $$graph | dot -Tsvg -Gbgcolor=white -Gnodesep=0.15 -Granksep=0.3 -Nheight=0.35 \
	    -Nfontname=sans-serif -Nfontsize=11 -Efontname=sans-serif -Efontsize=9 >$${graph%.dot}.svg || exit 1; done

clean:
	$(CARGO) clean
