// SPDX-License-Identifier: MIT
//! Tier 0: `tests/cases/run.txt`, command lines of docker, podman and nerdctl in the forms that
//! image descriptions use, with the files that result from each. `SDME_UPDATE=1` rewrites the files
//! and notes.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::{env, fs};

use sdme_gen::convert::command_line;
use sdme_gen::ini::split_words;

/// The result of a command line, in the format of the table.
fn result(line: &str) -> String {
    let words = split_words(line).unwrap();
    match command_line(&words, "/home/me") {
        Err(error) => format!("! {error}\n"),
        Ok(converted) => {
            let notes = converted.notes.iter().map(|note| format!("! {note}\n"));
            let lines = |text: &str| {
                text.lines().filter(|line| !line.is_empty()).fold(String::new(), |out, line| out + line + "\n")
            };
            let files = converted.files.iter().map(|(name, text)| format!("@ {name}\n{}", lines(text)));
            files.chain(notes).collect()
        }
    }
}

/// Compares every command line of `tests/cases/run.txt` with its files.
#[test]
fn command_lines_of_every_form_yield_the_files_in_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/run.txt");
    let table = fs::read_to_string(&path).unwrap();
    let mut out = String::new();
    let mut cases = 0;
    let mut in_case = false;
    for line in table.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            cases += 1;
            in_case = true;
            out += &format!("{line}\n{}\n", result(command));
        } else if line.starts_with('#') || !in_case {
            in_case = false;
            out += &format!("{line}\n");
        }
    }
    assert!(cases >= 150, "{cases}");
    if env::var_os("SDME_UPDATE").is_some() {
        fs::write(&path, out).unwrap();
    } else {
        assert!(table == out, "{}", difference(&table, &out));
    }
}

/// The first lines that differ.
fn difference(before: &str, after: &str) -> String {
    let differs = before.lines().zip(after.lines()).enumerate().find(|(_, (before, after))| before != after);
    differs.map_or_else(
        || "one is longer".to_owned(),
        |(at, (before, after))| format!("line {}: {before}\n  now: {after}", at + 1),
    )
}
