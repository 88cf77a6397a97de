// SPDX-License-Identifier: MIT
//! Shared code of the image tests: archives with arbitrary headers, layouts, and comparable
//! listings of trees.
//!
//! Test code only.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::needless_pass_by_value)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

use super::progress::Silent;
use crate::image::source::manifest::Platform;
use crate::image::store::digest::Digest;
use crate::image::unpack::extract::{Extractor, Limits};
use crate::image::unpack::overlay::{merged, stacked};
use crate::rootdir::tree::{Tree, proc_path};

/// Whether the running test can continue as root. If not, prints that the test is skipped, or fails
/// if `SDME_TEST_REQUIRE` is set.
pub fn root(name: &str) -> bool {
    if nix::unistd::geteuid().is_root() {
        return true;
    }
    assert!(std::env::var_os("SDME_TEST_REQUIRE").is_none(), "{name}: needs root");
    eprintln!("SKIP {name}: needs root");
    false
}

/// A tar archive under construction. Nothing is checked, so that hostile archives can be created.
#[derive(Default, Clone)]
pub struct Archive {
    bytes: Vec<u8>,
    pax: Vec<u8>,
}

impl Archive {
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a header whose fields can still be changed.
    pub fn header(kind: EntryType, name: &[u8], size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(size);
        for (to, from) in header.as_old_mut().name.iter_mut().zip(name) {
            *to = *from;
        }
        header
    }

    pub fn raw(mut self, header: &Header, body: &[u8]) -> Self {
        if !self.pax.is_empty() {
            let records = std::mem::take(&mut self.pax);
            let extended = Self::header(EntryType::XHeader, b"pax", records.len() as u64);
            self = self.raw(&extended, &records);
        }
        let mut header = header.clone();
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(body);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    pub fn with(self, kind: EntryType, name: &[u8], body: &[u8], change: impl FnOnce(&mut Header)) -> Self {
        let mut header = Self::header(kind, name, body.len() as u64);
        change(&mut header);
        self.raw(&header, body)
    }

    pub fn file(self, name: impl AsRef<[u8]>, content: &str) -> Self {
        self.with(EntryType::Regular, name.as_ref(), content.as_bytes(), |_| {})
    }

    pub fn dir(self, name: impl AsRef<[u8]>) -> Self {
        self.with(EntryType::Directory, name.as_ref(), b"", |_| {})
    }

    pub fn link(self, kind: EntryType, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.with(kind, name.as_ref(), b"", |header| {
            for (to, from) in header.as_old_mut().linkname.iter_mut().zip(target.as_ref()) {
                *to = *from;
            }
        })
    }

    pub fn symlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.link(EntryType::Symlink, name, target)
    }

    pub fn hardlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.link(EntryType::Link, name, target)
    }

    /// Adds a PAX record for the next member.
    pub fn pax(mut self, key: &str, value: &[u8]) -> Self {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length += 1;
        }
        self.pax.extend_from_slice(format!("{length} {key}=").as_bytes());
        self.pax.extend_from_slice(value);
        self.pax.push(b'\n');
        self
    }

    pub fn unfinished(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    pub fn finish(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }
}

/// Applies layers to a new directory in `dir`.
pub fn extract(dir: &Path, layers: &[Archive]) -> anyhow::Result<PathBuf> {
    let root = dir.join("root");
    fs::create_dir(&root).unwrap();
    extract_to(Tree::open(&root).unwrap(), layers)?;
    Ok(root)
}

fn extract_to(tree: Tree, layers: &[Archive]) -> anyhow::Result<Tree> {
    let mut extractor = Extractor::new(Limits { bytes: 1 << 30, entries: 200_000, ..Limits::default() }, &Silent);
    for layer in layers {
        extractor.layer(&tree, layer.finish().as_slice())?;
    }
    Ok(tree)
}

/// Applies layers twice: all of them to one directory, and each of them to a separate directory.
/// All directories are in `dir` and have names for which [`is_ours`] is true. Returns two trees
/// that show all layers.
pub fn extract_both(dir: &Path, layers: &[Archive]) -> [anyhow::Result<Tree>; 2] {
    let make = |name: String| {
        let path = dir.join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let together = extract_to(Tree::open(&make("together".into())).unwrap(), layers);
    let mut lower: Vec<PathBuf> = Vec::new();
    let mut apart = || {
        for (number, layer) in layers.iter().enumerate() {
            let top = make(format!("layer-{number}"));
            let tree = if number == 0 {
                Tree::open(&top).unwrap()
            } else {
                stacked(&lower, &top, &make(format!("work-{number}"))).unwrap()
            };
            extract_to(tree, std::slice::from_ref(layer))?;
            lower.insert(0, top);
        }
        Ok(merged(&lower).unwrap())
    };
    [together, apart()]
}

/// Whether [`extract_both`] creates a directory of this name.
pub fn is_ours(name: &str) -> bool {
    name == "together" || ["layer-", "work-"].iter().any(|prefix| name.starts_with(prefix))
}

/// Returns a path to the root of a tree.
pub fn path_of(tree: &Tree) -> PathBuf {
    proc_path(tree.root())
}

/// Returns one line for each file below `root`: the content, the target of a link, or the type.
pub fn listing(root: &Path) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1) {
        let entry = entry.unwrap();
        let meta = entry.path().symlink_metadata().unwrap();
        let kind = meta.file_type();
        let what = if kind.is_dir() {
            "dir".to_owned()
        } else if kind.is_symlink() {
            format!("-> {}", fs::read_link(entry.path()).unwrap().display())
        } else if kind.is_file() {
            String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned()
        } else if kind.is_fifo() {
            "fifo".to_owned()
        } else {
            let name = if kind.is_char_device() { "char" } else { "block" };
            format!("{name} {}:{}", nix::sys::stat::major(meta.rdev()), nix::sys::stat::minor(meta.rdev()))
        };
        let path = entry.path().strip_prefix(root).unwrap().as_os_str().as_bytes().escape_ascii().to_string();
        out.insert(path, what);
    }
    out
}

/// Writes an OCI layout.
pub struct LayoutDir {
    pub path: PathBuf,
    pub index: Vec<serde_json::Value>,
}

impl LayoutDir {
    pub fn new(path: &Path) -> Self {
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { path: path.to_owned(), index: Vec::new() }
    }

    pub fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        fs::write(self.blob_path(&digest), bytes).unwrap();
        digest
    }

    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path.join("blobs/sha256").join(digest.hex())
    }

    /// Adds an image; the layers are compressed with gzip, compressed with zstd, and uncompressed
    /// in turn. Returns the digests of the manifest, the configuration and the layers.
    pub fn image(&mut self, tag: Option<&str>, config: serde_json::Value, layers: &[Archive]) -> Vec<Digest> {
        self.image_for(&Platform::host().architecture, tag, config, layers)
    }

    /// The same as [`Self::image`], for an architecture.
    pub fn image_for(
        &mut self,
        architecture: &str,
        tag: Option<&str>,
        config: serde_json::Value,
        layers: &[Archive],
    ) -> Vec<Digest> {
        let mut descriptors = Vec::new();
        let mut diff_ids = Vec::new();
        let mut digests = Vec::new();
        for (number, layer) in layers.iter().enumerate() {
            let plain = layer.finish();
            diff_ids.push(Digest::of(&plain).to_string());
            let packed = match number % 3 {
                0 => {
                    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                    encoder.write_all(&plain).unwrap();
                    encoder.finish().unwrap()
                }
                1 => zstd::encode_all(plain.as_slice(), 3).unwrap(),
                _ => plain,
            };
            let digest = self.blob(&packed);
            descriptors.push(serde_json::json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": digest.to_string(), "size": packed.len()
            }));
            digests.push(digest);
        }
        let document = serde_json::json!({
            "architecture": architecture, "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids}
        });
        let config = serde_json::to_vec(&document).unwrap();
        let config_digest = self.blob(&config);
        let manifest = serde_json::to_vec(&serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                       "digest": config_digest.to_string(), "size": config.len()},
            "layers": descriptors
        }))
        .unwrap();
        let digest = self.blob(&manifest);
        let mut entry = serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest.to_string(), "size": manifest.len()
        });
        if let Some(tag) = tag {
            entry["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": tag});
        }
        self.index.push(entry);
        self.write_index();
        digests.splice(0..0, [digest, config_digest]);
        digests
    }

    pub fn write_index(&self) {
        let index = serde_json::json!({"schemaVersion": 2, "manifests": self.index});
        fs::write(self.path.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    }
}
