// SPDX-License-Identifier: MIT
//! `sdme-gen network`: writes, lists and removes `.network` files. It also reloads networks whose
//! files have changed since their start.

use std::path::Path;

use anyhow::{Result, anyhow, bail};

use crate::admin::write::files;
use crate::config::draft::Draft;
use crate::config::keys::FileType;
use crate::config::names::PodName;
use crate::model::Named;
use crate::paths::RUNTIME;
use crate::runtime::systemd;
use crate::started;

/// Reloads the networks that a starting pod needs, if their files have changed since they were
/// started.
///
/// # Errors
/// A network cannot be changed.
pub fn renew(unit: &str) -> Result<()> {
    for network in started::networks_of(unit) {
        if !started::is_current(&network) {
            // The dependencies are ignored, because the start of the pod is one of them.
            systemd::systemctl(&["reload", "--job-mode=ignore-dependencies", &network])?;
        }
    }
    Ok(())
}

/// A network and whether it is started.
#[derive(Debug)]
pub struct Listed {
    /// The network of the configuration.
    pub network: Named,
    /// Whether the network is started.
    pub active: bool,
}

/// Writes `/etc/sdme/NAME.network` with these keys, after checking its effect.
///
/// # Errors
/// The network exists, the file cannot be written, or the configuration would get a problem.
pub fn new(root: &Path, name: &str, keys: &[(&str, String)], dry_run: bool) -> Result<()> {
    if crate::runtime::model(root).networks.values().any(|network| network.name == name && exists(root, network)) {
        bail!("there is a network {name} already");
    }
    let mut draft = Draft::default();
    draft.section(FileType::Network.section());
    keys.iter()
        .try_for_each(|(key, value)| draft.own(FileType::Network, key, value))
        .map_err(|message| anyhow!(message))?;
    files::add(root, FileType::Network, name, &draft.to_string(), dry_run)
}

/// Whether a file configures the network. The default network needs no file.
fn exists(root: &Path, network: &Named) -> bool {
    root.join(network.file.trim_start_matches('/')).exists()
}

/// All networks without errors in the configuration, sorted by name.
#[must_use]
pub fn list(root: &Path) -> Vec<Listed> {
    let networks = crate::runtime::model(root).networks.into_values();
    networks.map(|network| Listed { active: is_active(root, &network.name), network }).collect()
}

fn is_active(root: &Path, name: &str) -> bool {
    root.join(RUNTIME.trim_start_matches('/')).join("networks").join(name).exists()
}

/// Removes `/etc/sdme/NAME.network`. With `force`, the file is removed even if files refer to it,
/// which are rejected from then on, and a started network is stopped with its members. Returns the
/// path of the file.
///
/// # Errors
/// The network is in use and `force` is not set, there is no such file, or the network cannot be
/// stopped or removed.
pub fn remove(root: &Path, name: &str, force: bool, dry_run: bool) -> Result<Vec<String>> {
    let file = files::file_name(FileType::Network, name);
    let model = crate::runtime::model(root);
    let network = model.networks.get(name);
    let configured = network.filter(|network| exists(root, network)).map(|network| &*network.file);
    let Some(file) = files::found(root, name, &file, configured)? else { bail!("there is no network {name}") };
    let members = network.map(|network| network.members.as_slice()).unwrap_or_default();
    let of = |member: &PodName| model.pods.get(member).map_or_else(|| member.to_string(), |pod| pod.file.to_string());
    let users: Vec<String> = members.iter().map(of).collect();
    let unit = is_active(root, name).then(|| Named::service(name));
    files::withdraw(root, name, &users, unit.as_deref(), force, dry_run)?;
    Ok(vec![files::drop_file(root, &file, dry_run)?])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn a_network_in_use_is_removed_only_by_force() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let subnet = |text: &str| [("Subnet", text.to_owned())];
        new(root, "front", &subnet("10.1.0.0/24"), false).unwrap();
        let text = fs::read_to_string(files::path(root, "front.network")).unwrap();
        assert_eq!(text, "[Network]\nSubnet=10.1.0.0/24\n");
        assert!(new(root, "front", &[], false).unwrap_err().to_string().contains("already"));
        // A file that is refused is not left behind.
        let error = format!("{:#}", new(root, "back", &subnet("10.1.0.0/16"), false).unwrap_err());
        assert!(error.contains("overlaps with"), "{error}");
        assert!(!files::path(root, "back.network").exists());
        fs::write(root.join("etc/sdme/one.container"), "[Container]\nNetwork=front\n").unwrap();
        let all = list(root);
        assert!(all.len() == 1 && all.iter().all(|l| !l.active && l.network.members == ["one"]), "{all:?}");
        assert_eq!(
            remove(root, "front", false, false).unwrap_err().to_string(),
            "front is used by /etc/sdme/one.container; change them, or use --force"
        );
        assert_eq!(remove(root, "front", true, true).unwrap(), ["/etc/sdme/front.network"]);
        assert!(files::path(root, "front.network").exists());
        assert_eq!(remove(root, "front", true, false).unwrap(), ["/etc/sdme/front.network"]);
        assert_eq!(remove(root, "front", true, false).unwrap_err().to_string(), "there is no network front");
        // A file in a subdirectory is found, too. A file of a package is not removed.
        let put = |directory: &str, name: &str| {
            fs::create_dir_all(root.join(directory)).unwrap();
            fs::write(root.join(directory).join(format!("{name}.network")), "[Network]\n").unwrap();
        };
        put("etc/sdme/site", "back");
        assert_eq!(remove(root, "back", false, false).unwrap(), ["/etc/sdme/site/back.network"]);
        assert!(!root.join("etc/sdme/site/back.network").exists());
        put("usr/share/sdme", "vendor");
        let error = remove(root, "vendor", true, false).unwrap_err().to_string();
        assert_eq!(error, "vendor is configured by /usr/share/sdme/vendor.network; remove that file");
    }
}
