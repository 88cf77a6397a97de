// SPDX-License-Identifier: MIT
//! `sdme-gen apply`: writes units and `.nspawn` files as static files below a root directory, for
//! image builds and for hosts on which they are reviewed. It changes only files that it has
//! written, which it keeps a list of. If one file is in the way, it changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::tree::{Node, Place, Tree};
use crate::image::digest::Digest;
use crate::rootdir::replace::{self, Content, replace, split};
use crate::rootdir::tree::{Tree as Root, proc_path};

/// The list of applied files, with lines of the form `DIGEST<TAB>PATH`. systemd ignores a file with
/// this name.
const LIST: &str = "etc/systemd/sdme-gen.applied";

/// A path, and the digest that its file has or is about to have. After a crash, the list can have
/// two entries for one path.
type Entry = (String, String);

/// A change that is made, or would be made. The path is relative to the root directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A missing or different file is written.
    Write(String),
    /// A file that an earlier call wrote, and that is not needed any more, is removed.
    Remove(String),
}

impl Change {
    /// The change as text, with the full path below `root`.
    #[must_use]
    pub fn below(&self, root: &Path) -> String {
        let (verb, path) = match self {
            Self::Write(path) => ("write", path),
            Self::Remove(path) => ("remove", path),
        };
        format!("{verb} {}", root.join(path).display())
    }
}

/// Makes the files below `root` match `tree`, and returns the changes. With `dry_run`, only returns
/// the changes.
///
/// # Errors
/// A file is in the way that no earlier call wrote, or that was edited since; then nothing is
/// changed. After an error while writing, every file is either the old or the new one, and the next
/// call finishes the work.
pub fn apply(tree: &Tree, root: &Path, dry_run: bool) -> Result<Vec<Change>> {
    let place = root;
    let root = Root::open(place).with_context(|| format!("cannot open {}", place.display()))?;
    let wanted: BTreeMap<String, &Node> = tree
        .iter()
        .filter(|(place, ..)| matches!(place, Place::Units | Place::Settings))
        .map(|(place, path, node)| (format!("{}/{path}", place.directory().trim_start_matches('/')), node))
        .collect();
    let written = read_list(&root, place)?;
    let mut changes = Vec::new();
    let mut in_the_way = Vec::new();
    for (path, node) in &wanted {
        let wanted = digest(node);
        let found = present(&root, place, path)?;
        if found.as_ref() == Some(&wanted) {
            continue;
        }
        if found.is_none_or(|found| written.contains(&(path.clone(), found))) {
            changes.push(Change::Write(path.clone()));
        } else {
            in_the_way.push(path.as_str());
        }
    }
    let stale: BTreeSet<&str> = written.iter().map(|(path, _)| path.as_str()).collect();
    for path in stale.into_iter().filter(|path| !wanted.contains_key(*path)) {
        let Some(found) = present(&root, place, path)? else { continue };
        if written.contains(&(path.to_owned(), found)) {
            changes.push(Change::Remove(path.to_owned()));
        } else {
            in_the_way.push(path);
        }
    }
    if !in_the_way.is_empty() {
        let names: Vec<String> = in_the_way.iter().map(|path| format!("\n  {}", place.join(path).display())).collect();
        bail!(
            "apply did not write these files, or they were edited since; move or remove them (nothing was changed):{}",
            names.concat()
        );
    }
    if dry_run {
        return Ok(changes);
    }
    // Until all changes are made, the list contains the old and the new digests, so that the next
    // call after a crash recognizes all files.
    let new: BTreeSet<Entry> = wanted.iter().map(|(path, node)| (path.clone(), digest(node))).collect();
    if !changes.is_empty() {
        write_list(&root, place, written.union(&new))?;
    }
    for change in &changes {
        let (Change::Write(path) | Change::Remove(path)) = change;
        match wanted.get(path) {
            Some(node) => write(&root, path, node),
            None => remove(&root, path),
        }
        .with_context(|| format!("cannot {}", change.below(place)))?;
    }
    if new != written || !changes.is_empty() {
        write_list(&root, place, new.iter())?;
    }
    Ok(changes)
}

/// A digest of a file's content, or the target of a link. The forms differ, so that a file and a
/// link are never equal.
fn digest(node: &Node) -> String {
    match node {
        Node::File(content) | Node::Private(content) => Digest::of(content.as_bytes()).hex().to_owned(),
        Node::Link(target) => format!("-> {target}"),
        Node::Opaque => String::new(),
    }
}

fn present(root: &Root, place: &Path, path: &str) -> Result<Option<String>> {
    let (parent_path, name) = split(path);
    let parent = match root.open_dir(parent_path.as_bytes()) {
        Ok(parent) => parent,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("cannot look into {}", place.join(parent_path).display())),
    };
    let full = proc_path(parent.as_fd()).join(name);
    let metadata = match fs::symlink_metadata(&full) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("cannot look at {}", place.join(path).display())),
    };
    if metadata.is_symlink() {
        let target = fs::read_link(&full).with_context(|| format!("cannot read {}", place.join(path).display()))?;
        return Ok(Some(format!("-> {}", target.display())));
    }
    if !metadata.is_file() {
        return Ok(Some("not a file".to_owned()));
    }
    let content = fs::read(&full).with_context(|| format!("cannot read {}", place.join(path).display()))?;
    Ok(Some(Digest::of(&content).hex().to_owned()))
}

fn write(root: &Root, path: &str, node: &Node) -> io::Result<()> {
    match node {
        Node::File(content) | Node::Private(content) => replace(root, path, Content::File(content.as_bytes())),
        Node::Link(target) => replace(root, path, Content::Link(target)),
        Node::Opaque => Ok(()),
    }
}

fn remove(root: &Root, path: &str) -> io::Result<()> {
    replace::remove(root, path)?;
    let (parent, _) = split(path);
    // An empty drop-in, .wants, .requires or .upholds directory was made by an earlier call. Other
    // directories belong to systemd.
    if parent.ends_with(".d") || [".wants", ".requires", ".upholds"].iter().any(|s| parent.ends_with(s)) {
        let (grandparent, name) = split(parent);
        let directory = root.open_dir(grandparent.as_bytes())?;
        let _ = fs::remove_dir(proc_path(directory.as_fd()).join(name));
    }
    Ok(())
}

fn read_list(root: &Root, place: &Path) -> Result<BTreeSet<Entry>> {
    let bytes = root
        .read_file(LIST.as_bytes(), 64 << 20)
        .with_context(|| format!("cannot read {}", place.join(LIST).display()))?;
    let text = String::from_utf8(bytes.unwrap_or_default())
        .with_context(|| format!("{} is damaged; remove it", place.join(LIST).display()))?;
    Ok(text.lines().filter_map(|l| l.split_once('\t')).map(|(d, p)| (p.to_owned(), d.to_owned())).collect())
}

fn write_list<'a>(root: &Root, place: &Path, entries: impl Iterator<Item = &'a Entry>) -> Result<()> {
    let lines: Vec<String> = entries.map(|(path, digest)| format!("{digest}\t{path}\n")).collect();
    let text = lines.concat();
    write(root, LIST, &Node::File(text)).with_context(|| format!("cannot write {}", place.join(LIST).display()))
}
