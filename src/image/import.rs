// SPDX-License-Identifier: MIT
//! One import from beginning to end.
//!
//! Everything is done in a private directory and gets its name only when it is complete and on disk, so an import
//! interrupted anywhere changes nothing. Must not decide what an image is or how it unpacks.

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
use crate::image::kind::install;
use crate::image::kind::install::Wanted;
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
    /// `Arch=` and `Variant=`
    pub platform: &'a PlatformSetting,
    /// How its registry is spoken to.
    pub access: &'a Access,
    /// Mirrors and registries without encryption.
    pub registries: &'a Registries,
    /// `InstallPackages=`
    pub install: InstallSetting,
    /// The commands that install packages.
    pub installers: &'a Installers,
    /// The digest that its manifest or its index has to have, if `sdme.lock` or an update says so.
    pub digest: Option<&'a str>,
    /// What decides whether it is accepted.
    pub trust: &'a Trust,
    /// Bounds on its size.
    pub limits: Limits,
}

impl<'a> Request<'a> {
    /// A request with the defaults of every key.
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
    /// What is asked for about packages, in a few words; nothing where it cannot matter or is what it always is.
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
            // Commands that were not run do not matter.
            && (found.image.requested_installation == self.installation()
                || (found.image.installed.is_none() && self.install != InstallSetting::Yes))
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
    let judge = Judge::new(request.source, request.trust, store.host())?;
    // Why what is there is not accepted.
    let unaccepted = Cell::new(None);
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
        let Some(found) = found.filter(|found| request.accepts(found, &reference)) else { return Ok(None) };
        match judge.again(&found) {
            Ok(accepted) => Ok(Some(noted(found, accepted)?)),
            Err(error) => {
                unaccepted.set(Some(error));
                Ok(None)
            }
        }
    };
    // What has to have a certain digest does not change.
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
        // Another import of the name may have finished while we waited.
        if pull == Pull::Missing
            && let Some(found) = present()?
        {
            return Ok(found);
        }
        let fetched = fetch(store, request, &judge, progress).and_then(|found| {
            store.link(request.name, found.entry())?;
            Ok(found)
        });
        // What is there would do for now, if it were accepted.
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

/// What the source's image is addressed by now; for registries, with one request for a manifest.
///
/// # Errors
/// When the source cannot be asked, or has no image for the platform.
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

/// Imports an image without making its name stand for the result.
///
/// # Errors
/// As for [`import`].
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

/// Notes by which keys an image is accepted now, if that has changed.
fn noted(mut found: Imported, accepted: Vec<Accepted>) -> Result<Imported> {
    if found.image.accepted != accepted {
        found.image.accepted = accepted;
        Store::rewrite(&found)?;
    }
    Ok(found)
}

/// The source to ask: a registry can be asked for a digest, and so for the same image later.
fn asked(request: &Request<'_>) -> ImageSource {
    match (request.source, request.digest) {
        (ImageSource::Registry(parts), Some(digest)) => {
            ImageSource::Registry(RegistryRef { digest: Some(digest.to_owned()), ..parts.clone() })
        }
        (source, _) => source.clone(),
    }
}

/// Makes sure that the store has the image, and gives its entry.
fn fetch(store: &Store, request: &Request<'_>, judge: &Judge, progress: &dyn Progress) -> Result<Imported> {
    let reference = &request.source.to_string();
    // What is there under the digest need not be asked for.
    if let Some(digest) = request.digest {
        let entry = Store::entry_name(request.name, &Digest::parse(digest)?, request.mode, &request.installation());
        let there = store.entry(request.name, &entry);
        // The name of an entry tells nothing about the index.
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
        bail!(
            "the image there has the digest {digest} and not {wanted}, which is asked for; run sdme-gen update {}",
            request.name
        );
    }
    // Before anything of it is read but its manifest.
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
    // What the store has of the layers stays until the entry says that it needs it.
    let _layers = store.use_layers()?;
    let contents = unpack(&mut *origin, known, request, store, &scratch, around)?;
    drop(origin);
    take_stock(&scratch, &contents)?;
    store.publish(scratch, &entry)?;
    progress.message(&format!("{}: imported {digest}", request.name));
    store.entry(request.name, &entry).context("the entry just made is not there")
}

/// Makes `tree`, `image.json` and what the store lacks of `layers` in the scratch directory. Tells what is known of the
/// contents of the files.
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
    // A base is one directory: others are mounted on it, and packages installed into it.
    let shared = mode::is_application(request.mode, &config.config);
    let mut directories = Directories::new(store, scratch, &layers, shared, progress)?;
    let mut contents = apply(origin, &layers, &mut directories, request.limits, deadline, progress)?;
    let below = directories.names();
    let tree = directories.into_top()?;
    if matches!(request.source, ImageSource::Rootfs { .. }) {
        refuse_packed_images(&tree)?;
    }

    let mode = mode::decide(request.mode, &config.config, &tree);
    let wanted = Wanted { setting: request.install, installers: request.installers };
    let rootfs = scratch.path().join("rootfs");
    let installed = if mode == Mode::Base { install::complete(&rootfs, &tree, wanted, progress)? } else { None };
    if mode == Mode::Base {
        mode::check(request.mode, &tree)?;
    }
    let user = match user::resolve(&tree, &config.config.user) {
        Ok(user) => user,
        // A booted system starts as root whatever its image says about a user.
        Err(_) if mode == Mode::Base => user::User::root(&config.config.user),
        // Pulling it is no mistake yet: a container may say User=.
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
    // A package manager may have written into files.
    if installed.is_some() {
        contents = Contents::default();
    }
    record.installed = installed;
    record.layers = below;
    record.requested_installation = request.installation();
    // Nothing is mounted on it any more when it is moved.
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
        // Where the manual of sdme says that an application's variables are: fs/NAME/oci/env.
        symlink("tree/oci", scratch.path().join("oci")).context("linking the application's directory")?;
        contents.moved_below(applayer::ROOT);
    } else {
        fs::rename(&rootfs, &finished).context("moving the root file system into place")?;
    }
    applayer::make_file(&scratch.path().join("image.json"), &render(&record)?)?;
    Ok(contents)
}

/// Writes down what the trees hold, for `fs verify`, while the disk is busy with taking them.
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

/// An archive of an image has the wrong transport in front of it, if it is taken for a root file system.
fn refuse_packed_images(tree: &Tree) -> Result<()> {
    for (file, transport) in [("oci-layout", "oci-archive"), ("manifest.json", "docker-archive")] {
        if !tree.is_directory(b"etc") && lookup(tree.root(), file.as_bytes())?.is_some() {
            bail!("this is not a root file system but an image in an archive; write {transport}: in front of the path");
        }
    }
    Ok(())
}

/// Tells how much of a layer has been read, and stops when the time of the import is over.
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
                // One thread uncompresses, one computes the digest, and this one makes files.
                let plain = ahead(scope, plain).seen_by(scope, |piece: &[u8]| meter.pass(piece));
                let mut plain = extractor.layer(tree, plain)?;
                // Archives are padded; the digest covers that too.
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
