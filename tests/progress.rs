// SPDX-License-Identifier: MIT
//! The progress of an import: bars on a terminal, plain lines in a pipe.
#![cfg(feature = "image")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::process::{Command, Stdio};

#[test]
fn imports_show_bars_on_a_terminal_and_lines_elsewhere() {
    if !support::require(&["root", "script"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    let mut builder = tar::Builder::new(std::fs::File::create(&path).unwrap());
    let content = vec![b'x'; 16 << 20];
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append_data(&mut header, "file", content.as_slice()).unwrap();
    builder.into_inner().unwrap();

    let words = |root: &str| {
        let (program, root) = (env!("CARGO_BIN_EXE_sdme-gen"), dir.path().join(root));
        format!("{program} fs import x rootfs:{} --app --root {}", path.display(), root.display())
    };
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &words("one"), "/dev/null"]).env("TERM", "xterm");
    let mut pipe = Command::new("sh");
    pipe.args(["-c", &format!("{} 2>&1", words("two"))]);
    let show = |command: &mut Command| {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && text.contains("layer 1/1") && text.contains("x: imported sha256:"),
            "{text}"
        );
        text
    };
    let text = show(&mut terminal);
    assert!(text.contains("unpacking layer 1/1") && text.contains("of 16.00 MiB") && text.contains('\u{1b}'), "{text}");
    let text = show(&mut pipe);
    assert!(!text.contains("unpacking") && !text.contains(['\u{1b}', '\r']), "{text}");
}
