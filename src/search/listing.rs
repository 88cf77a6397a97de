// SPDX-License-Identifier: MIT
//! Directories of configuration and the files in them, on this machine or below another root, whose symbolic links stay inside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::classify;
use crate::config::keys::FileType;
use crate::config::sources::Text;
use crate::diag::{Code, Diagnostic, Fault, Location, nearest};
use crate::paths::RUNTIME;

/// No configuration file is larger than this; systemd's own limit for one line.
const LARGEST: u64 = 1024 * 1024;

/// No more directories than this are read below one search directory: a symbolic link may lead to a whole file system.
const MOST_DIRECTORIES: usize = 1000;

/// The root that paths are looked up in.
#[derive(Debug)]
pub struct Place {
    root: PathBuf,
    /// For another root than this machine's: symbolic links, absolute ones too, are followed inside it.
    other: Option<File>,
}

impl Place {
    /// The place below a directory. One that cannot be opened is empty.
    pub fn below(root: &Path) -> Self {
        let own = root == Path::new("/");
        Self { root: root.to_owned(), other: if own { None } else { File::open(root).ok() } }
    }

    /// Where on this machine a path of the place is, with all symbolic links followed. On this machine itself, the kernel does that.
    fn real(&self, path: &str) -> io::Result<PathBuf> {
        let relative = path.trim_start_matches('/');
        let Some(root) = &self.other else { return Ok(self.root.join(relative)) };
        let inside = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(inside);
        let found = openat2(root, relative, how)?;
        fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))
    }

    /// The content of a regular file.
    pub fn text(&self, path: &str) -> Option<Vec<u8>> {
        match read(&self.real(path).ok()?, false) {
            Found::Text(bytes) => Some(bytes),
            Found::Masked | Found::Unusable(_) => None,
        }
    }
}

impl Place {
    /// A file that counts even if it is empty or cannot be read; nothing if it is not there.
    pub fn whole(&self, path: &str) -> Option<Text> {
        let content = match self.real(path).and_then(|real| fs::metadata(&real).map(|_| real)) {
            Ok(real) => match read(&real, false) {
                Found::Text(bytes) => Ok(bytes),
                Found::Masked => Ok(Vec::new()),
                Found::Unusable(message) => Err(message),
            },
            // A symbolic link that leads nowhere is meant to be a file.
            Err(_) if fs::symlink_metadata(self.root.join(path.trim_start_matches('/'))).is_ok() => {
                Err(Fault::new("this is a dangling symbolic link", "correct or remove the link"))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return None;
            }
            Err(error) => Err(unreadable(&error, false)),
        };
        Some(Text { path: Arc::from(path), content })
    }
}

/// What a directory entry turned out to be.
enum Found {
    Text(Vec<u8>),
    /// An empty file or a link to `/dev/null`.
    Masked,
    Unusable(Fault),
}

/// A directory and the names in it.
pub struct Listing<'a> {
    place: &'a Place,
    known_as: String,
    /// The search directory that it is, or is below, from 0.
    pub group: usize,
    /// Whether it is a search directory, and not below one.
    pub top: bool,
    /// The names, and whether each is known to be a regular file.
    pub names: BTreeMap<String, bool>,
    /// Those of them that are known to be directories.
    directories: BTreeSet<String>,
    /// What is in its only file, where there is no directory to read it from.
    content: Option<&'a [u8]>,
}

/// A search directory and its subdirectories, as Quadlet reads them: each directory before those in it, in the order of their names,
/// through symbolic links. Directories of drop-ins and hidden ones are left out. Those below [`RUNTIME`] are ours, and some of them show
/// the files of an image: they are left out, too.
pub fn all<'a>(place: &'a Place, top: &str, group: usize, remarks: &mut Vec<Diagnostic>) -> Vec<Listing<'a>> {
    let mut listings: Vec<Listing<'a>> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut waiting = vec![top.to_owned()];
    while let Some(path) = waiting.pop() {
        // A symbolic link may lead back to a directory above it.
        let identity = place.real(&path).and_then(fs::metadata).map(|metadata| (metadata.dev(), metadata.ino()));
        let Ok(identity) = identity else { continue };
        if !seen.insert(identity) {
            continue;
        }
        if listings.len() == MOST_DIRECTORIES {
            let problem = Code::NotRead.problem(
                format!("more than {MOST_DIRECTORIES} directories are below this one, and the others are not read"),
                "move directories without configuration elsewhere",
            );
            remarks.push(Diagnostic::warning(&Location::new(&Arc::from(top), 1), problem));
            break;
        }
        let listing = Listing::read(place, &path, group, path == top);
        if path == RUNTIME {
            listings.push(listing);
            break;
        }
        // The last one is the next to be read.
        waiting.extend(listing.subdirectories().map(|name| listing.path_of(name)).rev());
        listings.push(listing);
    }
    listings
}

impl<'a> Listing<'a> {
    fn read(place: &'a Place, known_as: &str, group: usize, top: bool) -> Self {
        let mut listing = Self::empty(place, known_as, group, top);
        let entries = place.real(known_as).and_then(fs::read_dir).into_iter().flatten().flatten();
        for entry in entries {
            // A name that is not UTF-8 can be no unit's.
            let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else { continue };
            if kind.is_dir() {
                listing.directories.insert(name.clone());
            }
            listing.names.insert(name, kind.is_file());
        }
        listing
    }

    fn empty(place: &'a Place, known_as: &str, group: usize, top: bool) -> Self {
        let (names, directories) = (BTreeMap::new(), BTreeSet::new());
        Self { place, known_as: known_as.to_owned(), group, top, names, directories, content: None }
    }

    /// A directory with a single file of this content.
    pub fn given(place: &'a Place, known_as: &str, group: usize, name: &str, content: &'a [u8]) -> Self {
        let names = BTreeMap::from([(name.to_owned(), true)]);
        Self { names, content: Some(content), ..Self::empty(place, known_as, group, true) }
    }

    /// The directory `name` in it.
    pub fn inner(&self, name: &str) -> Self {
        Self::read(self.place, &self.path_of(name), self.group, false)
    }

    /// The path that a name in it is known by.
    pub fn path_of(&self, name: &str) -> String {
        [self.known_as.as_str(), "/", name].concat()
    }

    /// The names of the directories in it that may hold files, in order.
    fn subdirectories(&self) -> impl DoubleEndedIterator<Item = &str> {
        let directory = |name: &str| {
            let other = name.starts_with('.') || name.ends_with(".d") || classify(name).is_some();
            !other && (self.directories.contains(name) || self.leads_to_directory(name))
        };
        self.names.iter().filter(move |(name, regular)| !**regular && directory(name)).map(|(name, _)| name.as_str())
    }

    fn leads_to_directory(&self, name: &str) -> bool {
        self.place.real(&self.path_of(name)).is_ok_and(|path| path.is_dir())
    }

    /// Whether a name is a file that is not masked. `regular`: as in `names`.
    pub fn has_content(&self, name: &str, regular: bool) -> bool {
        matches!(self.found(name, regular), Found::Text(_))
    }

    /// The text of a file, unless it is masked. `regular`: as in `names`.
    pub fn text(&self, name: &str, regular: bool) -> Option<Text> {
        let content = match self.found(name, regular) {
            Found::Text(bytes) => Ok(bytes),
            Found::Masked => return None,
            Found::Unusable(message) => Err(message),
        };
        Some(Text { path: Arc::from(self.path_of(name)), content })
    }

    fn found(&self, name: &str, regular: bool) -> Found {
        match self.content {
            Some([]) => Found::Masked,
            Some(content) => Found::Text(content.to_vec()),
            None => self.read_file(name, regular),
        }
    }

    fn read_file(&self, name: &str, regular: bool) -> Found {
        let path = self.path_of(name);
        // A tree that is not running need not have the device.
        let target = || fs::read_link(self.place.real(&self.known_as).unwrap_or_default().join(name));
        if !regular && target().is_ok_and(|target| target == Path::new("/dev/null")) {
            return Found::Masked;
        }
        match self.place.real(&path) {
            Ok(real) => read(&real, regular),
            Err(error) => Found::Unusable(unreadable(&error, target().is_ok())),
        }
    }

    /// A remark on a file whose extension is nearly one of ours. Files of other programs are ignored.
    pub fn remark(&self, name: &str) -> Option<Diagnostic> {
        let (stem, extension) = name.rsplit_once('.')?;
        let types = FileType::ALL.iter().filter(|t| **t != FileType::Defaults).map(|t| t.extension());
        let right = nearest(extension, types)?;
        let path = self.path_of(name);
        if extension == "d" || !self.place.real(&path).is_ok_and(|path| path.is_file()) {
            return None;
        }
        let at = Location::new(&Arc::from(path), 1);
        Some(Diagnostic::warning(
            &at,
            Code::NotRead.problem("this file is not read", format!("did you mean {stem}.{right}?")),
        ))
    }
}

/// `regular`: its directory says that it is a regular file.
fn read(path: &Path, regular: bool) -> Found {
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    let opened = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(e) => return Found::Unusable(unreadable(&e, is_link(path))),
    };
    if !regular {
        let kind = match file.metadata() {
            Ok(metadata) => metadata.file_type(),
            Err(e) => return Found::Unusable(unreadable(&e, is_link(path))),
        };
        if kind.is_dir() {
            return Found::Unusable(Fault::new(
                "this is a directory",
                "write a file, or end the name in .d for drop-ins",
            ));
        }
        if kind.is_char_device() && is_null(path) {
            return Found::Masked;
        }
        if !kind.is_file() {
            return Found::Unusable(Fault::new("this is not a regular file", "write a text file"));
        }
    }
    match content(&file) {
        Err(e) => Found::Unusable(unreadable(&e, is_link(path))),
        Ok(bytes) if bytes.is_empty() => Found::Masked,
        Ok(bytes) if bytes.len() as u64 > LARGEST => {
            let cause = format!("the file has more than {LARGEST} bytes");
            Found::Unusable(Fault::new(cause, "write a shorter file"))
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

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_symlink())
}

/// What the user is told; `is_link`: the name is a symbolic link.
fn unreadable(error: &io::Error, is_link: bool) -> Fault {
    if is_link && error.kind() == std::io::ErrorKind::NotFound {
        return Fault::new("this is a dangling symbolic link", "correct or remove the link");
    }
    // The number in std's message says nothing to a user.
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    Fault::new(format!("the file cannot be read: {text}"), "correct its owner and mode, or remove the file")
}
