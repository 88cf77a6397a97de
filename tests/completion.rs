// SPDX-License-Identifier: MIT
//! Completion in each shell, tested in the shell itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use support::{repo, require};

/// Runs a shell with the tool in its PATH and a configuration of three containers, one of which is
/// an instance of a template.
fn ask(shell: &str, arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in ["web-front.container", "db.container", "box@.container", "shop.pod"] {
        fs::create_dir_all(path("etc")).unwrap();
        let section = if name.ends_with("pod") { "[Pod]\n" } else { "[Container]\n" };
        fs::write(path("etc").join(name), section).unwrap();
    }
    symlink("box@.container", path("etc/box@1.container")).unwrap();
    fs::create_dir(path("bin")).unwrap();
    symlink(repo("target/release/sdme-gen"), path("bin/sdme-gen")).unwrap();
    let search = format!("{}:{}", path("bin").display(), std::env::var("PATH").unwrap());
    let output = Command::new("timeout")
        .args(["20", shell])
        .args(arguments)
        .env("PATH", search)
        .env("SDME_UNIT_DIRS", path("etc"))
        .env("SCRIPTS", repo("target/documents/completions"))
        .env("SCRATCH", directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the candidates without options and without descriptions.
fn names(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.split('\t').next()).filter(|word| !word.starts_with('-')).collect()
}

#[test]
fn bash_completes_names_and_keys() {
    if !require(&["build", "bash"]) {
        return;
    }
    let complete = |words: &str, current: &str| {
        let script = format!(
            "source $SCRIPTS/sdme-gen; COMP_WORDS=({words} \"{current}\"); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_TYPE=9
             _clap_complete_sdme_gen sdme-gen '{current}' ''; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        ask("bash", &["--norc", "-c", &script])
    };
    assert_eq!(names(&complete("sdme-gen rm", "")), ["box-1", "db", "web-front"]);
    assert_eq!(names(&complete("sdme-gen create --pod", "s")), ["shop"]);
    assert!(names(&complete("sdme-gen config get", "Bas")).contains(&"BaseFs"));
}

#[test]
fn fish_completes_names_and_describes_verbs() {
    if !require(&["build", "fish"]) {
        return;
    }
    let complete = |line: &str| {
        ask("fish", &["--no-config", "-c", &format!("source $SCRIPTS/sdme-gen.fish; complete -C '{line}'")])
    };
    assert_eq!(names(&complete("sdme-gen rm ")), ["box-1", "db", "web-front"]);
    assert_eq!(names(&complete("sdme-gen pod rm ")), ["shop"]);
    assert!(complete("sdme-gen ").contains("graph\t"), "verbs have descriptions");
}

#[test]
fn zsh_completes_the_first_time() {
    if !require(&["build", "zsh"]) {
        return;
    }
    assert!(Path::new(&repo("target/documents/completions/_sdme-gen")).exists());
    ask("zsh", &["-n", &repo("target/documents/completions/_sdme-gen").display().to_string()]);
    // zsh completes only on a terminal, so the test types into one and reads the completed line.
    let script = r#"
        zmodload zsh/zpty
        zpty z zsh -f -i
        zpty -w z 'fpath=($SCRIPTS $fpath); autoload -Uz compinit; compinit -u -d $SCRATCH/dump; print rea""dy'
        zpty -r -m z out '*ready*'
        zpty -w -n z $'sdme-gen rm web-\t'
        zpty -r -m z out '*web-front*' && print found
        zpty -d z"#;
    assert_eq!(ask("zsh", &["-f", "-c", script]), "found\n");
}
