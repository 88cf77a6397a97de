// SPDX-License-Identifier: MIT
//! Layouts that hold the versions of an image, to be updated to and from.

use std::path::Path;
use std::process::Command;

use super::{image, run};

/// Copies the layout that `tests/host/image` built of `from` to `directory`/`name`, and gives what umoci calls its `tag`.
///
/// # Panics
/// If it cannot be copied.
pub fn copy(from: &str, directory: &Path, name: &str, tag: &str) -> String {
    let layout = directory.join(name);
    run(Command::new("cp").arg("-r").arg(image(from)).arg(&layout));
    format!("{}:{tag}", layout.display())
}

/// A version of the nginx image that answers with its name.
///
/// # Panics
/// If it cannot be made.
pub fn page(directory: &Path, name: &str) {
    let tag = copy("nginx", directory, name, "latest");
    let page = directory.join(format!("{name}.html"));
    std::fs::write(&page, format!("{name}\n")).unwrap();
    run(Command::new("umoci").args(["insert", "--image", &tag]).arg(page).arg("/usr/share/nginx/html/index.html"));
}

/// Has an image run a shell command in the place of what it ran.
pub fn command(image: &str, command: &str) {
    let mut umoci = Command::new("umoci");
    umoci.args(["config", "--image", image, "--clear", "config.entrypoint", "--clear", "config.cmd"]);
    run(umoci.args(["--config.cmd", "sh", "--config.cmd", "-c", "--config.cmd", command]));
}
