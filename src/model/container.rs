// SPDX-License-Identifier: MIT
//! A container. Pure.

use crate::config::names::ContainerName;
use crate::config::values::Device;
use crate::config::values::source::AutoUpdate;
use crate::diag::Spanned;
use crate::model::{App, Assignment, Connection, Link, Mount, Security};
use std::sync::Arc;

/// A container.
#[derive(Debug, Clone)]
pub struct Container {
    /// Machine name.
    pub name: ContainerName,
    /// The name that podman would give the container, where that cannot be the name of a machine.
    pub podman_name: Option<String>,
    /// The file it was written in.
    pub file: Arc<str>,
    /// The applications it runs; a clone of the host without. A single one whose image turns out to be an operating
    /// system is none: see [`Model::applications`].
    pub apps: Vec<App>,
    /// What lies below the applications.
    pub base: Base,
    /// Host name inside.
    pub host_name: String,
    /// `Timezone=`.
    pub timezone: Option<String>,
    /// `AddHost=`: lines of hosts(5).
    pub hosts: String,
    /// `DNS=`, `DNSSearch=` and `DNSOption=`
    pub resolver: Resolver,
    /// `Memory=`, in bytes.
    pub memory: Option<u64>,
    /// `PidsLimit=`, as systemd writes it.
    pub tasks: Option<String>,
    /// `AddDevice=`
    pub devices: Vec<Spanned<Device>>,
    /// What is mounted into a clone of the host.
    pub mounts: Vec<Mount>,
    /// What it is connected to.
    pub connection: Connection,
    /// What it may do.
    pub security: Security,
    /// `AutoUpdate=` of the file.
    pub auto_update: Option<AutoUpdate>,
    /// `UpdateSettle=` of the file, in milliseconds.
    pub update_settle: Option<u64>,
    /// `UpdateSnapshot=` of the file.
    pub update_snapshot: Option<Spanned<bool>>,
    /// `[Unit]`, file references translated to units.
    pub unit: Vec<Assignment>,
    /// `[Service]`.
    pub service: Vec<Assignment>,
    /// Links that start it with other units.
    pub install: Vec<Link>,
}

impl Container {
    /// The unit that runs the container `name`.
    #[must_use]
    pub fn unit(name: &str) -> String {
        ["systemd-nspawn@", name, ".service"].concat()
    }

    /// The pods that it is in, or whose networks its application joins.
    #[must_use]
    pub fn pods(&self) -> Vec<&str> {
        let outer = self.connection.outer_pod();
        let mut pods: Vec<&str> = outer.into_iter().chain(&self.connection.oci_pod).map(String::as_str).collect();
        pods.dedup();
        pods
    }

    /// The container that a unit runs, if it runs one.
    #[must_use]
    pub fn of_unit(unit: &str) -> Option<&str> {
        unit.strip_prefix("systemd-nspawn@")?.strip_suffix(".service")
    }

    /// Whether it is a job: a start of it waits for its end, and succeeds or fails as that does.
    #[must_use]
    pub fn is_job(&self) -> bool {
        self.service.iter().any(|(key, value)| key == "Type" && value == "oneshot")
    }
}

/// What lies below an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// An almost empty root with the host's own `/usr`.
    Host,
    /// An imported image, by name.
    Image(String),
}

/// What a container's root is stacked from, bottom up, below the configuration layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack<'a> {
    /// The host's own root.
    Clone,
    /// A base operating system image.
    System(&'a str),
    /// Applications on a base; the first one's image.
    Application(&'a str, &'a Base),
}

/// What is said about name resolution; nothing, to do as the host does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Addresses of name servers.
    pub servers: Vec<String>,
    /// Domains that are searched.
    pub search: Vec<String>,
    /// Options (resolv.conf(5)).
    pub options: Vec<String>,
}

impl Resolver {
    /// Whether anything is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.search.is_empty() && self.options.is_empty()
    }

    /// The lines of resolv.conf(5).
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for server in &self.servers {
            text += &format!("nameserver {server}\n");
        }
        for (key, words) in [("search", &self.search), ("options", &self.options)] {
            if !words.is_empty() {
                text += &format!("{key} {}\n", words.join(" "));
            }
        }
        text
    }
}
