// SPDX-License-Identifier: MIT
//! `sdme-gen fs` and `sdme-gen prune`: the store of images together with the configuration that
//! names them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};

use super::show::ps::units;
use crate::config::keys::FileType;
use crate::config::values::source::{ImageSource, ModeSetting, Pull};
use crate::image::trust::Judge;
use crate::image::{Progress, Removed, Retention, Store, check_name};
use crate::model::{Base, Container, Model};
use crate::paths::{RUNTIME, STATE};
use crate::rootdir::replace::{self, Content, replace};
use crate::rootdir::tree::Tree;
use crate::runtime::pull::pull_with;
use crate::runtime::systemd;

/// First line of the files that `fs import` writes. `fs rm` removes only files with this line.
const MARK: &str = "# Written by sdme-gen fs import; sdme-gen fs rm removes it.\n";

fn path_of(name: &str) -> String {
    format!("etc/sdme/{name}.image")
}

fn file_of(root: &Path, name: &str) -> PathBuf {
    root.join(path_of(name))
}

/// The request of `fs import`.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The source of the image.
    pub source: &'a str,
    /// `Mode=`
    pub mode: ModeSetting,
    /// `Base=`: the name of an image, or `host`.
    pub base: Option<&'a str>,
    /// Whether to replace the file of an earlier import, and to pull even if the image is already
    /// imported.
    pub force: bool,
}

/// The new text and the present text of `/etc/sdme/NAME.image`.
///
/// # Errors
/// The name or the source is invalid, or another file exists and `force` is not set.
pub fn planned(root: &Path, name: &str, wanted: &Wanted<'_>) -> Result<(String, Option<String>)> {
    check_name(name)?;
    let parsed: ImageSource = wanted.source.parse().map_err(|fault| anyhow!("{fault}"))?;
    let mode = match wanted.mode {
        ModeSetting::Auto => "",
        ModeSetting::Base => "Mode=base\n",
        ModeSetting::App => "Mode=app\n",
    };
    let base = match wanted.base {
        None => None,
        Some("host") => Some(Base::Host),
        Some(base) => {
            let base = base.strip_suffix(".image").unwrap_or(base);
            check_name(base)?;
            Some(Base::Image(base.to_owned()))
        }
    };
    if wanted.mode == ModeSetting::Base && base.is_some() {
        bail!("an operating system has no other image below it; leave out --base-fs");
    }
    let base_line = match &base {
        None => String::new(),
        Some(Base::Host) => "Base=host\n".to_owned(),
        Some(Base::Image(base)) => format!("Base={base}.image\n"),
    };
    let force = wanted.force;
    let path = file_of(root, name);
    let text = format!("{MARK}[Image]\nImage={parsed}\n{mode}{base_line}");
    if parsed.to_string().ends_with('\\') {
        bail!("a path that ends in a backslash cannot be written into a file; rename it");
    }
    let old = match fs::read_to_string(&path) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    match old {
        Some(old) if !old.starts_with(MARK) => {
            same_as_written(root, name, &parsed, mode, base.as_ref())?;
            Ok((old.clone(), Some(old)))
        }
        Some(old) if old != text && !force => {
            bail!("{} is there already and says something else; edit it, or use --force", path.display())
        }
        old => Ok((text, old)),
    }
}

/// Checks that a `.image` file written by hand has the same source, mode and base as the request.
/// Such a file is never rewritten, and all of its settings apply.
fn same_as_written(root: &Path, name: &str, source: &ImageSource, mode: &str, base: Option<&Base>) -> Result<()> {
    let path = file_of(root, name);
    let model = crate::runtime::model(root);
    let Some(image) = model.images.get(name) else {
        match model.rejection(FileType::Image, name) {
            Some(problem) => bail!("{problem}"),
            None => bail!("{} is there already and names no image; edit or remove that file", path.display()),
        }
    };
    if image.source != *source {
        bail!(
            "{} was written by hand and names another source, {}; edit or remove that file",
            path.display(),
            image.source
        );
    }
    let written = match image.mode {
        ModeSetting::Auto => "Mode=auto\n",
        ModeSetting::Base => "Mode=base\n",
        ModeSetting::App => "Mode=app\n",
    };
    if !mode.is_empty() && mode != written {
        bail!("{} was written by hand and says {}; edit that file", path.display(), written.trim_end());
    }
    if base.is_some() && base != image.base.as_ref() {
        bail!("{} was written by hand and says another Base=; edit that file", path.display());
    }
    Ok(())
}

/// Writes `/etc/sdme/NAME.image`, unless it has that text already, and imports the image as
/// `sdme-image@NAME` would.
///
/// # Errors
/// The name or the source is invalid, another file exists and `force` is not set, or the import
/// fails. After a failed import, the file is as it was before.
pub fn import(root: &Path, name: &str, wanted: &Wanted<'_>, progress: &dyn Progress) -> Result<()> {
    let force = wanted.force;
    let (text, old) = planned(root, name, wanted)?;
    if old.as_ref() != Some(&text) {
        write(root, name, &text)?;
    }
    // With `force`, an existing import is not sufficient.
    pull_with(root, name, force.then_some(Pull::Always), progress).inspect_err(|_| {
        // An error here is ignored, because the error of the import is reported.
        let _ = match &old {
            None => delete(root, name),
            Some(old) => write(root, name, old),
        };
    })
}

/// Pulls an image again, with all settings of the configuration except its pull policy. No
/// configuration file is written.
///
/// # Errors
/// The image is not in the configuration, or cannot be imported.
pub fn pull_again(root: &Path, name: &str, progress: &dyn Progress) -> Result<()> {
    pull_with(root, name, Some(Pull::Always), progress)
}

fn write(root: &Path, name: &str, text: &str) -> Result<()> {
    let content = Content::File(text.as_bytes());
    fs::create_dir_all(root)
        .and_then(|()| Tree::open(root))
        .and_then(|tree| replace(&tree, &path_of(name), content))
        .with_context(|| format!("cannot write {}", file_of(root, name).display()))
}

fn delete(root: &Path, name: &str) -> Result<()> {
    Tree::open(root)
        .and_then(|tree| replace::remove(&tree, &path_of(name)))
        .with_context(|| format!("cannot remove {}", file_of(root, name).display()))
}

/// Removes an image from the store, and its file if `fs import` wrote it. Returns the paths that
/// are removed. With `dry_run`, only checks whether that is possible.
///
/// # Errors
/// A configured container or image uses the image, a container runs on it, or it cannot be removed.
pub fn remove(root: &Path, name: &str, dry_run: bool) -> Result<Vec<String>> {
    let model = crate::runtime::model(root);
    let users = users(&model, name);
    if !users.is_empty() {
        bail!("{name} is used by {}", users.join(", "));
    }
    let entries = crate::image::remove(&Store::open(root), name, &|| pinned(root), dry_run)?;
    let mut removed: Vec<String> = entries.iter().map(|entry| format!("{STATE}/store/{entry}")).collect();
    if fs::read_to_string(file_of(root, name)).is_ok_and(|text| text.starts_with(MARK)) {
        if !dry_run {
            delete(root, name)?;
        }
        removed.push(format!("/{}", path_of(name)));
    }
    Ok(removed)
}

fn users(model: &Model, name: &str) -> Vec<String> {
    let on = |base: &Base| matches!(base, Base::Image(base) if base == name);
    let containers = model.containers.values();
    let containers =
        containers.filter(|c| c.apps.iter().any(|a| a.image == name) || (!c.apps.is_empty() && on(&c.base)));
    let images = model.images.values().filter(|i| i.base.as_ref().is_some_and(on));
    containers.map(|c| format!("{}.container", c.name)).chain(images.map(|i| format!("{}.image", i.name))).collect()
}

/// The containers that use images: running ones by the store entry that they run on, and configured
/// ones by the name of the image.
///
/// # Errors
/// The links of the running containers cannot be read.
pub fn used_by(root: &Path) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (container, entries) in running(root)? {
        for entry in entries {
            found.entry(entry).or_default().insert(container.clone());
        }
    }
    let model = crate::runtime::model(root);
    for container in model.containers.values() {
        for image in crate::plan::images(container, &model) {
            found.entry(image.to_owned()).or_default().insert(container.name.to_string());
        }
    }
    Ok(found)
}

/// The imported images that the present trust settings would refuse, by the signatures in the
/// store, each with the reason.
///
/// # Errors
/// The store cannot be read.
pub fn unaccepted(root: &Path, name: Option<&str>) -> Result<Vec<String>> {
    let model = crate::runtime::model(root);
    let store = Store::open(root);
    let names = name.map_or_else(|| store.names(), |name| Ok(vec![name.to_owned()]))?;
    let mut problems = Vec::new();
    for name in names {
        // verify() reports other problems of the image.
        let (Some(image), Ok(Some(found))) = (model.images.get(&name), store.lookup(&name)) else { continue };
        let judge = Judge::new(&image.source, &image.trust, root);
        if let Err(error) = judge.and_then(|judge| judge.again(&found)) {
            problems.push(format!("{name}: {error:#}"));
        }
    }
    Ok(problems)
}

/// Removes former versions, layers, leftovers of imports and downloads that are not needed.
///
/// # Errors
/// The images in use cannot be determined, or a path cannot be removed.
pub fn prune(root: &Path, dry_run: bool) -> Result<Vec<Removed>> {
    let registries = crate::runtime::model(root).registries;
    let retention = Retention { versions: registries.keep_versions, cache: registries.cache_size };
    crate::image::prune(&Store::open(root), &|| pinned(root), retention, dry_run)
}

/// Removes former versions of an image beyond those that are kept, unless a container runs on them.
///
/// # Errors
/// As for [`prune`].
pub fn retire(root: &Path, name: &str) -> Result<Vec<Removed>> {
    let keep = crate::runtime::model(root).registries.keep_versions;
    crate::image::retire(&Store::open(root), name, &|| pinned(root), keep)
}

/// The store entries in use, each with one of the containers that run on it.
fn pinned(root: &Path) -> Result<BTreeMap<String, String>> {
    let all = running(root)?.into_iter();
    Ok(all.flat_map(|(name, entries)| entries.into_iter().map(move |entry| (entry, name.clone()))).collect())
}

/// The running containers, each with the store entries that it runs on. The entries come from the
/// links that prepare has made. The links of a container that does not run are leftovers and are
/// not counted.
///
/// # Errors
/// The links cannot be read.
pub fn running(root: &Path) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let directory = root.join(RUNTIME.trim_start_matches('/')).join("containers");
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // If the service manager does not answer, every container with links counts as running.
    let units = if systemd::is_live(root) { units::read().ok() } else { None };
    for container in entries(&directory)? {
        let name = container.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let runs = |units: &units::Units| units.get(&Container::unit(&name)).is_some_and(units::Unit::is_active);
        if !units.as_ref().is_none_or(runs) {
            continue;
        }
        // The links of additional applications are in a directory.
        let apps = entries(&container.join("apps"))?;
        for link in ["app", "base"].map(|link| container.join(link)).into_iter().chain(apps) {
            // The target is …/store/ENTRY/tree. Links to other directories are skipped, and a link
            // may not exist yet.
            let Ok(target) = fs::read_link(link) else { continue };
            let entry = target.parent().filter(|entry| entry.parent().is_some_and(|store| store.ends_with("store")));
            let entry = entry.and_then(Path::file_name).and_then(|entry| entry.to_str());
            found.entry(name.clone()).or_default().extend(entry.map(str::to_owned));
        }
    }
    Ok(found)
}

/// The paths of the entries of a directory. The directory may be missing.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let all = match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => Err(error),
    };
    all.with_context(|| format!("cannot read {}", directory.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::image::Silent;

    fn tarball(path: &Path, file: &str) -> String {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o755);
        builder.append_data(&mut header, file, &b""[..]).unwrap();
        fs::write(path, builder.into_inner().unwrap()).unwrap();
        format!("rootfs:{}", path.display())
    }

    #[test]
    fn from_import_to_removal() {
        if !nix::unistd::geteuid().is_root() {
            assert!(std::env::var_os("SDME_TEST_REQUIRE").is_none(), "from_import_to_removal: needs root");
            eprintln!("SKIP from_import_to_removal: needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let archive = root.join("x.tar");
        let source = tarball(&archive, "one");
        let wanted = |mode, force| Wanted { source: &source, mode, base: None, force };
        let get = |force| import(root, "x", &wanted(ModeSetting::App, force), &Silent);
        assert!(import(root, "../x", &wanted(ModeSetting::App, false), &Silent).is_err());
        // A failed import leaves no file behind.
        assert!(import(root, "x", &wanted(ModeSetting::Base, false), &Silent).is_err());
        assert!(!file_of(root, "x").exists());
        get(false).unwrap();
        get(false).unwrap();
        assert!(import(root, "x", &wanted(ModeSetting::Base, false), &Silent).is_err());
        assert!(fs::read_to_string(file_of(root, "x")).unwrap().ends_with("Mode=app\n"));

        // A container runs on the first version while the second and third are imported.
        let store = Store::open(root);
        let first = store.lookup("x").unwrap().unwrap();
        fs::write(first.tree.join("oci/env"), "A=b\n").unwrap();
        let verify = || crate::image::verify(&store, Some("x")).unwrap();
        assert!(verify().is_empty());
        fs::write(first.tree.join("oci/root/more"), "").unwrap();
        assert_eq!(verify(), ["x: `oci/root` was changed (time)", "x: `oci/root/more` was added"]);
        let runtime = root.join("run/sdme/containers/web");
        fs::create_dir_all(&runtime).unwrap();
        fs::create_dir(runtime.join("apps")).unwrap();
        symlink(&first.tree, runtime.join("apps/x")).unwrap();
        tarball(&archive, "two");
        get(true).unwrap();
        let second = store.lookup("x").unwrap().unwrap();
        tarball(&archive, "three");
        get(true).unwrap();
        fs::create_dir_all(root.join("var/lib/sdme/store/.import-1x")).unwrap();
        // One former version is kept by default.
        let leftover = Removed::Leftover(".import-1x".into());
        assert_eq!(prune(root, true).unwrap(), std::slice::from_ref(&leftover));
        assert!(retire(root, "x").unwrap().is_empty());
        fs::write(root.join("etc/sdme/sdme.conf"), "[Defaults]\nKeepVersions=0\n").unwrap();
        let entry = second.dir.file_name().unwrap().to_str().unwrap().to_owned();
        let want = [Removed::Entry(entry), leftover];
        assert_eq!(prune(root, true).unwrap(), want);
        assert!(second.tree.exists());
        assert_eq!(prune(root, false).unwrap(), want);
        assert!(!second.dir.exists() && first.tree.exists() && prune(root, false).unwrap().is_empty());

        // Pruning waits while a start holds the lock of the store.
        tarball(&archive, "four");
        get(true).unwrap();
        let hold = store.hold().unwrap();
        let third = std::thread::scope(|scope| {
            let pruning = scope.spawn(|| prune(root, false).unwrap());
            std::thread::yield_now();
            let third = fs::read_dir(root.join("var/lib/sdme/store")).unwrap().map(|entry| entry.unwrap().path());
            let third = third.filter(|path| path.join("tree/oci/root/three").exists()).last().unwrap();
            symlink(third.join("tree"), runtime.join("base")).unwrap();
            drop(hold);
            assert!(pruning.join().unwrap().is_empty());
            third
        });
        assert!(third.exists());

        // An image is not removed while a container runs on it or is configured with it.
        assert!(remove(root, "x", false).unwrap_err().to_string().contains("the container web runs on"));
        fs::remove_dir_all(&runtime).unwrap();
        fs::write(root.join("etc/sdme/web.container"), "[Container]\nImage=x.image\n").unwrap();
        assert_eq!(remove(root, "x", false).unwrap_err().to_string(), "x is used by web.container");
        fs::remove_file(root.join("etc/sdme/web.container")).unwrap();
        let removed = remove(root, "x", true).unwrap();
        assert!(removed.iter().all(|path| root.join(path.trim_start_matches('/')).exists()), "{removed:?}");
        assert_eq!(remove(root, "x", false).unwrap(), removed);
        assert!(removed.last().is_some_and(|path| path == "/etc/sdme/x.image"), "{removed:?}");
        assert!(!file_of(root, "x").exists() && !first.dir.exists());
        assert!(store.names().unwrap().is_empty() && remove(root, "x", false).is_err());
    }

    /// A file that the administrator has written is never rewritten, and its settings apply.
    #[test]
    fn files_of_the_administrator_stay_as_they_are() {
        if !nix::unistd::geteuid().is_root() {
            assert!(
                std::env::var_os("SDME_TEST_REQUIRE").is_none(),
                "files_of_the_administrator_stay_as_they_are: needs root"
            );
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let (archive, store) = (root.join("x.tar"), Store::open(root));
        let source = tarball(&archive, "one");
        let text = format!("# ours\n[Image]\nImage={source}\nMode=app\nRetry=5\n");
        fs::create_dir_all(root.join("etc/sdme")).unwrap();
        fs::write(file_of(root, "x"), &text).unwrap();
        let get = |source: &str, mode, force| import(root, "x", &Wanted { source, mode, base: None, force }, &Silent);
        let digest = || store.lookup("x").unwrap().unwrap().image.manifest;
        let mut known = BTreeSet::new();
        for (force, content) in [(false, "one"), (true, "two"), (true, "three")] {
            tarball(&archive, content);
            get(&source, ModeSetting::App, force).unwrap();
            assert!(known.insert(digest()), "the source was asked again");
        }
        tarball(&archive, "four");
        pull_again(root, "x", &Silent).unwrap();
        assert!(known.insert(digest()));
        let other = tarball(&root.join("y.tar"), "other");
        let error = get(&other, ModeSetting::App, true).unwrap_err().to_string();
        assert!(error.contains("was written by hand and names another source"), "{error}");
        let error = get(&source, ModeSetting::Base, true).unwrap_err().to_string();
        assert!(error.contains("was written by hand and says Mode=app"), "{error}");
        assert_eq!(fs::read_to_string(file_of(root, "x")).unwrap(), text);
        assert!(!known.insert(digest()));
    }

    #[test]
    fn downloads_within_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let cache = root.join("var/lib/sdme/blobs/sha256");
        fs::create_dir_all(&cache).unwrap();
        fs::create_dir_all(root.join("var/lib/sdme/store/.locks")).unwrap();
        for (age, name) in [(1, "new"), (3, "oldest"), (2, "old")] {
            let file = fs::File::create(cache.join(name)).unwrap();
            file.set_len(1000).unwrap();
            file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
        }
        fs::create_dir_all(root.join("etc/sdme")).unwrap();
        fs::write(root.join("etc/sdme/sdme.conf"), "[Defaults]\nCacheSize=2K\n").unwrap();
        assert_eq!(prune(root, false).unwrap(), [Removed::Download("oldest".into(), 1000)]);
        assert!(!cache.join("oldest").exists() && cache.join("old").exists());
        assert_eq!(crate::image::verify(&Store::open(root), None).unwrap().len(), 2);
    }
}
