// SPDX-License-Identifier: MIT
//! The layers of the code: pure modules name no file system, environment, process or clock, and know nothing of the
//! layers above them; modules stay small; the generator links nothing of the image code.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn sources(below: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = walkdir::WalkDir::new(root.join(below)).sort_by_file_name().into_iter().map(Result::unwrap);
    let files = entries.filter(|e| e.path().extension().is_some_and(|x| x == "rs"));
    let all: Vec<_> = files
        .map(|e| (e.path().strip_prefix(root).unwrap().to_owned(), std::fs::read_to_string(e.path()).unwrap()))
        .collect();
    assert!(!all.is_empty(), "nothing below {below}");
    all
}

/// The code of a file without its tests, which may use what they like.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let before_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
    before_tests.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//"))
}

const PURE: [&str; 21] = [
    "ini",
    "config",
    "model",
    "resolve",
    "plan",
    "unit",
    "output/tree.rs",
    "output/graph.rs",
    "output/origin.rs",
    "contract/process.rs",
    "contract/beside.rs",
    "contract/capability.rs",
    "diag",
    "contract/health.rs",
    "contract/probe.rs",
    "text.rs",
    "update/plan.rs",
    "convert",
    "compose",
    "kube",
    "export",
];

#[test]
fn pure_modules_do_nothing_but_compute() {
    let impure = ["std::fs", "std::env", "std::process", "std::time", "std::net::Tcp", "nix::", "walkdir", "std::io"];
    for (path, text) in PURE.iter().flat_map(|m| sources(&format!("src/{m}"))) {
        for (line, code) in code(&text) {
            for word in impure {
                assert!(!code.contains(word), "{}:{}: a pure module uses {word}", path.display(), line + 1);
            }
        }
    }
}

#[test]
fn commands_print_json_in_one_place() {
    for (path, text) in sources("src/cli") {
        let own = path.ends_with("cli/print.rs");
        for (line, code) in code(&text).filter(|_| !own) {
            let place = format!("{}:{}", path.display(), line + 1);
            assert!(
                !code.contains("serde_json::to_"),
                "{place}: print_json() escapes text of images, serde_json does not"
            );
        }
    }
}

#[test]
fn layers_import_only_from_those_before() {
    // search -> ini -> config -> model -> resolve -> plan; each may use what stands to its left, and the leaf modules.
    let order =
        ["text", "diag", "contract", "paths", "unit", "ini", "config", "model", "resolve", "output::tree", "plan"];
    for (index, module) in order.iter().enumerate() {
        let later: Vec<String> = order.iter().skip(index + 1).map(|m| format!("crate::{m}")).collect();
        let place = module.replace("::", "/");
        let file = format!("src/{place}.rs");
        let below =
            if Path::new(env!("CARGO_MANIFEST_DIR")).join(&file).exists() { file } else { format!("src/{place}") };
        for (path, text) in sources(&below) {
            for (line, code) in code(&text) {
                let named = later
                    .iter()
                    .chain(&IMPURE.map(|m| format!("crate::{m}")))
                    .find(|m| code.contains(m.as_str()))
                    .cloned();
                assert!(named.is_none(), "{}:{}: {module} imports {}", path.display(), line + 1, named.unwrap());
            }
        }
    }
}

/// Rooms, and what stands above each of them: the verbs use what the units use, never the other way round. Converting and exporting share
/// the objects of Kubernetes, and know nothing of each other.
const ABOVE: [(&str, &[&str]); 7] = [
    ("kube", &["convert", "export", "runtime", "admin", "cli"]),
    ("convert", &["export", "runtime", "admin", "cli"]),
    ("export", &["convert", "compose", "runtime", "admin", "cli"]),
    ("rootdir", &["image", "runtime", "admin", "update", "cli"]),
    ("image", &["runtime", "admin", "update", "cli"]),
    ("runtime", &["admin", "update", "cli"]),
    ("admin", &["cli"]),
];

#[test]
fn rooms_use_nothing_that_stands_above_them() {
    for (room, above) in ABOVE {
        for (path, text) in sources(&format!("src/{room}")) {
            for (line, code) in code(&text) {
                let named = above.iter().find(|name| code.contains(&format!("crate::{name}")));
                assert!(named.is_none(), "{}:{}: {room} uses {}", path.display(), line + 1, named.unwrap());
            }
        }
    }
}

/// Parts of `image/trust` that decide: they open nothing and ask nobody, so that the same decision is made for a source and for the store.
const DECIDING: [&str; 4] = ["decide.rs", "payload.rs", "bundle.rs", "keys.rs"];

#[test]
fn decisions_about_images_are_pure() {
    let impure =
        ["std::fs", "std::env", "std::process", "std::time", "std::net", "nix::", "Origin", "Store", "reqwest"];
    for (path, text) in DECIDING.iter().flat_map(|file| sources(&format!("src/image/trust/{file}"))) {
        for (line, code) in code(&text) {
            for word in impure {
                assert!(!code.contains(word), "{}:{}: a decision uses {word}", path.display(), line + 1);
            }
        }
    }
}

const IMPURE: [&str; 6] = ["search", "image", "runtime", "update::", "cli", "output::emit"];

#[test]
fn modules_stay_small() {
    for (path, text) in ["src", "generators", "tests"].iter().flat_map(|d| sources(d)) {
        let lines = text.lines().count();
        assert!(lines <= 600, "{} has {lines} lines: which two subjects does it hold?", path.display());
        assert!(text.starts_with("// SPDX-License-Identifier: MIT\n//!"), "{} does not say what it is", path.display());
    }
}

#[test]
fn the_generator_links_no_image_code() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let tree = Command::new(cargo)
        .args(["tree", "--locked", "--offline", "--no-default-features", "--edges", "normal", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).unwrap();
    for unwanted in ["tokio", "rustls", "oci-client", "reqwest", "tar ", "flate2", "clap"] {
        assert!(!text.lines().any(|l| l.starts_with(unwanted)), "the generator depends on {unwanted}");
    }
    assert!(text.lines().any(|l| l.starts_with("ini_core")), "{text}");
}

/// How the code names what a container or an image controls: the parts of paths, and the functions that give such a path.
const CONTROLLED: [&str; 8] =
    ["container_state(", "machine_root(", "(volume(", " volume(", "(\"upper\")", "/upper", "}/root", "join(\"root\")"];

/// The files that may name such a path, and why no stranger can lead their calls astray. docs/trust-boundary.md has the calls.
const MAY_NAME: [(&str, &str); 17] = [
    ("src/admin/show/usage.rs", "gives du(1) the directories, which follows no symbolic link"),
    ("src/admin/copy.rs", "opens a volume by its name in /var/lib/sdme/volumes, and everything in it through rootdir"),
    ("src/admin/show/inspect.rs", "prints the paths, and opens nothing"),
    (
        "src/runtime/prepare/apart.rs",
        "gives overlayfs the directories of a stopped container, and opens the mounted root through rootdir",
    ),
    ("src/runtime/ended.rs", "opens the journal of a stopped container through rootdir and hands over the descriptor"),
    ("src/admin/write/containers.rs", "removes the directory of a stopped container by descriptor (std::fs::remove_dir_all)"),
    ("src/admin/show/diff.rs", "reads upper layers through rootdir only"),
    (
        "src/runtime/prepare/mod.rs",
        "makes and reads only names in /run/sdme and /var/lib/sdme/containers/NAME, which no container sees",
    ),
    (
        "src/admin/leftovers.rs",
        "names the directories of containers without a file, which containers.rs removes; removes volumes through rootdir",
    ),
    ("src/admin/show/ps/mod.rs", "reads health states through rootdir only"),
    (
        "src/runtime/prepare/ranges.rs",
        "changes owners in the upper layer of a stopped container, and follows no symbolic link",
    ),
    (
        "src/runtime/prepare/layers/stack.rs",
        "gives overlayfs the directories; mount points in the container's root are opened through rootdir",
    ),
    ("src/runtime/volumes/mounted.rs", "compares the names of mounts, and opens nothing"),
    ("src/runtime/volumes/mod.rs", "makes and locks names in /var/lib/sdme/volumes; fills a volume through rootdir only"),
    (
        "src/runtime/volumes/snapshots.rs",
        "renames volumes that no container has mounted; cp(1) copies them and follows no symbolic link",
    ),
    (
        "src/runtime/prepare/layers/targets.rs",
        "looks for symbolic links on the way to mount targets, through rootdir, before the container runs",
    ),
    ("src/image/unpack/applayer.rs", "moves a directory of an import that no container has been given yet"),
];

#[test]
fn what_a_container_controls_is_opened_by_rootdir_only() {
    let mut seen = std::collections::BTreeSet::new();
    for (path, text) in
        ["runtime", "admin", "update", "image", "launcher", "cli"].iter().flat_map(|d| sources(&format!("src/{d}")))
    {
        let name = path.display().to_string();
        if ["tests.rs", "testing.rs"].iter().any(|test| name.ends_with(test)) {
            continue;
        }
        let Some((line, code)) = code(&text).find(|(_, code)| CONTROLLED.iter().any(|word| code.contains(word))) else {
            continue;
        };
        assert!(
            MAY_NAME.iter().any(|(allowed, _)| *allowed == name),
            "{name}:{}: {}\nA container or an image controls this path. The host's root opens, creates, renames, changes and removes \
             files there through src/rootdir only, relative to an open directory. If the code does so, add the file and the reason \
             to MAY_NAME in tests/layering.rs, and the call to docs/trust-boundary.md.",
            line + 1,
            code.trim()
        );
        seen.insert(name);
    }
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/trust-boundary.md")).unwrap();
    for (file, _) in MAY_NAME {
        assert!(seen.contains(file), "{file} names no such path any more: remove the file from MAY_NAME");
        let short = file.trim_start_matches("src/");
        assert!(page.contains(short), "docs/trust-boundary.md does not name {short}");
    }
}
