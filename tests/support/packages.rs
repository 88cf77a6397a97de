// SPDX-License-Identifier: MIT
//! Packages of what `make build` has built, and hosts on which they are installed.

use super::host::{Builder, Host};
use super::repo;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

/// Runs a program that must succeed, and returns both of its output streams.
///
/// # Panics
/// If the program fails. The message has its output.
pub fn run(program: impl AsRef<Path>, arguments: &[&str]) -> String {
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

/// The path of a package of `kind` (`deb`, `rpm` or `arch`) with what `make build` has built. It is
/// built unless one exists that is newer than that build.
///
/// # Panics
/// If the package cannot be built.
pub fn package(kind: &str, version: &str) -> PathBuf {
    // Several test programs run at the same time and may need the same package. The lock prevents
    // that a package is replaced while another test reads it.
    let lock = File::create(repo("target/packages.lock")).unwrap();
    let _guard = Flock::lock(lock, FlockArg::LockExclusive).unwrap();
    // `make build` writes the documents each time.
    let built = repo("target/documents").metadata().unwrap().modified().unwrap();
    let found = || {
        let all = walkdir::WalkDir::new(repo("target/packages").join(kind)).into_iter().filter_map(Result::ok);
        all.map(walkdir::DirEntry::into_path).find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let suffix = if kind == "arch" { ".pkg.tar.gz" } else { kind };
            name.contains(version) && name.ends_with(suffix) && path.metadata().unwrap().modified().unwrap() > built
        })
    };
    if let Some(package) = found() {
        return package;
    }
    run(repo("packaging/build"), &[kind, version]);
    found().unwrap_or_else(|| panic!("no package {version} of {kind}"))
}

/// A host with the Debian packages in `/srv/packages`.
pub fn with_packages(builder: Builder) -> Builder {
    builder.bind(&repo("target/packages/deb"), "/srv/packages")
}

/// Installs a package on such a host with apt-get, as the documentation says.
pub fn install(host: &Host, package: &Path) {
    let file = package.file_name().unwrap().to_string_lossy().into_owned();
    host.ok(&format!("DEBIAN_FRONTEND=noninteractive apt-get -y install /srv/packages/{file}"));
}
