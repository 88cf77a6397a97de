// SPDX-License-Identifier: MIT
//! Reads arbitrary files of a container or an image in the same way as `prepare` and `ps`: users
//! and groups, an environment file, and the state of a health check. The first byte of each piece
//! selects the kind of file. Nothing panics, each variable stays one assignment, and no more than
//! the limit is read.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sdme_gen::config::values::envfile;
use sdme_gen::contract::health::State;
use sdme_gen::image::identify;
use sdme_gen::model::Identity;
use sdme_gen::rootdir::tree::Tree;
use sdme_gen::unit::env_assignment;

/// Maximum number of bytes that `ps` reads of a state.
const LIMIT: u64 = 1 << 16;

/// A root directory in memory.
static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = PathBuf::from(format!("/dev/shm/sdme-fuzz-container-{}", std::process::id()));
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::create_dir_all(root.join("run/sdme/health")).unwrap();
    root
});

fuzz_target!(|data: &[u8]| {
    for piece in data.split(|byte| *byte == 0xff) {
        let Some((kind, content)) = piece.split_first() else { continue };
        match kind % 4 {
            0 => {
                if let Ok(variables) = envfile::parse(content) {
                    for (name, value) in variables {
                        assert!(!name.contains(['=', '\n', '\0']), "{name:?}");
                        // The quoted assignment occupies exactly one line.
                        let line = env_assignment(&name, &value);
                        assert_eq!(envfile_lines(&line), 1, "{line:?}");
                    }
                }
            }
            1 => {
                let _ = fs::write(ROOT.join("run/sdme/health/app"), content);
                let tree = Tree::open(&ROOT).unwrap();
                if let Ok(Some(text)) = tree.read_file(b"run/sdme/health/app", LIMIT) {
                    assert!(text.len() as u64 <= LIMIT);
                    let word = serde_json::from_slice::<State>(&text).unwrap_or_default().status.word();
                    assert!(!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()));
                }
            }
            2 => {
                // The first line is the value of User=; the rest is the content of both files.
                let Some(end) = content.iter().position(|byte| *byte == b'\n') else { continue };
                let Ok(user) = std::str::from_utf8(&content[..end]) else { continue };
                for file in ["etc/passwd", "etc/group"] {
                    fs::write(ROOT.join(file), &content[end + 1..]).unwrap();
                }
                let identity = Identity { more_groups: vec!["more".to_owned()], ..Identity::default() };
                for identity in [Identity::default(), identity] {
                    if let Ok(found) = identify(&Tree::open(&ROOT).unwrap(), user, &identity) {
                        assert!(!found.home.is_empty(), "{found:?}");
                    }
                }
            }
            _ => {
                // A path of the image leads to a file in the tree, whatever the path is.
                let tree = Tree::open(&ROOT).unwrap();
                if let Ok(Some(text)) = tree.read_file(content, LIMIT) {
                    assert!(text.len() as u64 <= LIMIT);
                }
            }
        }
    }
});

fn envfile_lines(text: &str) -> usize {
    text.matches('\n').count()
}
