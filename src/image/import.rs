// SPDX-License-Identifier: MIT
//! One import from beginning to end.
//!
//! Everything is done in a private directory and gets its name only when it is complete and on disk, so an import
//! interrupted anywhere changes nothing. Must not decide what an image is or how it unpacks.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;

use super::compress::Decoder;
use super::digest::{Digest, HashingReader, read_limited};
use super::extract::{Extractor, Limits};
use super::imageconfig::ImageConfig;
use super::manifest::{self, BlobRef, Chosen, MAX_CONFIG, Platform};
use super::mode;
use super::progress::Progress;
use super::record::ImageRecord;
use super::source::Source;
use super::source::layout::Layout;
use super::source::registry::Registry;
use super::store::{Imported, Scratch, Store, check_name, render};
use super::tree::Tree;
use super::{applayer, user};
use crate::config::source::{ImageSource, ModeSetting, Pull};
use crate::resolve::model::Mode;

/// What is to be imported.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Name of the image: the `NAME` of `NAME.image`.
    pub name: &'a str,
    /// Where it comes from.
    pub source: &'a ImageSource,
    /// `Mode=`
    pub mode: ModeSetting,
    /// `Pull=`
    pub pull: Pull,
    /// Bounds on its size.
    pub limits: Limits,
}

impl<'a> Request<'a> {
    /// A request with the defaults of every key.
    #[must_use]
    pub fn new(name: &'a str, source: &'a ImageSource) -> Self {
        Self { name, source, mode: ModeSetting::Auto, pull: Pull::Missing, limits: Limits::default() }
    }
}

/// Makes sure that the image is there as requested, and says where.
///
/// # Errors
/// When it is not there and cannot be had, with a reason that names the source and, where there is one, the layer and
/// the entry in it. Whatever was imported before is then untouched.
pub fn import(store: &Store, request: &Request<'_>, progress: &dyn Progress) -> Result<Imported> {
    check_name(request.name)?;
    let reference = request.source.to_string();
    let present = || -> Result<Option<Imported>> {
        let found = match store.lookup(request.name) {
            Ok(found) => found,
            // A damaged record is no reason not to import; nothing is overwritten that is not ours.
            Err(error) if request.pull != Pull::Never => {
                progress.warning(&format!("{error:#}"));
                None
            }
            Err(error) => return Err(error),
        };
        Ok(found.filter(|found| found.image.reference == reference && found.image.requested_mode == request.mode))
    };
    if request.pull != Pull::Always
        && let Some(found) = present()?
    {
        return Ok(found);
    }
    if request.pull == Pull::Never {
        bail!("image `{}` ({reference}) has not been imported, and `Pull=never` forbids fetching it", request.name);
    }
    (|| {
        store.prepare()?;
        let _lock = store.lock_name(request.name)?;
        // Another import of the name may have finished while we waited.
        if request.pull == Pull::Missing
            && let Some(found) = present()?
        {
            return Ok(found);
        }
        fetch(store, request, &reference, progress)
    })()
    .with_context(|| format!("importing image `{}` from {reference}", request.name))
}

fn fetch(store: &Store, request: &Request<'_>, reference: &str, progress: &dyn Progress) -> Result<Imported> {
    let scratch = store.scratch()?;
    let mut source: Box<dyn Source + '_> = match request.source {
        ImageSource::Layout { path, tag } => Box::new(Layout::open(Path::new(path), tag.as_deref())?),
        ImageSource::Registry(parts) => Box::new(Registry::open(parts, &store.blobs(), &scratch.path(), progress)?),
    };
    let platform = Platform::host();
    let chosen = manifest::choose(&mut *source, &platform)?;
    let entry = Store::entry_name(request.name, &chosen.digest, request.mode);
    let present = store.entry(request.name, &entry);
    if let Some(mut found) = present.filter(|found| found.image.manifest == chosen.digest.to_string()) {
        if found.image.reference != reference {
            reference.clone_into(&mut found.image.reference);
            Store::rewrite(&found)?;
        }
        store.link(request.name, &entry)?;
        progress.message(&format!("{}: {} is up to date", request.name, chosen.digest));
        return Ok(found);
    }
    unpack(&mut *source, &chosen, &platform, request, reference, &scratch, progress)?;
    drop(source);
    store.publish(scratch, &entry)?;
    store.link(request.name, &entry)?;
    progress.message(&format!("{}: imported {}", request.name, chosen.digest));
    store.entry(request.name, &entry).context("the entry just made is not there")
}

/// Makes `tree` and `image.json` in the scratch directory.
fn unpack(
    source: &mut dyn Source,
    chosen: &Chosen,
    platform: &Platform,
    request: &Request<'_>,
    reference: &str,
    scratch: &Scratch,
    progress: &dyn Progress,
) -> Result<()> {
    let wanted = BlobRef::of(chosen.manifest.config())?;
    let bytes = read_limited(source.blob(&wanted)?, MAX_CONFIG, "the image configuration")?;
    let config = ImageConfig::parse(&bytes)?;
    let elsewhere = |found: &str, here: &str| !found.is_empty() && found != here;
    if elsewhere(&config.os, "linux") || elsewhere(&config.architecture, &platform.architecture) {
        bail!(
            "the image is for {}/{}, this machine is linux/{}",
            config.os,
            config.architecture,
            platform.architecture
        );
    }
    let rootfs = scratch.path().join("rootfs");
    applayer::make_dir(&rootfs, 0o755)?;
    let root = File::open(&rootfs).context("opening the new root directory")?;
    // For archives that say nothing about their root: the same date in every import.
    futimens(&root, &TimeSpec::UTIME_OMIT, &TimeSpec::new(0, 0)).context("dating the new root directory")?;
    let tree = Tree::open(&rootfs).context("opening the new root directory")?;
    layers(source, chosen, &config, &tree, request.limits, progress)?;

    let mode = mode::decide(request.mode, &config.config, &tree)?;
    let user = match user::resolve(&tree, &config.config.user) {
        Ok(user) => user,
        // A booted system starts as root whatever its image says about a user.
        Err(_) if mode == Mode::Base => user::User::root(&config.config.user),
        Err(error) => return Err(error.context(format!("the image's user `{}`", config.config.user.escape_debug()))),
    };
    let manifest = chosen.digest.to_string();
    let (record, ignored) = ImageRecord::new(reference.to_owned(), manifest, request.mode, mode, config, user);
    for what in ignored {
        progress.warning(&format!("{}: ignoring the image's {what}", request.name));
    }
    let finished = scratch.path().join("tree");
    if mode == Mode::App {
        if record.entrypoint.is_empty() && record.cmd.is_empty() {
            progress.warning(&format!(
                "{}: the image has neither entrypoint nor command; a container of it needs `Exec=`",
                request.name
            ));
        }
        applayer::build(&rootfs, &finished, &record)?;
    } else {
        fs::rename(&rootfs, &finished).context("moving the root file system into place")?;
    }
    applayer::make_file(&scratch.path().join("image.json"), &render(&record)?)
}

fn layers(
    source: &mut dyn Source,
    chosen: &Chosen,
    config: &ImageConfig,
    tree: &Tree,
    limits: Limits,
    progress: &dyn Progress,
) -> Result<()> {
    let layers = chosen.manifest.layers();
    let diff_ids = &config.rootfs.diff_ids;
    if layers.len() != diff_ids.len() {
        bail!("the manifest has {} layers, but the configuration has {}", layers.len(), diff_ids.len());
    }
    let mut extractor = Extractor::new(tree, limits, progress);
    let mut left = limits.bytes;
    for (number, (layer, diff_id)) in layers.iter().zip(diff_ids).enumerate() {
        let wanted = BlobRef::of(layer)?;
        let used = (|| {
            let diff_id = Digest::parse(diff_id).context("its diff_id")?;
            let blob = source.blob(&wanted)?;
            progress.message(&format!("layer {}/{}: {}", number + 1, layers.len(), wanted.digest.short()));
            let plain = HashingReader::new(Decoder::new(blob)?, left, "the uncompressed image");
            let mut plain = extractor.layer(plain)?;
            // Archives are padded; the digest covers that too.
            plain.drain().context("reading the end of the layer")?;
            let (found, used) = plain.finish();
            if found != diff_id {
                bail!("its uncompressed content has the digest {found} instead of {diff_id}");
            }
            Ok(used)
        })()
        .with_context(|| format!("layer {}", wanted.digest))?;
        left = left.saturating_sub(used);
    }
    Ok(())
}
