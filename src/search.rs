// SPDX-License-Identifier: MIT
//! Finds and reads configuration files and drop-ins. The only place that reads configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::keys::FileType;
use crate::config::sources::{SourceFile, Sources, Text, drop_in_directories};
use crate::diag::{Diagnostic, Location, suggestion};
use crate::halves::halves;
use crate::paths::CONFIG_DIRECTORIES;

/// No configuration file is larger than this; systemd's own limit for one line.
const LARGEST: u64 = 1024 * 1024;

/// The directories to search, the first one wins.
#[derive(Debug, Clone)]
pub struct SearchPath {
    /// Where a file is read, and the path it is known by.
    directories: Vec<(PathBuf, String)>,
    /// A file to be taken for the first one: the directory it is known in, its name and content.
    file: Option<(String, String, Vec<u8>)>,
}

impl SearchPath {
    /// The standard directories below `root`; files are known by their path inside of it.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        let place = |d: &&str| (root.join(d.trim_start_matches('/')), (*d).to_owned());
        Self { directories: CONFIG_DIRECTORIES.iter().map(place).collect(), file: None }
    }

    /// As [`SearchPath::below`], unless `SDME_UNIT_DIRS` names other directories, separated by colons.
    #[must_use]
    pub fn from_environment(root: &Path) -> Self {
        match std::env::var("SDME_UNIT_DIRS") {
            Ok(list) if !list.is_empty() => {
                let absolute = list.split(':').filter(|d| d.starts_with('/'));
                let place = |d: &str| (PathBuf::from(d), d.trim_end_matches('/').to_owned());
                Self { directories: absolute.map(place).collect(), file: None }
            }
            _ => Self::below(root),
        }
    }

    /// The same, as if there were a file of this content, in front of all others of its name.
    #[must_use]
    pub fn with_file(mut self, directory: &str, name: &str, content: &str) -> Self {
        self.file = Some((directory.to_owned(), name.to_owned(), content.as_bytes().to_vec()));
        self
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
    let given = path.file.iter().map(|(known, name, content)| Listing {
        directory: Path::new(known),
        known_as: known,
        names: BTreeMap::from([(name.clone(), true)]),
        content: Some(content),
    });
    let found = path.directories.iter().map(|(dir, known)| Listing::read(dir, known));
    let listings: Vec<Listing<'_>> = given.chain(found).collect();
    let mut sources = Sources::default();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for listing in &listings {
        for (name, regular) in &listing.names {
            match classify(name) {
                None => sources.remarks.extend(listing.remark(name)),
                Some((file_type, stem)) if seen.insert((file_type, stem)) => {
                    found.push((listing, (name, regular), file_type, stem));
                }
                Some(_) => {}
            }
        }
    }
    let any_drop_ins = listings.iter().any(|l| l.names.keys().any(|n| n.ends_with(".d")));
    sources.files = halves(&found, |found| {
        let file = |(listing, (name, regular), file_type, stem): &(&Listing<'_>, (&String, &bool), FileType, &str)| {
            let main = listing.text(name, **regular)?;
            let drop_ins = if any_drop_ins { drop_ins(*file_type, stem, &listings) } else { Vec::new() };
            Some(SourceFile { file_type: *file_type, name: (*stem).to_owned(), main, drop_ins })
        };
        found.iter().filter_map(file).collect()
    });
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
    /// The names, and whether each is known to be a regular file.
    names: BTreeMap<String, bool>,
    /// What is in its only file, where there is no directory to read it from.
    content: Option<&'a [u8]>,
}

impl<'a> Listing<'a> {
    fn read(directory: &'a Path, known_as: &'a str) -> Self {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let regular = |e: &fs::DirEntry| e.file_type().is_ok_and(|t| t.is_file());
        // A name that is not UTF-8 can be no unit's.
        let names = entries.filter_map(|e| Some((e.file_name().into_string().ok()?, regular(&e)))).collect();
        Self { directory, known_as, names, content: None }
    }

    /// `regular`: as in `names`.
    fn text(&self, name: &str, regular: bool) -> Option<Text> {
        let found = match self.content {
            Some([]) => Found::Masked,
            Some(content) => Found::Text(content.to_vec()),
            None => read(&self.directory.join(name), regular),
        };
        let content = match found {
            Found::Text(bytes) => Ok(bytes),
            Found::Masked => return None,
            Found::Unusable(message) => Err(message),
        };
        Some(Text { path: Arc::from([self.known_as, "/", name].concat()), content })
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
        for listing in listings.iter().filter(|l| l.names.contains_key(&directory)) {
            let path = listing.directory.join(&directory);
            let known_as = format!("{}/{directory}", listing.known_as);
            let inner = Listing::read(&path, &known_as);
            for (file, regular) in inner.names.iter().filter(|(n, _)| n.ends_with(".conf")) {
                chosen.entry(file.clone()).or_insert_with(|| inner.text(file, *regular));
            }
        }
    }
    chosen.into_values().flatten().collect()
}

/// `regular`: its directory says that it is a regular file.
fn read(path: &Path, regular: bool) -> Found {
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    let opened = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(e) => return Found::Unusable(unreadable(path, &e)),
    };
    if !regular {
        let kind = match file.metadata() {
            Ok(metadata) => metadata.file_type(),
            Err(e) => return Found::Unusable(unreadable(path, &e)),
        };
        if kind.is_dir() {
            return Found::Unusable("this is a directory; write a file, or end the name in .d for drop-ins".to_owned());
        }
        if kind.is_char_device() && is_null(path) {
            return Found::Masked;
        }
        if !kind.is_file() {
            return Found::Unusable("this is not a regular file; write a text file".to_owned());
        }
    }
    match content(&file) {
        Err(e) => Found::Unusable(unreadable(path, &e)),
        Ok(bytes) if bytes.is_empty() => Found::Masked,
        Ok(bytes) if bytes.len() as u64 > LARGEST => {
            Found::Unusable(format!("more than {LARGEST} bytes are too many for a configuration file"))
        }
        Ok(bytes) => Found::Text(bytes),
    }
}

/// What is in a file, up to a byte more than may be in it.
fn content(mut file: &File) -> io::Result<Vec<u8>> {
    let mut first = [0; 4096];
    let length = file.read(&mut first)?;
    let mut bytes = first.get(..length).unwrap_or_default().to_vec();
    // read(2) of a regular file gives less than was asked for at its end only.
    if length == first.len() {
        file.take(LARGEST + 1 - length as u64).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
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
