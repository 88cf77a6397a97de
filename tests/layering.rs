// SPDX-License-Identifier: MIT
//! Checks the layers of the code: each folder imports only the parts that its rule names, only
//! parts with a reason have side effects, modules are small, and the generator does not link the
//! code for images.
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

/// The lines of code before the unit tests, which may import any part.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let before_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
    before_tests.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//"))
}

/// The rule of a folder or a file of `src`.
struct Rule {
    /// The path below `src`, without `.rs`. A file without its own rule has that of its folder.
    part: &'static str,
    /// The reason why the code may use files, processes, sockets, clocks and the environment. Code
    /// without a reason only computes.
    acts: Option<&'static str>,
    /// The other parts that the code may import.
    imports: &'static [&'static str],
}

const fn pure(part: &'static str, imports: &'static [&'static str]) -> Rule {
    Rule { part, acts: None, imports }
}

const fn acts(part: &'static str, why: &'static str, imports: &'static [&'static str]) -> Rule {
    Rule { part, acts: Some(why), imports }
}

/// The layers, from the lowest: text and diagnostics, then configuration, model and planning, which
/// only compute, then the code that reads and writes, and the commands at the top. Each rule names
/// exactly the parts that its code imports.
const RULES: [Rule; 39] = [
    pure("text", &[]),
    pure("paths", &[]),
    pure("unit", &[]),
    pure("diag", &["text"]),
    pure("ini", &["diag"]),
    pure("contract", &["diag"]),
    pure("config", &["diag", "ini", "unit"]),
    pure("model", &["config", "contract", "diag", "paths", "unit"]),
    pure("resolve", &["config", "contract", "diag", "ini", "model", "paths", "unit"]),
    pure("output", &[]),
    pure("output/tree", &["paths"]),
    pure("output/graph", &["ini"]),
    pure(
        "plan",
        &["cause", "config", "contract", "diag", "model", "output/tree", "paths", "resolve", "started", "unit"],
    ),
    pure("lib", &["config", "diag", "model", "output/tree", "plan", "resolve", "started"]),
    pure("admin/show/origin", &["config", "diag", "ini", "lib", "model", "output/tree"]),
    pure("update/plan", &["config", "diag", "model", "plan"]),
    pure("compose", &["diag"]),
    pure("kube", &["compose", "diag", "text"]),
    pure("convert", &["compose", "config", "diag", "image", "ini", "kube", "lib", "model", "resolve", "unit"]),
    pure("export", &["config", "contract", "diag", "ini", "kube", "model", "text", "unit"]),
    acts("contract/streams", "copies the streams of a program", &[]),
    acts("journal", "writes to the journal", &["contract"]),
    acts("announce", "writes to the journal", &["journal", "text"]),
    acts("cause", "reads and writes the causes of failures in /run/sdme", &["diag", "paths", "text"]),
    acts("started", "copies the units of what runs", &["paths", "unit"]),
    acts("mount_flags", "changes mounts", &[]),
    acts("halves", "starts a thread", &[]),
    acts("search", "reads the configuration", &["config", "diag", "halves", "ini", "paths", "unit"]),
    acts("output/emit", "writes the generator's directories", &["halves", "output/tree"]),
    acts("output/apply", "writes below /etc/systemd", &["image", "output/tree", "rootdir"]),
    acts("output/layer", "writes the configuration layer of a container", &["output/tree"]),
    acts("rootdir", "opens files that a container or an image controls", &[]),
    acts(
        "image",
        "pulls, unpacks and stores images",
        &["compose", "config", "contract", "diag", "halves", "model", "paths", "rootdir", "text", "unit"],
    ),
    acts(
        "runtime",
        "starts and stops containers for their units",
        &[
            "announce",
            "cause",
            "config",
            "contract",
            "diag",
            "image",
            "journal",
            "lib",
            "model",
            "mount_flags",
            "output/layer",
            "output/tree",
            "paths",
            "plan",
            "resolve",
            "rootdir",
            "search",
            "started",
            "unit",
        ],
    ),
    acts(
        "admin",
        "carries out verbs",
        &[
            "cause",
            "config",
            "contract",
            "contract/streams",
            "diag",
            "image",
            "ini",
            "lib",
            "model",
            "output/graph",
            "output/tree",
            "paths",
            "plan",
            "resolve",
            "rootdir",
            "runtime",
            "search",
            "started",
            "unit",
        ],
    ),
    acts(
        "update",
        "pulls new versions, and restarts containers on them",
        &["admin", "announce", "cause", "config", "diag", "image", "model", "plan", "runtime"],
    ),
    acts(
        "cli",
        "reads the command line and prints",
        &[
            "admin",
            "compose",
            "config",
            "convert",
            "diag",
            "export",
            "image",
            "journal",
            "kube",
            "lib",
            "model",
            "output/apply",
            "output/graph",
            "output/layer",
            "output/tree",
            "paths",
            "plan",
            "runtime",
            "search",
            "text",
            "unit",
            "update",
        ],
    ),
    acts("main", "is the command line tool", &["cli"]),
    acts(
        "launcher",
        "runs applications inside a container",
        &["cause", "contract", "contract/streams", "journal", "mount_flags", "unit"],
    ),
];

/// Whether this is a module of tests, which may import any part.
fn is_of_tests(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_string_lossy();
    ["tests", "testing", "scripted", "signed", "hostile"].contains(&&*name)
        || name.ends_with("_tests")
        || path.components().any(|part| part.as_os_str() == "tests")
}

/// The files of `src` except modules of tests, each with its content and its rule.
fn code_of_src() -> Vec<(PathBuf, String, &'static Rule)> {
    let all = sources("src").into_iter().filter(|(path, _)| !is_of_tests(path));
    let with_rule = |(path, text): (PathBuf, String)| {
        let place = path.strip_prefix("src").unwrap().with_extension("");
        let rule = RULES.iter().filter(|rule| place.starts_with(rule.part)).max_by_key(|rule| rule.part.len());
        let Some(rule) = rule else { panic!("{}: src/{} has no rule in RULES", path.display(), place.display()) };
        (path, text, rule)
    };
    all.map(with_rule).collect()
}

/// The parts that a line of code imports from or refers to, except `own`.
fn named(line: &str, own: &str) -> Vec<&'static str> {
    // The programs refer to the library by the name of its crate.
    let root = if ["launcher", "main"].contains(&own) { "sdme_gen::" } else { "crate::" };
    let part = |path: &str| {
        let path: Vec<&str> = path.split("::").take(2).collect();
        let of = |path: &[&str]| RULES.iter().map(|rule| rule.part).find(|part| *part == path.join("/"));
        of(&path).or_else(|| of(path.get(..1)?)).unwrap_or("lib")
    };
    let mut all = Vec::new();
    for (at, _) in line.match_indices(root) {
        let rest = line.get(at + root.len()..).unwrap();
        let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        if let Some(group) = rest.strip_prefix('{') {
            let names = group.split('}').next().unwrap().split(',').map(str::trim);
            all.extend(names.map(|name| part(name.split(|c| !is_path(c)).next().unwrap())));
        } else {
            all.push(part(rest.split(|c| !is_path(c)).next().unwrap()));
        }
    }
    all.retain(|part| *part != own);
    all
}

#[test]
fn every_part_imports_exactly_what_its_rule_names() {
    let mut unused: Vec<(&str, &str)> =
        RULES.iter().flat_map(|rule| rule.imports.iter().map(|import| (rule.part, *import))).collect();
    let mut broken = Vec::new();
    for (path, text, rule) in code_of_src() {
        for (line, code) in code(&text) {
            for import in named(code, rule.part) {
                unused.retain(|known| *known != (rule.part, import));
                if !rule.imports.contains(&import) {
                    broken.push(format!(
                        "{}:{}: src/{} imports src/{import}, but its rule allows only: {}",
                        path.display(),
                        line + 1,
                        rule.part,
                        rule.imports.join(", ")
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    unused.retain(|(part, import)| *part != "lib" && !import.starts_with("output/"));
    assert!(unused.is_empty(), "rules that name imports which the code does not have: {unused:?}");
}

#[test]
fn code_without_a_reason_has_no_side_effects() {
    let impure = [
        "std::fs",
        "std::env",
        "std::process",
        "std::time",
        "std::net::Tcp",
        "std::net::Udp",
        "std::io",
        "std::os::unix",
        "std::thread",
        "nix::",
        "libc::",
        "rustix::",
        "walkdir",
        "tokio",
        "reqwest",
    ];
    let mut broken = Vec::new();
    for (path, text, rule) in code_of_src().into_iter().filter(|(.., rule)| rule.acts.is_none()) {
        for (line, code) in code(&text) {
            for word in impure.iter().filter(|word| code.contains(**word)) {
                broken.push(format!(
                    "{}:{}: src/{} uses {word}, but its rule in RULES is pure(): it only computes",
                    path.display(),
                    line + 1,
                    rule.part
                ));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(RULES.iter().all(|rule| rule.acts.is_none_or(|why| !why.is_empty())));
}

/// The files that start threads, each with the reason why one thread is not enough.
const THREADS: [(&str, &str); 6] = [
    ("src/halves.rs", "many files are read, written and hashed by two threads"),
    ("src/contract/streams.rs", "two streams are copied at the same time"),
    (
        "src/image/import.rs",
        "a layer is uncompressed, hashed and unpacked at the same time, and listed while the disk takes it",
    ),
    ("src/image/tar/ahead.rs", "a stream is uncompressed ahead of its reader"),
    ("src/launcher/exec.rs", "signals are passed on while the command runs"),
    ("src/update/check.rs", "several registries are asked at the same time"),
];

#[test]
fn only_the_listed_files_start_threads() {
    let starts = ["thread::spawn", "thread::scope", "thread::Scope", "thread::Builder", "thread::{"];
    let mut seen = std::collections::BTreeSet::new();
    for (path, text, _) in code_of_src() {
        let name = path.display().to_string();
        let Some((line, code)) = code(&text).find(|(_, code)| starts.iter().any(|word| code.contains(word))) else {
            continue;
        };
        assert!(
            THREADS.iter().any(|(allowed, _)| *allowed == name),
            "{name}:{}: {}\nOnly the files in THREADS start threads. If this file has to, add it with the reason.",
            line + 1,
            code.trim()
        );
        seen.insert(name);
    }
    for (file, _) in THREADS {
        assert!(seen.contains(file), "{file} starts no thread any more: remove the file from THREADS");
    }
}

#[test]
fn commands_print_json_through_print_json_only() {
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

/// The files of `image/trust` that make decisions. They open no file and send no request, so that
/// the decision for an image in the store is the same as that for its source.
const DECIDING: [&str; 4] = ["decide.rs", "payload.rs", "bundle.rs", "keys.rs"];

#[test]
fn decisions_about_signatures_have_no_side_effects() {
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

#[test]
fn modules_have_a_description_and_at_most_600_lines() {
    for (path, text) in ["src", "generators", "tests"].iter().flat_map(|d| sources(d)) {
        let lines = text.lines().count();
        assert!(lines <= 600, "{} has {lines} lines: which two subjects does it hold?", path.display());
        assert!(text.starts_with("// SPDX-License-Identifier: MIT\n//!"), "{} does not say what it is", path.display());
    }
}

#[test]
fn the_generator_does_not_link_the_code_for_images() {
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

/// The code that names a path which a container or an image controls: parts of paths, and the
/// functions that return such a path.
const CONTROLLED: [&str; 8] =
    ["container_state(", "machine_root(", "(volume(", " volume(", "(\"upper\")", "/upper", "}/root", "join(\"root\")"];

/// The files that may name such a path, and why a container cannot redirect their system calls.
/// docs/trust-boundary.md lists the calls.
const MAY_NAME: [(&str, &str); 17] = [
    ("src/admin/show/usage.rs", "gives du(1) the directories, which follows no symbolic link"),
    ("src/admin/copy.rs", "opens a volume by its name in /var/lib/sdme/volumes, and everything in it through rootdir"),
    ("src/admin/show/inspect.rs", "prints the paths, and opens nothing"),
    (
        "src/runtime/prepare/apart.rs",
        "gives overlayfs the directories of a stopped container, and opens the mounted root through rootdir",
    ),
    ("src/runtime/ended.rs", "opens the journal of a stopped container through rootdir and hands over the descriptor"),
    (
        "src/admin/write/containers.rs",
        "removes the directory of a stopped container by descriptor (std::fs::remove_dir_all)",
    ),
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
    (
        "src/runtime/volumes/mod.rs",
        "makes and locks names in /var/lib/sdme/volumes; fills a volume through rootdir only",
    ),
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
fn only_listed_files_name_paths_that_a_container_controls() {
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
