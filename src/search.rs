// SPDX-License-Identifier: MIT
//! Finds and reads configuration files and drop-ins. The only place that reads configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::keys::FileType;
use crate::config::sources::{SourceFile, Sources, Text, drop_in_directories};
use crate::diag::{Diagnostic, Location, suggestion};
use crate::paths::CONFIG_DIRECTORIES;

/// No configuration file is larger than this; systemd's own limit for one line.
const LARGEST: u64 = 1024 * 1024;

/// The directories to search, the first one wins.
#[derive(Debug, Clone)]
pub struct SearchPath {
    /// Where a file is read, and the path it is known by.
    directories: Vec<(PathBuf, String)>,
}

impl SearchPath {
    /// The standard directories below `root`; files are known by their path inside of it.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        let place = |d: &&str| (root.join(d.trim_start_matches('/')), (*d).to_owned());
        Self { directories: CONFIG_DIRECTORIES.iter().map(place).collect() }
    }

    /// As [`SearchPath::below`], unless `SDME_UNIT_DIRS` names other directories, separated by colons.
    #[must_use]
    pub fn from_environment(root: &Path) -> Self {
        match std::env::var("SDME_UNIT_DIRS") {
            Ok(list) if !list.is_empty() => {
                let absolute = list.split(':').filter(|d| d.starts_with('/'));
                Self { directories: absolute.map(|d| (PathBuf::from(d), d.trim_end_matches('/').to_owned())).collect() }
            }
            _ => Self::below(root),
        }
    }
}

/// What a directory entry turned out to be.
enum Found {
    Text(Vec<u8>),
    /// An empty file or a link to `/dev/null`.
    Masked,
    Unusable(String),
}

/// Finds and reads everything. Files that cannot be read are part of the result, with the reason.
#[must_use]
pub fn search(path: &SearchPath) -> Sources {
    let listings: Vec<Listing<'_>> = path.directories.iter().map(|(dir, known)| Listing::read(dir, known)).collect();
    let mut sources = Sources::default();
    let mut seen = BTreeSet::new();
    for listing in &listings {
        for name in &listing.names {
            let Some((file_type, stem)) = classify(name) else {
                sources.remarks.extend(listing.remark(name));
                continue;
            };
            if !seen.insert((file_type, stem.to_owned())) {
                continue;
            }
            if let Some(main) = listing.text(name) {
                let drop_ins = drop_ins(file_type, stem, &listings);
                sources.files.push(SourceFile { file_type, name: stem.to_owned(), main, drop_ins });
            }
        }
    }
    sources.files.sort_by(|a, b| (a.file_type, &a.name).cmp(&(b.file_type, &b.name)));
    sources
}

fn classify(name: &str) -> Option<(FileType, &str)> {
    let (stem, extension) = name.rsplit_once('.')?;
    let named = FileType::ALL.into_iter().find(|t| t.extension() == extension && *t != FileType::Defaults);
    match named {
        Some(file_type) if !stem.is_empty() => Some((file_type, stem)),
        _ if name == "sdme.conf" => Some((FileType::Defaults, stem)),
        _ => None,
    }
}

struct Listing<'a> {
    directory: &'a Path,
    known_as: &'a str,
    names: BTreeSet<String>,
}

impl<'a> Listing<'a> {
    fn read(directory: &'a Path, known_as: &'a str) -> Self {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        // A name that is not UTF-8 can be no unit's.
        let names = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
        Self { directory, known_as, names }
    }

    fn text(&self, name: &str) -> Option<Text> {
        let content = match read(&self.directory.join(name)) {
            Found::Text(bytes) => Ok(bytes),
            Found::Masked => return None,
            Found::Unusable(message) => Err(message),
        };
        Some(Text { path: Arc::from(format!("{}/{name}", self.known_as)), content })
    }

    /// A remark on a file whose extension is nearly one of ours. Others are nobody's business here.
    fn remark(&self, name: &str) -> Option<Diagnostic> {
        let (stem, extension) = name.rsplit_once('.')?;
        let types = FileType::ALL.iter().filter(|t| **t != FileType::Defaults).map(|t| t.extension());
        let near = suggestion(extension, types);
        let right = near.strip_prefix("; did you mean ")?;
        if extension == "d" || !self.directory.join(name).is_file() {
            return None;
        }
        let at = Location::new(&Arc::from(format!("{}/{name}", self.known_as)), 1);
        Some(Diagnostic::warning(&at, format!("this file is not read; did you mean {stem}.{right}")))
    }
}

/// The drop-ins of a file. Of several with one name the most specific directory's counts, and in it the first search
/// directory's; all are applied in the order of their names (systemd.unit(5)).
fn drop_ins(file_type: FileType, name: &str, listings: &[Listing<'_>]) -> Vec<Text> {
    let mut chosen: BTreeMap<String, Option<Text>> = BTreeMap::new();
    for directory in drop_in_directories(file_type, name) {
        for listing in listings.iter().filter(|l| l.names.contains(&directory)) {
            let path = listing.directory.join(&directory);
            let known_as = format!("{}/{directory}", listing.known_as);
            let inner = Listing::read(&path, &known_as);
            for file in inner.names.iter().filter(|n| n.ends_with(".conf")) {
                chosen.entry(file.clone()).or_insert_with(|| inner.text(file));
            }
        }
    }
    chosen.into_values().flatten().collect()
}

fn read(path: &Path) -> Found {
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    let opened = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(e) => return Found::Unusable(unreadable(path, &e)),
    };
    let metadata = match file.metadata() {
        Ok(metadata) => metadata,
        Err(e) => return Found::Unusable(unreadable(path, &e)),
    };
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Found::Unusable("this is a directory; write a file, or end the name in .d for drop-ins".to_owned());
    }
    if kind.is_char_device() && is_null(path) {
        return Found::Masked;
    }
    if !kind.is_file() {
        return Found::Unusable("this is not a regular file; write a text file".to_owned());
    }
    // The size is a good guess, and saves reads, but no proof: files of /proc say 0.
    let guess = usize::try_from(metadata.len().min(LARGEST)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(guess + 1);
    match file.take(LARGEST + 1).read_to_end(&mut bytes) {
        Err(e) => Found::Unusable(unreadable(path, &e)),
        Ok(0) => Found::Masked,
        Ok(_) if bytes.len() as u64 > LARGEST => {
            Found::Unusable(format!("{} bytes are too many; at most {LARGEST} are read", metadata.len()))
        }
        Ok(_) => Found::Text(bytes),
    }
}

fn is_null(path: &Path) -> bool {
    fs::canonicalize(path).is_ok_and(|p| p == Path::new("/dev/null"))
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    let is_link = fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_symlink());
    if is_link && error.kind() == std::io::ErrorKind::NotFound {
        return "this symbolic link leads nowhere; mend or remove it".to_owned();
    }
    // The number in std's message says nothing to a user.
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    format!("this cannot be read: {text}")
}
