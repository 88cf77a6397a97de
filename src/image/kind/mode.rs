// SPDX-License-Identifier: MIT
//! Decides whether an image is an operating system to boot or an application that runs on one.
//!
//! The rules of `Mode=auto`, in this order:
//!
//! 1. An image with exposed ports is an application.
//! 2. The entrypoint and the command form one command line. If the command line is only `bash` or
//!    `sh`, without an entrypoint, the image is a base: distributions publish their images like
//!    this.
//! 3. Another shell (`ash`, `dash`, `zsh`, `fish`, `ksh`), a shell followed only by flags
//!    (`bash -l`), a shell as the entrypoint, and an init (`/sbin/init`, `systemd`) make the image a
//!    base if the tree contains systemd, otherwise an application.
//! 4. Any other image is an application, including an image without a command.
//!
//! A base must contain systemd in order to boot, though systemd may be installed during the import.
//! This module must not look outside of the tree.

use anyhow::{Result, bail};

use super::imageconfig::Execution;
use crate::config::values::source::ModeSetting;
use crate::model::Mode;
use crate::rootdir::tree::Tree;

/// The paths of systemd in different distributions, within the tree and with links resolved.
const SYSTEMD: [&[u8]; 2] = [b"usr/lib/systemd/systemd", b"lib/systemd/systemd"];

/// Whether the tree contains systemd.
#[must_use]
pub fn has_systemd(tree: &Tree) -> bool {
    SYSTEMD.iter().any(|path| tree.is_executable(path))
}

/// The mode that the image configuration alone implies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guess {
    Base,
    App,
    /// A base if the tree contains systemd, otherwise an application.
    Depends,
}

fn guess(config: &Execution) -> Guess {
    if !config.exposed_ports.is_empty() {
        return Guess::App;
    }
    let mut line = config.entrypoint.iter().chain(&config.cmd);
    let Some(program) = line.next() else { return Guess::App };
    let program = program.rsplit('/').next().unwrap_or_default();
    let mut rest = line.peekable();
    let alone = rest.peek().is_none();
    match program {
        "bash" | "sh" if alone && config.entrypoint.is_empty() => Guess::Base,
        // `-c` is followed by a command, so the shell only starts that command.
        "bash" | "sh" | "ash" | "dash" | "zsh" | "fish" | "ksh"
            if rest.all(|word| word.starts_with("--") || (word.starts_with('-') && !word.contains('c'))) =>
        {
            Guess::Depends
        }
        "init" | "systemd" => Guess::Depends,
        _ => Guess::App,
    }
}

/// Decides the mode of an image.
#[must_use]
pub fn decide(setting: ModeSetting, config: &Execution, tree: &Tree) -> Mode {
    match (setting, guess(config)) {
        (ModeSetting::Base, _) | (ModeSetting::Auto, Guess::Base) => Mode::Base,
        (ModeSetting::Auto, Guess::Depends) if has_systemd(tree) => Mode::Base,
        (ModeSetting::App, _) | (ModeSetting::Auto, Guess::App | Guess::Depends) => Mode::App,
    }
}

/// Whether the image will be an application, regardless of the content of its tree.
#[must_use]
pub fn is_application(setting: ModeSetting, config: &Execution) -> bool {
    setting == ModeSetting::App || (setting == ModeSetting::Auto && guess(config) == Guess::App)
}

/// Checks that a base can boot.
///
/// # Errors
/// Returns an error if the tree does not contain systemd.
pub fn check(setting: ModeSetting, tree: &Tree) -> Result<()> {
    if has_systemd(tree) {
        return Ok(());
    }
    let why = if setting == ModeSetting::Base { "`Mode=base` was asked for" } else { "its command is just a shell" };
    bail!(
        "the image is taken for an operating system ({why}), but it has no systemd to boot: neither \
         /usr/lib/systemd/systemd nor /lib/systemd/systemd is a program in it; use an image with systemd, set \
         InstallPackages=auto, or set `Mode=app` if it is an application"
    );
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn config(entrypoint: &[&str], cmd: &[&str]) -> Execution {
        Execution {
            entrypoint: entrypoint.iter().map(ToString::to_string).collect(),
            cmd: cmd.iter().map(ToString::to_string).collect(),
            ..Execution::default()
        }
    }

    #[test]
    fn command_lines_are_classified_by_the_rules() {
        use Guess::{App, Base, Depends};
        for (entrypoint, cmd, want) in [
            (&[][..], &["/bin/bash"][..], Base),
            (&[], &["bash"], Base),
            (&[], &["sh"], Base),
            (&[], &["/bin/bash", "-l"], Depends),
            (&[], &["/usr/bin/zsh"], Depends),
            (&[], &["fish"], Depends),
            (&[], &["/bin/ash"], Depends),
            (&["/bin/sh"], &[], Depends),
            (&["/bin/sh", "-c"], &["nginx"], App),
            (&[], &["/bin/sh", "-c", "nginx"], App),
            (&[], &["bash", "-lc", "x"], App),
            (&[], &["bash", "script"], App),
            (&[], &["/sbin/init"], Depends),
            (&[], &["/lib/systemd/systemd", "--system"], Depends),
            (&["/entry"], &["bash"], App),
            (&[], &["nginx"], App),
            (&[], &[], App),
        ] {
            assert_eq!(guess(&config(entrypoint, cmd)), want, "{entrypoint:?} {cmd:?}");
        }
        let mut exposed = config(&[], &["bash"]);
        exposed.exposed_ports.insert("80/tcp".into(), serde_json::Value::Null);
        assert_eq!(guess(&exposed), App);
    }

    #[test]
    fn systemd_is_looked_for_only_within_the_tree() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let init = config(&[], &["/sbin/init"]);
        assert_eq!(decide(ModeSetting::Auto, &init, &tree), Mode::App);
        assert_eq!(decide(ModeSetting::Base, &init, &tree), Mode::Base);
        assert_eq!(decide(ModeSetting::Auto, &config(&[], &["bash"]), &tree), Mode::Base);
        assert!(check(ModeSetting::Base, &tree).is_err() && check(ModeSetting::Auto, &tree).is_err());
        // A link to the systemd of the host is dangling within the tree.
        std::fs::create_dir_all(dir.path().join("usr/lib/systemd")).unwrap();
        symlink("/proc/self/exe", dir.path().join("usr/lib/systemd/systemd")).unwrap();
        assert!(!has_systemd(&tree));
        std::fs::create_dir(dir.path().join("opt")).unwrap();
        std::fs::write(dir.path().join("opt/systemd"), "x").unwrap();
        std::fs::remove_file(dir.path().join("usr/lib/systemd/systemd")).unwrap();
        symlink("/opt/systemd", dir.path().join("usr/lib/systemd/systemd")).unwrap();
        assert!(!has_systemd(&tree));
        std::fs::set_permissions(dir.path().join("opt/systemd"), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(has_systemd(&tree));
        assert_eq!(decide(ModeSetting::Auto, &init, &tree), Mode::Base);
        assert_eq!(decide(ModeSetting::App, &init, &tree), Mode::App);
    }
}
