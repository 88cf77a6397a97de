// SPDX-License-Identifier: MIT
//! `sdme-gen inspect`: all information about a container, from `ps`, `graph` and the configuration.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::Compiled;
use crate::admin::show::ps;
use crate::admin::show::ps::Listed;
use crate::config::keys::FileType;
use crate::model::{Base, Container, Mount, Stack, What};
use crate::output::graph::Graph;
use crate::paths::{container_state, machine_root};
use crate::plan;
use crate::resolve::container::userns::{self, SIZE};
use crate::search::{SearchPath, search};

/// The information about a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Inspected {
    /// The present state: images, ports, health.
    #[serde(flatten)]
    pub listed: Listed,
    /// The unit that runs the container.
    pub unit: String,
    /// All units that a start of the container needs, including those of its network and its
    /// images.
    pub units: Vec<String>,
    /// The container's file and its drop-ins, in the order in which they apply.
    pub files: Vec<String>,
    /// `host`, or the name of the image of the operating system below the applications.
    pub base: Option<String>,
    /// The applications of the container.
    pub applications: Vec<Application>,
    /// The host name of the container.
    pub host_name: String,
    /// The named networks that the configuration connects it to.
    pub connections: Vec<Connection>,
    /// The address of the container's end of a veth pair to the host, if the configuration has one.
    pub address: Option<IpAddr>,
    /// The ports that the configuration publishes, as `[IP:]PORT[:PORT]/PROTOCOL`.
    pub configured_ports: Vec<String>,
    /// The mounts of the container.
    pub mounts: Vec<Mounted>,
    /// The first ID of the range of user IDs that a start uses, and the number of IDs.
    pub user_range: Option<(u32, u32)>,
    /// The directory with the container's changes to its files.
    pub changes_directory: String,
    /// The path at which the root directory is mounted while the container runs.
    pub root_directory: String,
}

/// An application of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Application {
    /// The name of the application.
    pub name: String,
    /// The name of the application's image.
    pub image: String,
    /// The application's unit in the container.
    pub unit: String,
    /// The application's root directory, as a path in the container.
    pub root: String,
}

/// A network that a container is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Connection {
    /// The name of the network.
    pub network: String,
    /// The container's addresses in the network.
    pub addresses: Vec<IpAddr>,
    /// The names by which other members of the network find the container.
    pub names: Vec<String>,
}

/// A mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mounted {
    /// The name of the application. None in an operating system.
    pub application: Option<String>,
    /// `host`, `volume`, `tmpfs` or `secret`.
    pub kind: &'static str,
    /// The path on the host, the name of the volume, or the options of a tmpfs. None for a secret.
    pub source: Option<String>,
    /// The mount point.
    pub target: String,
    /// Whether the mount is read-only.
    pub read_only: bool,
}

/// Collects the information about the containers with these names.
///
/// # Errors
/// The service manager does not answer, or a container does not exist.
pub fn inspect(names: &[String]) -> Result<Vec<Inspected>> {
    let listed: BTreeMap<String, Listed> =
        ps::list(names, false)?.into_iter().map(|listed| (listed.name.clone(), listed)).collect();
    let root = Path::new("/");
    let sources = search(&SearchPath::from_environment(root));
    let (model, facts) = crate::runtime::known_of(root, &sources);
    let compiled = crate::complete(model, facts);
    let one = |name: &String| {
        let listed = listed.get(name).with_context(|| format!("there is no container {name}"))?;
        let mut found = Inspected {
            unit: Container::unit(name),
            changes_directory: format!("{}/upper", container_state(name)),
            root_directory: machine_root(name),
            listed: listed.clone(),
            ..Inspected::default()
        };
        let of_name = |file: &&crate::config::sources::SourceFile| {
            file.file_type == FileType::Container && !file.is_template() && file.described() == *name
        };
        for file in sources.files.iter().filter(of_name) {
            let drop_ins = file.drop_ins.iter().map(|drop_in| drop_in.path.to_string());
            found.files = std::iter::once(file.main.path.to_string()).chain(drop_ins).collect();
        }
        if let Some(container) = compiled.model.containers.get(name.as_str()) {
            configured(&mut found, container, &compiled);
        }
        Ok(found)
    };
    names.iter().map(one).collect()
}

/// Adds the information from the configuration.
fn configured(found: &mut Inspected, container: &Container, compiled: &Compiled) {
    let Compiled { model, facts, tree, .. } = compiled;
    let stack = model.stack(container, facts);
    found.base = match stack {
        Stack::Clone | Stack::Application(_, Base::Host) => Some("host".to_owned()),
        Stack::Application(_, Base::Image(image)) => Some(image.clone()),
        Stack::System(_) => None,
    };
    found.host_name.clone_from(&container.host_name);
    found.applications = model
        .applications(container, facts)
        .iter()
        .map(|app| Application {
            name: app.name.clone(),
            image: app.image.clone(),
            unit: format!("{}.service", app.unit()),
            root: format!("{}/root", app.directory()),
        })
        .collect();
    let connected = plan::entry(container, model).networks.into_iter();
    found.connections =
        connected.map(|one| Connection { network: one.network, addresses: one.addresses, names: one.names }).collect();
    let pods: Vec<_> = container.pods().into_iter().filter_map(|pod| model.pods.get(pod)).collect();
    found.address = pods.iter().find_map(|pod| Some(pod.veth_pair.as_ref()?.pod.into()));
    found.configured_ports = pods.iter().flat_map(|pod| &pod.wanted.ports).map(ToString::to_string).collect();
    let placed = container.placed(stack, facts);
    found.mounts = placed.iter().map(|placed| mounted(placed.app.map(|app| app.name.clone()), &placed.mount)).collect();
    let range = userns::ranges(model, facts).get(container.name.as_str()).copied();
    found.user_range = range.filter(|_| container.security.user_ns).map(|first| (first, SIZE));
    found.units = units(&Graph::of(tree), container);
}

/// The units of sdme-gen and the template instances that a start of the container pulls in.
fn units(graph: &Graph, container: &Container) -> Vec<String> {
    let mut all = vec![Container::unit(&container.name)];
    let mut next = 0;
    while let Some(unit) = all.get(next).cloned() {
        let pulled = graph.edges.iter().filter(|(from, ..)| *from == unit).map(|(_, to, _)| to.clone());
        for unit in pulled.filter(|unit| unit.contains('@') || unit.starts_with("sdme-")).collect::<Vec<_>>() {
            if !all.contains(&unit) {
                all.push(unit);
            }
        }
        next += 1;
    }
    all
}

fn mounted(application: Option<String>, mount: &Mount) -> Mounted {
    let (kind, source) = match &mount.what {
        What::Host(path) => ("host", Some(path.clone())),
        What::Volume(name) => ("volume", Some(name.clone())),
        What::Tmpfs(options) => ("tmpfs", Some(options.clone()).filter(|options| !options.is_empty())),
        // The path of a secret's content is internal.
        What::Secret(_) => ("secret", None),
    };
    Mounted { application, kind, source, target: mount.target.clone(), read_only: mount.options.read_only }
}
