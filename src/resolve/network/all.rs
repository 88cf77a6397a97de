// SPDX-License-Identifier: MIT
//! All networks of a configuration: those of `.network` files and those without a file, and the
//! pods, which need addresses when all containers are known. Pure.

use std::sync::Arc;

use crate::config::keys::{FileType, KeyName, key};
use crate::config::names::{ContainerName, NetworkName};
use crate::diag::{Code, Diagnostic, Location, Problem};
use crate::model::{Connection, Container, Model, Named, Network, Pod};
use crate::resolve::network::named::{self, Networks};
use crate::resolve::network::range::{self, Range};
use crate::resolve::pod::{self, Pods};
use crate::resolve::references::{Names, Readable};
use crate::resolve::{defaults, install};

/// Reads `.network` files, and adds the default network and other networks without a file.
pub(in crate::resolve) fn networks(
    readable: &Readable<'_>,
    names: &Names,
    uplinks: &Result<Range, Problem>,
    model: &mut Model,
) -> Networks {
    let mut networks = Networks::default();
    for rejected in model.rejected.iter().filter(|r| r.file_type == FileType::Network) {
        let name = names.network(&rejected.name).to_owned();
        networks.bad.extend(rejected.problems.first().map(|problem| (name, problem.clone())));
    }
    for ((_, name), (file, settings)) in readable.iter().filter(|((t, _), _)| *t == FileType::Network) {
        let read = named::network(names.network(name), &file.main.path, settings, names, &mut model.warnings);
        if let Err(problems) = read.and_then(|network| networks.add(network)) {
            networks.bad.extend(problems.first().map(|problem| (names.network(name).to_owned(), problem.clone())));
            model.reject(file, problems, install::links(settings, names, &mut Vec::new()));
        }
    }
    let usual = (!is_file(names, NetworkName::DEFAULT)).then_some(NetworkName::DEFAULT);
    for name in usual.into_iter().chain(names.implicit_networks()) {
        // An invalid name is reported at the key that has it.
        let Ok(valid) = name.parse() else { continue };
        let network = Named::without_file(valid);
        let at = Location::whole(&network.file);
        if networks.add(network).is_err() {
            // The file of another network has requested the bridge of this name.
            let problem = Diagnostic::error(
                &at,
                Code::Conflict.problem(
                    format!("the bridge of the network {name} is that of another network"),
                    "write InterfaceName= in the file of that network",
                ),
            );
            networks.bad.insert(name.to_owned(), problem);
        }
    }
    let range = addresses(readable, model, key::NETWORK_RANGE, Range::networks());
    let chosen = match (&range, uplinks) {
        (Ok(range), Ok(uplinks)) => networks.choose(*range, *uplinks),
        (Err(problem), _) | (_, Err(problem)) => networks.without(problem),
    };
    for (network, problem) in chosen {
        networks.bad.insert(network.name.to_string(), problem.clone());
        if is_file(names, &network.name) {
            let Named { name, file, install, .. } = network;
            model.refuse(FileType::Network, name.into(), file, problem, install);
        }
    }
    networks
}

/// Whether a `.network` file describes the network of this name.
pub(in crate::resolve) fn is_file(names: &Names, network: &str) -> bool {
    names.file_of_network(network).is_some()
}

/// Completes the pods when all containers are known: adds their members and addresses. Rejects pods
/// without addresses, and the containers in them.
pub(in crate::resolve) fn complete_pods(
    mut pods: Pods,
    range: &Result<Range, Problem>,
    networks: &mut Networks,
    model: &mut Model,
) {
    let reject = |model: &mut Model, name: &str, problem: &dyn Fn(&Arc<str>) -> Diagnostic| {
        if let Some(Container { name, file, install, .. }) = model.containers.remove(name).map(|c| *c) {
            let problem = problem(&file);
            model.refuse(FileType::Container, name.into(), file, problem, install);
        }
    };
    for (pod, problem) in pods.settle(&model.containers, range, networks) {
        for name in &pod.members {
            let own = pod.own && pod.name == name.as_str();
            reject(model, name, &|file| {
                if own { problem.clone() } else { pod::refused(file, &pod.file, &problem) }
            });
        }
        if !pod.own {
            let Pod { name, file, install, .. } = pod;
            model.refuse(FileType::Pod, name.into(), file, problem, install);
        }
    }
    // The container whose network this one joins may have been rejected.
    let is_missing = |container: &Container| match &container.connection {
        Connection { network: Network::Pod(pod), joined: Some(_), .. } => !pods.good.contains_key(pod.as_str()),
        _ => false,
    };
    let missing: Vec<ContainerName> =
        model.containers.values().filter(|c| is_missing(c)).map(|c| c.name.clone()).collect();
    for name in missing {
        let other = model.containers.get(name.as_str()).and_then(|c| c.connection.joined.clone()).unwrap_or_default();
        let cause = format!("the container joins the network of {other}.container, which cannot be used");
        let problem = Code::UnusableFile.problem(cause, "correct that file");
        reject(model, &name, &|file| Diagnostic::error(&Location::whole(file), problem.clone()));
    }
    model.pods = pods.good;
    name_servers(networks, model);
}

/// Gives containers without name servers those of their networks.
fn name_servers(networks: &Networks, model: &mut Model) {
    for container in model.containers.values_mut().filter(|container| container.resolver.servers.is_empty()) {
        let connection = &container.connection;
        let ((Some(pod), _) | (None, Network::Pod(pod))) = (&connection.oci_pod, &connection.network) else { continue };
        let named = model.pods.get(pod.as_str()).into_iter().flat_map(|pod| &pod.networks);
        let servers =
            named.filter_map(|a| networks.good.get(a.network.as_str())).flat_map(|network| network.dns.clone());
        container.resolver.servers = servers.collect();
    }
}

/// Reads `UplinkRange=` of `sdme.conf`.
pub(in crate::resolve) fn uplinks(readable: &Readable<'_>, model: &mut Model) -> Result<Range, Problem> {
    addresses(readable, model, key::UPLINK_RANGE, Range::default())
}

/// Reads a range of addresses in `sdme.conf`. If that file has an error, files that need an address
/// are rejected, because an address from the default range may be in use elsewhere.
fn addresses(readable: &Readable<'_>, model: &mut Model, key: KeyName, usual: Range) -> Result<Range, Problem> {
    if let Some(why) = defaults::broken(model) {
        return Err(defaults::without_range(&why));
    }
    let Some((file, settings)) = readable.get(&(FileType::Defaults, "sdme")) else { return Ok(usual) };
    let Some(written) = settings.text("Defaults", key) else { return Ok(usual) };
    range::range(&key, written.value).map_err(|fault| {
        let problem = Diagnostic::error(&written.at, Code::Address.of(fault));
        let refusal = defaults::without_range(&format!("because {key}= in {} is wrong", problem.at));
        model.reject(file, vec![problem], Vec::new());
        refusal
    })
}
