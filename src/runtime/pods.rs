// SPDX-License-Identifier: MIT
//! `sdme-gen pod`: `.pod` files written, listed and removed.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::Compiled;
use crate::resolve::pod::Pod;

/// A pod and whether its network is there.
#[derive(Debug)]
pub struct Listed {
    /// The pod.
    pub pod: Pod,
    /// Whether it is started.
    pub active: bool,
}

fn file_of(root: &Path, name: &str) -> PathBuf {
    root.join("etc/sdme").join(format!("{name}.pod"))
}

/// Writes `/etc/sdme/NAME.pod`. What it leads to is looked at before it stays.
///
/// # Errors
/// When there is such a file, it cannot be written, or the configuration does not take it.
pub fn new(root: &Path, name: &str, uplink: bool, ports: &[String]) -> Result<()> {
    if let Some(message) = crate::resolve::bad_name(name) {
        bail!("{}", message.replace("container", "pod"));
    }
    let Compiled { model, diagnostics: before, .. } = super::compile(root);
    if model.pods.contains_key(name) {
        bail!("there is a pod {name} already");
    }
    let mut text = String::from("[Pod]\n");
    if uplink {
        text += "Network=uplink\n";
    }
    for port in ports {
        if port.chars().any(char::is_control) {
            bail!("{port:?} is no port");
        }
        text += &format!("PublishPort={port}\n");
    }
    let path = file_of(root, name);
    fs::create_dir_all(root.join("etc/sdme"))
        .and_then(|()| fs::File::create_new(&path))
        .and_then(|_| fs::write(&path, text))
        .with_context(|| format!("cannot write {}", path.display()))?;
    // Of two files that want one port, the other one may be what is rejected.
    let after = super::compile(root).diagnostics;
    if let Some(problem) = after.iter().find(|problem| !before.contains(problem)) {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        bail!("{problem}");
    }
    Ok(())
}

/// All pods that can be used, those of one container among them, by name.
#[must_use]
pub fn list(root: &Path) -> Vec<Listed> {
    let pods = super::compile(root).model.pods.into_values();
    pods.map(|pod| Listed { active: is_active(root, &pod.name), pod }).collect()
}

fn is_active(root: &Path, name: &str) -> bool {
    root.join(Pod::path(name).trim_start_matches('/')).exists()
}

/// Removes `/etc/sdme/NAME.pod`. With `force` also if containers refer to it, which are then rejected, and stops it first if it
/// is started.
///
/// # Errors
/// When it is in use and `force` is not set, there is no such file, or it cannot be stopped or removed.
pub fn remove(root: &Path, name: &str, force: bool) -> Result<()> {
    let path = file_of(root, name);
    let model = super::compile(root).model;
    let pod = model.pods.get(name).filter(|pod| !pod.own);
    if let Some(pod) = pod
        && !path.exists()
    {
        bail!("{name} is configured by {}; remove that file", pod.file);
    }
    if !force {
        let members = pod.map(|pod| pod.members.as_slice()).unwrap_or_default();
        if !members.is_empty() {
            let files: Vec<String> = members.iter().map(|member| format!("{member}.container")).collect();
            bail!("{name} is used by {}; change them, or use --force", files.join(", "));
        }
        if is_active(root, name) {
            bail!("{name} is started; run systemctl stop {}, or use --force", Pod::service(name));
        }
    } else if root == Path::new("/") && is_active(root, name) {
        let status = Command::new("systemctl").args(["stop", &Pod::service(name)]).status();
        if !status.context("cannot run systemctl")?.success() {
            bail!("{} cannot be stopped", Pod::service(name));
        }
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("there is no pod {name}"),
        other => other.with_context(|| format!("cannot remove {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn from_first_to_last() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let ports = |all: &[&str]| all.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        new(root, "web", true, &ports(&["8080:80", "8443:443"])).unwrap();
        assert_eq!(
            fs::read_to_string(file_of(root, "web")).unwrap(),
            "[Pod]\nNetwork=uplink\nPublishPort=8080:80\nPublishPort=8443:443\n"
        );
        assert!(new(root, "web", false, &[]).unwrap_err().to_string().contains("already"));
        assert!(new(root, "a/b", false, &[]).is_err() && new(root, "x@", false, &[]).is_err());
        // What cannot be used is not left behind.
        let error = new(root, "other", false, &ports(&["8080:80"])).unwrap_err().to_string();
        assert!(error.contains("web.pod:3: port 8080/tcp of the host is /etc/sdme/other.pod:2's already"), "{error}");
        assert!(new(root, "other", false, &ports(&["80/sctp"])).is_err() && !file_of(root, "other").exists());

        fs::write(root.join("etc/sdme/one.container"), "[Container]\nPod=web.pod\n").unwrap();
        let all = list(root);
        assert_eq!(all.len(), 1);
        assert!(all.iter().all(|l| !l.active && l.pod.members == ["one"] && l.pod.cable.is_some()));
        assert!(remove(root, "web", false).unwrap_err().to_string().starts_with("web is used by one.container"));
        fs::remove_file(root.join("etc/sdme/one.container")).unwrap();
        fs::create_dir_all(root.join("run/sdme/pods/web/netns")).unwrap();
        assert!(remove(root, "web", false).unwrap_err().to_string().starts_with("web is started"));
        fs::remove_dir_all(root.join("run")).unwrap();
        remove(root, "web", false).unwrap();
        assert_eq!(remove(root, "web", true).unwrap_err().to_string(), "there is no pod web");
        assert!(list(root).is_empty());
    }
}
