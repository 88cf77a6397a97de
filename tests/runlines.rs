// SPDX-License-Identifier: MIT
//! Tier 0: `tests/cases/run.txt`, command lines of docker, podman and nerdctl in the forms that descriptions of images use, with the
//! files that each comes to. `SDME_UPDATE=1` writes the files and notes anew.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::{env, fs};

use sdme_gen::convert::command_line;
use sdme_gen::ini::split_words;

/// What a line comes to, as the table has it.
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

/// `tests/cases/run.txt`
#[test]
fn lines_of_every_form_come_to_files() {
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
