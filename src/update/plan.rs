// SPDX-License-Identifier: MIT
//! Selects the images that an update concerns, and the order in which their containers are
//! restarted. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::values::source::AutoUpdate;
use crate::diag::Location;
use crate::model::{Container, Model};
use crate::plan::images as images_of;

/// A container that an update restarts if one of its images changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// The names of the container's images.
    pub images: BTreeSet<String>,
    /// The pod of the container's `.pod` file, if it has one.
    pub pod: Option<String>,
    /// The value of `UpdateSettle=`, in milliseconds.
    pub settle: u64,
    /// The location of `UpdateSnapshot=yes`, if it is set.
    pub snapshot: Option<Location>,
}

/// The images and containers that an update concerns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// The images, each with the action for a new version.
    pub images: BTreeMap<String, AutoUpdate>,
    /// The containers that may be restarted, by name.
    pub members: BTreeMap<String, Member>,
}

/// Images that are switched together, and the containers that are restarted for them one after the
/// other. If one of the containers fails, all of the images are switched back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rollout {
    /// The names of the images.
    pub images: BTreeSet<String>,
    /// The names of the containers, in the order of their restarts.
    pub members: Vec<String>,
}

/// Returns the pod that a container shares with others.
fn pod_of<'a>(container: &'a Container, model: &Model) -> Option<&'a String> {
    let pods = container.connection.oci_pod.iter().chain(container.connection.outer_pod());
    pods.into_iter().find(|pod| model.pods.get(&***pod).is_some_and(|pod| !pod.own))
}

/// Returns the name of the template if the container's file is an instance of one.
fn template(container: &Container) -> Option<&str> {
    let file = container.file.rsplit('/').next()?;
    file.split_once('@').map(|(template, _)| template)
}

/// Returns the containers that a name denotes: one container, all containers of a pod, all
/// containers of an image, or all instances of a template.
#[must_use]
pub fn named<'a>(model: &'a Model, name: &str) -> Vec<&'a Container> {
    let all = || model.containers.values().map(|container| &**container);
    if let Some(container) = model.containers.get(name) {
        return vec![container];
    }
    if model.pods.contains_key(name) {
        return all().filter(|container| pod_of(container, model).is_some_and(|pod| pod == name)).collect();
    }
    if model.images.contains_key(name) {
        return all().filter(|container| images_of(container, model).contains(&name)).collect();
    }
    all().filter(|container| template(container) == Some(name.trim_end_matches('@'))).collect()
}

/// Returns the images and containers that an update of `names` concerns; without names, those for
/// which `AutoUpdate=` is set. A named image or container is updated even if `AutoUpdate=` is not
/// set for it.
///
/// # Errors
/// Returns a message if a name is unknown.
pub fn targets(model: &Model, names: &[String]) -> Result<Targets, String> {
    let mut targets = Targets::default();
    let mut chosen: BTreeSet<&str> = BTreeSet::new();
    for name in names {
        let found = named(model, name);
        if found.is_empty() && !model.images.contains_key(name) {
            return Err(format!("there is no container, pod, template or image {name}"));
        }
        chosen.extend(found.iter().map(|container| container.name.as_str()));
    }
    let is_named = |image: &str| names.iter().any(|name| name == image);
    for container in model.containers.values() {
        let is_chosen = chosen.contains(container.name.as_str());
        if !names.is_empty() && !is_chosen {
            continue;
        }
        let images = images_of(container, model);
        let mut restarts = false;
        for image in &images {
            let asked = Some(model.auto_update(container, image)).filter(|asked| *asked != AutoUpdate::No);
            // If a container is selected only by the name of an image, its other images are not
            // updated.
            let only = names.iter().filter(|name| model.images.contains_key(*name)).count() == names.len();
            let policy = match asked {
                _ if is_chosen && only && !is_named(image) => None,
                None if is_chosen => Some(AutoUpdate::Registry),
                asked => asked,
            };
            let Some(policy) = policy else { continue };
            restarts |= matches!(policy, AutoUpdate::Registry | AutoUpdate::Local);
            add(&mut targets.images, image, policy);
        }
        // A restart would run a job again.
        if restarts && !container.is_job() {
            let member = Member {
                images: images.iter().map(|image| (*image).to_owned()).collect(),
                pod: pod_of(container, model).cloned(),
                settle: model.update_settle(container),
                snapshot: model.update_snapshot(container).cloned(),
            };
            targets.members.insert(container.name.to_string(), member);
        }
    }
    for image in model.images.values().filter(|image| image.file.is_some()) {
        // An image file may be used by no container yet.
        let asked = image.auto_update.or(model.auto_update).filter(|asked| *asked != AutoUpdate::No);
        let policy = if names.is_empty() { asked } else { is_named(&image.name).then_some(AutoUpdate::Registry) };
        if let Some(policy) = policy {
            add(&mut targets.images, &image.name, policy);
        }
    }
    Ok(targets)
}

/// Adds an image with an action. Of several actions for one image, the strongest is kept.
fn add(images: &mut BTreeMap<String, AutoUpdate>, image: &str, policy: AutoUpdate) {
    let known = images.entry(image.to_owned()).or_insert(policy);
    *known = (*known).max(policy);
}

/// Returns the sort key for restarts: members of one pod are adjacent, and numbered names are
/// sorted by number.
fn order(name: &str, member: Option<&Member>) -> (String, String, u64, String) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = name.get(stem.len()..).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let group = member.and_then(|member| member.pod.clone()).unwrap_or_else(|| stem.to_owned());
    (group, stem.to_owned(), number, name.to_owned())
}

/// Groups the changed images and the containers that are restarted for them. Images and containers
/// that share an image or a pod are in one group.
#[must_use]
pub fn rollouts(members: &BTreeMap<String, Member>, changed: &BTreeSet<String>) -> Vec<Rollout> {
    type Part = (BTreeSet<String>, BTreeSet<String>, BTreeSet<String>);
    let single = |image: &String| (BTreeSet::from([image.clone()]), BTreeSet::new(), BTreeSet::new());
    let of_member = |(name, member): (&String, &Member)| {
        let images: BTreeSet<String> = member.images.intersection(changed).cloned().collect();
        let part: Part = (images, BTreeSet::from([name.clone()]), member.pod.iter().cloned().collect());
        (!part.0.is_empty()).then_some(part)
    };
    let mut parts: Vec<Part> = Vec::new();
    for part in members.iter().filter_map(of_member).chain(changed.iter().map(single)) {
        let touches = |other: &Part| !other.0.is_disjoint(&part.0) || !other.2.is_disjoint(&part.2);
        let (joined, apart): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(touches);
        let whole = joined.into_iter().fold(part.clone(), |mut whole, other| {
            whole.0.extend(other.0);
            whole.1.extend(other.1);
            whole.2.extend(other.2);
            whole
        });
        parts = apart;
        parts.push(whole);
    }
    let mut rollouts: Vec<Rollout> = parts
        .into_iter()
        .map(|(images, names, _)| {
            let mut names: Vec<String> = names.into_iter().collect();
            names.sort_by_cached_key(|name| order(name, members.get(name)));
            Rollout { images, members: names }
        })
        .collect();
    rollouts.sort_by(|a, b| (&a.members, &a.images).cmp(&(&b.members, &b.images)));
    rollouts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(images: &[&str], pod: Option<&str>) -> Member {
        let images = images.iter().map(|i| (*i).to_owned()).collect();
        Member { images, pod: pod.map(str::to_owned), ..Member::default() }
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn containers_that_share_an_image_or_a_pod_are_one_rollout() {
        let members = [
            ("web-2", member(&["nginx"], None)),
            ("web-10", member(&["nginx"], None)),
            ("web-1", member(&["nginx"], None)),
            ("db", member(&["pg"], Some("shop"))),
            ("front", member(&["own", "debian"], Some("shop"))),
            ("idle", member(&["other"], None)),
        ];
        let members: BTreeMap<String, Member> = members.into_iter().map(|(n, m)| (n.to_owned(), m)).collect();
        let found = rollouts(&members, &set(&["nginx", "pg", "own", "alone"]));
        let found: Vec<(BTreeSet<String>, Vec<&str>)> =
            found.iter().map(|r| (r.images.clone(), r.members.iter().map(String::as_str).collect())).collect();
        let want = [
            (set(&["alone"]), vec![]),
            (set(&["own", "pg"]), vec!["db", "front"]),
            (set(&["nginx"]), vec!["web-1", "web-2", "web-10"]),
        ];
        assert_eq!(found, want);
        assert!(rollouts(&members, &BTreeSet::new()).is_empty());
        // A member whose images did not change is not restarted with its pod.
        let found = rollouts(&members, &set(&["pg"]));
        assert_eq!(found, [Rollout { images: set(&["pg"]), members: vec!["db".to_owned()] }]);
    }
}
