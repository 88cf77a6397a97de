// SPDX-License-Identifier: MIT
//! Layouts with the versions of an image, for tests of updates.

use std::path::Path;
use std::process::Command;

use super::{image, run};

/// Copies the layout `from` of `tests/host/image` to `directory`/`name`, and returns the umoci name
/// of its `tag`.
///
/// # Panics
/// If the layout cannot be copied.
pub fn copy(from: &str, directory: &Path, name: &str, tag: &str) -> String {
    let layout = directory.join(name);
    run(Command::new("cp").arg("-r").arg(image(from)).arg(&layout));
    format!("{}:{tag}", layout.display())
}

/// Writes a version of the nginx image that answers with its name.
///
/// # Panics
/// If the image cannot be written.
pub fn page(directory: &Path, name: &str) {
    let tag = copy("nginx", directory, name, "latest");
    let page = directory.join(format!("{name}.html"));
    std::fs::write(&page, format!("{name}\n")).unwrap();
    run(Command::new("umoci").args(["insert", "--image", &tag]).arg(page).arg("/usr/share/nginx/html/index.html"));
}

/// Replaces the command of an image by a shell command.
pub fn command(image: &str, command: &str) {
    let mut umoci = Command::new("umoci");
    umoci.args(["config", "--image", image, "--clear", "config.entrypoint", "--clear", "config.cmd"]);
    run(umoci.args(["--config.cmd", "sh", "--config.cmd", "-c", "--config.cmd", command]));
}
