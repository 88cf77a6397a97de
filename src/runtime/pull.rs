// SPDX-License-Identifier: MIT
//! `sdme-gen pull NAME`, run by `sdme-image@NAME.service`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::{failure, systemd};
use crate::cause::{self, Cause};
use crate::config::keys::FileType;
use crate::config::values::source::ImageSource;
use crate::diag::Fault;
use crate::image::trust::{Refusal, is_refusal};
use crate::image::{self, Imported, Progress, Pull, Request, Store, import};
use crate::model::{Container, Image, Model};
use crate::paths::BINDIR;
use crate::resolve;

/// Imports the image `name` according to the configuration.
///
/// # Errors
/// The image is not in the configuration, or cannot be imported.
pub fn pull(root: &Path, name: &str, progress: &dyn Progress) -> Result<()> {
    pull_with(root, name, None, progress)
}

/// Like [`pull`], as the command of the unit that imports the image. If the import fails, the
/// status of the unit shows the cause.
///
/// # Errors
/// As for [`pull`].
pub fn of_unit(root: &Path, name: &str, progress: &dyn Progress) -> Result<()> {
    let unit = Image::service(name);
    let source = super::model(root).images.get(name).map_or_else(|| name.to_owned(), |image| image.source.to_string());
    // If this process is killed, this cause stays.
    let reason = format!("cannot import the image {source}: the import did not end by itself");
    let killed = Cause::new("no image", &reason, &format!("systemctl status '{unit}' tells more"));
    cause::write(&unit, &killed).context("cannot write down that the import has begun")?;
    failure::of_command(&unit, |error| failure::of_image(name, &source, error), || pull(root, name, progress))?;
    cause::forget(&unit).context("cannot remove the note that the import has begun")
}

/// Like [`pull`], with another pull policy than that of the configuration.
///
/// # Errors
/// As for [`pull`].
pub fn pull_with(root: &Path, name: &str, policy: Option<Pull>, progress: &dyn Progress) -> Result<()> {
    let model = super::model(root);
    let image = known(&model, name)?;
    let store = Store::open(root);
    let mut request = request(&model, image)?;
    let mut updates = store.updates(name, &image.source.to_string());
    // While an update switches versions, starts use the version that the update has linked.
    let linked = store.lookup(name).ok().flatten().filter(|_| policy.is_none());
    if let (Some(linked), Some(switch)) = (linked, &updates.switch)
        && linked.entry() == switch.to
    {
        return Ok(());
    }
    request.pull = match policy {
        Some(policy) => policy,
        // After a rollback, the image stays as it is and the registry is not asked.
        None if updates.is_held() && image.pull != Pull::Never => Pull::Missing,
        None => image.pull,
    };
    let imported = match import(&store, &request, progress) {
        // The present version at the source is refused. A start uses the imported version, if there
        // is one.
        Err(error) if policy.is_none() && is_refusal(&error) => {
            let Ok(found) = import(&store, &Request { pull: Pull::Never, ..request }, progress) else {
                return Err(error);
            };
            progress.warning(&format!("{error:#}; using what was imported before"));
            found
        }
        result => result?,
    };
    if policy.is_some() && updates.refused.remove(&imported.image.manifest) {
        updates.unaccepted = false;
        store.note_updates(name, &updates)?;
    }
    set_mark(&model, image, &imported);
    // The import has succeeded. Former versions that cannot be removed are only worth a warning.
    if let Err(error) = retire_later(root, &model, name) {
        progress.warning(&format!("former versions of {name} are left for sdme-gen prune: {error:#}"));
    }
    Ok(())
}

fn known<'a>(model: &'a Model, name: &str) -> Result<&'a Image> {
    match (model.images.get(name), model.rejection(FileType::Image, name)) {
        (Some(image), _) => Ok(image),
        (None, Some(problem)) => bail!("{problem}"),
        (None, None) => bail!("no .image file and no Image= asks for {name}"),
    }
}

/// Writes the pull stamp of a version, so that a start can use the version without a pull.
pub fn set_mark(model: &Model, image: &Image, imported: &Imported) {
    if let Some(mark) = resolve::image::mark(image, &model.installers) {
        image::mark::set(imported, &mark);
    }
}

/// The request for an image according to the configuration.
///
/// # Errors
/// `sdme.conf` or `sdme.lock` is invalid. Nothing is fetched then, because that could bypass the
/// mirrors or the pinned digests in these files.
pub fn request<'a>(model: &'a Model, image: &'a Image) -> Result<Request<'a>> {
    let defaults = model.rejected.iter().find(|r| r.file_type == FileType::Defaults);
    if let Some(problem) = defaults.and_then(|r| r.problems.first())
        && matches!(image.source, ImageSource::Registry(_))
    {
        bail!("{problem}");
    }
    if let Some(Err(problem)) = &model.lock {
        bail!("{problem}");
    }
    Ok(Request {
        mode: image.mode,
        pull: image.pull,
        platform: &image.platform,
        access: &image.access,
        registries: &model.registries,
        install: image.install,
        installers: &model.installers,
        digest: image.locked.as_deref(),
        trust: &image.trust,
        ..Request::new(&image.name, &image.source)
    })
}

/// Downloads the version of an image that is recorded as wanted. Records the version as pending, or
/// else the reason of the failure. The version is not used yet. Called by
/// `sdme-download@NAME.service`, which is confined like an import.
///
/// # Errors
/// The version cannot be downloaded.
pub fn download(root: &Path, name: &str, progress: &dyn Progress) -> Result<()> {
    let model = super::model(root);
    let image = known(&model, name)?;
    let store = Store::open(root);
    let reference = image.source.to_string();
    let wanted = store.updates(name, &reference).wanted;
    let wanted = wanted.ok_or_else(|| Fault::new("no version is asked for", "run sdme-gen update"))?;
    let found = (|| {
        let request = Request { digest: Some(&wanted), pull: Pull::Missing, ..request(&model, image)? };
        let former = store.former_versions(name)?;
        let found = image::download(&store, &request, progress)?;
        let current = store.lookup(name).ok().flatten();
        if former.iter().chain(&current).all(|known| known.entry() != found.entry()) {
            found.set_unused()?;
        }
        Ok(found)
    })();
    let mut updates = store.updates(name, &reference);
    updates.wanted = None;
    match &found {
        Ok(found) => updates.pending = Some(found.entry().to_owned()),
        Err(error) => {
            updates.problem = Some(failure::of_image(name, &reference, error).to_string());
            updates.unaccepted = is_refusal(error);
        }
    }
    store.note_updates(name, &updates).and(found.map(drop))
}

/// Downloads and verifies a version of an image by means of a confined unit.
///
/// # Errors
/// The version cannot be downloaded, or is refused.
pub fn fetch(store: &Store, image: &Image, digest: &str) -> Result<Imported> {
    let (name, reference) = (image.name.as_str(), image.source.to_string());
    let mut updates = store.updates(name, &reference);
    (updates.wanted, updates.problem, updates.pending) = (Some(digest.to_owned()), None, None);
    updates.unaccepted = false;
    store.note_updates(name, &updates)?;
    let unit = format!("sdme-download@{name}.service");
    super::systemd::forget_failure(Path::new("/"), &unit);
    let done = super::systemd::quietly(&["start", &unit]);
    let updates = store.updates(name, &reference);
    match (updates.pending, updates.problem, done) {
        (Some(entry), ..) => store.version(name, &entry),
        (None, Some(problem), _) if updates.unaccepted => Err(Refusal(problem).into()),
        (None, Some(problem), _) => bail!("{problem}"),
        (None, None, Err(error)) => Err(error.context(format!("journalctl -u '{unit}' shows why"))),
        (None, None, Ok(())) => bail!("nothing was downloaded; journalctl -u '{unit}' shows why"),
    }
}

/// Lets the service manager remove former versions of an image beyond those that are kept, after
/// all starts of containers that wait for the image. This process cannot wait for these starts,
/// because they wait for it.
fn retire_later(root: &Path, model: &Model, name: &str) -> Result<()> {
    let keep = model.registries.keep_versions;
    if !systemd::is_live(root) || !crate::image::has_superseded(&Store::open(root), name, keep)? {
        return Ok(());
    }
    let containers = model.containers.values().filter(|container| container.apps.iter().any(|app| app.image == name));
    let units: Vec<String> = containers.map(|container| Container::unit(&container.name)).collect();
    let status = Command::new("systemd-run")
        .args(["--quiet", "--no-block", "--collect", "--expand-environment=no"])
        .arg("--description=Removal of former versions of an image")
        .arg(format!("--property=After={}", units.join(" ")))
        .args([&format!("{BINDIR}/sdme-gen"), "retire", name])
        .stdin(Stdio::null())
        .status();
    if status.is_ok_and(|status| status.success()) { Ok(()) } else { bail!("systemd-run failed") }
}
