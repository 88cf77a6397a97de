// SPDX-License-Identifier: MIT
//! Packages of what `make build` has built: the checkers of the distributions find no errors. apt
//! installs the Debian package on a Debian 13 host with a container that keeps running during an
//! upgrade and is stopped by the purge.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use support::containers::{Container, NGINX, WELCOME};
use support::host::Host;
use support::packages::{install, package, run, with_packages};
use support::{cache, repo, require};

#[test]
fn rpmlint_finds_no_errors() {
    if !require(&["build", "rpmbuild", "rpmlint"]) {
        return;
    }
    let package = package("rpm", env!("CARGO_PKG_VERSION"));
    let (package, spec) = (package.display().to_string(), repo("packaging/rpm/sdme-gen.spec").display().to_string());
    let filters = repo("packaging/rpm/sdme-gen.rpmlintrc").display().to_string();
    // The exit status of rpmlint depends on the number of errors; its output is the same in every
    // version.
    let text = run("rpmlint", &["-r", &filters, &package, &spec]);
    assert!(text.contains(" 0 errors"), "{text}");
}

/// The files of a package, without those that only its kind of package adds: metadata, licences and
/// documentation.
fn files(list: &str) -> BTreeSet<String> {
    let own = ["/usr/share/doc/", "/usr/share/licenses/", "/usr/share/lintian/", "/usr/lib/.build-id", "/."];
    let paths = list.lines().map(|path| format!("/{}", path.trim_start_matches("./").trim_start_matches('/')));
    paths.filter(|path| !path.ends_with('/') && !own.iter().any(|own| path.starts_with(own))).collect()
}

#[test]
fn every_kind_of_package_has_the_same_files() {
    if !require(&["build", "dpkg-buildpackage", "rpmbuild", "makepkg", "pacman", "bsdtar"]) {
        return;
    }
    let list = |kind: &str| package(kind, env!("CARGO_PKG_VERSION")).display().to_string();
    let deb = files(&run("sh", &["-c", &format!("dpkg-deb --fsys-tarfile {} | tar -t", list("deb"))]));
    let arch = files(&run("bsdtar", &["-tf", &list("arch")]));
    let rpm = run("rpm", &["-qp", "--qf", "[%{FILEMODES:perms} %{FILENAMES}\n]", &list("rpm")]);
    let rpm: Vec<&str> = rpm.lines().filter(|l| !l.starts_with('d')).filter_map(|l| l.split(' ').nth(1)).collect();
    assert!(deb.len() > 40 && deb.contains("/usr/lib/sdme/sdme-oci-run"), "{deb:?}");
    assert_eq!(deb, arch);
    assert_eq!(deb, files(&rpm.join("\n")));
    let about = run("bsdtar", &["-xOf", &list("arch"), ".PKGINFO"]);
    assert!(
        about.contains(concat!("pkgver = ", env!("CARGO_PKG_VERSION"), "-1"))
            && about.contains("depend = systemd>=257"),
        "{about}"
    );
}

#[test]
fn apt_installs_upgrades_and_purges() {
    let needs = ["root", "cgroup2", "build", "dpkg-buildpackage", "lintian", "image:nginx", "tree:trixie"];
    if !require(&needs) {
        return;
    }
    let (old, new) = (package("deb", env!("CARGO_PKG_VERSION")), package("deb", "0.9.9"));
    let text = run("lintian", &["--fail-on", "error", &old.display().to_string()]);
    assert!(!text.lines().any(|line| line.starts_with("E:")), "{text}");

    let builder = with_packages(Host::builder("trixie", "packages"));
    let host = &builder.bind(&cache().join("images"), "/srv/images").boot();
    let install = |package: &Path| install(host, package);
    install(&old);
    host.ok("test -d /etc/sdme && test -d /var/lib/sdme && test -x /usr/bin/sdme-gen");
    host.ok("dpkg -L sdme-gen | grep /man1/sdme-gen.1");

    // The steps of the README: one file and two commands.
    let web = Container::new(host, "web");
    host.write("/etc/sdme/web.container", format!("[Container]\nImage={NGINX}\n[Install]\nWantedBy=machines.target\n"));
    host.ok("systemctl daemon-reload && systemctl start systemd-nspawn@web");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
    let nginx = web.process("nginx");

    // An upgrade leaves running containers alone.
    install(&new);
    assert!(host.ok("dpkg-query -Wf '${Version}' sdme-gen").contains("0.9.9"));
    assert_eq!((host.wait_http("http://localhost/", 1), web.process("nginx")), (WELCOME.to_owned(), nginx));
    web.systemctl("restart");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);

    // A purge stops the running container and removes its state.
    host.ok("DEBIAN_FRONTEND=noninteractive apt-get -y purge sdme-gen");
    assert!(host.read("/etc/sdme/web.container").contains(NGINX));
    host.ok("test -d /var/lib/sdme/store && ! ls /usr/lib/systemd/system/sdme-* /usr/bin/sdme-gen");
    host.fails("curl -fsS --max-time 5 http://localhost/");
    host.fails("findmnt /var/lib/machines/web || ls -d /run/sdme/containers/web /run/sdme/started/*");
    assert!(!host.ok("systemctl cat systemd-nspawn@web").contains("sdme-gen"));

    // Installing the package again restores the container.
    install(&old);
    web.systemctl("start");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
}
