// SPDX-License-Identifier: MIT
//! The base of containers without `Base=`: an almost empty root over which the host's `/usr` is
//! mounted.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::diag::Fault;
use crate::paths::RUNTIME;

/// The directories of the root and their modes (file-hierarchy(7)).
const DIRECTORIES: [(&str, u32); 14] = [
    ("boot", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("var", 0o755),
];

/// The configuration of PAM. `machinectl shell` opens a session of the service `login`
/// (container-shell@.service). All other services are denied, and there are no passwords.
const PAM: [(&str, &str); 2] = [
    ("login", "auth required pam_deny.so\naccount required pam_permit.so\nsession required pam_permit.so\n"),
    ("other", "auth required pam_deny.so\naccount required pam_deny.so\nsession required pam_deny.so\n"),
];

/// Names that are symbolic links into `/usr` on a system with a merged `/usr`.
const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// The directory of the base. The first call after a boot makes it.
///
/// # Errors
/// The host's `/usr` is not merged, or the directory cannot be made.
pub fn host_base() -> Result<PathBuf> {
    let path = Path::new(RUNTIME).join("host-base");
    if path.is_dir() {
        return Ok(path);
    }
    let temporary = Path::new(RUNTIME).join(format!(".host-base.{}", std::process::id()));
    fill(&temporary).with_context(|| format!("cannot make {}", temporary.display()))?;
    match fs::rename(&temporary, &path) {
        // Another start has made the directory in the meantime.
        Err(e) if matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
            fs::remove_dir_all(&temporary).context("cannot clean up")?;
        }
        other => other.with_context(|| format!("cannot make {}", path.display()))?,
    }
    Ok(path)
}

fn fill(root: &Path) -> Result<()> {
    let make = |path: &Path, mode| fs::DirBuilder::new().mode(mode).create(path);
    make(root, 0o755)?;
    for (name, mode) in DIRECTORIES {
        make(&root.join(name), mode)?;
    }
    for name in MERGED {
        match fs::read_link(Path::new("/").join(name)) {
            Ok(target) => symlink(target, root.join(name))?,
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(_) => bail!(Fault::new(
                format!("/{name} is not a link into /usr"),
                "the host's /usr cannot be a base, write Base="
            )),
        }
    }
    for name in ["cache", "lib", "log", "tmp"] {
        make(&root.join("var").join(name), if name == "tmp" { 0o1777 } else { 0o755 })?;
    }
    symlink("/run", root.join("var/run"))?;
    make(&root.join("etc/pam.d"), 0o755)?;
    for (name, text) in PAM {
        fs::write(root.join("etc/pam.d").join(name), text)?;
    }
    fs::copy("/usr/lib/os-release", root.join("etc/os-release")).context("the host has no /usr/lib/os-release")?;
    Ok(())
}
