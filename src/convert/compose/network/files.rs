// SPDX-License-Identifier: MIT
//! Writes the files of a project's networks. A file is named after the network in Docker
//! (`PROJECT_NETWORK`, or the name that the project sets), so that projects which share a network
//! refer to the same file. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::compose::value::{Map, Value, words};
use crate::config::keys::FileType;
use crate::convert::compose::{Context, builder, unique};
use crate::convert::{Builder, name};
use crate::model::Subnet;
use crate::resolve::network::named::is_interface;

/// A network of a project.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// The value of `Network=` for this network.
    pub value: String,
    /// The subnets that the project sets. A network that something else creates has none here.
    subnets: Vec<Subnet>,
}

impl Network {
    /// Checks that a member can request this address.
    ///
    /// # Errors
    /// Returns an error if the text is not an address, if the address is in none of the subnets
    /// that the project sets, or if it is the gateway.
    pub fn address(&self, text: &str) -> Result<(), String> {
        let address: IpAddr = text.parse().map_err(|_| format!("{text} is not an address"))?;
        if self.subnets.iter().any(|subnet| subnet.has(address) && subnet.gateway != address) {
            return Ok(());
        }
        Err(format!("{text} is not in a subnet that the project gives this network; the address is chosen"))
    }
}

/// Writes the files of the networks that services use. Returns the networks by their keys in the
/// project.
pub fn networks(used: &BTreeSet<String>, context: &mut Context<'_>) -> BTreeMap<String, Network> {
    let none = Value::Null;
    let resolved = context.resolved;
    let section = resolved.model.get("networks");
    let mut all: BTreeMap<String, Network> = BTreeMap::new();
    let mut written: BTreeMap<String, String> = BTreeMap::new();
    for network in used {
        let settings = section.and_then(|section| section.get(network)).unwrap_or(&none);
        let external = settings.get("external").filter(|external| external.boolean() != Some(false));
        let given = external.and_then(|external| external.get("name")).or_else(|| settings.get("name"));
        let given = given.and_then(Value::scalar).filter(|given| !given.is_empty());
        let own = given.unwrap_or_else(|| match external {
            Some(_) => network.clone(),
            None => format!("{}_{network}", resolved.name),
        });
        // Networks of these names or drivers are predefined in Docker and have no file.
        let driver = settings.get("driver").and_then(Value::scalar).unwrap_or_default();
        let predefined = [own.as_str(), driver.as_str()].into_iter().find(|word| ["host", "none"].contains(word));
        if let Some(value) = predefined.or((external.is_some() && own == "bridge").then_some("bridge")) {
            all.insert(network.clone(), Network { value: value.to_owned(), subnets: Vec::new() });
            continue;
        }
        let same = written.get(&own).and_then(|other| all.get(other)).cloned();
        let known = same.unwrap_or_else(|| {
            let (stem, subnets) = if external.is_some() {
                (external_file(&own, context), Vec::new())
            } else {
                write(network, &own, settings, context)
            };
            Network { value: format!("{stem}.network"), subnets }
        });
        written.insert(own, network.clone());
        all.insert(network.clone(), known);
    }
    all
}

/// Adds the file of a network that something else creates, to be written only if there is no such
/// file yet. Returns the name of the file without extension.
pub fn external_file(own: &str, context: &mut Context<'_>) -> String {
    let stem = name(own);
    let file = format!("{stem}.network");
    if !context.out.files.contains_key(&file) {
        context.out.files.insert(file.clone(), builder(FileType::Network).draft.to_string());
        context.out.shared.insert(file);
    }
    stem
}

fn write(network: &str, own: &str, settings: &Value, context: &mut Context<'_>) -> (String, Vec<Subnet>) {
    let mut file = builder(FileType::Network);
    let mut subnets = Vec::new();
    for (key, value) in settings.as_map().into_iter().flat_map(Map::iter).filter(|(_, value)| **value != Value::Null) {
        let text = value.scalar().unwrap_or_default();
        match key {
            "driver" if ["", "default", "bridge"].contains(&text.as_str()) => {}
            "driver" => {
                let reason = format!("the driver {text} has no counterpart; the network is a bridge of this host");
                file.note(key, &reason);
            }
            "driver_opts" => value.as_map().into_iter().flat_map(Map::iter).for_each(|(option, value)| {
                driver_option(option, &value.scalar().unwrap_or_default(), &mut file);
            }),
            "ipam" => addresses(value, &mut subnets, &mut file),
            "internal" if value.boolean() == Some(true) => file.put(key, "Internal", "yes"),
            "enable_ipv6" if value.boolean() == Some(true) => ipv6(key, settings, &mut file),
            "enable_ipv4" if value.boolean() == Some(false) => {
                file.note(key, "the members have addresses of IPv4, too");
            }
            "labels" => words(value).iter().for_each(|label| file.put(key, "Label", label)),
            "internal" | "enable_ipv6" | "enable_ipv4" | "attachable" | "name" | "external" => {}
            key if key.starts_with("x-") => {}
            _ => file.note(key, "unknown key; it is ignored"),
        }
    }
    // If another network has referred to this name as external, this file replaces the placeholder.
    context.out.shared.remove(&format!("{}.network", name(own)));
    let others = context.out.files.keys().filter(|file| !context.out.shared.contains(*file));
    let stems = others.filter_map(|file| file.strip_suffix(".network")).map(str::to_owned);
    let stem = unique(&name(own), &mut stems.collect());
    context.take_notes(&format!("network {network}"), &mut file);
    context.out.files.insert(format!("{stem}.network"), file.draft.to_string());
    (stem, subnets)
}

/// Requests a unique local IPv6 subnet, unless the project sets an IPv6 subnet.
fn ipv6(origin: &str, settings: &Value, file: &mut Builder) {
    let configs = settings.get("ipam").and_then(|ipam| ipam.get("config")).and_then(Value::as_list).unwrap_or_default();
    let given = configs.iter().filter_map(|config| config.get("subnet")?.scalar()).any(|subnet| subnet.contains(':'));
    if !given {
        file.put(origin, "IPv6", "yes");
    }
}

fn driver_option(option: &str, value: &str, file: &mut Builder) {
    let key = format!("driver_opts.{option}");
    match option.trim_start_matches("com.docker.network.") {
        "driver.mtu" | "mtu" => file.put(&key, "Options", &format!("mtu={value}")),
        "bridge.name" if is_interface(value) => file.put(&key, "InterfaceName", value),
        "enable_ipv6" if ["true", "1"].contains(&value) => file.put(&key, "IPv6", "yes"),
        "enable_ipv6" | "bridge.default_bridge" => {}
        "bridge.enable_icc" | "bridge.enable_ip_masquerade" if ["true", "1", ""].contains(&value) => {}
        "bridge.host_binding_ipv4" if ["", "0.0.0.0"].contains(&value) => {}
        "bridge.enable_icc" => file.note(&key, "members of a network reach each other"),
        "bridge.enable_ip_masquerade" => file.note(&key, "members reach other networks with the host's address"),
        _ => file.note(&key, &format!("{value} has no counterpart")),
    }
}

fn addresses(ipam: &Value, subnets: &mut Vec<Subnet>, file: &mut Builder) {
    for (key, value) in ipam.as_map().into_iter().flat_map(Map::iter).filter(|(_, value)| **value != Value::Null) {
        match key {
            "driver" if value.scalar().is_some_and(|driver| ["", "default"].contains(&driver.as_str())) => {}
            "config" => {
                for config in value.as_list().unwrap_or_default() {
                    ipam_config(config, subnets, file);
                }
            }
            key if key.starts_with("x-") => {}
            _ => file.note(&format!("ipam.{key}"), "this has no counterpart; addresses are chosen by sdme-gen"),
        }
    }
    if !subnets.is_empty() && subnets.iter().all(|subnet| !subnet.is_ipv4()) {
        file.note("ipam.config", "the members have addresses of IPv6 only; add a subnet of IPv4");
    }
}

/// Writes one entry of `ipam.config`.
fn ipam_config(config: &Value, subnets: &mut Vec<Subnet>, file: &mut Builder) {
    let text = |key: &str| config.get(key).and_then(Value::scalar).filter(|text| !text.is_empty());
    let Some(subnet) = text("subnet") else {
        if config.as_map().is_some_and(|map| map.iter().next().is_some()) {
            file.note("ipam.config", "an entry without a subnet is ignored");
        }
        return;
    };
    match Subnet::parse(&subnet) {
        Ok(parsed) => subnets.push(parsed),
        Err(fault) => {
            return file.note("ipam.config.subnet", &format!("{}; the addresses are chosen", fault.cause));
        }
    }
    file.put("ipam.config.subnet", "Subnet", &subnet);
    if let Some(gateway) = text("gateway") {
        match (subnets.last_mut(), gateway.parse::<IpAddr>()) {
            (Some(subnet), Ok(address)) if subnet.has(address) => {
                subnet.gateway = address;
                file.put("ipam.config.gateway", "Gateway", &gateway);
            }
            _ => file.note("ipam.config.gateway", &format!("{gateway} is not in {subnet}")),
        }
    }
    if let Some(range) = text("ip_range") {
        file.put("ipam.config.ip_range", "IPRange", &range);
    }
    if config.get("aux_addresses").is_some() {
        file.note("ipam.config.aux_addresses", "addresses are not kept free; limit the others with ip_range:");
    }
}
