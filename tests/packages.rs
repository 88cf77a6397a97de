// SPDX-License-Identifier: MIT
//! Packages of what `make build` has built: their checkers find no errors; the Debian one is installed by apt on a Debian 13
//! host, runs a container, is upgraded and purged under it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::containers::{Container, NGINX, WELCOME};
use support::host::Host;
use support::{cache, repo, require};

fn run(program: impl AsRef<Path>, arguments: &[&str]) -> String {
    let output = Command::new(program.as_ref())
        .args(arguments)
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", program.as_ref().display()));
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{} {arguments:?}: {text}", program.as_ref().display());
    text
}

/// Makes a package of `kind`.
fn package(kind: &str, version: &str) -> PathBuf {
    run(repo("packaging/build"), &[kind, version]);
    let all = walkdir::WalkDir::new(repo("target/packages").join(kind));
    let mut found = all.into_iter().filter_map(Result::ok).map(walkdir::DirEntry::into_path);
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.contains(version) && name.ends_with(kind)
    };
    found.find(named).unwrap_or_else(|| panic!("no package {version} of {kind}"))
}

#[test]
fn rpmlint_finds_no_errors() {
    if !require(&["build", "rpmbuild", "rpmlint"]) {
        return;
    }
    let package = package("rpm", "0.1.0");
    let (package, spec) = (package.display().to_string(), repo("packaging/rpm/sdme-gen.spec").display().to_string());
    let filters = repo("packaging/rpm/sdme-gen.rpmlintrc").display().to_string();
    // It exits with 0 or 64 depending on the number of errors; what it prints tells the same in every version.
    let text = run("rpmlint", &["-r", &filters, &package, &spec]);
    assert!(text.contains(" 0 errors"), "{text}");
}

#[test]
fn apt_installs_upgrades_and_purges() {
    let needs = ["root", "cgroup2", "build", "dpkg-buildpackage", "lintian", "image:nginx", "tree:trixie"];
    if !require(&needs) {
        return;
    }
    let (old, new) = (package("deb", "0.1.0"), package("deb", "0.1.1"));
    let text = run("lintian", &["--fail-on", "error", &old.display().to_string()]);
    assert!(!text.lines().any(|line| line.starts_with("E:")), "{text}");

    let packages = repo("target/packages/deb");
    let builder = Host::builder("trixie", "packages").bind(&packages, "/srv/packages");
    let host = &builder.bind(&cache().join("images"), "/srv/images").boot();
    let install = |package: &Path| {
        let file = package.file_name().unwrap().to_string_lossy().into_owned();
        host.ok(&format!("DEBIAN_FRONTEND=noninteractive apt-get -y install /srv/packages/{file}"));
    };
    install(&old);
    host.ok("test -d /etc/sdme -a -d /var/lib/sdme && man -w sdme-gen 2>/dev/null || test -x /usr/bin/sdme-gen");

    // As the README says: one file, two commands.
    let web = Container::new(host, "web");
    host.write("/etc/sdme/web.container", format!("[Container]\nImage={NGINX}\n[Install]\nWantedBy=machines.target\n"));
    host.ok("systemctl daemon-reload && systemctl start systemd-nspawn@web");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
    let nginx = web.process("nginx");

    // Another build comes, and then nothing at all: what runs goes on running.
    install(&new);
    assert!(host.ok("dpkg-query -Wf '${Version}' sdme-gen").contains("0.1.1"));
    assert_eq!((host.wait_http("http://localhost/", 1), web.process("nginx")), (WELCOME.to_owned(), nginx.clone()));
    web.systemctl("restart");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
    let nginx = web.process("nginx");
    host.ok("DEBIAN_FRONTEND=noninteractive apt-get -y purge sdme-gen");
    assert_eq!((host.wait_http("http://localhost/", 1), web.process("nginx")), (WELCOME.to_owned(), nginx));
    assert!(host.read("/etc/sdme/web.container").contains(NGINX));
    host.ok("test -d /var/lib/sdme/store && ! ls /usr/lib/systemd/system/sdme-* /usr/bin/sdme-gen");
    assert!(!host.ok("systemctl cat systemd-nspawn@web").contains("10-sdme.conf"));

    // It stops like any other, and comes back when the package does.
    web.systemctl("stop");
    host.fails("curl -fsS --max-time 5 http://localhost/");
    install(&old);
    web.systemctl("start");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
}
