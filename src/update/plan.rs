// SPDX-License-Identifier: MIT
//! Which images an update concerns, and which containers are restarted for them in which order. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::values::source::AutoUpdate;
use crate::diag::Location;
use crate::model::{Container, Model};
use crate::plan::images as images_of;

/// A container that an update restarts when one of its images changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// The names of its images.
    pub images: BTreeSet<String>,
    /// The pod of its `.pod` file, if it is in one.
    pub pod: Option<String>,
    /// `UpdateSettle=`, in milliseconds.
    pub settle: u64,
    /// The place of its `UpdateSnapshot=yes`, if it has that.
    pub snapshot: Option<Location>,
}

/// What an update concerns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// The images, and what is done about a new version of each.
    pub images: BTreeMap<String, AutoUpdate>,
    /// The containers that may be restarted, by name.
    pub members: BTreeMap<String, Member>,
}

/// Images that are switched together, and the containers that are restarted for that, one after the other. If one of the
/// containers fails, all of the images go back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Names of images.
    pub images: BTreeSet<String>,
    /// Names of containers, in the order of their restarts.
    pub members: Vec<String>,
}

/// The pod that a container is in with others.
fn pod_of<'a>(container: &'a Container, model: &Model) -> Option<&'a String> {
    let pods = container.connection.oci_pod.iter().chain(container.connection.outer_pod());
    pods.into_iter().find(|pod| model.pods.get(&***pod).is_some_and(|pod| !pod.own))
}

/// The name of the template that a container's file is an instance of.
fn template(container: &Container) -> Option<&str> {
    let file = container.file.rsplit('/').next()?;
    file.split_once('@').map(|(template, _)| template)
}

/// The containers that a name means: a container, all of a pod, all on an image, or all instances of a template.
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

/// What an update of `names` concerns; without names, everything that `AutoUpdate=` asks for. What is named is updated
/// whether or not the configuration asks for it.
///
/// # Errors
/// There is nothing of a name.
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
            // Of a container that is named by its image, the other images are left alone.
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
        // Restarting a job would run it again.
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
        // Files of images that no container uses yet.
        let asked = image.auto_update.or(model.auto_update).filter(|asked| *asked != AutoUpdate::No);
        let policy = if names.is_empty() { asked } else { is_named(&image.name).then_some(AutoUpdate::Registry) };
        if let Some(policy) = policy {
            add(&mut targets.images, &image.name, policy);
        }
    }
    Ok(targets)
}

/// Of several wishes about one image, the one that does most counts.
fn add(images: &mut BTreeMap<String, AutoUpdate>, image: &str, policy: AutoUpdate) {
    let known = images.entry(image.to_owned()).or_insert(policy);
    *known = (*known).max(policy);
}

/// The order of restarts: members of one pod after each other, and numbered names by their numbers.
fn order(name: &str, member: Option<&Member>) -> (String, String, u64, String) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = name.get(stem.len()..).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let group = member.and_then(|member| member.pod.clone()).unwrap_or_else(|| stem.to_owned());
    (group, stem.to_owned(), number, name.to_owned())
}

/// Divides the images that change, and the containers that are restarted for them: what shares an image or a pod belongs
/// together.
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
    fn what_belongs_together_is_one_rollout() {
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
        // A member whose images stay the same is not restarted with its pod.
        let found = rollouts(&members, &set(&["pg"]));
        assert_eq!(found, [Rollout { images: set(&["pg"]), members: vec!["db".to_owned()] }]);
    }
}
