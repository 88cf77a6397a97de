// SPDX-License-Identifier: MIT
//! `sdme-gen pod`: writes, lists and removes `.pod` files.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::admin::write::files;
use crate::cause;
use crate::config::draft::Draft;
use crate::config::keys::FileType;
use crate::model::Pod;
use crate::runtime::failure;
use crate::runtime::ports::taken;
use crate::started;

/// A pod and whether it is started.
#[derive(Debug)]
pub struct Listed {
    /// The pod of the configuration.
    pub pod: Pod,
    /// Whether the pod is started.
    pub active: bool,
}

/// Writes `/etc/sdme/NAME.pod`, after checking its effect.
///
/// # Errors
/// The pod exists, the file cannot be written, or the configuration would get a problem.
pub fn new(root: &Path, name: &str, uplink: bool, ports: &[String], dry_run: bool) -> Result<()> {
    if crate::runtime::model(root).pods.contains_key(name) {
        bail!("there is a pod {name} already");
    }
    let mut draft = Draft::default();
    draft.section("Pod");
    let network = uplink.then_some(("Network", "uplink"));
    let mut keys = network.into_iter().chain(ports.iter().map(|port| ("PublishPort", port.as_str())));
    keys.try_for_each(|(key, value)| draft.own(FileType::Pod, key, value)).map_err(|message| anyhow!(message))?;
    files::add(root, FileType::Pod, name, &draft.to_string(), dry_run)
}

/// All pods without errors in the configuration, including those of single containers, sorted by
/// name.
#[must_use]
pub fn list(root: &Path) -> Vec<Listed> {
    let pods = crate::runtime::model(root).pods.into_values();
    pods.map(|pod| Listed { active: is_active(root, &pod.name), pod }).collect()
}

fn is_active(root: &Path, name: &str) -> bool {
    root.join(Pod::path(name).trim_start_matches('/')).exists()
}

/// Called when a unit starts that keeps a copy of itself: the socket of a port, or the network of a
/// pod. The ports of a pod must be open before its network starts.
///
/// # Errors
/// A port is not open, a network of the pod is missing, or the copy cannot be written.
pub fn started(unit: &str) -> Result<()> {
    if unit.ends_with(".service") {
        cause::forget(unit).context("cannot remove the cause of an earlier failure")?;
        failure::of_command(unit, failure::of_start, || Ok(failure::networks(unit)?))?;
        if let Some(cause) = taken::check(unit)? {
            failure::record(unit, &cause);
            return Err(cause.into_error());
        }
    }
    started::keep(unit).with_context(|| format!("cannot keep a copy of {unit}"))
}

/// Removes `/etc/sdme/NAME.pod`. With `force`, the file is removed even if containers refer to it,
/// which are rejected from then on, and a started pod is stopped. Returns the
/// path of the file.
///
/// # Errors
/// The pod is in use and `force` is not set, there is no such file, or the pod cannot be stopped or
/// removed.
pub fn remove(root: &Path, name: &str, force: bool, dry_run: bool) -> Result<Vec<String>> {
    let file = files::file_name(FileType::Pod, name);
    let model = crate::runtime::model(root);
    let pod = model.pods.get(name).filter(|pod| !pod.own);
    let file = files::found(root, name, &file, pod.map(|pod| &*pod.file))?;
    let members = pod.map(|pod| pod.members.as_slice()).unwrap_or_default();
    let users: Vec<String> = members.iter().map(|member| format!("{member}.container")).collect();
    let unit = is_active(root, name).then(|| Pod::service(name));
    files::withdraw(root, name, &users, unit.as_deref(), force, dry_run)?;
    let Some(file) = file else { bail!("there is no pod {name}") };
    Ok(vec![files::drop_file(root, &file, dry_run)?])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn a_pod_in_use_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let ports = |all: &[&str]| all.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        let file_of = |name: &str| files::path(root, &format!("{name}.pod"));
        let new = |name: &str, uplink, all: &[&str]| new(root, name, uplink, &ports(all), false);
        let remove = |name: &str, force| remove(root, name, force, false);
        new("web", true, &["8080:80", "8443:443"]).unwrap();
        assert_eq!(
            fs::read_to_string(file_of("web")).unwrap(),
            "[Pod]\nNetwork=uplink\nPublishPort=8080:80\nPublishPort=8443:443\n"
        );
        assert!(new("web", false, &[]).unwrap_err().to_string().contains("already"));
        assert!(new("a/b", false, &[]).is_err() && new("x@", false, &[]).is_err());
        // A file that is refused is not left behind.
        let error = new("other", false, &["8080:80"]).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("port 8080/tcp of the host is also published by /etc/sdme/other.pod:2"), "{error}");
        assert!(new("other", false, &["80/sctp"]).is_err() && !file_of("other").exists());

        fs::write(root.join("etc/sdme/one.container"), "[Container]\nPod=web.pod\n").unwrap();
        let all = list(root);
        assert_eq!(all.len(), 1);
        assert!(all.iter().all(|l| !l.active && l.pod.members == ["one"] && l.pod.veth_pair.is_some()));
        assert!(remove("web", false).unwrap_err().to_string().starts_with("web is used by one.container"));
        fs::remove_file(root.join("etc/sdme/one.container")).unwrap();
        fs::create_dir_all(root.join("run/sdme/pods/web/netns")).unwrap();
        assert!(remove("web", false).unwrap_err().to_string().starts_with("web is started"));
        fs::remove_dir_all(root.join("run")).unwrap();
        remove("web", false).unwrap();
        assert_eq!(remove("web", true).unwrap_err().to_string(), "there is no pod web");
        assert!(list(root).is_empty());
        fs::create_dir(root.join("etc/sdme/site")).unwrap();
        fs::write(root.join("etc/sdme/site/web.pod"), "[Pod]\n").unwrap();
        assert_eq!(remove("web", false).unwrap(), ["/etc/sdme/site/web.pod"]);
    }
}
