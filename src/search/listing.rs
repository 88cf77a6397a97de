// SPDX-License-Identifier: MIT
//! Reads directories with configuration files, on this machine or below another root directory,
//! within which symbolic links are then resolved.

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

/// Maximum size of a configuration file in bytes, which is systemd's limit for a single line.
const LARGEST: u64 = 1024 * 1024;

/// Maximum number of directories that are read below a search directory, because a symbolic link
/// may lead to a whole file system.
const MOST_DIRECTORIES: usize = 1000;

/// The root directory in which paths are resolved.
#[derive(Debug)]
pub struct Place {
    root: PathBuf,
    /// The open directory, or the reason why it cannot be opened, if the root is not that of this
    /// machine. Symbolic links, including absolute ones, are then resolved within it.
    other: Option<io::Result<File>>,
}

impl Place {
    /// The place with the root directory `root`. If the directory cannot be opened, no path in it
    /// can be read.
    pub fn below(root: &Path) -> Self {
        let own = root == Path::new("/");
        Self { root: root.to_owned(), other: (!own).then(|| File::open(root)) }
    }

    /// The path on this machine, with symbolic links resolved within the root. For the root of this
    /// machine, the kernel resolves the links later.
    fn real(&self, path: &str) -> io::Result<PathBuf> {
        let relative = path.trim_start_matches('/');
        let root = match &self.other {
            None => return Ok(self.root.join(relative)),
            Some(Ok(root)) => root,
            Some(Err(error)) => return Err(error.kind().into()),
        };
        let inside = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(inside);
        let found = openat2(root, relative, how)?;
        fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))
    }

    /// The content of a regular file. None if it is empty or cannot be read.
    pub fn text(&self, path: &str) -> Option<Vec<u8>> {
        match read(&self.real(path).ok()?, false) {
            Found::Text(bytes) => Some(bytes),
            Found::Masked | Found::Unusable(_) => None,
        }
    }
}

impl Place {
    /// A file that is reported even if it is empty or cannot be read. None if it does not exist.
    pub fn whole(&self, path: &str) -> Option<Text> {
        let content = match self.real(path).and_then(|real| fs::metadata(&real).map(|_| real)) {
            Ok(real) => match read(&real, false) {
                Found::Text(bytes) => Ok(bytes),
                Found::Masked => Ok(Vec::new()),
                Found::Unusable(message) => Err(message),
            },
            // A dangling symbolic link is an error, because a file was intended.
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

/// The result of reading a directory entry.
enum Found {
    Text(Vec<u8>),
    /// An empty file, or a link to `/dev/null`.
    Masked,
    Unusable(Fault),
}

/// A directory with the names of its entries.
pub struct Listing<'a> {
    place: &'a Place,
    known_as: String,
    /// The index of the search directory that it is in, from 0.
    pub group: usize,
    /// Whether it is a search directory itself, not a subdirectory.
    pub top: bool,
    /// The names of the entries, and whether each of them is known to be a regular file.
    pub names: BTreeMap<String, bool>,
    /// The names of the entries that are known to be directories.
    directories: BTreeSet<String>,
    /// The content of the only file, if the directory is not read from the disk.
    content: Option<&'a [u8]>,
}

/// A search directory and its subdirectories, in the order of Quadlet: a directory comes before its
/// subdirectories, which are sorted by name and may be symbolic links. Hidden directories and
/// directories of drop-ins are left out. So are those below [`RUNTIME`], because sdme-gen makes
/// them and some of them contain the files of an image.
pub fn all<'a>(place: &'a Place, top: &str, group: usize, remarks: &mut Vec<Diagnostic>) -> Vec<Listing<'a>> {
    let mut listings: Vec<Listing<'a>> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut waiting = vec![top.to_owned()];
    while let Some(path) = waiting.pop() {
        // A symbolic link may lead back to a parent directory.
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
        // The order is reversed, because the last path is read next.
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
            // A name that is not UTF-8 is skipped, because unit names are UTF-8.
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

    /// A directory with a single file with this content.
    pub fn given(place: &'a Place, known_as: &str, group: usize, name: &str, content: &'a [u8]) -> Self {
        let names = BTreeMap::from([(name.to_owned(), true)]);
        Self { names, content: Some(content), ..Self::empty(place, known_as, group, true) }
    }

    /// The subdirectory `name`.
    pub fn inner(&self, name: &str) -> Self {
        Self::read(self.place, &self.path_of(name), self.group, false)
    }

    /// The path of an entry, as it is shown to the user.
    pub fn path_of(&self, name: &str) -> String {
        [self.known_as.as_str(), "/", name].concat()
    }

    /// The names of the subdirectories that may contain configuration files, in order.
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

    /// Whether an entry is a file that is not masked. `regular` is the value in `names`.
    pub fn has_content(&self, name: &str, regular: bool) -> bool {
        matches!(self.found(name, regular), Found::Text(_))
    }

    /// The text of a file, unless it is masked. `regular` is the value in `names`.
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
        // The link is compared as text, because a root that is not running may lack the device.
        let target = || fs::read_link(self.place.real(&self.known_as).unwrap_or_default().join(name));
        if !regular && target().is_ok_and(|target| target == Path::new("/dev/null")) {
            return Found::Masked;
        }
        match self.place.real(&path) {
            Ok(real) => read(&real, regular),
            Err(error) => Found::Unusable(unreadable(&error, target().is_ok())),
        }
    }

    /// A remark about a file whose extension is similar to a known one. Other files are ignored.
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

/// Reads a file. `regular` tells that the directory entry is a regular file.
fn read(path: &Path, regular: bool) -> Found {
    // O_NONBLOCK is set because opening a FIFO must not wait for a writer.
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

/// The content of a file, up to one byte more than the limit.
fn content(mut file: &File) -> io::Result<Vec<u8>> {
    let mut first = [0; 4096];
    let length = file.read(&mut first)?;
    let mut bytes = first.get(..length).unwrap_or_default().to_vec();
    // read(2) returns less than requested only at the end of a regular file.
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

/// The message about a file that cannot be read. `is_link` tells that its name is a symbolic link.
fn unreadable(error: &io::Error, is_link: bool) -> Fault {
    if is_link && error.kind() == std::io::ErrorKind::NotFound {
        return Fault::new("this is a dangling symbolic link", "correct or remove the link");
    }
    // The error number in the message of the standard library does not help the user.
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    Fault::new(format!("the file cannot be read: {text}"), "correct its owner and mode, or remove the file")
}
