// SPDX-License-Identifier: MIT
//! `sdme-gen create`, `new` and `rm`: writes `.container` files, and removes them together with the
//! changes of their containers.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};

use super::files;
use crate::admin::leftovers;
use crate::cause;
use crate::config::keys::FileType;
use crate::config::names::ContainerName;
use crate::model::Container;
use crate::paths::{container_runtime, container_state, machine_root};
use crate::runtime::prepare::layers::stack;
use crate::runtime::systemd;
use crate::search::{SearchPath, search};
use crate::started;

/// A free name for a container of the image `image`: the last component of the image's name, with a
/// number if that name is in use.
#[must_use]
pub fn free_name(root: &Path, image: Option<&str>) -> String {
    let last = image.unwrap_or("host").rsplit(['/', ':']).find(|part| part.contains(char::is_alphabetic));
    let stem: String = image
        .map_or("host", |image| {
            let path = image.split('@').next().unwrap_or(image);
            let part = path.rsplit('/').next().unwrap_or(path);
            part.split(':').next().filter(|part| !part.is_empty()).or(last).unwrap_or("container")
        })
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let stem = stem.trim_matches('-').to_owned();
    let stem = if stem.parse::<ContainerName>().is_ok() { stem } else { "container".to_owned() };
    let sources = search(&SearchPath::from_environment(root));
    let taken = |name: &str| sources.files.iter().any(|f| f.file_type == FileType::Container && f.described() == name);
    if !taken(&stem) {
        return stem;
    }
    (2..u32::MAX).map(|n| format!("{stem}-{n}")).find(|name| !taken(name)).unwrap_or(stem)
}

/// Starts a container.
///
/// # Errors
/// The container does not start. The message contains the recorded cause, or the output of
/// `systemctl status`.
pub fn start(name: &str) -> Result<()> {
    let service = Container::unit(name);
    systemd::systemctl(&["start", &service]).map_err(|error| {
        if let Some(cause) = cause::of(&service) {
            let file = files::file_name(FileType::Container, name);
            return anyhow!("{name} does not start: {cause}; {file} stays as it is written");
        }
        let status = Command::new("systemctl").args(["status", "-n", "10", "-l", "--no-pager", &service]).output();
        let text = status.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
        anyhow!("{error}; {} stays as it is written\n{text}", files::file_name(FileType::Container, name))
    })
}

/// Removes a container: `/etc/sdme/NAME.container`, its drop-ins in that directory, and the
/// container's changes to its files. Named volumes stay. If the file was removed by hand, the rest
/// is removed. Returns the paths that were removed, or that would be removed with `dry_run`.
///
/// # Errors
/// The container runs and `force` is not set, its file is outside of `/etc/sdme`, or a path cannot
/// be removed.
pub fn remove(root: &Path, name: &str, force: bool, dry_run: bool) -> Result<Vec<String>> {
    if let Err(problem) = name.parse::<ContainerName>() {
        bail!("{problem}");
    }
    let mut file = files::file_name(FileType::Container, name);
    let state = container_state(name);
    let service = Container::unit(name);
    let mut is_there = files::path(root, &file).symlink_metadata().is_ok();
    let active = systemd::is_active(root, &service);
    if !is_there {
        let sources = search(&SearchPath::from_environment(root));
        let other = sources.files.iter().find(|f| f.file_type == FileType::Container && f.described() == name);
        // The file may also be in a subdirectory. For an instance, its link is removed and its
        // template stays.
        let own = other.map_or_else(|| file.clone(), |other| files::file_name(FileType::Container, &other.name));
        if let Some(found) = files::found(root, name, &own, other.map(|other| &*other.main.path))? {
            file = found;
            is_there = true;
        }
        // Without a file, the rest may be left from a file that was removed by hand.
        let left = |place: &String| root.join(place.trim_start_matches('/')).symlink_metadata().is_ok();
        if !is_there && !active && !leftovers::places(name).iter().any(left) && journal_links(root, name).is_empty() {
            bail!("there is no container {name}");
        }
    }
    if active && !force {
        bail!("{name} runs; run systemctl stop {service}, or use --force");
    }
    let mut stop = started::sockets_of(root, &service);
    if active {
        stop.push(service.clone());
    }
    if !dry_run && !stop.is_empty() && systemd::is_live(root) {
        let arguments: Vec<&str> = ["stop"].into_iter().chain(stop.iter().map(String::as_str)).collect();
        systemd::systemctl(&arguments)?;
    }
    if !dry_run {
        if systemd::is_live(root) {
            // A cleanup that was killed may have left mounts.
            stack::release(name)?;
        }
        stack::unmounted(&[
            root.join(container_runtime(name).trim_start_matches('/')),
            root.join(state.trim_start_matches('/')),
        ])?;
    }
    let drop_ins = format!("{}/{file}.d", files::DIRECTORY);
    let mut removed = if is_there { vec![format!("{}/{file}", files::DIRECTORY)] } else { Vec::new() };
    // The links for the next start would keep the image from being pruned.
    let journal = journal_links(root, name);
    for path in std::iter::once(drop_ins).chain(leftovers::places(name)).chain(journal) {
        let full = root.join(path.trim_start_matches('/'));
        let found = match full.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            other => other.with_context(|| format!("cannot look at {path}"))?,
        };
        if !dry_run {
            // Symbolic links in the directory, which the container may have made, are removed and
            // not followed.
            let removed = if found.is_dir() { fs::remove_dir_all(&full) } else { fs::remove_file(&full) };
            removed.with_context(|| format!("cannot remove {path}"))?;
        }
        removed.push(path);
    }
    if !dry_run {
        if is_there {
            files::remove(root, &file)?;
        }
        leftovers::remove_mount_point(root, name);
        systemd::reload(root)?;
        systemd::forget_failure(root, &service);
    }
    Ok(removed)
}

/// Links to the container's journal, which systemd-nspawn made for earlier versions of sdme-gen
/// (`LinkJournal=`). They lead into the container's root directory.
fn journal_links(root: &Path, name: &str) -> Vec<String> {
    const JOURNALS: &str = "/var/log/journal";
    let inside = Path::new(&machine_root(name)).join("var/log/journal");
    let entries = fs::read_dir(root.join(JOURNALS.trim_start_matches('/'))).into_iter().flatten().flatten();
    entries
        .filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(&inside)))
        .filter_map(|entry| Some(format!("{JOURNALS}/{}", entry.file_name().to_str()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_container_gets_a_free_name_after_its_image() {
        let dir = tempfile::tempdir().unwrap();
        let name = |image| free_name(dir.path(), image);
        assert_eq!(name(Some("docker.io/library/nginx:1.27")), "nginx");
        assert_eq!(name(Some("ubuntu")), "ubuntu");
        assert_eq!(name(Some("localhost:5000/my_app@sha256:00")), "my-app");
        assert_eq!(name(Some("oci:/srv/images/nginx")), "nginx");
        assert_eq!(name(None), "host");
        files::add(dir.path(), FileType::Container, "host", "[Container]\n", false).unwrap();
        assert_eq!(name(None), "host-2");
    }

    #[test]
    fn the_link_of_an_instance_is_removed_and_its_template_stays() {
        let dir = tempfile::tempdir().unwrap();
        files::write(dir.path(), "web@.container", "[Container]\nImage=nginx\n").unwrap();
        for index in 1..=2 {
            files::link(dir.path(), &format!("web@{index}.container"), "web@.container").unwrap();
        }
        let left = dir.path().join("var/lib/sdme/containers/web-1/upper");
        fs::create_dir_all(&left).unwrap();
        let removed = remove(dir.path(), "web-1", false, false).unwrap();
        assert_eq!(removed, ["/etc/sdme/web@1.container", "/var/lib/sdme/containers/web-1"]);
        assert!(!left.exists());
        let there = |file| files::path(dir.path(), file).symlink_metadata().is_ok();
        assert_eq!(["web@.container", "web@1.container", "web@2.container"].map(there), [true, false, true]);
    }

    #[test]
    fn a_removal_includes_changes_and_a_dry_run_removes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert_eq!(remove(root, "web", false, false).unwrap_err().to_string(), "there is no container web");
        assert!(remove(root, "../web", false, false).is_err());
        files::add(root, FileType::Container, "web", "[Container]\n", true).unwrap();
        assert!(!root.join("etc").exists());
        files::add(root, FileType::Container, "web", "[Container]\n", false).unwrap();
        assert!(files::add(root, FileType::Container, "web", "[Container]\n", false).is_err());
        let upper = root.join("var/lib/sdme/containers/web/upper");
        fs::create_dir_all(&upper).unwrap();
        std::os::unix::fs::symlink(root.join("etc"), upper.join("link")).unwrap();
        let want = ["/etc/sdme/web.container", "/var/lib/sdme/containers/web"];
        assert_eq!(remove(root, "web", false, true).unwrap(), want);
        assert!(upper.exists());
        assert_eq!(remove(root, "web", false, false).unwrap(), want);
        assert!(!upper.exists() && root.join("etc/sdme").exists());
    }

    #[test]
    fn a_file_with_errors_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let text = "[Container]\nHostnam=x\nPod=none.pod\n";
        let error = files::add(dir.path(), FileType::Container, "web", text, false).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.starts_with("nothing was written: /etc/sdme/web.container:2: unknown key Hostnam="), "{error}");
        assert!(!dir.path().join("etc").exists());
    }
}
