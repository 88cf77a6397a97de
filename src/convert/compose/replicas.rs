// SPDX-License-Identifier: MIT
//! Determines the containers of a service. Several containers become a template, with a symbolic
//! link to it for each instance. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{Context, Outcome};
use crate::compose::value::{Map, Value};

/// Maximum number of containers of one service, so that a typing error does not fill the directory.
const MOST: usize = 100;

/// The files of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The name of the `.container` file without extension, or of the template without its at sign.
    stem: String,
    /// The number of instances; `None` if the file is not a template.
    instances: Option<usize>,
}

impl Place {
    /// Chooses names that no other service has. A number is appended if `wanted` is taken.
    pub fn new(wanted: &str, containers: usize, taken: &mut BTreeSet<String>) -> Self {
        let instances = Some(containers).filter(|containers| *containers > 1);
        let mut place = Self { stem: wanted.to_owned(), instances };
        let mut number = 1;
        while place.names().any(|name| taken.contains(&name)) {
            number += 1;
            place.stem = format!("{wanted}-{number}");
        }
        taken.extend(place.names());
        place
    }

    /// Returns the name of the written file, without extension.
    pub fn file(&self) -> String {
        if self.instances.is_some() { format!("{}@", self.stem) } else { self.stem.clone() }
    }

    /// Returns the name of the `.image` file of the service, without extension.
    pub fn image(&self) -> &str {
        &self.stem
    }

    /// Returns the names of the files that describe the containers, without extension: one for each
    /// instance.
    pub fn all(&self) -> Vec<String> {
        match self.instances {
            None => vec![self.stem.clone()],
            Some(number) => (1..=number).map(|index| format!("{}@{index}", self.stem)).collect(),
        }
    }

    /// Returns the name of the file of the first container, without extension.
    pub fn first(&self) -> String {
        self.all().into_iter().next().unwrap_or_default()
    }

    /// Iterates over the names of the containers.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.all().into_iter().map(|file| file.replace('@', "-"))
    }

    /// Whether Docker Compose would give one of the containers this name.
    pub fn is_called(&self, container: &str) -> bool {
        (1..=self.instances.unwrap_or(1)).any(|index| container == format!("{}-{index}", self.stem))
    }
}

/// Returns the setting that has the number of containers of a service: its key and its value.
pub fn setting(settings: &Map) -> Option<(&'static str, &Value)> {
    let deploy = settings.get("deploy").and_then(|deploy| deploy.get("replicas"));
    let deploy = deploy.map(|value| ("deploy.replicas", value));
    deploy.or_else(|| settings.get("scale").map(|value| ("scale", value)))
}

/// Returns the number of containers of a service. If they could not run side by side, the result is
/// 1 and the reason is listed.
pub fn number(service: &str, settings: &Map, context: &mut Context<'_>) -> usize {
    let Some((key, value)) = setting(settings) else { return 1 };
    let Some(text) = value.scalar().filter(|text| text != "0" && text != "1") else { return 1 };
    let why = match text.parse::<usize>() {
        Err(_) => format!("{text} is no number"),
        Ok(number) if number > MOST => format!("a service has {MOST} containers at most"),
        Ok(number) => match unique_setting(settings) {
            Some(why) => why.to_owned(),
            None => return number,
        },
    };
    context.lose(service, key, format!("one container runs, not {text}: {why}"));
    1
}

/// Returns why a service can have only one container, if one of its settings must be unique.
fn unique_setting(settings: &Map) -> Option<&'static str> {
    let is_set = |value: Option<&Value>| {
        value.is_some_and(|value| !crate::compose::value::is_empty(value) && *value != Value::Null)
    };
    if is_set(settings.get("ports")) {
        return Some("a port of the host can be published once; write PublishPort= into a drop-in of each instance");
    }
    if is_set(settings.get("container_name")) {
        return Some("container_name: is for one container; remove it");
    }
    let networks = settings.get("networks").and_then(Value::as_map);
    let mut own = networks.into_iter().flat_map(Map::iter).filter_map(|(_, network)| network.as_map());
    let addresses = ["ipv4_address", "ipv6_address", "mac_address"];
    let has = |map: &Map| addresses.iter().any(|key| is_set(map.get(key)));
    (is_set(settings.get("mac_address")) || own.any(has)).then_some("an address is for one container; remove it")
}

/// Replaces each template by its instances, so that `check` sees what it would see on the host.
pub fn expand(out: &mut Outcome, places: &BTreeMap<&str, Place>) {
    for place in places.values().filter(|place| place.instances.is_some()) {
        if let Some(text) = out.files.remove(&file(&place.file())) {
            out.files.extend(place.all().iter().map(|instance| (file(instance), text.clone())));
        }
    }
}

/// Replaces the instances by their template again, and adds a link for each. The template gets the
/// text of the instance that lost the most lines, and each loss is listed once.
pub fn collapse(out: &mut Outcome, places: &BTreeMap<&str, Place>) {
    for place in places.values().filter(|place| place.instances.is_some()) {
        let template = file(&place.file());
        let all: Vec<String> = place.all().iter().map(|instance| file(instance)).collect();
        let texts: Vec<String> = all.iter().filter_map(|instance| out.files.remove(instance)).collect();
        for lost in &mut out.lost {
            if all.contains(&lost.subject) {
                lost.subject.clone_from(&template);
            }
        }
        let shortest = texts.iter().min_by_key(|text| text.len()).cloned();
        if let Some(text) = shortest.filter(|_| texts.len() == all.len()) {
            out.files.insert(template.clone(), text);
            out.links.extend(all.into_iter().map(|instance| (instance, template.clone())));
        }
    }
    let mut seen = BTreeSet::new();
    out.lost.retain(|lost| seen.insert(lost.clone()));
}

fn file(stem: &str) -> String {
    format!("{stem}.container")
}
