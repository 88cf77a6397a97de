// SPDX-License-Identifier: MIT
//! Tier 0: the manual pages are well-formed: mandoc(1) finds no errors, and each page has the
//! required sections.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::process::Command;

use support::require;

#[test]
fn pages_have_no_errors_and_all_sections() {
    if !require(&["mandoc"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    support::run(Command::new(env!("CARGO_BIN_EXE_sdme-gen")).arg("documents").arg(directory.path()));
    let pages = fs::read_dir(directory.path().join("man")).unwrap().map(|entry| entry.unwrap().path());
    let pages: Vec<_> = pages.collect();
    assert!(pages.len() > 40, "{} pages", pages.len());
    for page in pages {
        let name = page.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&page).unwrap();
        let wanted = match name {
            "sdme-generator.8" => vec!["SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "FILES"],
            name if name.ends_with(".5") => vec!["SYNOPSIS", "DESCRIPTION", "FILES", "EXAMPLES"],
            _ => vec!["SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "FILES", "EXAMPLES"],
        };
        for section in wanted {
            let heading = [format!(".SH {section}\n"), format!(".SH \"{section}\"\n")];
            assert!(heading.iter().any(|heading| text.contains(heading)), "{name} has no section {section}");
        }
        let found = Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(&page).output().unwrap();
        assert!(found.status.success(), "{name}: {}", String::from_utf8_lossy(&found.stdout));
    }
}
