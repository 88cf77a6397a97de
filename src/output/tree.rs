// SPDX-License-Identifier: MIT
//! All files that a configuration becomes, sorted, with the place of each file. Pure.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};

use crate::paths::container_runtime;

/// A place for files. Paths in a place are relative to its directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Units, drop-ins and links: a generator directory, or `/etc/systemd/system`.
    Units,
    /// `.nspawn` files: `/run/systemd/nspawn`, or `/etc/systemd/nspawn`.
    Settings,
    /// The configuration layer of a container, by the container's name:
    /// `/run/sdme/containers/NAME/config`.
    Layer(String),
}

/// A file of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A regular file, mode 0644.
    File(String),
    /// A regular file that only root may read, mode 0600. It occurs in layers only.
    Private(String),
    /// A symbolic link with this target.
    Link(String),
    /// A directory that hides its content in lower layers (overlayfs, `trusted.overlay.opaque`).
    Opaque,
}

/// All files, by place and path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<(Place, String), Node>,
}

impl Tree {
    /// Adds a file, unless the path exists already: several containers can add the same unit.
    pub fn add(&mut self, place: Place, path: impl Into<String>, node: Node) {
        self.nodes.entry((place, path.into())).or_insert(node);
    }

    /// Removes a file.
    pub fn remove(&mut self, place: Place, path: &str) {
        self.nodes.remove(&(place, path.to_owned()));
    }

    /// The file at a path.
    #[must_use]
    pub fn get(&self, place: &Place, path: &str) -> Option<&Node> {
        self.nodes.get(&(place.clone(), path.to_owned()))
    }

    /// Whether there is a file at a path.
    #[must_use]
    pub fn has(&self, place: &Place, path: &str) -> bool {
        self.get(place, path).is_some()
    }

    /// Adds a regular file.
    pub fn file(&mut self, place: Place, path: impl Into<String>, content: &impl Display) {
        // Most units are shorter, so the text does not move while it grows.
        let mut text = String::with_capacity(4096);
        // Writing to a String cannot fail.
        let _ = write!(text, "{content}");
        text.shrink_to_fit();
        self.add(place, path, Node::File(text));
    }

    /// All files, sorted by place and path.
    pub fn iter(&self) -> impl Iterator<Item = (&Place, &str, &Node)> {
        self.nodes.iter().map(|((place, path), node)| (place, path.as_str(), node))
    }

    /// The files of one place.
    pub fn below<'a>(&'a self, place: &'a Place) -> impl Iterator<Item = (&'a str, &'a Node)> {
        self.iter().filter(move |(p, ..)| *p == place).map(|(_, path, node)| (path, node))
    }
}

impl Place {
    /// The directory of the place in the output of `sdme-gen apply` and `sdme-gen render`.
    #[must_use]
    pub fn directory(&self) -> String {
        match self {
            Self::Units => "/etc/systemd/system".to_owned(),
            Self::Settings => "/etc/systemd/nspawn".to_owned(),
            Self::Layer(container) => format!("{}/config", container_runtime(container)),
        }
    }
}

/// Every file, after a line `---PATH---`, as `sdme-gen render` prints it.
impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, path, node) in self.iter() {
            let directory = place.directory();
            match node {
                Node::File(content) => writeln!(f, "---{directory}/{path}---\n{content}")?,
                Node::Private(content) => writeln!(f, "---{directory}/{path} (0600)---\n{content}")?,
                Node::Link(target) => writeln!(f, "---{directory}/{path} -> {target}---\n")?,
                Node::Opaque => writeln!(f, "---{directory}/{path}/ (opaque)---\n")?,
            }
        }
        Ok(())
    }
}
