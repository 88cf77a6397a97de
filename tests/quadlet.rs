// SPDX-License-Identifier: MIT
//! The behaviour of Podman's Quadlet, case by case, and that of sdme-gen: the same, or a difference
//! with its reason. `docs/quadlet-table.md` is generated from the table (`SDME_UPDATE=1` writes
//! it).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod cases;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use cases::cases;

#[test]
fn every_case_has_the_result_in_the_table() {
    let all = cases("quadlet.txt");
    assert!(all.len() >= 120, "{}", all.len());
    let failed: Vec<String> = all
        .iter()
        .filter_map(|case| {
            let failures = case.failures();
            (!failures.is_empty()).then(|| format!("## {}: {}", case.title, failures.join("\n")))
        })
        .collect();
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    for case in &all {
        let verdicts = case.wanted.iter().filter(|line| line.starts_with("= ") || line.starts_with("~ ")).count();
        assert_eq!(verdicts, 1, "{}", case.title);
    }
}

#[test]
fn the_page_matches_the_table() {
    let mut page = String::from(
        "# Quadlet, case by case\n\n\
         This table is made from `tests/cases/quadlet.txt`, which has the files of each case. *Same* means that sdme-gen does what\n\
         Podman's Quadlet (5.8) does.\n\n\
         | case | sdme-gen |\n|---|---|\n",
    );
    for case in cases("quadlet.txt") {
        let verdict = case.wanted.iter().find_map(|line| {
            line.strip_prefix("~ ").map(str::to_owned).or_else(|| line.starts_with("= ").then(|| "same".to_owned()))
        });
        let cell = |text: &str| text.replace('|', "\\|");
        writeln!(page, "| {} | {} |", cell(&case.title), cell(&verdict.unwrap())).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/quadlet-table.md");
    if std::env::var_os("SDME_UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), page, "run SDME_UPDATE=1 cargo test --test quadlet");
}
