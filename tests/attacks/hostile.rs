// SPDX-License-Identifier: MIT
//! Builds hostile images: an honest image with programs, links and configuration of an attacker on
//! top.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::{self, run};

/// Builds the image `name` as a layout in `directory`. It consists of the nginx image of the tests,
/// the files that `fill` puts into an empty directory, and the options of `umoci config`. On a host
/// it is `oci:/srv/hostile/NAME`.
pub fn image(directory: &Path, name: &str, fill: impl FnOnce(&Path), config: &[&str]) {
    image_on("nginx", directory, name, fill);
    let image = format!("{}:latest", directory.join(name).display());
    run(Command::new("umoci").args(["config", "--image", &image]).args(config));
}

/// The same as [`image`], but on top of another image of the tests and with the configuration of
/// that image.
pub fn image_on(below: &str, directory: &Path, name: &str, fill: impl FnOnce(&Path)) {
    let layout = directory.join(name);
    run(Command::new("cp").arg("-r").arg(support::image(below)).arg(&layout));
    let files = tempfile::tempdir().unwrap();
    let top = files.path().join("top");
    fs::create_dir(&top).unwrap();
    fill(&top);
    let image = format!("{}:latest", layout.display());
    run(Command::new("umoci").args(["insert", "--image", &image]).arg(&top).arg("/"));
}

/// Writes an executable shell script into a directory.
pub fn script(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Compiles the C program `tests/attacks/programs/NAME.c` into a directory, statically linked.
#[allow(dead_code, reason = "not every kind of attack needs one")]
pub fn program(directory: &Path, name: &str) -> PathBuf {
    let source = support::repo("tests/attacks/programs").join(format!("{name}.c"));
    let made = directory.join(name);
    let options = ["-O2", "-Wall", "-Werror", "-static", "-pthread", "-o"];
    run(Command::new("gcc").args(options).arg(&made).arg(source));
    made
}
