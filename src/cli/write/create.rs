// SPDX-License-Identifier: MIT
//! `sdme-gen create`, `new` and `rm`.

use std::io::{IsTerminal as _, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use clap::Args;

use crate::admin::applications;
use crate::admin::write::containers;
use crate::admin::write::files;
use crate::config::draft::Draft;
use crate::config::keys::FileType;
use crate::image::{Mode, Store};
use crate::model::Container;
use crate::runtime::systemd;

/// What a container is made of. Each option writes the key of the same meaning.
// An option without a value is a boolean.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Args)]
pub struct Wanted {
    /// Name of the container (default: from the name of the image)
    name: Option<String>,
    /// Name of an imported image to run
    #[arg(long, short, value_name = "NAME", conflicts_with = "image")]
    rootfs: Option<String>,
    /// Image to run: a registry reference, or oci:, oci-archive:, docker-archive:, dir: or rootfs: and a path
    #[arg(long, short, value_name = "SOURCE")]
    image: Option<String>,
    /// Operating system below the application: the name of an imported image, or host
    #[arg(long, value_name = "NAME")]
    base: Option<String>,
    /// Pod whose network the container joins
    #[arg(long, value_name = "POD")]
    pod: Option<String>,
    /// Pod whose network only the application joins
    #[arg(long, value_name = "POD")]
    oci_pod: Option<String>,
    /// Private network: loopback and published ports, or one of the following options
    #[arg(long)]
    private_network: bool,
    /// Private network from which the application reaches other machines
    #[arg(long, group = "net")]
    uplink: bool,
    /// Virtual Ethernet link to the host
    #[arg(long, group = "net")]
    network_veth: bool,
    /// Virtual Ethernet link to a bridge of the host
    #[arg(long, group = "net", value_name = "BRIDGE")]
    network_bridge: Option<String>,
    /// Virtual Ethernet link to the bridge that the containers of a zone share
    #[arg(long, group = "net", value_name = "ZONE")]
    network_zone: Option<String>,
    /// Publish a port: [[IP:]HOST-PORT:]CONTAINER-PORT[/PROTOCOL]; implies a private network unless another one is given
    #[arg(long, short, alias = "port", value_name = "PORT")]
    publish: Vec<String>,
    /// Mount a directory of the host, or a volume: SOURCE:PATH[:OPTIONS]
    #[arg(long, short, alias = "volume", visible_short_alias = 'v', value_name = "SOURCE:PATH")]
    bind: Vec<String>,
    /// Environment variable of the application
    #[arg(long, short, alias = "oci-env", value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Host name in the container
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// User namespace, private network, no new privileges, fewer capabilities (Hardened=)
    #[arg(long)]
    hardened: bool,
    /// As --hardened, with at most Docker's capabilities, a system call filter and a profile of apparmor(7) (Strict=)
    #[arg(long)]
    strict: bool,
    /// User namespace
    #[arg(long, short)]
    userns: bool,
    /// Capability to remove
    #[arg(long, value_name = "CAPABILITY")]
    drop_capability: Vec<String>,
    /// Capability to keep
    #[arg(long, value_name = "CAPABILITY")]
    capability: Vec<String>,
    /// No program in the container can gain privileges
    #[arg(long)]
    no_new_privileges: bool,
    /// Read-only root directory of the application
    #[arg(long)]
    read_only: bool,
    /// System calls to allow, or to deny with ~ in front
    #[arg(long, value_name = "CALLS")]
    system_call_filter: Vec<String>,
    /// Profile of apparmor(7); it must be loaded
    #[arg(long, value_name = "PROFILE")]
    apparmor_profile: Option<String>,
    #[command(flatten)]
    health: Health,
    /// Maximum memory, such as 512M
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Maximum processor time in processors, such as 1.5
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<f64>,
    /// Share of processor time relative to other containers, from 1 to 10000
    #[arg(long, value_name = "WEIGHT")]
    cpu_weight: Option<u32>,
    /// Restart policy of the container: no, on-failure or always
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,
    /// Start the container at boot
    #[arg(long)]
    enable: bool,
    /// Print what would be written without writing it
    #[arg(long)]
    dry_run: bool,
    /// Arguments of the image's entrypoint (default: the command of the image)
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

/// The health check of the application. The options have the names of podman-run(1) where podman has
/// the same option.
#[derive(Debug, Args)]
struct Health {
    /// Health check: a command line for the shell of the image, or none (default: the image's)
    #[arg(long = "health-cmd", value_name = "COMMAND", group = "check")]
    command: Option<String>,
    /// Health check by HTTP: the address of a page, such as :8080/health
    #[arg(long = "health-http", value_name = "URL", group = "check")]
    http: Option<String>,
    /// Health check by a TCP connection: [HOST:]PORT
    #[arg(long = "health-tcp", value_name = "PORT", group = "check")]
    tcp: Option<String>,
    /// Time between two checks, such as 30s
    #[arg(long = "health-interval", value_name = "TIME")]
    interval: Option<String>,
    /// Maximum time of a check
    #[arg(long = "health-timeout", value_name = "TIME")]
    timeout: Option<String>,
    /// Number of failures in a row that make the application unhealthy
    #[arg(long = "health-retries", value_name = "NUMBER")]
    retries: Option<u32>,
    /// Time after the start in which failures do not count
    #[arg(long = "health-start-period", value_name = "TIME")]
    start_period: Option<String>,
    /// Action for an unhealthy application: none, kill, restart or stop
    #[arg(long = "health-on-failure", value_name = "ACTION")]
    on_failure: Option<String>,
}

impl Health {
    fn add(&self, draft: &mut Draft) -> Result<(), String> {
        let retries = self.retries.map(|number| number.to_string());
        let keys = [
            ("HealthCmd", &self.command),
            ("HealthHttp", &self.http),
            ("HealthTcp", &self.tcp),
            ("HealthInterval", &self.interval),
            ("HealthTimeout", &self.timeout),
            ("HealthRetries", &retries),
            ("HealthStartPeriod", &self.start_period),
            ("HealthOnFailure", &self.on_failure),
        ];
        let mut set = keys.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        set.try_for_each(|(key, value)| draft.own(FileType::Container, key, value))
    }
}

impl Wanted {
    fn draft(&self, root: &Path) -> Result<(String, Draft), String> {
        let mut draft = Draft::default();
        let mut own = |key: &str, value: &str| draft.own(FileType::Container, key, value);
        let image = self.rootfs.as_ref().map(|name| format!("{name}.image")).or_else(|| self.image.clone());
        let base = self.base.as_ref().map(|b| if b == "host" { b.clone() } else { format!("{b}.image") });
        for (key, value) in [("Image", image.as_ref()), ("Base", base.as_ref()), ("HostName", self.hostname.as_ref())] {
            value.map_or(Ok(()), |value| own(key, value))?;
        }
        for (key, pod) in [("Pod", &self.pod), ("OciPod", &self.oci_pod)] {
            pod.as_ref().map_or(Ok(()), |pod| own(key, &format!("{pod}.pod")))?;
        }
        self.network().map_or(Ok(()), |network| own("Network", &network))?;
        let repeated = [
            ("PublishPort", &self.publish.iter().map(|port| published(port)).collect()),
            ("Volume", &self.bind.iter().map(|bind| self.mount(root, bind)).collect()),
            ("Environment", &self.env),
            ("AddCapability", &self.capability),
            ("DropCapability", &self.drop_capability),
            ("SystemCallFilter", &self.system_call_filter),
        ];
        for (key, values) in repeated {
            values.iter().try_for_each(|value| own(key, value))?;
        }
        let flags = [
            ("Hardened", self.hardened),
            ("Strict", self.strict),
            ("NoNewPrivileges", self.no_new_privileges),
            ("ReadOnly", self.read_only),
        ];
        for (key, _) in flags.into_iter().filter(|(_, set)| *set) {
            own(key, "yes")?;
        }
        if self.userns {
            own("UserNS", "auto")?;
        }
        self.apparmor_profile.as_ref().map_or(Ok(()), |profile| own("AppArmor", profile))?;
        self.health.add(&mut draft)?;
        if !self.arguments.is_empty() {
            draft.words("Container", "Exec", &self.arguments)?;
        }
        // A file without keys needs the section, too.
        draft.section("Container");
        self.service(&mut draft)?;
        let name = self.name.clone();
        let name =
            name.unwrap_or_else(|| containers::free_name(root, self.rootfs.as_deref().or(self.image.as_deref())));
        Ok((name, draft))
    }

    /// A mount in the syntax of `Volume=`. A target below `/oci/root` or `/oci/apps/NAME/root`, the
    /// application's root as a path in the container, is translated to a path of the application.
    fn mount(&self, root: &Path, bind: &str) -> String {
        let image = self.rootfs.as_ref().and_then(|name| Store::open(root).lookup(name).ok().flatten());
        let os = image.map_or(self.rootfs.is_none() && self.image.is_none(), |image| image.image.mode == Mode::Base);
        let inside = |path: &str| {
            let path = path.strip_prefix("/oci/")?;
            let of_app = || path.strip_prefix("apps/")?.split_once('/')?.1.strip_prefix("root/");
            path.strip_prefix("root/").or_else(of_app).map(|path| format!("/{path}"))
        };
        match bind.split_once(':') {
            Some((source, target)) if !os => {
                inside(target).map_or_else(|| bind.to_owned(), |target| format!("{source}:{target}"))
            }
            _ => bind.to_owned(),
        }
    }

    fn network(&self) -> Option<String> {
        let named = |kind: &str, name: &Option<String>| name.as_ref().map(|name| format!("{kind}:{name}"));
        let flag = |set: bool, kind: &str| set.then(|| kind.to_owned());
        flag(self.uplink, "uplink")
            .or_else(|| flag(self.network_veth, "veth"))
            .or_else(|| named("bridge", &self.network_bridge))
            .or_else(|| named("zone", &self.network_zone))
            .or_else(|| flag(self.private_network, "private"))
            .or_else(|| {
                let other = self.pod.is_some() || self.oci_pod.is_some() || self.hardened || self.strict;
                flag(!other && !self.publish.is_empty(), "private")
            })
    }

    fn service(&self, draft: &mut Draft) -> Result<(), String> {
        let mut set = |key: &str, value: &str| draft.set("Service", key, value);
        if let Some(memory) = &self.memory {
            set("MemoryMax", memory)?;
        }
        if let Some(cpus) = self.cpus {
            if !(0.01..=1024.0).contains(&cpus) {
                return Err(format!("--cpus {cpus} is not a number of processors"));
            }
            set("CPUQuota", &format!("{}%", (cpus * 100.0).round()))?;
        }
        if let Some(weight) = self.cpu_weight {
            set("CPUWeight", &weight.to_string())?;
        }
        if let Some(policy) = &self.restart {
            set("Restart", policy)?;
        }
        if self.enable {
            draft.set("Install", "WantedBy", "machines.target")?;
        }
        Ok(())
    }
}

/// A port in the syntax of `PublishPort=`. The syntax of systemd-nspawn, with the protocol at the
/// beginning, is accepted, too.
fn published(port: &str) -> String {
    match port.split_once(':') {
        Some((protocol @ ("tcp" | "udp"), ports)) => format!("{ports}/{protocol}"),
        _ => port.to_owned(),
    }
}

/// Writes the file and prints its path. Returns the container's name.
///
/// # Errors
/// The configuration would get a problem, or the file cannot be written.
pub fn create(wanted: &Wanted, root: &Path, out: &mut dyn Write) -> Result<String> {
    let (name, draft) = wanted.draft(root).map_err(|message| anyhow!(message))?;
    let text = draft.to_string();
    files::add(root, FileType::Container, &name, &text, wanted.dry_run)?;
    writeln!(out, "write {}/{}", files::DIRECTORY, files::file_name(FileType::Container, &name))?;
    if wanted.dry_run {
        write!(out, "{text}")?;
    }
    Ok(name)
}

/// Creates a container and starts it. On a terminal, this process then becomes a shell in the
/// container, unless `detach` is set.
///
/// # Errors
/// A step fails. The written file stays, so that it can be corrected, or removed with `rm`.
pub fn new(wanted: &Wanted, detach: bool, out: &mut dyn Write) -> Result<ExitCode> {
    let root = Path::new("/");
    if !wanted.dry_run && !systemd::is_live(root) {
        bail!("systemd does not run here; use create");
    }
    let name = create(wanted, root, out)?;
    if wanted.dry_run {
        writeln!(out, "start {}", Container::unit(&name))?;
        return Ok(ExitCode::SUCCESS);
    }
    out.flush()?;
    containers::start(&name)?;
    if detach || !std::io::stdin().is_terminal() {
        return Ok(ExitCode::SUCCESS);
    }
    applications::join(&name)?;
    Ok(ExitCode::SUCCESS)
}

/// Removes containers.
///
/// # Errors
/// A container cannot be removed. The containers after it are not removed then.
pub fn remove(names: &[String], root: &Path, force: bool, dry_run: bool, out: &mut dyn Write) -> Result<ExitCode> {
    for name in names {
        for removed in containers::remove(root, name, force, dry_run)? {
            writeln!(out, "remove {removed}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
