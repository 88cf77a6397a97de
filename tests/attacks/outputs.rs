// SPDX-License-Identifier: MIT
//! The commands of the administrator print the names that an image gives to its program and a
//! container gives to its files. No output contains control characters or changes the direction of
//! text, and no file name makes a command fail.

use std::path::Path;

use crate::hostile::image;
use crate::support::containers::Container;
use crate::support::host::Host;

on_every_suite!(outputs_are_harmless);

/// The text clears a line on terminals that support C1 control characters, and reverses the
/// direction of the remaining text.
const ODD: &str = "odd-\u{9b}2K\u{85}\u{202e}txt\u{e0041}";

/// The part of this text that configuration files may contain.
const TURNED: &str = "odd-\u{202e}txt\u{e0041}";

/// The import fails because of the architecture of the image, which the message quotes.
const IMPORT: &str = "fs import elsewhere oci:/srv/hostile/elsewhere";

fn on(suite: &str, name: &str, case: fn(&Host)) {
    crate::on(suite, name, images, case);
}

fn images(directory: &Path) {
    let program = ["--config.entrypoint", "sleep", "--config.cmd", "infinity"];
    image(directory, "odd", |_| (), &[&program[..], &["--config.env", &format!("ODD={ODD}")]].concat());
    image(directory, "elsewhere", |_| (), &["--architecture", &format!("{ODD}\u{1b}[2J")]);
}

/// Creates a file and a directory with this name, and a directory whose path is longer than system
/// calls accept.
const FILES: &str =
    "use constant ODD => shift; chdir(q(/srv)); mkdir(ODD) or die; open(F, q(>), ODD . q(.file)) or die;
    for (1..60) { mkdir(q(d) x 200); chdir(q(d) x 200) or die }";

fn outputs_are_harmless(host: &Host) {
    host.write("/etc/sdme/odd.image", "[Image]\nImage=oci:/srv/hostile/odd\n");
    let container = Container::new(host, "web");
    // Configuration files may come from another person, too.
    let file = format!("[Unit]\nDescription={TURNED}\n[Container]\nImage=odd.image\n");
    host.write("/etc/sdme/wrong.container", format!("[Container]\nImage=odd.image\nNetwork={TURNED}\n"));
    container.configure(&file).systemctl("start");
    container.ok(&format!("perl -e '{FILES}' '{ODD}'"));

    // Each line of diff is a path. Everything below the longest path is omitted.
    let differences = host.ok("sdme-gen diff --all web");
    assert!(differences.lines().any(|line| line == format!("A /srv/{}", escaped(ODD))), "{differences}");
    assert!(differences.lines().any(|line| line.ends_with("/...")), "{differences}");
    let all: serde_json::Value = serde_json::from_str(&host.ok("sdme-gen diff --all --json web")).unwrap();
    let has = |path: &str| all.as_array().unwrap().iter().any(|one| one["path"] == path);
    assert!(has(&format!("/srv/{ODD}")) && has(&format!("/srv/{ODD}.file")), "{all}");

    let mut named = Vec::new();
    for command in [
        "diff --all web",
        "diff --all --json web",
        "render",
        "graph",
        "graph --dot",
        "graph --mermaid",
        "check",
        "check --json",
        "ps",
        "ps --json",
        "fs ls",
        "fs ls --json",
        IMPORT,
    ] {
        let output = host.run(&format!("sdme-gen {command}"));
        let text = output.stdout + &output.stderr;
        let raw: Vec<char> =
            text.chars().filter(|&c| c != '\n' && (c.is_control() || ODD.contains(c) && !c.is_ascii())).collect();
        assert!(raw.is_empty(), "sdme-gen {command}: {raw:?} in {text:?}");
        // Records that there was something to escape.
        if text.contains("odd-\\u") {
            named.push(command);
        }
    }
    let expected =
        ["diff --all web", "diff --all --json web", "render", "graph", "graph --dot", "check", "check --json"];
    let missing: Vec<&str> = expected.into_iter().chain([IMPORT]).filter(|command| !named.contains(command)).collect();
    assert!(missing.is_empty(), "{missing:?} print nothing that was to be escaped");
    container.systemctl("stop");
    host.ok("sdme-gen rm web && ! test -e /var/lib/sdme/containers/web");
}

/// Returns the text as commands print it for people.
fn escaped(text: &str) -> String {
    let one = |c: char| if c.is_ascii() { c.to_string() } else { format!("\\u{{{:x}}}", u32::from(c)) };
    text.chars().map(one).collect()
}
