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
    /// The name that podman would give the container, if that is not a valid machine name.
    pub podman_name: Option<String>,
    /// The file that defines the container.
    pub file: Arc<str>,
    /// The applications that the container runs; empty for a clone of the host. A single image can
    /// turn out to be an operating system and then is no application: see [`Model::applications`].
    pub apps: Vec<App>,
    /// The base system below the applications.
    pub base: Base,
    /// Host name of the container.
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
    /// The mounts of a clone of the host.
    pub mounts: Vec<Mount>,
    /// The network connection.
    pub connection: Connection,
    /// The privileges and restrictions.
    pub security: Security,
    /// `AutoUpdate=` of the file.
    pub auto_update: Option<AutoUpdate>,
    /// `UpdateSettle=` of the file, in milliseconds.
    pub update_settle: Option<u64>,
    /// `UpdateSnapshot=` of the file.
    pub update_snapshot: Option<Spanned<bool>>,
    /// The assignments of `[Unit]`, with file references translated to unit names.
    pub unit: Vec<Assignment>,
    /// The assignments of `[Service]`.
    pub service: Vec<Assignment>,
    /// The links of `[Install]`, by which other units start the container.
    pub install: Vec<Link>,
}

impl Container {
    /// The unit that runs the container `name`.
    #[must_use]
    pub fn unit(name: &str) -> String {
        ["systemd-nspawn@", name, ".service"].concat()
    }

    /// The pods that the container is in, and the pods whose networks its application joins.
    #[must_use]
    pub fn pods(&self) -> Vec<&str> {
        let outer = self.connection.outer_pod();
        let mut pods: Vec<&str> = outer.into_iter().chain(&self.connection.oci_pod).map(String::as_str).collect();
        pods.dedup();
        pods
    }

    /// The container that `unit` runs, if that is the unit of a container.
    #[must_use]
    pub fn of_unit(unit: &str) -> Option<&str> {
        unit.strip_prefix("systemd-nspawn@")?.strip_suffix(".service")
    }

    /// Whether the container is a job: its start waits for its end, and succeeds or fails like the
    /// job.
    #[must_use]
    pub fn is_job(&self) -> bool {
        self.service.iter().any(|(key, value)| key == "Type" && value == "oneshot")
    }
}

/// The base system below an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// An almost empty root with the host's `/usr`.
    Host,
    /// An imported image, by its name.
    Image(String),
}

/// The layers of a container's root below the configuration layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack<'a> {
    /// The host's root.
    Clone,
    /// The image of an operating system.
    System(&'a str),
    /// Applications on a base system; the image is that of the first application.
    Application(&'a str, &'a Base),
}

/// The settings of name resolution. The default value is empty, which means that the container uses
/// the host's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Addresses of name servers.
    pub servers: Vec<String>,
    /// Search domains.
    pub search: Vec<String>,
    /// Options (resolv.conf(5)).
    pub options: Vec<String>,
}

impl Resolver {
    /// Whether no setting is made.
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
