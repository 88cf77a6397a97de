// SPDX-License-Identifier: MIT
//! Reads `.pod` files, and collects the pods, including those of single containers with their own
//! network. Pure.

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

/// The pods that have been read, and the claimed ports of the host.
#[derive(Debug, Default)]
pub struct Pods {
    /// The pods without errors, by name.
    pub good: BTreeMap<PodName, Pod>,
    /// The first problem of each rejected `.pod` file, by the name of the file.
    pub bad: BTreeMap<String, Diagnostic>,
    /// The settings of `.pod` files for the members of the pods, by the name of the file.
    handed: BTreeMap<String, Settings>,
    /// The claimed ports of the host.
    pub claims: Claims,
}

/// Reads a `.pod` file.
///
/// # Errors
/// All problems of the file, including its warnings.
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
    // The settings for the members are checked here, so that their problems are reported for the
    // pod and not for each member.
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

/// The result of a container's keys about networks.
pub struct Outcome {
    /// The network connection of the container.
    pub connection: Connection,
    /// The pod of this container alone, if it has its own network.
    pub own: Option<Pod>,
    /// The ports of the host that the application binds itself, or that systemd-nspawn publishes.
    pub claims: Vec<Port>,
}

impl Pods {
    /// Adds a pod and claims its ports. Returns warnings about its ports.
    ///
    /// # Errors
    /// As for [`Claims::take`].
    pub fn add(&mut self, pod: Pod) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        let ports = pod.wanted.ports.iter().map(|port| (port, pod.host || !pod.wanted.forwards(port)));
        let warnings = self.claims.take(ports)?;
        self.good.insert(pod.name.clone(), pod);
        Ok(warnings)
    }

    /// Adds the pod of a file. Returns warnings about its ports.
    ///
    /// # Errors
    /// Another file describes a pod of the same name, or a port conflicts with another one.
    pub fn add_file(&mut self, file: &str, pod: Pod, settings: &Settings) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        if let Some(other) = self.good.get(pod.name.as_str()) {
            let problem = Code::Conflict
                .problem(format!("{} already describes the pod {}", other.file, pod.name), "rename one of the two");
            return Err(vec![Diagnostic::error(&Location::whole(&pod.file), problem)]);
        }
        self.handed.insert(file.to_owned(), settings.for_members());
        self.add(pod)
    }

    /// The settings of a container, including those that its pod has for all members.
    #[must_use]
    pub fn handed<'a>(&self, settings: &'a Settings) -> Cow<'a, Settings> {
        let pod = settings.text("Container", key::POD).and_then(|pod| self.handed.get(pod.value.strip_suffix(".pod")?));
        match pod.filter(|handed| !handed.is_empty()) {
            Some(handed) => Cow::Owned(settings.in_pod(handed)),
            None => Cow::Borrowed(settings),
        }
    }

    /// Adds the container's own pod, or claims the ports that its application binds. Returns
    /// warnings about its ports.
    ///
    /// # Errors
    /// As for [`Claims::take`].
    pub fn connect(&mut self, outcome: Outcome) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        // systemd-nspawn publishes ports by rules and without sockets.
        let bound = outcome.connection.exposed.is_empty();
        let mut warnings = self.claims.take(outcome.claims.iter().map(|port| (port, bound)))?;
        if let Some(pod) = outcome.own {
            warnings.extend(self.add(pod)?);
        }
        Ok(warnings)
    }

    /// Adds the members to the pods, and gives the pods their addresses from `range`, which is an
    /// error if the range is unknown. Removes and returns the pods that cannot be used. The caller
    /// rejects them together with the containers in them.
    pub fn settle(
        &mut self,
        containers: &BTreeMap<ContainerName, Box<Container>>,
        range: &Result<Range, Problem>,
        networks: &mut Networks,
    ) -> Vec<(Pod, Diagnostic)> {
        // The container of such a pod may have been rejected in the meantime.
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

/// The problem of a container whose pod cannot be used.
#[must_use]
pub fn refused(file: &Arc<str>, pod: &Arc<str>, problem: &Diagnostic) -> Diagnostic {
    let name = pod.rsplit('/').next().unwrap_or(pod);
    Diagnostic::error(&Location::whole(file), Code::UnusableFile.because(&format!("{name} cannot be used"), problem))
}
