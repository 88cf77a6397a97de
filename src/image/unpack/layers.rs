// SPDX-License-Identifier: MIT
//! Assigns the layers of an image to directories, which images share, and provides the trees into
//! which the layers are unpacked.
//!
//! The last directory belongs to the image alone. The content of an unpacked layer depends on the
//! layers below it, so a directory is named after all of them (like the `ChainID` of the OCI image
//! specification, config.md). This module must not know the content of layers.

use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;

use super::overlay::stacked;
use crate::image::progress::Progress;
use crate::image::source::LayerInfo;
use crate::image::store::digest::Digest;
use crate::image::store::record::FORMAT;
use crate::image::store::scratch::Scratch;
use crate::image::store::{INVENTORY, Store, read_record, sync_dir};
use crate::image::unpack::applayer;
use crate::image::unpack::applayer::make_dir;
use crate::rootdir::tree::{self, Tree};

/// Maximum number of directories of one image. Their paths are options of one mount, which may have
/// 4095 bytes; those of an ID-mapped application with the longest names need 3955. If an image has
/// more layers, the lowest ones share a directory.
const MAX_DIRECTORIES: usize = 24;

/// A directory of layers.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    /// The indices of the layers in the directory.
    layers: Range<usize>,
    /// The name of the directory in the store.
    name: String,
}

impl Piece {
    /// Returns one directory with all layers, for an image that shares none.
    fn all(layers: &[LayerInfo]) -> Self {
        Self { layers: 0..layers.len(), name: String::new() }
    }
}

/// Assigns layers to directories, the lowest first. If the digest of a layer is unknown, all layers
/// go into one directory.
fn pieces(layers: &[LayerInfo]) -> Vec<Piece> {
    let Some(digests) = layers.iter().map(|layer| layer.diff_id.as_ref()).collect::<Option<Vec<_>>>() else {
        return vec![Piece::all(layers)];
    };
    let first = layers.len().saturating_sub(MAX_DIRECTORIES - 1).max(1);
    let ends = first..layers.len().max(1) + 1;
    let starts = std::iter::once(0).chain(ends.clone());
    starts
        .zip(ends)
        .map(|(start, end)| {
            let below = digests.iter().take(end).fold(String::new(), |text, digest| text + " " + digest.hex());
            let digest = Digest::of(format!("{FORMAT} {start}{below}").as_bytes());
            Piece { layers: start..end, name: digest.hex().chars().take(32).collect() }
        })
        .collect()
}

impl Store {
    /// Returns the path of the layer called `name`, whether or not it exists.
    pub(crate) fn layer(&self, name: &str) -> PathBuf {
        self.layers().join(name)
    }

    /// Whether the store has the layer called `name`.
    pub(crate) fn has_layer(&self, name: &str) -> bool {
        self.layer(name).join(INVENTORY).is_file() && self.layer(name).join("tree/oci/root").is_dir()
    }

    /// Returns the names of the lower layers of an entry.
    pub(crate) fn layers_of(&self, entry: &str) -> Result<Vec<String>> {
        Ok(read_record(&self.entries().join(entry))?.map(|image| image.layers).unwrap_or_default())
    }

    /// Moves new layers into the store, unless another import was faster, and removes the auxiliary
    /// directories.
    pub(crate) fn publish_layers(&self, scratch: &Scratch) -> Result<()> {
        let place = self.layers();
        let (new, all) = (scratch.layers()?, Tree::open(&place).context("opening the layers")?);
        {
            let _guard = self.guard()?;
            for layer in &new {
                let name = layer.file_name().and_then(|name| name.to_str()).context("reading the new layers")?;
                if !self.has_layer(name) {
                    tree::remove(all.root(), name.as_bytes()).context("removing a damaged layer")?;
                    fs::rename(layer, self.layer(name)).context("giving a layer its name")?;
                }
            }
        }
        if !new.is_empty() {
            sync_dir(&place)?;
        }
        let scratch = Tree::open(&scratch.path()).context("opening the unpacked image")?;
        ["layers", "work"]
            .iter()
            .try_for_each(|name| tree::remove(scratch.root(), name.as_bytes()))
            .context("tidying up")
    }
}

/// The directories of an image that is being unpacked.
#[derive(Debug)]
pub struct Directories<'a> {
    store: &'a Store,
    scratch: PathBuf,
    /// The directories, the lowest first; the last one belongs to the image alone.
    pieces: Vec<Piece>,
    /// The number of directories that the store has already.
    present: usize,
    /// The index and the tree of the directory that is being unpacked into.
    open: Option<(usize, Tree)>,
}

impl<'a> Directories<'a> {
    /// Determines which of `layers` the store has. If the layers should not be `shared`, or if the
    /// kernel cannot stack them, all layers go into one directory.
    ///
    /// # Errors
    /// Returns an error if the directories cannot be created.
    pub fn new(
        store: &'a Store,
        scratch: &Scratch,
        layers: &[LayerInfo],
        shared: bool,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let scratch = scratch.path();
        let mut pieces = pieces(layers);
        make_dir(&scratch.join("rootfs"), 0o755)?;
        for directory in ["layers", "work"] {
            make_dir(&scratch.join(directory), 0o700)?;
        }
        if pieces.len() > 1 && !(shared && possible(&scratch, progress)) {
            pieces = vec![Piece::all(layers)];
        }
        let lower = pieces.split_last().map_or(&[][..], |(_, lower)| lower);
        let present = lower.iter().take_while(|piece| store.has_layer(&piece.name)).count();
        Ok(Self { store, scratch, pieces, present, open: None })
    }

    /// Returns the index of the first layer that has to be unpacked.
    #[must_use]
    pub fn first(&self) -> usize {
        self.pieces.get(self.present).map_or(0, |piece| piece.layers.start)
    }

    /// Returns the tree for unpacking the layer `number`. Layers must be unpacked in ascending
    /// order.
    ///
    /// # Errors
    /// Returns an error if the tree cannot be created.
    pub fn tree(&mut self, number: usize) -> Result<&Tree> {
        let place = self.pieces.iter().position(|piece| piece.layers.contains(&number)).unwrap_or_default();
        self.enter(place)
    }

    /// Returns the tree that shows all layers.
    ///
    /// # Errors
    /// Returns an error if the tree cannot be created.
    pub fn into_top(mut self) -> Result<Tree> {
        let top = self.pieces.len().saturating_sub(1);
        self.enter(top)?;
        self.open.map(|(_, tree)| tree).context("nothing was unpacked")
    }

    fn enter(&mut self, place: usize) -> Result<&Tree> {
        let open = match self.open.take() {
            Some(open) if open.0 == place => open,
            before => {
                // The previous overlay mount must end before its upper directory becomes a lower
                // one.
                drop(before);
                (place, self.begin(place).context("making the directory to unpack into")?)
            }
        };
        Ok(&self.open.insert(open).1)
    }

    fn begin(&self, place: usize) -> Result<Tree> {
        let root = self.root(place);
        if let Some(piece) = self.lower().get(place) {
            let directory = self.scratch.join("layers").join(&piece.name);
            make_dir(&directory, 0o755)?;
            applayer::make_oci(&directory.join("tree"))?;
            make_dir(&root, 0o755)?;
        }
        if place == 0 {
            // An archive may lack its root directory, so the root gets the same date in every
            // import.
            let opened = File::open(&root).context("opening the new root directory")?;
            futimens(&opened, &TimeSpec::UTIME_OMIT, &TimeSpec::new(0, 0)).context("dating the new root directory")?;
            return Ok(Tree::open(&root)?);
        }
        let lower: Vec<PathBuf> = (0..place).rev().map(|below| self.root(below)).collect();
        let work = self.scratch.join("work").join(place.to_string());
        make_dir(&work, 0o700)?;
        Ok(stacked(&lower, &root, &work)?)
    }

    fn lower(&self) -> &[Piece] {
        self.pieces.split_last().map_or(&[], |(_, lower)| lower)
    }

    /// Returns the path of the root file system in a directory.
    fn root(&self, place: usize) -> PathBuf {
        match self.lower().get(place) {
            None => self.scratch.join("rootfs"),
            Some(piece) if place < self.present => self.store.layer(&piece.name).join("tree/oci/root"),
            Some(piece) => self.scratch.join("layers").join(&piece.name).join("tree/oci/root"),
        }
    }

    /// Returns the names of the shared directories, the lowest first.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.lower().iter().map(|piece| piece.name.clone()).collect()
    }
}

/// Whether the kernel can stack directories here. If not, the reason is reported.
fn possible(scratch: &Path, progress: &dyn Progress) -> bool {
    let [lower, upper, work] = ["lower", "upper", "work"].map(|directory| scratch.join("work").join(directory));
    let tried = (|| {
        for directory in [&lower, &upper, &work] {
            make_dir(directory, 0o700)?;
        }
        stacked(&[lower], &upper, &work)?;
        // In a user namespace, the kernel mounts overlayfs without these attributes, so they are
        // tested separately.
        xattr::set(&upper, "trusted.overlay.opaque", b"y").context("setting an attribute of overlayfs")
    })();
    tried
        .inspect_err(|error| {
            progress
                .message(&format!("unpacking all layers into one tree, as they cannot be kept apart here: {error:#}"));
        })
        .is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn layers(count: usize) -> Vec<LayerInfo> {
        let digest = |number: usize| Some(Digest::of(&number.to_le_bytes()));
        (0..count).map(|number| LayerInfo { label: String::new(), diff_id: digest(number) }).collect()
    }

    #[test]
    fn each_layer_has_a_directory_and_the_lowest_of_many_share_one() {
        let ranges = |count| pieces(&layers(count)).into_iter().map(|piece| piece.layers).collect::<Vec<_>>();
        assert_eq!(ranges(1), vec![Range { start: 0, end: 1 }]);
        assert_eq!(ranges(3), [0..1, 1..2, 2..3]);
        assert_eq!(ranges(24).len(), 24);
        let many = ranges(100);
        assert_eq!((many.len(), many.first().unwrap(), many.last().unwrap()), (24, &(0..77), &(99..100)));
        assert!(many.windows(2).all(|two| matches!(two, [a, b] if a.end == b.start)));
        let mut unknown = layers(3);
        unknown.last_mut().unwrap().diff_id = None;
        assert_eq!(pieces(&unknown).len(), 1);
    }

    #[test]
    fn a_directory_is_named_after_all_layers_below() {
        let names = |layers: &[LayerInfo]| pieces(layers).into_iter().map(|piece| piece.name).collect::<Vec<_>>();
        let three = names(&layers(3));
        assert_eq!(three.first(), names(&layers(2)).first());
        let mut other = layers(3);
        other.swap(0, 1);
        assert!(names(&other).iter().all(|name| !three.contains(name)));
        // A directory with ten layers is not the same as the directory of only the tenth layer.
        assert_ne!(names(&layers(33)).first(), names(&layers(10)).last());
        assert!(three.iter().all(|name| name.len() == 32));
    }
}
