// SPDX-License-Identifier: MIT
//! Compiles arbitrary files as a configuration. Compiling never fails as a whole, does not depend
//! on the order of the files, does not affect unrelated files, and its output has no line, section
//! or path that a value could have injected.
#![no_main]

use std::collections::BTreeSet;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sdme_gen::config::keys::FileType;
use sdme_gen::config::sources::{SourceFile, Sources, Text};
use sdme_gen::ini::parse;
use sdme_gen::output::tree::{Node, Place, Tree};
use sdme_gen::paths::BINDIR;
use sdme_gen::model::Facts;
use sdme_gen::{compile, compile_units};

/// The files are separated by a byte that does not occur in text. The first byte of each file
/// selects its name, or makes it a drop-in of the previous file.
fn sources(data: &[u8]) -> Sources {
    let mut out = Sources { files: vec![neighbour()], ..Sources::default() };
    let mut seen = BTreeSet::new();
    for piece in data.split(|b| *b == 0xff) {
        let Some((selector, content)) = piece.split_first() else { continue };
        let text = |path: String| Text { path: Arc::from(path), content: Ok(content.to_vec()) };
        if let (true, [_, .., last]) = (*selector >= 0x60, out.files.as_mut_slice()) {
            let path = format!("/etc/sdme/{}.d/{}.conf", last.name, last.drop_ins.len());
            last.drop_ins.push(text(path));
            continue;
        }
        let file_type = FileType::ALL[usize::from(*selector) % FileType::ALL.len()];
        let names: &[&str] =
            if file_type == FileType::Defaults { &["sdme"] } else { &["web", "db", "a-b.c", "-x", "%i"] };
        let name = names[usize::from(*selector) / FileType::ALL.len() % names.len()];
        if seen.insert((file_type, name)) {
            let main = text(format!("/etc/sdme/{name}.{}", file_type.extension()));
            out.files.push(SourceFile { file_type, name: name.to_owned(), main, drop_ins: Vec::new() });
        }
    }
    out
}

const NEIGHBOUR: &str = "neighbour";

fn neighbour() -> SourceFile {
    let content = b"[Container]\nImage=neighbour/image\nBase=host\n[Install]\nWantedBy=machines.target\n".to_vec();
    let main = Text { path: Arc::from("/etc/sdme/neighbour.container"), content: Ok(content) };
    SourceFile { file_type: FileType::Container, name: NEIGHBOUR.to_owned(), main, drop_ins: Vec::new() }
}

/// Returns the output for the neighbour.
fn of_neighbour(tree: &Tree) -> Vec<(&Place, &str, &Node)> {
    tree.iter()
        .filter(|(place, path, _)| path.contains(NEIGHBOUR) || **place == Place::Layer(NEIGHBOUR.into()))
        .collect()
}

fn check_path(path: &str) {
    assert!(path.split('/').all(|p| !matches!(p, "" | "." | "..") && p.len() <= 255), "{path}");
    assert!(!path.contains(|c: char| c.is_control()), "{path:?}");
}

fn check_unit(place: &Place, path: &str, text: &str) {
    let document = parse(&Arc::from(path), text.as_bytes()).unwrap_or_else(|e| panic!("{path}: {e:?}\n{text}"));
    let names: Vec<&str> = document.headers.iter().map(|(name, _)| &**name).collect();
    let known = match place {
        Place::Settings => ["Exec", "Files", "Network"],
        _ => ["Unit", "Service", "Mount"],
    };
    assert!(names.iter().all(|n| known.contains(n)), "{path}: {names:?}\n{text}");
    assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len(), "{path}: {names:?}\n{text}");
    // Each line is a separate assignment; none was continued or commented out.
    let lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with(['[', '#'])).count();
    assert_eq!(document.entries.len(), lines, "{path}\n{text}");
    let values =
        |key: &str| document.entries.iter().filter(|e| e.key == key).map(|e| e.value.as_str()).collect::<Vec<_>>();
    let commands = values("ExecStart");
    let expected =
        usize::from(path.ends_with("sdme-oci-app.service") || *place == Place::Units && path.ends_with(".service"));
    assert_eq!(commands.len(), expected, "{path}\n{text}");
    if *place == Place::Units && expected == 1 {
        let ours = format!("{BINDIR}/sdme-gen rejected ");
        assert!(commands.iter().all(|c| c.starts_with(&ours)), "{path}\n{text}");
    }
    if path.ends_with(".mount") {
        assert_eq!((values("What").len(), values("Where").len(), values("Options").len()), (1, 1, 1), "{path}\n{text}");
        assert!(values("Where")[0].starts_with("/var/lib/machines/"), "{path}\n{text}");
    }
}

fuzz_target!(|data: &[u8]| {
    let mut sources = sources(data);
    let facts = Facts::default();
    let compiled = compile(&sources, &facts);
    for (place, path, node) in compiled.tree.iter() {
        check_path(path);
        let Node::File(text) = node else { continue };
        match path.rsplit_once('.').map(|(_, extension)| extension) {
            Some("service" | "mount" | "conf" | "nspawn" | "target")
                if path != "etc/resolv.conf" && !path.starts_with("oci/") =>
            {
                check_unit(place, path, text);
            }
            _ if path == "etc/hosts" => assert_eq!(text.lines().count(), 2, "{text}"),
            _ if path == "etc/hostname" => assert_eq!(text.lines().count(), 1, "{text}"),
            _ => {}
        }
    }
    for diagnostic in &compiled.diagnostics {
        assert!(!diagnostic.to_string().contains(|c: char| c.is_control() && c != '\t'), "{diagnostic:?}");
    }
    assert!(
        compile_units(&sources, &[]).tree.iter().eq(compiled.tree.iter().filter(|(place, ..)| **place == Place::Units))
    );
    if !data.windows(NEIGHBOUR.len()).any(|w| w == NEIGHBOUR.as_bytes()) {
        let alone = compile(&Sources { files: vec![neighbour()], ..Sources::default() }, &facts);
        assert_eq!(of_neighbour(&alone.tree), of_neighbour(&compiled.tree));
    }
    sources.files.reverse();
    let reversed = compile(&sources, &facts);
    assert_eq!(reversed.tree, compiled.tree);
    assert_eq!(reversed.diagnostics, compiled.diagnostics);
});
