// SPDX-License-Identifier: MIT
//! Determines the networks of each service, and writes its `Network=` lines. Pure.

pub mod files;
pub mod ports;

use std::collections::{BTreeMap, BTreeSet};

use self::files::{Network, external_file, networks};
use super::Context;
use crate::compose::value::{Map, Value, words};
use crate::config::values::is_domain;
use crate::convert::{Builder, name};
use crate::resolve::network::attach::is_mac;
use crate::resolve::network::named::is_interface;

/// The network connections of all services, and the networks of the project.
pub struct Plan<'a> {
    services: BTreeMap<&'a str, Connection>,
    networks: BTreeMap<String, Network>,
    /// Additional names of a service, which `links` of other services define.
    links: BTreeMap<String, BTreeSet<String>>,
}

/// The network connection of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Connection {
    /// A mode that allows no other network: the only value of `Network=`.
    Alone(String),
    /// The default bridge of the host. As in Docker, services have no names there except those of
    /// `links`.
    Bridge,
    /// A network that something else creates, by the name of its file without extension.
    External(String),
    /// The network namespace of another container, as a value of `Network=`.
    Joined(String),
    /// Networks of the project, by their keys in the section `networks`.
    Networks(Vec<String>),
}

/// Determines the networks of each converted service, and writes the files of these networks.
pub fn plan<'a>(context: &mut Context<'a>) -> Plan<'a> {
    let services: Vec<(&str, &Map)> = converted(context).collect();
    let mut connections = BTreeMap::new();
    let mut used = BTreeSet::new();
    for (service, settings) in &services {
        let connection = connection(service, settings, context);
        if let Connection::Networks(names) = &connection {
            used.extend(names.iter().cloned());
        }
        connections.insert(*service, connection);
    }
    let networks = networks(&used, context);
    for connection in connections.values_mut() {
        let Connection::Networks(names) = &*connection else { continue };
        let mut values = names.iter().filter_map(|name| Some(&networks.get(name)?.value));
        // `host` and `none` are predefined networks of Docker and cannot be combined with other
        // networks.
        if let Some(value) = values.find(|value| ["host", "none"].contains(&value.as_str())) {
            *connection = Connection::Alone(value.clone());
        }
    }
    let links = links(&services, context);
    Plan { services: connections, networks, links }
}

/// Iterates over the services that are converted, with their settings.
fn converted<'a>(context: &Context<'a>) -> impl Iterator<Item = (&'a str, &'a Map)> {
    let known: BTreeSet<&str> = context.containers.keys().copied().collect();
    let all = context.services.iter().filter_map(|(service, settings)| Some((service, settings.as_map()?)));
    all.filter(move |(service, _)| known.contains(service))
}

fn connection(service: &str, settings: &Map, context: &mut Context<'_>) -> Connection {
    let mode = settings.get("network_mode").and_then(Value::scalar).unwrap_or_default();
    let (kind, argument) = mode.split_once(':').unwrap_or((&mode, ""));
    match kind {
        "" | "default" => Connection::Networks(networks_of(service, settings, context)),
        "host" | "none" => Connection::Alone(kind.to_owned()),
        "bridge" => Connection::Bridge,
        // Podman gives such a container a network of its own, which is `uplink` here.
        "private" | "pasta" | "slirp4netns" => Connection::Alone("uplink".to_owned()),
        "service" | "container" => {
            let joined = if kind == "service" { Some(argument.to_owned()) } else { with_name(argument, context) };
            if let Some(place) = joined.and_then(|other| context.containers.get(other.as_str())) {
                return Connection::Joined(format!("{}.container", place.first()));
            }
            let reason = format!(
                "the project has no container for {argument}, whose network is to be joined; the service is in the project's network; \
                 set Network=NAME.container once that container has a file"
            );
            context.lose(service, "network_mode", reason);
            Connection::Networks(vec!["default".to_owned()])
        }
        // Any other mode is the name of an existing network.
        _ => Connection::External(external_file(&mode, context)),
    }
}

/// Returns the service whose container has this name.
fn with_name(container: &str, context: &Context<'_>) -> Option<String> {
    // Without `container_name`, Docker Compose appends a number to the name of the service.
    let generated = name(container);
    let mut all = converted(context);
    let found = all.find(|(service, settings)| {
        let named = settings.get("container_name").and_then(Value::scalar);
        named.as_deref() == Some(container)
            || context.containers.get(service).is_some_and(|place| place.is_called(&generated))
    });
    found.map(|(service, _)| service.to_owned())
}

/// Returns the networks of a service, the one with the default route first. A service without
/// networks is in the network `default`.
fn networks_of(service: &str, settings: &Map, context: &mut Context<'_>) -> Vec<String> {
    let mut all: Vec<(i64, i64, String)> = match settings.get("networks") {
        Some(Value::List(items)) => items.iter().filter_map(Value::scalar).map(|name| (0, 0, name)).collect(),
        Some(Value::Map(map)) => {
            let number = |value: &Value, key: &str| {
                value.get(key).and_then(Value::scalar).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0)
            };
            let one = |(name, value): (&str, &Value)| {
                // A higher priority sorts first.
                (-number(value, "gw_priority"), -number(value, "priority"), name.to_owned())
            };
            map.iter().map(one).collect()
        }
        _ => Vec::new(),
    };
    all.sort();
    all.dedup();
    let known = context.resolved.model.get("networks").and_then(Value::as_map);
    all.retain(|(.., network)| {
        let there = network == "default" || known.is_some_and(|known| known.get(network).is_some());
        if !there {
            context.lose(service, "networks", format!("there is no {network} in the section networks"));
        }
        there
    });
    if all.is_empty() { vec!["default".to_owned()] } else { all.into_iter().map(|(.., network)| network).collect() }
}

/// Returns the additional names of each service, from `links` of other services. A name that would
/// belong to two services is not used but listed as lost, because it would resolve to either of
/// them.
fn links(services: &[(&str, &Map)], context: &mut Context<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let mut owners: BTreeMap<String, String> =
        services.iter().map(|(service, _)| ((*service).to_owned(), (*service).to_owned())).collect();
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (service, settings) in services {
        for link in settings.get("links").map(words).unwrap_or_default() {
            let (other, alias) = link.split_once(':').unwrap_or((&link, &link));
            if !context.containers.contains_key(other) {
                continue;
            }
            if let Some(owner) = owners.get(alias).filter(|owner| *owner != other) {
                let reason =
                    format!("{alias} leads to {owner} in this project, and not to {other} for this service alone");
                context.lose(service, "links", reason);
                continue;
            }
            owners.insert(alias.to_owned(), other.to_owned());
            all.entry(other.to_owned()).or_default().insert(alias.to_owned());
        }
    }
    all
}

impl Plan<'_> {
    /// Writes the `Network=` lines of a service.
    pub fn write(&self, service: &str, settings: &Map, container: &mut Builder) {
        match self.services.get(service) {
            Some(Connection::Alone(network) | Connection::Joined(network)) => {
                container.put("network_mode", "Network", network);
            }
            Some(Connection::Bridge) => {
                let mut options = names(self.links_of(service).collect(), "links", container);
                options.extend(own_mac(settings, container));
                container.put("network_mode", "Network", &joined("bridge", &options));
            }
            Some(Connection::External(file)) => {
                let mut options = names(self.names_of(service, settings), "network_mode", container);
                options.extend(own_mac(settings, container));
                container.put("network_mode", "Network", &joined(&format!("{file}.network"), &options));
            }
            Some(Connection::Networks(networks)) => {
                // Two keys of the project can denote the same network.
                let mut seen = BTreeSet::new();
                let is_new = |network: &&String| seen.insert(self.networks.get(*network).map(|known| &known.value));
                for (index, network) in networks.iter().filter(is_new).enumerate() {
                    self.attach(service, settings, (network, index == 0), container);
                }
            }
            None => {}
        }
    }

    /// Iterates over the additional names of a service from `links` of other services.
    fn links_of(&self, service: &str) -> impl Iterator<Item = String> {
        self.links.get(service).into_iter().flatten().cloned()
    }

    /// Returns the names of a service in each of its networks.
    fn names_of(&self, service: &str, settings: &Map) -> Vec<String> {
        let named = settings.get("container_name").and_then(Value::scalar);
        std::iter::once(service.to_owned()).chain(named).chain(self.links_of(service)).collect()
    }

    /// Writes the connection of a service to one network of the project.
    fn attach(&self, service: &str, settings: &Map, (network, first): (&str, bool), container: &mut Builder) {
        let Some(known) = self.networks.get(network) else { return };
        let none = Map::default();
        let own = settings.get("networks").and_then(|networks| networks.get(network)?.as_map()).unwrap_or(&none);
        let mut aliases = self.names_of(service, settings);
        aliases.extend(own.get("aliases").map(words).unwrap_or_default());
        let mut options = names(aliases, &format!("networks.{network}.aliases"), container);
        let origin = |key: &str| format!("networks.{network}.{key}");
        let mut mac_written = false;
        for (key, value) in own.iter().filter(|(_, value)| **value != Value::Null) {
            let text = value.scalar().unwrap_or_default();
            match key {
                "ipv4_address" | "ipv6_address" => match known.address(&text) {
                    Ok(()) if key == "ipv4_address" => options.push(format!("ip={text}")),
                    Ok(()) => options.push(format!("ip6={text}")),
                    Err(reason) => container.note(&origin(key), &reason),
                },
                "mac_address" => {
                    options.extend(mac(&text, &origin(key), container));
                    mac_written = true;
                }
                "interface_name" if is_interface(&text) => options.push(format!("interface_name={text}")),
                "interface_name" => container.note(&origin(key), &format!("{text} is not the name of an interface")),
                "aliases" | "priority" | "gw_priority" => {}
                key if key.starts_with("x-") => {}
                _ => container.note(&origin(key), "this has no counterpart"),
            }
        }
        if first && !mac_written {
            options.extend(own_mac(settings, container));
        }
        container.put("networks", "Network", &joined(&known.value, &options));
    }

    /// Writes a published port of a service, unless its network connection makes that impossible.
    pub fn publish(&self, service: &str, port: &str, container: &mut Builder) {
        match self.services.get(service) {
            // Docker publishes no ports of such a container either.
            Some(Connection::Alone(network)) if ["host", "none"].contains(&network.as_str()) => {}
            Some(Connection::Joined(other)) => {
                let reason =
                    format!("{port} is not published; set PublishPort={port} in {other}, which has the network");
                container.note("ports", &reason);
            }
            _ => container.put("ports", "PublishPort", port),
        }
    }
}

/// Returns an `alias=` option for each name. A name that is not a valid host name is noted instead.
fn names(aliases: Vec<String>, origin: &str, container: &mut Builder) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut options = Vec::new();
    for alias in aliases.into_iter().filter(|alias| seen.insert(alias.clone())) {
        if is_domain(&alias) {
            options.push(format!("alias={alias}"));
        } else {
            container.note(origin, &format!("{alias} is not a host name"));
        }
    }
    options
}

/// Returns the `mac=` option for `mac_address` of the service, which applies to its first network.
fn own_mac(settings: &Map, container: &mut Builder) -> Option<String> {
    mac(&settings.get("mac_address").and_then(Value::scalar)?, "mac_address", container)
}

fn mac(text: &str, origin: &str, container: &mut Builder) -> Option<String> {
    if is_mac(text) {
        return Some(format!("mac={text}"));
    }
    if !text.is_empty() {
        container.note(origin, &format!("{text} is not an address such as 02:00:00:12:34:56"));
    }
    None
}

fn joined(network: &str, options: &[String]) -> String {
    if options.is_empty() { network.to_owned() } else { format!("{network}:{}", options.join(",")) }
}
