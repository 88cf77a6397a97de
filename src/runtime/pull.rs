// SPDX-License-Identifier: MIT
//! `sdme-gen pull NAME`, run by `sdme-image@NAME.service`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::{failure, systemd};
use crate::cause::{self, Cause};
use crate::config::keys::FileType;
use crate::config::values::source::ImageSource;
use crate::image::trust::{Refusal, is_refusal};
use crate::image::{self, Imported, Progress, Pull, Request, Store, import};
use crate::model::{Container, Image, Model};
use crate::paths::BINDIR;
use crate::resolve;

/// Imports the image called `name` as the configuration asks for.
///
/// # Errors
/// The configuration does not know the image, or it cannot be imported.
pub fn pull(root: &Path, name: &str, progress: &dyn Progress) -> Result<()> {
    pull_with(root, name, None, progress)
}

/// As [`pull`], as the command of the service that imports the image: the status of the unit says why an import fails.
///
/// # Errors
/// As for [`pull`].
pub fn of_unit(root: &Path, name: &str, progress: &dyn Progress) -> Result<()> {
    let unit = Image::service(name);
    let source = super::model(root).images.get(name).map_or_else(|| name.to_owned(), |image| image.source.to_string());
    // A process that is killed leaves this.
    let text = format!(
        "cannot import the image {source}: the import did not end by itself; systemctl status '{unit}' tells more"
    );
    cause::write(&unit, &Cause::new("no image", &text)).context("cannot write down that the import has begun")?;
    failure::of_command(&unit, |error| failure::of_image(name, &source, error), || pull(root, name, progress))?;
    cause::forget(&unit).context("cannot remove the note that the import has begun")
}

/// As [`pull`], with another policy than the configuration's.
///
/// # Errors
/// As for [`pull`].
pub fn pull_with(root: &Path, name: &str, policy: Option<Pull>, progress: &dyn Progress) -> Result<()> {
    let model = super::model(root);
    let image = known(&model, name)?;
    let store = Store::open(root);
    let mut request = request(&model, image)?;
    let mut updates = store.updates(name, &image.source.to_string());
    // While an update switches, starts use what it has linked.
    let linked = store.lookup(name).ok().flatten().filter(|_| policy.is_none());
    if let (Some(linked), Some(switch)) = (linked, &updates.switch)
        && linked.entry() == switch.to
    {
        return Ok(());
    }
    request.pull = match policy {
        Some(policy) => policy,
        // An image that was put back stays so, and no registry is asked.
        None if updates.is_held() && image.pull != Pull::Never => Pull::Missing,
        None => image.pull,
    };
    let imported = match import(&store, &request, progress) {
        // What the source has by now is not accepted. A start uses what was accepted before, if there is anything.
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
    // The image is there; former versions that are left are no reason to fail.
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

/// Marks a version as what a start can use as it is.
pub fn set_mark(model: &Model, image: &Image, imported: &Imported) {
    if let Some(mark) = resolve::image::mark(image, &model.installers) {
        image::mark::set(imported, &mark);
    }
}

/// What the configuration asks for.
///
/// # Errors
/// The file of the defaults, or the lock, cannot be used: past mirrors that may be named there, and past what is locked, nothing is
/// fetched.
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

/// Downloads the version of an image that is noted as wanted, and notes it as pending, or why it cannot be had. Nothing uses it
/// yet. Called by `sdme-download@NAME.service`, which is confined as an import is.
///
/// # Errors
/// It cannot be downloaded.
pub fn download(root: &Path, name: &str, progress: &dyn Progress) -> Result<()> {
    let model = super::model(root);
    let image = known(&model, name)?;
    let store = Store::open(root);
    let reference = image.source.to_string();
    let wanted = store.updates(name, &reference).wanted.context("no version is asked for; run sdme-gen update")?;
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
            updates.problem = Some(failure::of_image(name, &reference, error).text);
            updates.unaccepted = is_refusal(error);
        }
    }
    store.note_updates(name, &updates).and(found.map(drop))
}

/// Has a version of an image downloaded and verified, by a unit that is confined.
///
/// # Errors
/// It cannot be had.
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

/// Has the service manager remove former versions of an image beyond those that are kept, as soon as all starts of containers that
/// wait for the image have ended. This process cannot wait for them, because they wait for it.
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
