// SPDX-License-Identifier: MIT
//! `.pod` files, and the pods of one that containers with a network of their own are put into. Pure.

use crate::model::{Connection, Container, Pod, Port, Startup, VethPair, Wanted};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::install;
use super::network::published::{PodNetwork, of_pod, on_host, wanted};
use super::network::range::{Range, interface, interface_clash};
use super::references::{Names, unit_section};
use super::service;
use super::surroundings::{environs, labels};
use super::volume::Volumes;
use crate::config::keys::key;
use crate::config::names::{ContainerName, PodName};
use crate::config::reader::Reader;
use crate::config::settings::Settings;
use crate::diag::{Code, Diagnostic, Location, Problem, errors_first, has_errors};
use crate::resolve::app::mounts::Place;
use crate::resolve::network::attach;
use crate::resolve::network::named::Networks;
use crate::resolve::network::ports::Claims;

/// Pods as they are read, and what ports are taken.
#[derive(Debug, Default)]
pub struct Pods {
    /// Those that can be used.
    pub good: BTreeMap<PodName, Pod>,
    /// Those that cannot, by their files, with the first reason.
    pub bad: BTreeMap<String, Diagnostic>,
    /// What files say about the members.
    handed: BTreeMap<String, Settings>,
    /// The ports of the host.
    pub claims: Claims,
}

/// Reads a `.pod` file.
///
/// # Errors
/// All its problems.
pub fn pod(
    name: &str,
    file: &Arc<str>,
    settings: &Settings,
    (names, volumes, networks): (&Names, &Volumes, &Networks),
    warnings: &mut Vec<Diagnostic>,
) -> Result<Pod, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut reader = Reader::new(settings, "Pod", &mut problems);
    let own_name: Option<PodName> = reader.name(name, file, key::POD_NAME);
    labels(&mut reader, &[key::LABEL]);
    // Here, and not in each member's name.
    let handed = settings.for_members();
    Place { container: name, file, names, volumes }.mounts(&handed, None, &mut problems);
    environs(&handed, &mut problems);
    Startup::read(&handed, &mut problems);
    let PodNetwork { host, uplink, attachments } = of_pod(settings, names, networks, &mut problems);
    let mut wanted = Wanted { uplink, ..wanted("Pod", settings, !attachments.is_empty(), &mut problems) };
    attach::opened(&attachments, networks, &wanted.ports, &mut problems);
    if host {
        wanted.ports = on_host("Pod", &wanted, settings, &mut problems);
    }
    let unit = unit_section(settings.section("Unit"), names, &[], &mut problems);
    let service = service::pod(settings, &mut problems);
    let install = install::links(settings, names, &mut problems);
    let Some(own_name) = own_name.filter(|_| !has_errors(&problems)) else { return Err(errors_first(problems)) };
    warnings.append(&mut problems);
    Ok(Pod {
        own: false,
        host,
        networks: attachments,
        unit,
        service,
        ..Pod::of_container(own_name, file, wanted, &install)
    })
}

/// What a container's keys about networks come to: its connection, and the pod that is its own, if it has one.
pub struct Outcome {
    /// The connection.
    pub connection: Connection,
    /// A pod of one, made for it.
    pub own: Option<Pod>,
    /// The ports of the host its application takes by itself.
    pub claims: Vec<Port>,
}

impl Pods {
    /// Takes in a pod, unless its ports are taken. Returns warnings about its ports.
    ///
    /// # Errors
    /// As for [`Claims::take`].
    pub fn add(&mut self, pod: Pod) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        let ports = pod.wanted.ports.iter().map(|port| (port, pod.host || !pod.wanted.forwards(port)));
        let warnings = self.claims.take(ports)?;
        self.good.insert(pod.name.clone(), pod);
        Ok(warnings)
    }

    /// Takes in the pod of a file, unless another one is called so. Returns warnings about its ports.
    ///
    /// # Errors
    /// There is another one, or a port is taken.
    pub fn add_file(&mut self, file: &str, pod: Pod, settings: &Settings) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        if let Some(other) = self.good.get(pod.name.as_str()) {
            let problem = Code::Conflict
                .problem(format!("{} already describes the pod {}", other.file, pod.name), "rename one of the two");
            return Err(vec![Diagnostic::error(&Location::whole(&pod.file), problem)]);
        }
        self.handed.insert(file.to_owned(), settings.for_members());
        self.add(pod)
    }

    /// A container's settings, with what its pod says about its members.
    #[must_use]
    pub fn handed<'a>(&self, settings: &'a Settings) -> Cow<'a, Settings> {
        let pod = settings.text("Container", key::POD).and_then(|pod| self.handed.get(pod.value.strip_suffix(".pod")?));
        match pod.filter(|handed| !handed.is_empty()) {
            Some(handed) => Cow::Owned(settings.in_pod(handed)),
            None => Cow::Borrowed(settings),
        }
    }

    /// Takes in what a container has come to: its own pod, or the ports its application binds. Returns warnings about its ports.
    ///
    /// # Errors
    /// As for [`Claims::take`].
    pub fn connect(&mut self, outcome: Outcome) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        // What systemd-nspawn exposes is forwarded by rules.
        let bound = outcome.connection.exposed.is_empty();
        let mut warnings = self.claims.take(outcome.claims.iter().map(|port| (port, bound)))?;
        if let Some(pod) = outcome.own {
            warnings.extend(self.add(pod)?);
        }
        Ok(warnings)
    }

    /// Notes who is in what pod, and gives out addresses from `range`, or says why there are none. What is returned are
    /// pods that cannot be: they, and the containers in them, are to be rejected.
    pub fn settle(
        &mut self,
        containers: &BTreeMap<ContainerName, Box<Container>>,
        range: &Result<Range, Problem>,
        networks: &mut Networks,
    ) -> Vec<(Pod, Diagnostic)> {
        // The container a pod was made for may have been rejected since.
        self.good.retain(|name, pod| !pod.own || containers.contains_key(name.as_str()));
        let settled = attach::settle(&mut self.good, networks);
        let mut refused: BTreeMap<String, Problem> = BTreeMap::new();
        let linked: Vec<PodName> = self.good.values().filter(|p| p.is_linked()).map(|p| p.name.clone()).collect();
        for (name, other) in interface_clash(linked.iter().map(PodName::as_str)) {
            let problem = Code::Conflict.problem(
                format!("the name of the network interface clashes with that of the pod {other}"),
                "rename one of the pods",
            );
            refused.insert(name.to_owned(), problem);
        }
        let linked = || linked.iter().map(PodName::as_str);
        match range {
            Err(problem) => refused.extend(linked().map(|name| (name.to_owned(), problem.clone()))),
            Ok(range) => {
                let addresses = range.distribute(linked());
                for name in linked() {
                    if let (Some(pod), Some(first)) = (self.good.get_mut(name), addresses.get(name)) {
                        let [host, inside] = [first + 1, first + 2].map(Ipv4Addr::from);
                        pod.veth_pair = Some(VethPair { interface: interface(name), host, pod: inside });
                    } else {
                        let problem = Code::Exhausted.problem(
                            "UplinkRange= has no address left for this pod",
                            "write a larger UplinkRange= in sdme.conf",
                        );
                        refused.insert(name.to_owned(), problem);
                    }
                }
            }
        }
        for container in containers.values() {
            let connection = &container.connection;
            let outer = connection.outer_pod();
            for (pod, starts) in [(outer, true), (connection.oci_pod.as_ref(), outer.is_none())] {
                let Some(pod) = pod.and_then(|name| self.good.get_mut(name.as_str())) else { continue };
                if !pod.members.contains(&container.name) {
                    pod.members.push(container.name.clone());
                    if connection.start_with_pod && starts {
                        pod.starts.push(container.name.clone());
                    }
                }
            }
        }
        let refuse = |(name, problem): (String, Problem)| {
            let pod = self.good.remove(name.as_str())?;
            let problem = Diagnostic::error(&Location::whole(&pod.file), problem);
            Some((pod, problem))
        };
        let mut out: Vec<(Pod, Diagnostic)> = refused.into_iter().filter_map(refuse).collect();
        out.extend(settled.into_iter().filter_map(|(name, problem)| Some((self.good.remove(&name)?, problem))));
        out
    }
}

/// The problem of a container whose pod cannot be.
#[must_use]
pub fn refused(file: &Arc<str>, pod: &Arc<str>, problem: &Diagnostic) -> Diagnostic {
    let name = pod.rsplit('/').next().unwrap_or(pod);
    Diagnostic::error(&Location::whole(file), Code::UnusableFile.because(&format!("{name} cannot be used"), problem))
}
