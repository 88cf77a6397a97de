// SPDX-License-Identifier: MIT
//! Converts the options of a command line. Most options are also options of `PodmanArgs=`; this
//! module converts the others. Pure.

use std::collections::BTreeSet;

use crate::compose::{absolute, is_path};
use crate::config::keys::FileType;
use crate::config::quadlet::expand::literal;
use crate::config::quadlet::podman;
use crate::convert::compose::network::ports::port;
use crate::convert::compose::process::shell_line;
use crate::convert::compose::service::host_name;
use crate::convert::platform::Platform;
use crate::convert::{Builder, name};

/// The context of a command line in a script.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The directory to which relative paths refer.
    pub directory: String,
    /// The names of the volumes that have a `.volume` file.
    pub volumes: BTreeSet<String>,
}

/// A container under construction.
#[derive(Debug)]
pub struct Run {
    pub builder: Builder,
    pub name: Option<String>,
    /// Named networks, each of which needs a file.
    pub networks: Vec<String>,
    /// The values of `Network=`.
    attached: Vec<String>,
    /// The pod whose network the container joins, and which publishes its ports.
    pub pod: Option<String>,
    /// The MAC address in the first network.
    mac: Option<String>,
    /// Published ports.
    pub ports: Vec<String>,
    /// The platform and the policy of the image.
    platform: Platform,
    /// The `.image` file, if the container needs one.
    pub image_file: Option<Builder>,
    /// Options that can only be translated together, after all options are known.
    limits: Vec<String>,
    place: Place,
}

/// Options that together determine one setting.
const LIMITS: [&str; 4] = ["memory", "memory-swap", "cpu-period", "cpu-quota"];

/// Options without a counterpart, and what the user can do instead.
const WITHOUT: [(&str, &str); 10] = [
    ("domainname", "the domain is not set; write it into --hostname"),
    ("gpus", "GPUs are not passed on; write AddDevice= for each of their device nodes"),
    ("health-start-interval", "checks come at the usual interval after the start, too"),
    ("io-maxbandwidth", "the option is for Windows; remove it"),
    ("kernel-memory", "the kernel has no such limit; remove the option"),
    ("link", "containers find each other by name in a network that both have; give both --network=NAME"),
    ("rm", "a container's changes are kept; sdme-gen rm removes them"),
    ("use-api-socket", "there is no Docker; remove the option"),
    ("volume-driver", "volumes are directories of this host; write Device= and Type= in a .volume file for a mount"),
    ("volumes-from", "the volumes of the other container are not known; name them with --volume"),
];

impl Run {
    /// Creates a container without options.
    pub fn new(place: &Place) -> Self {
        Self {
            builder: Builder::new(FileType::Container),
            name: None,
            networks: Vec::new(),
            attached: Vec::new(),
            pod: None,
            mac: None,
            ports: Vec::new(),
            platform: Platform::default(),
            image_file: None,
            limits: Vec::new(),
            place: place.clone(),
        }
    }

    /// Converts one option by its long name. `takes` says whether the option takes a value.
    pub fn option(&mut self, long: &str, value: &str, takes: bool) {
        let origin = format!("--{long}");
        let off = !takes && matches!(value, "false" | "f" | "F" | "0" | "False" | "FALSE");
        let builder = &mut self.builder;
        if LIMITS.contains(&long) {
            self.limits.push(format!("--{long}={value}"));
            return;
        }
        if let Some((_, instead)) = WITHOUT.iter().find(|(known, _)| *known == long) {
            if !off {
                builder.note(&origin, instead);
            }
            return;
        }
        match long {
            "name" => self.name = Some(name(value)),
            "platform" | "arch" | "os" | "variant" => self.platform.option(long, value),
            "pull" => self.platform.policy = Some(value.to_owned()),
            "publish" => {
                let (port, differs) = port(value);
                if let Some(reason) = differs {
                    builder.note(&origin, &reason);
                }
                self.ports.push(port);
            }
            "network" | "net" => self.network(value),
            "network-alias" | "net-alias" => builder.put(&origin, "NetworkAlias", value),
            "mac-address" => self.mac = Some(value.to_owned()),
            "pod" => {
                let pod = name(value.trim_start_matches("new:"));
                builder.put(&origin, "Pod", &format!("{pod}.pod"));
                self.pod = Some(pod);
            }
            "env" if value.contains('=') => builder.put(&origin, "Environment", value),
            "env" => {
                builder.note(
                    &format!("{origin} {value}"),
                    "the variable's value is taken from the shell; write NAME=VALUE",
                );
            }
            "env-file" => builder.put(&origin, "EnvironmentFile", &absolute(&self.place.directory, value)),
            "volume" => {
                if let Some(value) = self.volume(value) {
                    self.plain(long, &value, takes);
                }
            }
            // The output always goes to the journal.
            "log-opt" => {}
            "log-driver" if ["json-file", "local", "journald", "k8s-file", "passthrough"].contains(&value) => {}
            "mount" => {
                let value = self.mount(value);
                self.plain(long, &value, takes);
            }
            "restart" => builder.restart(&origin, value),
            "hostname" => host_name(value, builder),
            "entrypoint" if value.is_empty() => builder.put(&origin, "Entrypoint", "[]"),
            "entrypoint" if !value.starts_with('[') => builder.words(&origin, "Entrypoint", &[value.to_owned()]),
            "health-cmd" if serde_json::from_str::<Vec<String>>(value).is_err() && value != "none" => {
                shell_line(&origin, value, builder);
            }
            "user" => {
                let (user, group) = value.split_once(':').map_or((value, ""), |(user, group)| (user, group));
                for (key, part) in [("User", user), ("Group", group)].iter().filter(|(_, part)| !part.is_empty()) {
                    builder.put(&origin, key, part);
                }
            }
            "device" if !value.starts_with('/') => {
                builder.note(&origin, &format!("{value} is no device node; name the nodes below /dev"));
            }
            "cpu-count" | "cpu-percent" | "io-maxiops" | "isolation" => {
                builder.note(&origin, "the option is for Windows; remove it");
            }
            "cosign-key" | "verify" | "init-ctr" | "hooks-dir" => {
                builder.note(&origin, "no counterpart; remove the option");
            }
            _ if off => {
                let word = format!("--{long}=false");
                // Only these options have an effect when they are disabled.
                if ["read-only", "read-only-tmpfs", "env-host", "http-proxy", "tls-verify"].contains(&long) {
                    self.translated(&[word]);
                }
            }
            _ => self.plain(long, value, takes),
        }
    }

    /// Converts an option that `PodmanArgs=` supports, too.
    fn plain(&mut self, long: &str, value: &str, takes: bool) {
        let word = if takes { format!("--{long}={}", literal(value)) } else { format!("--{long}") };
        self.translated(&[word]);
    }

    fn translated(&mut self, words: &[String]) {
        let (assignments, problems) = podman::assignments(FileType::Container, words);
        for (section, key, value) in assignments {
            self.builder.set(words.first().map_or("", |word| word), &section, &key, &value);
        }
        self.builder.notes.extend(problems);
    }

    /// Joins a network.
    fn network(&mut self, value: &str) {
        let (network, options) = value.split_once(':').map_or((value, ""), |(network, options)| (network, options));
        let options = if options.is_empty() { String::new() } else { format!(":{options}") };
        // The long form of docker is name=NETWORK,alias=NAME,...
        if let Some(rest) = value.strip_prefix("name=") {
            let (network, options) = rest.split_once(',').unwrap_or((rest, ""));
            let options = options.replace("mac-address=", "mac=").replace("driver-opt=", "");
            let separator = if options.is_empty() { "" } else { ":" };
            return self.network(&format!("{network}{separator}{options}"));
        }
        let written = match network {
            "host" | "none" => network.to_owned(),
            "default" | "pasta" | "slirp4netns" | "private" => "uplink".to_owned(),
            "bridge" => format!("bridge{options}"),
            "container" => format!("container:{}", name(options.trim_start_matches(':'))),
            _ => {
                let network = name(network);
                self.networks.push(network.clone());
                let (addresses, others): (Vec<&str>, Vec<&str>) = options
                    .trim_start_matches(':')
                    .split(',')
                    .filter(|option| !option.is_empty())
                    .partition(|option| option.starts_with("ip") && self.attached.is_empty());
                // Addresses are separate keys: an address that the network lacks must not
                // invalidate the network itself.
                for (key, address) in addresses.iter().filter_map(|option| option.split_once('=')) {
                    self.builder.put("--network", if key == "ip" { "IP" } else { "IP6" }, address);
                }
                let separator = if others.is_empty() { "" } else { ":" };
                format!("{network}.network{separator}{}", others.join(","))
            }
        };
        self.attached.push(written);
    }

    /// Returns a volume with its source as an absolute path or as the name of a volume. Returns
    /// `None` for a path in an unknown home directory.
    fn volume(&mut self, value: &str) -> Option<String> {
        let Some((source, rest)) = value.split_once(':') else { return Some(value.to_owned()) };
        if source.starts_with('~') {
            self.builder.note("--volume", &format!("{source}: the home directory is not known; write the path out"));
            return None;
        }
        Some(match name(source) {
            _ if is_path(source) => format!("{}:{rest}", absolute(&self.place.directory, source)),
            volume if self.place.volumes.contains(&volume) => format!("{volume}.volume:{rest}"),
            _ => value.to_owned(),
        })
    }

    /// Returns a mount with its source as an absolute path.
    fn mount(&self, value: &str) -> String {
        let part = |part: &str| match part.split_once('=') {
            Some((key @ ("source" | "src"), source)) if is_path(source) => {
                format!("{key}={}", absolute(&self.place.directory, source))
            }
            _ => part.to_owned(),
        };
        value.split(',').map(part).collect::<Vec<_>>().join(",")
    }

    /// Adds a network that a later command of the same script connects.
    pub fn attach(&mut self, network: &str, options: &str) {
        let separator = if options.is_empty() { "" } else { ":" };
        self.network(&format!("{network}{separator}{options}"));
    }

    /// Sets the image of the container `name`, and its arguments.
    pub fn image(&mut self, name: &str, image: &str, arguments: &[String]) {
        let image = image.strip_prefix("docker://").unwrap_or(image);
        if self.platform.is_empty() {
            if let Some(policy) = self.platform.policy.take() {
                self.plain("pull", &policy, true);
            }
            self.builder.put("the image", "Image", image);
        } else {
            self.image_file = Some(self.platform.file(image));
            self.builder.put("the image", "Image", &format!("{name}.image"));
        }
        if !arguments.is_empty() {
            self.builder.words("the command", "Exec", arguments);
        }
    }

    /// Writes the settings that depend on all options together.
    pub fn finish(&mut self) {
        let limits = std::mem::take(&mut self.limits);
        self.translated(&limits);
        let mut attached = std::mem::take(&mut self.attached);
        if attached.is_empty() && self.pod.is_none() {
            // Docker connects such a container to its default network.
            attached.push(if self.mac.is_some() { "bridge".to_owned() } else { "uplink".to_owned() });
        }
        for (index, network) in attached.iter().enumerate() {
            let mac = self.mac.as_ref().filter(|_| index == 0);
            let mac = mac.map(|mac| format!("{}mac={mac}", if network.contains(':') { "," } else { ":" }));
            self.builder.put("--network", "Network", &format!("{network}{}", mac.unwrap_or_default()));
        }
        // As with docker, nothing is published in the network of the host or without a network.
        if self.pod.is_none() && !attached.iter().any(|network| ["host", "none"].contains(&network.as_str())) {
            for port in std::mem::take(&mut self.ports) {
                self.builder.put("--publish", "PublishPort", &port);
            }
        }
    }
}
