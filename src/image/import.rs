// SPDX-License-Identifier: MIT
//! Imports an image: downloads, verifies, unpacks and publishes it.
//!
//! An import works in a private directory. The result gets its name only when it is complete and
//! written to disk, so an interrupted import changes nothing. This module must not decide what an
//! image is or how it is unpacked.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write as _};
use std::os::unix::fs::symlink;
use std::sync::LazyLock;

use anyhow::{Context as _, Result, anyhow, bail};

use super::progress::Progress;
use super::source::{self, Blob, LayerInfo, Origin, Surroundings};
use super::store::{INVENTORY, Imported, Store, check_name, render};
use crate::config::trust::Trust;
use crate::config::values::access::{Access, Registries};
use crate::config::values::install::{InstallSetting, Installers};
use crate::config::values::source::{ImageSource, ModeSetting, PlatformSetting, Pull, RegistryRef};
use crate::diag::Fault;
use crate::image::kind::install;
use crate::image::kind::install::Options;
use crate::image::kind::mode;
use crate::image::kind::user;
use crate::image::source::deadline::Deadline;
use crate::image::source::manifest::{Address, Platform};
use crate::image::store::digest::{Digest, Meter};
use crate::image::store::prune;
use crate::image::store::record::{ImageRecord, Known};
use crate::image::store::scratch::Scratch;
use crate::image::tar::ahead::ahead;
use crate::image::tar::compress::decoder;
use crate::image::trust::{Accepted, Judge, is_refusal, kept};
use crate::image::unpack::extract::{Extractor, Limits};
use crate::image::unpack::inventory::Contents;
use crate::image::unpack::layers::Directories;
use crate::image::unpack::{applayer, inventory};
use crate::model::Mode;
use crate::rootdir::tree::{Tree, lookup};

/// The parameters of an import.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Name of the image: the `NAME` of `NAME.image`.
    pub name: &'a str,
    /// The source of the image.
    pub source: &'a ImageSource,
    /// The value of `Mode=`.
    pub mode: ModeSetting,
    /// The value of `Pull=`.
    pub pull: Pull,
    /// The values of `Arch=` and `Variant=`.
    pub platform: &'a PlatformSetting,
    /// Credentials, certificates and retries for the registry of the image.
    pub access: &'a Access,
    /// Mirrors, insecure registries and the limits of imports, from `sdme.conf`.
    pub registries: &'a Registries,
    /// The value of `InstallPackages=`.
    pub install: InstallSetting,
    /// The commands that install packages.
    pub installers: &'a Installers,
    /// The digest that the manifest or the index must have, if `sdme.lock` or an update sets one.
    pub digest: Option<&'a str>,
    /// The signature policy and `VerifyKey=`, which decide whether the image is accepted.
    pub trust: &'a Trust,
    /// Limits on the size of the image.
    pub limits: Limits,
}

impl<'a> Request<'a> {
    /// Creates a request with the default of every setting.
    #[must_use]
    pub fn new(name: &'a str, source: &'a ImageSource) -> Self {
        static PLATFORM: PlatformSetting = PlatformSetting { architecture: None, variant: None };
        static ACCESS: LazyLock<Access> = LazyLock::new(Access::default);
        static INSTALLERS: Installers = Installers { own: std::collections::BTreeMap::new() };
        static REGISTRIES: LazyLock<Registries> = LazyLock::new(Registries::default);
        static TRUST: LazyLock<Trust> = LazyLock::new(Trust::default);
        Self {
            name,
            source,
            mode: ModeSetting::Auto.of(source),
            pull: Pull::Missing,
            platform: &PLATFORM,
            access: &ACCESS,
            registries: &REGISTRIES,
            install: InstallSetting::Auto,
            installers: &INSTALLERS,
            digest: None,
            trust: &TRUST,
            limits: Limits::default(),
        }
    }
}

impl Request<'_> {
    /// Describes the requested package installation. The text is empty for the default and for a
    /// mode in which nothing is installed.
    fn installation(&self) -> String {
        match (self.mode, self.install) {
            (ModeSetting::App, _) => String::new(),
            (_, InstallSetting::No) => "no".to_owned(),
            (_, setting) => {
                let yes = if setting == InstallSetting::Yes { "yes" } else { "" };
                let commands: Vec<String> = self.installers.own.iter().map(|(f, c)| format!("{f:?}: {c}")).collect();
                [yes, &commands.join("; ")].join(" ").trim().to_owned()
            }
        }
    }

    fn accepts(&self, found: &Imported, reference: &str) -> bool {
        found.image.satisfies(reference, self.mode, self.platform)
            && self.digest.is_none_or(|digest| found.image.is(digest))
            // A difference in commands is irrelevant if no command was run.
            && (found.image.requested_installation == self.installation()
                || (found.image.installed.is_none() && self.install != InstallSetting::Yes))
    }
}

/// Ensures that the requested image is in the store, and returns it.
///
/// # Errors
/// Returns an error if the image is missing and cannot be imported. The message names the source
/// and, where possible, the layer and the entry in it. An earlier import stays untouched.
pub fn import(store: &Store, request: &Request<'_>, progress: &dyn Progress) -> Result<Imported> {
    check_name(request.name)?;
    let reference = request.source.to_string();
    let judge = Judge::new(request.source, request.trust, store.host())?;
    // The reason why the image in the store is not accepted, if it is not.
    let unaccepted = Cell::new(None);
    let present = || -> Result<Option<Imported>> {
        let found = match store.lookup(request.name) {
            Ok(found) => found,
            // A damaged record does not prevent a new import, which overwrites no files of others.
            Err(error) if request.pull != Pull::Never => {
                progress.warning(&format!("{error:#}"));
                None
            }
            Err(error) => return Err(error),
        };
        let Some(found) = found.filter(|found| request.accepts(found, &reference)) else { return Ok(None) };
        match judge.again(&found) {
            Ok(accepted) => Ok(Some(noted(found, accepted)?)),
            Err(error) => {
                unaccepted.set(Some(error));
                Ok(None)
            }
        }
    };
    // An image with a fixed digest does not change, so a present image is good enough.
    let pull = if request.digest.is_some() && request.pull != Pull::Never { Pull::Missing } else { request.pull };
    if !matches!(pull, Pull::Always | Pull::Newer)
        && let Some(found) = present()?
    {
        return Ok(found);
    }
    if request.pull == Pull::Never {
        if let Some(error) = unaccepted.take() {
            return Err(error);
        }
        bail!("image `{}` ({reference}) has not been imported, and `Pull=never` forbids fetching it", request.name);
    }
    (|| {
        store.prepare()?;
        let _lock = store.lock_name(request.name)?;
        // Another import of the same name may have finished while this one waited for the lock.
        if pull == Pull::Missing
            && let Some(found) = present()?
        {
            return Ok(found);
        }
        let fetched = fetch(store, request, &judge, progress).and_then(|found| {
            store.link(request.name, found.entry())?;
            Ok(found)
        });
        // The present image would be a fallback if it were accepted, so both reasons are reported.
        let fetched = fetched.map_err(|error| match unaccepted.take() {
            Some(why) if !is_refusal(&error) => {
                error.context(format!("what was imported before cannot be used: {why:#}"))
            }
            _ => error,
        });
        let found = match fetched {
            Err(error) if pull == Pull::Newer => match present()? {
                Some(found) => {
                    progress.warning(&format!("{error:#}; using what is there"));
                    found
                }
                None => return Err(error),
            },
            result => result?,
        };
        prune::limit_cache(store, request.registries.cache_size, false)?;
        Ok(found)
    })()
    .with_context(|| format!("importing image `{}` from {reference}", request.name))
}

/// Returns the current address of the image at its source. A registry is asked with one request for
/// a manifest if possible.
///
/// # Errors
/// Returns an error if the source cannot be asked, or if it has no image for the platform.
pub fn latest(store: &Store, request: &Request<'_>, progress: &dyn Progress) -> Result<Address> {
    store.prepare()?;
    let scratch = store.scratch()?;
    let platform = Platform::of(request.platform);
    let around = Surroundings {
        cache: &store.blobs(),
        scratch: &scratch.path(),
        deadline: Deadline::from_now(request.registries.import_timeout.as_ref()),
        limit: request.limits.bytes,
        platform: &platform,
        access: request.access,
        registries: request.registries,
        progress,
    };
    source::open(request.source, around)?.latest()
}

/// Imports an image into the store without changing the version that its name stands for.
///
/// # Errors
/// The same errors as those of [`import`].
pub fn download(store: &Store, request: &Request<'_>, progress: &dyn Progress) -> Result<Imported> {
    check_name(request.name)?;
    let reference = request.source.to_string();
    let fetched = || -> Result<Imported> {
        store.prepare()?;
        let _lock = store.lock_name(request.name)?;
        let judge = Judge::new(request.source, request.trust, store.host())?;
        let found = fetch(store, request, &judge, progress)?;
        prune::limit_cache(store, request.registries.cache_size, false)?;
        Ok(found)
    };
    fetched().with_context(|| format!("importing image `{}` from {reference}", request.name))
}

/// Records the keys by which the image is accepted now, if they have changed.
fn noted(mut found: Imported, accepted: Vec<Accepted>) -> Result<Imported> {
    if found.image.accepted != accepted {
        found.image.accepted = accepted;
        Store::rewrite(&found)?;
    }
    Ok(found)
}

/// Returns the source to ask. A registry is asked by digest if one is set, so that it returns the
/// same image later.
fn asked(request: &Request<'_>) -> ImageSource {
    match (request.source, request.digest) {
        (ImageSource::Registry(parts), Some(digest)) => {
            ImageSource::Registry(RegistryRef { digest: Some(digest.to_owned()), ..parts.clone() })
        }
        (source, _) => source.clone(),
    }
}

/// Ensures that the store has an entry of the image, and returns the entry.
fn fetch(store: &Store, request: &Request<'_>, judge: &Judge, progress: &dyn Progress) -> Result<Imported> {
    let reference = &request.source.to_string();
    // An image that the store has under the requested digest need not be fetched.
    if let Some(digest) = request.digest {
        let entry = Store::entry_name(request.name, &Digest::parse(digest)?, request.mode, &request.installation());
        let there = store.entry(request.name, &entry);
        // The name of an entry contains the manifest digest but not the index digest, so records
        // are compared, too.
        let others = store.lookup(request.name).unwrap_or_default().into_iter();
        let others = others.chain(store.former_versions(request.name).unwrap_or_default());
        let mut all = there.into_iter().chain(others).filter(|found| request.accepts(found, reference));
        if let Some((found, accepted)) =
            all.find_map(|found| judge.again(&found).ok().map(|accepted| (found, accepted)))
        {
            return noted(found, accepted);
        }
    }
    judge.before()?;
    let scratch = store.scratch()?;
    let platform = Platform::of(request.platform);
    let (cache, place) = (store.blobs(), scratch.path());
    let limit = request.limits.bytes;
    let (access, registries) = (request.access, request.registries);
    let deadline = Deadline::from_now(registries.import_timeout.as_ref());
    let around = Surroundings {
        cache: &cache,
        scratch: &place,
        deadline,
        limit,
        platform: &platform,
        access,
        registries,
        progress,
    };
    let mut origin = source::open(&asked(request), around)?;
    let address = origin.identify()?;
    let Address { digest, index } = &address;
    let named = [Some(digest), index.as_ref()].map(|digest| digest.map(ToString::to_string));
    if let Some(wanted) = request.digest.filter(|wanted| !named.contains(&Some((*wanted).to_owned()))) {
        bail!(Fault::new(
            format!("the image there has the digest {digest} and not {wanted}, which is asked for"),
            format!("run sdme-gen update {}", request.name)
        ));
    }
    // The decision comes before any part of the image other than its manifest is read.
    let (accepted, attached) = judge.decide(&address, &mut *origin)?;
    let entry = Store::entry_name(request.name, digest, request.mode, &request.installation());
    let present = store.entry(request.name, &entry);
    if let Some(mut found) = present.filter(|found| found.image.manifest == digest.to_string()) {
        let [_, index] = named;
        let is_new = index.is_some() && index != found.image.index;
        if is_new || !request.accepts(&found, reference) {
            found.image.index = index.or(found.image.index);
            reference.clone_into(&mut found.image.reference);
            found.image.requested_platform = request.platform.to_string();
            Store::rewrite(&found)?;
        }
        if judge.asks() {
            kept::write(&found.dir, &attached)?;
        }
        progress.message(&format!("{}: {digest} is up to date", request.name));
        return noted(found, accepted);
    }
    let accepted = accepted.as_slice();
    let known = Known { reference, address: &address, accepted, mode: request.mode, platform: request.platform };
    if judge.asks() {
        kept::write(&scratch.path(), &attached)?;
    }
    // No layer may be removed between its use here and the publication of the entry that needs it.
    let _layers = store.use_layers()?;
    let contents = unpack(&mut *origin, known, request, store, &scratch, around)?;
    drop(origin);
    take_stock(&scratch, &contents)?;
    store.publish(scratch, &entry)?;
    progress.message(&format!("{}: imported {digest}", request.name));
    store.entry(request.name, &entry).context("the entry just made is not there")
}

/// Creates `tree`, `image.json` and the missing layers in the scratch directory. Returns the known
/// digests of the file contents.
fn unpack(
    origin: &mut dyn Origin,
    known: Known<'_>,
    request: &Request<'_>,
    store: &Store,
    scratch: &Scratch,
    around: Surroundings<'_>,
) -> Result<Contents> {
    let (progress, deadline) = (around.progress, around.deadline);
    let (config, layers) = origin.describe()?;
    // A base must be a single directory, because other layers are mounted on it and packages are
    // installed into it.
    let shared = mode::is_application(request.mode, &config.config);
    let mut directories = Directories::new(store, scratch, &layers, shared, progress)?;
    let mut contents = apply(origin, &layers, &mut directories, request.limits, deadline, progress)?;
    let below = directories.names();
    let tree = directories.into_top()?;
    if matches!(request.source, ImageSource::Rootfs { .. }) {
        refuse_packed_images(&tree)?;
    }

    let mode = mode::decide(request.mode, &config.config, &tree);
    let wanted = Options { setting: request.install, installers: request.installers };
    let rootfs = scratch.path().join("rootfs");
    let installed = if mode == Mode::Base { install::complete(&rootfs, &tree, wanted, progress)? } else { None };
    if mode == Mode::Base {
        mode::check(request.mode, &tree)?;
    }
    let user = match user::resolve(&tree, &config.config.user) {
        Ok(user) => user,
        // A booted system starts as root, whatever user its image names.
        Err(_) if mode == Mode::Base => user::User::root(&config.config.user),
        // An unknown user is not an error of the import, because a container can set User=.
        Err(error) => {
            let why = format!("the image's user `{}`: {error:#}", config.config.user.escape_debug());
            progress.warning(&format!("{}: {why}; a container of it needs `User=`", request.name));
            user::User::unknown(&config.config.user, why)
        }
    };
    let (mut record, ignored) = ImageRecord::new(known, mode, config, user);
    for what in ignored {
        progress.warning(&format!("{}: ignoring the image's {what}", request.name));
    }
    // A package manager may have changed files, so the digests of their contents are no longer
    // known.
    if installed.is_some() {
        contents = Contents::default();
    }
    record.installed = installed;
    record.layers = below;
    record.requested_installation = request.installation();
    // The overlay mount on the tree must end before the tree is moved.
    drop(tree);
    let finished = scratch.path().join("tree");
    if mode == Mode::App {
        if record.entrypoint.is_empty() && record.cmd.is_empty() {
            progress.warning(&format!(
                "{}: the image has neither entrypoint nor command; a container of it needs `Exec=`",
                request.name
            ));
        }
        applayer::build(&rootfs, &finished, &record)?;
        // The manual of sdme documents fs/NAME/oci/env as the path of an application's variables.
        symlink("tree/oci", scratch.path().join("oci")).context("linking the application's directory")?;
        contents.moved_below(applayer::ROOT);
    } else {
        fs::rename(&rootfs, &finished).context("moving the root file system into place")?;
    }
    applayer::make_file(&scratch.path().join("image.json"), &render(&record)?)?;
    Ok(contents)
}

/// Writes the inventories of the trees for `fs verify` while the kernel syncs the trees to disk.
fn take_stock(scratch: &Scratch, contents: &Contents) -> Result<()> {
    std::thread::scope(|scope| {
        let synced = scope.spawn(|| scratch.sync());
        for place in scratch.layers()?.into_iter().chain([scratch.path()]) {
            let tree = Tree::open(&place.join("tree")).context("opening the unpacked image")?;
            let list = File::create_new(place.join(INVENTORY)).context("creating the list of files")?;
            let mut list = BufWriter::new(list);
            inventory::write(&tree, applayer::EDITABLE, contents, &mut list)?;
            list.flush().context("writing the list of files")?;
        }
        synced.join().map_err(|_| anyhow!("syncing the unpacked image failed"))?
    })
}

/// Refuses an image archive that was named with the transport of a root file system.
fn refuse_packed_images(tree: &Tree) -> Result<()> {
    for (file, transport) in [("oci-layout", "oci-archive"), ("manifest.json", "docker-archive")] {
        if !tree.is_directory(b"etc") && lookup(tree.root(), file.as_bytes())?.is_some() {
            bail!(Fault::new(
                "this is not a root file system but an image in an archive",
                format!("write {transport}: in front of the path")
            ));
        }
    }
    Ok(())
}

/// Reports how much of a layer has been read, and stops when the time limit of the import is
/// exceeded.
struct Watched<'a> {
    blob: Blob,
    what: String,
    deadline: Deadline<'a>,
    progress: &'a dyn Progress,
}

impl Read for Watched<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.deadline.check()?;
        let read = self.blob.read(buf)?;
        let (done, total) = self.blob.position();
        self.progress.unpacking(&self.what, done, total);
        Ok(read)
    }
}

fn apply(
    origin: &mut dyn Origin,
    layers: &[LayerInfo],
    directories: &mut Directories<'_>,
    limits: Limits,
    deadline: Deadline<'_>,
    progress: &dyn Progress,
) -> Result<Contents> {
    let mut extractor = Extractor::new(limits, progress);
    let mut left = limits.bytes;
    for (number, layer) in layers.iter().enumerate().take(directories.first()) {
        progress.message(&format!("layer {}/{}: {} is there already", number + 1, layers.len(), layer.label));
    }
    origin.layers(directories.first(), &mut |number, blob| {
        let layer = layers.get(number).context("there are more layers than announced")?;
        let used = (|| {
            progress.message(&format!("layer {}/{}: {}", number + 1, layers.len(), layer.label));
            let what = format!("layer {}/{}", number + 1, layers.len());
            let watched = Watched { blob, what, deadline, progress };
            let plain = decoder(watched)?;
            let tree = directories.tree(number)?;
            let mut meter = Meter::new(left, "the uncompressed image");
            std::thread::scope(|scope| -> Result<_> {
                // One thread decompresses, another one computes the digest, and this one creates files.
                let plain = ahead(scope, plain).seen_by(scope, |piece: &[u8]| meter.pass(piece));
                let mut plain = extractor.layer(tree, plain)?;
                // Archives are padded, and the digest covers the padding.
                io::copy(&mut plain, &mut io::sink()).context("reading the end of the layer").map(drop)
            })?;
            let (found, used) = meter.finish();
            match &layer.diff_id {
                Some(wanted) if found != *wanted => {
                    bail!("its uncompressed content has the digest {found} instead of {wanted}")
                }
                _ => Ok(used),
            }
        })()
        .with_context(|| format!("layer {}", layer.label))?;
        left = left.saturating_sub(used);
        Ok(())
    })?;
    Ok(extractor.into_contents())
}
