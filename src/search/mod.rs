// SPDX-License-Identifier: MIT
//! Finds and reads configuration files and drop-ins. No other module reads configuration files.

mod listing;
mod variables;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::keys::FileType;
use crate::config::lock;
use crate::config::quadlet::quadlets::{self, unread};
use crate::config::sources::{SourceFile, Sources, Text, drop_in_directories};
use crate::config::trust::POLICIES;
use crate::diag::{Code, Diagnostic, Fault, Location};
use crate::halves::halves;
use crate::paths::CONFIG_DIRECTORIES;
use listing::{Listing, Place};

/// The search directories. Earlier directories take precedence.
#[derive(Debug, Clone)]
pub struct SearchPath {
    /// The root directory in which paths and symbolic links are resolved.
    root: PathBuf,
    /// The search directories, as paths below the root.
    directories: Vec<String>,
    /// Additional files with precedence over all others: the directory, name and content of each of
    /// them.
    files: Vec<(String, String, Vec<u8>)>,
}

impl SearchPath {
    /// The standard directories below `root`. The paths of files are shown relative to `root`.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        let directories = CONFIG_DIRECTORIES.iter().map(|directory| (*directory).to_owned()).collect();
        Self { root: root.to_owned(), directories, files: Vec::new() }
    }

    /// Like [`SearchPath::below`], unless `SDME_UNIT_DIRS` lists other directories, separated by
    /// colons.
    #[must_use]
    pub fn from_environment(root: &Path) -> Self {
        match std::env::var("SDME_UNIT_DIRS") {
            Ok(list) if !list.is_empty() => {
                let absolute = list.split(':').filter(|d| d.starts_with('/'));
                let directories = absolute.map(|d| d.trim_end_matches('/').to_owned()).collect();
                Self { root: PathBuf::from("/"), directories, files: Vec::new() }
            }
            _ => Self::below(root),
        }
    }

    /// Adds a file with this content, which takes precedence over all others with its name. An
    /// empty file masks them.
    #[must_use]
    pub fn with_file(mut self, directory: &str, name: &str, content: &str) -> Self {
        self.files.push((directory.to_owned(), name.to_owned(), content.as_bytes().to_vec()));
        self
    }
}

/// A file that will be read.
struct Candidate<'a> {
    file_type: FileType,
    stem: String,
    /// The index of the search directory that it is in, from 0.
    group: usize,
    path: String,
    content: Content<'a>,
}

enum Content<'a> {
    /// A separate file: its directory, its name, and whether it is known to be a regular file.
    File(&'a Listing<'a>, &'a str, bool),
    /// A part of a `.quadlets` file.
    Part(Vec<u8>),
}

/// Finds and reads all configuration files. Files that cannot be read are part of the result, with
/// the reason.
#[must_use]
pub fn search(path: &SearchPath) -> Sources {
    let place = Place::below(&path.root);
    let mut sources = Sources { host: host_name(&path.root), ..Sources::default() };
    let mut listings: Vec<Listing<'_>> = Vec::new();
    let known: Vec<&String> = path.directories.iter().collect();
    for (known_as, name, content) in &path.files {
        let group = known.iter().position(|directory| *directory == known_as).unwrap_or_default();
        listings.push(Listing::given(&place, known_as, group, name, content));
    }
    for (group, directory) in known.iter().enumerate() {
        listings.extend(listing::all(&place, directory, group, &mut sources.remarks));
    }
    let mut found = Found::default();
    for listing in &listings {
        for (name, regular) in &listing.names {
            if name == lock::FILE && listing.top {
                if sources.lock.is_none() {
                    sources.lock = listing.text(name, *regular);
                }
            } else {
                found.add(listing, name, *regular, &mut sources.remarks);
            }
        }
    }
    sources.built = std::mem::take(&mut found.built);
    let any_drop_ins = listings.iter().any(|l| l.names.keys().any(|n| n.ends_with(".d")));
    let file = |candidate: &Candidate<'_>| {
        let main = match &candidate.content {
            Content::File(listing, name, regular) => listing.text(name, *regular)?,
            Content::Part(text) => Text { path: Arc::from(candidate.path.as_str()), content: Ok(text.clone()) },
        };
        let (file_type, name) = (candidate.file_type, candidate.stem.clone());
        let drop_ins = if any_drop_ins { drop_ins(file_type, &name, &listings) } else { Vec::new() };
        Some(SourceFile { file_type, name, main, drop_ins })
    };
    sources.files = halves(&found.candidates, |candidates| candidates.iter().filter_map(file).collect());
    sources.files.sort_by(|a, b| (a.file_type, &a.name).cmp(&(b.file_type, &b.name)));
    sources.variables = variables::read(&place, &sources);
    sources.policy = POLICIES.iter().find_map(|path| place.whole(path));
    sources
}

/// The extension of Quadlet's files that describe the build of an image.
const BUILD: &str = "build";

/// The files that will be read: the first file for each type and name.
#[derive(Default)]
struct Found<'a> {
    candidates: Vec<Candidate<'a>>,
    /// The index in `candidates`, by type and name.
    seen: BTreeMap<(FileType, String), usize>,
    /// The images that `.build` files make, with the paths of these files.
    built: BTreeMap<String, String>,
}

impl<'a> Found<'a> {
    /// Adds a directory entry, if it is a configuration file.
    fn add(&mut self, listing: &'a Listing<'a>, name: &'a str, regular: bool, remarks: &mut Vec<Diagnostic>) {
        let path = listing.path_of(name);
        let remark =
            |fault: Fault| Diagnostic::warning(&Location::new(&Arc::from(path.as_str()), 1), Code::NotRead.of(fault));
        match classify(name) {
            Some((FileType::Defaults, _)) if !listing.top => {
                let cause = "this file is not read in a subdirectory";
                remarks.push(remark(Fault::new(cause, "move it to the search directory, such as /etc/sdme")));
            }
            Some((file_type, stem)) => {
                let content = Content::File(listing, name, regular);
                let candidate = Candidate { file_type, stem: stem.to_owned(), group: listing.group, path, content };
                self.take(candidate, 1, remarks);
            }
            None => match name.rsplit_once('.') {
                Some((stem, quadlets::EXTENSION)) => self.units(listing, (name, stem), regular, remarks),
                Some((_, extension)) if unread(extension).is_some() && listing.has_content(name, regular) => {
                    remarks.extend(unread(extension).map(remark));
                    if let (BUILD, Some(Ok(text))) = (extension, listing.text(name, regular).map(|text| text.content)) {
                        self.built.extend(quadlets::made(&text).into_iter().map(|image| (image, path.clone())));
                    }
                }
                _ => remarks.extend(listing.remark(name)),
            },
        }
    }

    /// Adds the units of a `.quadlets` file.
    fn units(
        &mut self,
        listing: &'a Listing<'a>,
        (name, stem): (&str, &str),
        regular: bool,
        remarks: &mut Vec<Diagnostic>,
    ) {
        let Some(text) = listing.text(name, regular) else { return };
        let at = |line: u32| Location::new(&text.path, line);
        let bytes = match &text.content {
            Ok(bytes) => bytes,
            Err(fault) => return remarks.push(Diagnostic::error(&at(1), Code::Unreadable.of(fault.clone()))),
        };
        for part in quadlets::split(bytes, stem) {
            let part = match part {
                Ok(part) => part,
                Err((line, fault)) => {
                    remarks.push(Diagnostic::error(&at(line), Code::NotRead.of(fault)));
                    continue;
                }
            };
            match (classify(&part.name), part.name.rsplit_once('.')) {
                (Some((file_type, stem)), _) => {
                    let (stem, path, content) = (stem.to_owned(), text.path.to_string(), Content::Part(part.text));
                    self.take(Candidate { file_type, stem, group: listing.group, path, content }, part.line, remarks);
                }
                (None, Some((_, extension))) => {
                    remarks.extend(
                        unread(extension).map(|fault| Diagnostic::warning(&at(part.line), Code::NotRead.of(fault))),
                    );
                    if extension == BUILD {
                        let file = text.path.to_string();
                        self.built.extend(quadlets::made(&part.text).into_iter().map(|image| (image, file.clone())));
                    }
                }
                (None, None) => {}
            }
        }
    }

    /// Adds a file, unless there is an earlier one with its name. A second file in the same search
    /// directory is a mistake and is reported. A file in a later search directory is masked.
    fn take(&mut self, candidate: Candidate<'a>, line: u32, remarks: &mut Vec<Diagnostic>) {
        let key = (candidate.file_type, candidate.stem.clone());
        let Some(first) = self.seen.get(&key).and_then(|index| self.candidates.get(*index)) else {
            self.seen.insert(key, self.candidates.len());
            self.candidates.push(candidate);
            return;
        };
        let part = matches!(candidate.content, Content::Part(_));
        if first.group == candidate.group && (part || first.path != candidate.path) {
            let (name, extension) = (&candidate.stem, candidate.file_type.extension());
            let problem = Code::NotRead.problem(
                format!("this file is not read as {name}.{extension}: {} has this name, too", first.path),
                "rename one of the two",
            );
            remarks.push(Diagnostic::warning(&Location::new(&Arc::from(candidate.path.as_str()), line), problem));
        }
    }
}

/// The host name, for the specifier `%H`.
fn host_name(root: &Path) -> Option<String> {
    let file = if root == Path::new("/") { "/proc/sys/kernel/hostname" } else { "etc/hostname" };
    let text = fs::read_to_string(root.join(file)).ok()?;
    let name = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    Some(name.to_owned())
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

/// The drop-ins of a file. If several drop-ins have the same name, the one in the most specific
/// directory applies, and of these the one in the first search directory. All drop-ins are applied
/// in the order of their names (systemd.unit(5)).
fn drop_ins(file_type: FileType, name: &str, listings: &[Listing<'_>]) -> Vec<Text> {
    let mut chosen: BTreeMap<String, Option<Text>> = BTreeMap::new();
    for directory in drop_in_directories(file_type, name) {
        for listing in listings.iter().filter(|l| l.names.contains_key(&directory)) {
            let inner = listing.inner(&directory);
            for (file, regular) in inner.names.iter().filter(|(n, _)| n.ends_with(".conf")) {
                chosen.entry(file.clone()).or_insert_with(|| inner.text(file, *regular));
            }
        }
    }
    chosen.into_values().flatten().collect()
}

#[cfg(test)]
mod tests;
