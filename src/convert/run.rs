// SPDX-License-Identifier: MIT
//! Command lines of `docker run` and `podman run` (docker-run(1), podman-run(1)).

use std::collections::BTreeMap;

use super::{Builder, Converted, name, name_of_image};
use crate::config::keys::FileType;
use crate::config::podman;
use crate::config::values::systemd_size;

/// What an option becomes.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// A key with the option's value.
    Key(&'static str),
    /// A key that is yes, or the option's own boolean.
    Flag(&'static str),
    /// A setting of `[Service]`.
    Service(&'static str),
    /// Nothing, as what it asks for is so anyway.
    Nothing,
    /// Nothing there is.
    None(&'static str),
    /// Something of its own.
    Special,
}

use Act::{Flag, Key, None as Never, Nothing, Service, Special};

/// Options by long name, short name if there is one, and whether a value follows.
const OPTIONS: &[(&str, char, bool, Act)] = &[
    ("add-host", ' ', true, Key("AddHost")),
    ("annotation", ' ', true, Key("Annotation")),
    ("cap-add", ' ', true, Key("AddCapability")),
    ("cap-drop", ' ', true, Key("DropCapability")),
    ("cpu-shares", 'c', true, Never("CPUWeight= in [Service], from 1 to 10000")),
    ("cpus", ' ', true, Special),
    ("cpuset-cpus", ' ', true, Service("AllowedCPUs")),
    ("detach", 'd', false, Nothing),
    ("device", ' ', true, Key("AddDevice")),
    ("dns", ' ', true, Key("DNS")),
    ("dns-option", ' ', true, Key("DNSOption")),
    ("dns-search", ' ', true, Key("DNSSearch")),
    ("entrypoint", ' ', true, Key("Entrypoint")),
    ("env", 'e', true, Special),
    ("env-file", ' ', true, Key("EnvironmentFile")),
    ("expose", ' ', true, Key("ExposeHostPort")),
    ("gidmap", ' ', true, Key("GIDMap")),
    ("group-add", ' ', true, Key("GroupAdd")),
    ("health-cmd", ' ', true, Key("HealthCmd")),
    ("health-interval", ' ', true, Key("HealthInterval")),
    ("health-retries", ' ', true, Key("HealthRetries")),
    ("health-start-period", ' ', true, Key("HealthStartPeriod")),
    ("health-timeout", ' ', true, Key("HealthTimeout")),
    ("health-on-failure", ' ', true, Key("HealthOnFailure")),
    ("hostname", 'h', true, Key("HostName")),
    ("init", ' ', false, Nothing),
    ("interactive", 'i', false, Nothing),
    ("ip", ' ', true, Key("IP")),
    ("ip6", ' ', true, Key("IP6")),
    ("label", 'l', true, Key("Label")),
    ("log-driver", ' ', true, Never("logs go to the journal")),
    ("log-opt", ' ', true, Never("logs go to the journal; see journald.conf(5)")),
    ("memory", 'm', true, Service("MemoryMax")),
    ("memory-reservation", ' ', true, Service("MemoryLow")),
    ("memory-swap", ' ', true, Never("MemorySwapMax= in [Service], without the memory itself")),
    ("mount", ' ', true, Key("Mount")),
    ("name", ' ', true, Special),
    ("network", ' ', true, Special),
    ("net", ' ', true, Special),
    ("network-alias", ' ', true, Key("NetworkAlias")),
    ("no-healthcheck", ' ', false, Special),
    ("oom-score-adj", ' ', true, Service("OOMScoreAdjust")),
    ("pids-limit", ' ', true, Service("TasksMax")),
    ("platform", ' ', true, Never("Arch= in an .image file")),
    ("pod", ' ', true, Special),
    ("privileged", ' ', false, Never("name what it needs: AddCapability=, AddDevice=")),
    ("publish", 'p', true, Special),
    ("publish-all", 'P', false, Never("PublishPort= for each port")),
    ("pull", ' ', true, Key("Pull")),
    ("quiet", 'q', false, Nothing),
    ("read-only", ' ', false, Flag("ReadOnly")),
    ("replace", ' ', false, Nothing),
    ("restart", ' ', true, Special),
    ("rm", ' ', false, Special),
    ("runtime", ' ', true, Never("systemd-nspawn runs it")),
    ("sdnotify", ' ', true, Special),
    ("secret", ' ', true, Key("Secret")),
    ("security-opt", ' ', true, Special),
    ("shm-size", ' ', true, Key("ShmSize")),
    ("stop-signal", ' ', true, Key("StopSignal")),
    ("stop-timeout", ' ', true, Key("StopTimeout")),
    ("subgidname", ' ', true, Key("SubGIDMap")),
    ("subuidname", ' ', true, Key("SubUIDMap")),
    ("sysctl", ' ', true, Key("Sysctl")),
    ("tls-verify", ' ', false, Never("TLSVerify= in an .image file")),
    ("tmpfs", ' ', true, Key("Tmpfs")),
    ("tty", 't', false, Nothing),
    ("tz", ' ', true, Key("Timezone")),
    ("uidmap", ' ', true, Key("UIDMap")),
    ("ulimit", ' ', true, Key("Ulimit")),
    ("user", 'u', true, Special),
    ("userns", ' ', true, Key("UserNS")),
    ("volume", 'v', true, Key("Volume")),
    ("volumes-from", ' ', true, Never("name the volumes of the other container")),
    ("workdir", 'w', true, Key("WorkingDir")),
];

/// Further options that take a value, which docker has and podman has not. They have no counterpart.
const OTHERS: [&str; 10] = [
    "cpu-count",
    "cpu-percent",
    "domainname",
    "health-start-interval",
    "hooks-dir",
    "init-ctr",
    "isolation",
    "kernel-memory",
    "link",
    "volume-driver",
];

/// Whether an option without a counterpart is known and takes a value.
fn is_other(long: &str) -> bool {
    OTHERS.contains(&long) || podman::takes_value(FileType::Container, long)
}

/// Converts the words of a command line, from `docker` or `podman` on or without it.
///
/// # Errors
/// It is no command that runs a container, or an option lacks its value.
pub fn command_line(words: &[String]) -> Result<Converted, String> {
    let mut words = words.iter().map(String::as_str).peekable();
    let is_front = |w: &&str| ["sudo", "docker", "podman", "container", "run", "create"].contains(w);
    while words.next_if(is_front).is_some() {}
    let mut run = Run {
        builder: Builder::new(FileType::Container),
        name: None,
        networked: false,
        published: false,
        networks: Vec::new(),
    };
    let image = loop {
        let Some(word) = words.next() else { return Err("no image is named on the command line".to_owned()) };
        if word == "--" {
            continue;
        }
        let Some(option) = word.strip_prefix('-').filter(|option| !option.is_empty()) else { break word };
        if let Some(long) = option.strip_prefix('-') {
            let (long, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let Some((_, _, takes, act)) = OPTIONS.iter().find(|(name, ..)| *name == long) else {
                let other = is_other(long);
                run.builder.note(word, if other { "no counterpart" } else { "unknown option" });
                if other && value.is_none() {
                    words.next();
                }
                continue;
            };
            let value = match (value, takes) {
                (Some(value), _) => value,
                (None, true) => words.next().ok_or_else(|| format!("{word} lacks its value"))?,
                (None, false) => "true",
            };
            run.option(long, *act, value);
            continue;
        }
        // Short ones can share a dash; a value follows at once or as the next word.
        let mut rest = option;
        while let Some(letter) = rest.chars().next() {
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
            let Some((long, _, takes, act)) = OPTIONS.iter().find(|(_, short, ..)| *short == letter) else {
                run.builder.note(&format!("-{letter}"), "unknown option");
                continue;
            };
            if *takes {
                let value = std::mem::take(&mut rest);
                let value = value.strip_prefix('=').unwrap_or(value);
                let value = if value.is_empty() { words.next() } else { Some(value) };
                run.option(long, *act, value.ok_or_else(|| format!("-{letter} lacks its value"))?);
            } else {
                run.option(long, *act, "true");
            }
        }
    };
    let arguments: Vec<String> = words.map(str::to_owned).collect();
    Ok(run.finish(image, &arguments))
}

struct Run {
    builder: Builder,
    name: Option<String>,
    /// Whether its network was named.
    networked: bool,
    published: bool,
    /// Networks with names, which need a file each.
    networks: Vec<String>,
}

impl Run {
    fn option(&mut self, long: &str, act: Act, value: &str) {
        let origin = format!("--{long}");
        let builder = &mut self.builder;
        match act {
            Nothing => {}
            Never(instead) => builder.note(&format!("{origin} {value}"), instead),
            Key(key) => builder.put(&origin, key, value),
            Flag(key) => builder.put(&origin, key, if value == "false" { "no" } else { "yes" }),
            Service(key) => builder.set(&origin, "Service", key, &systemd_size(value)),
            Special => self.special(long, &origin, value),
        }
    }

    fn special(&mut self, long: &str, origin: &str, value: &str) {
        let builder = &mut self.builder;
        match long {
            "name" => self.name = Some(name(value)),
            "publish" => {
                self.published = true;
                builder.publish(origin, value);
            }
            "network" | "net" => {
                self.networked = true;
                let (network, options) = value.split_once(':').unwrap_or((value, ""));
                match network {
                    "host" | "none" => builder.put(origin, "Network", network),
                    "default" | "pasta" | "slirp4netns" | "private" => builder.put(origin, "Network", "uplink"),
                    "bridge" | "container" => builder.put(origin, "Network", value),
                    _ => {
                        let network = name(network);
                        let options = if options.is_empty() { String::new() } else { format!(":{options}") };
                        builder.put(origin, "Network", &format!("{network}.network{options}"));
                        self.networks.push(network);
                    }
                }
            }
            "pod" => {
                self.networked = true;
                builder.put(origin, "Pod", &format!("{}.pod", name(value.trim_start_matches("new:"))));
                builder.note(origin, "its ports are published in the .pod file; sdme-gen pod new writes one");
            }
            "env" if value.contains('=') => builder.put(origin, "Environment", value),
            "env" => builder
                .note(&format!("{origin} {value}"), "the variable's value is taken from the shell; write NAME=VALUE"),
            "cpus" => match value.parse::<f64>() {
                Ok(cpus) => builder.set(origin, "Service", "CPUQuota", &format!("{}%", (cpus * 100.0).round())),
                Err(_) => builder.note(origin, &format!("{value:?} is not a number")),
            },
            "restart" => builder.restart(origin, value),
            "rm" => builder.note(origin, "a container's changes are kept; sdme-gen rm removes them"),
            "no-healthcheck" => builder.put(origin, "HealthCmd", "none"),
            "sdnotify" => match value {
                "healthy" => builder.put(origin, "Notify", "healthy"),
                "container" => builder.put(origin, "Notify", "yes"),
                _ => {}
            },
            "user" => {
                let (user, group) = value.split_once(':').map_or((value, None), |(u, g)| (u, Some(g)));
                builder.put(origin, "User", user);
                if let Some(group) = group {
                    builder.put(origin, "Group", group);
                }
            }
            "security-opt" => match value.split_once(['=', ':']).unwrap_or((value, "")) {
                ("no-new-privileges", off) if off != "false" => builder.put(origin, "NoNewPrivileges", "yes"),
                ("apparmor", profile) => builder.put(origin, "AppArmor", profile),
                ("mask", path) => builder.put(origin, "Mask", path),
                _ => builder.note(&format!("{origin} {value}"), "no counterpart; see SystemCallFilter= and Hardened="),
            },
            _ => builder.note(origin, "no counterpart"),
        }
    }

    fn finish(mut self, image: &str, arguments: &[String]) -> Converted {
        let builder = &mut self.builder;
        builder.put("the image", "Image", image);
        if !arguments.is_empty() {
            builder.words("the command", "Exec", arguments);
        }
        if !self.networked {
            // As docker does without being asked.
            builder.put("the network", "Network", "uplink");
            if !self.published {
                builder.note(
                    "the network",
                    "a private one with a way out, as docker's; without Network= it is the host's",
                );
            }
        }
        let name = self.name.unwrap_or_else(|| name_of_image(image));
        let mut files: BTreeMap<String, String> =
            [(format!("{name}.container"), self.builder.draft.to_string())].into();
        files.extend(self.networks.into_iter().map(|network| (format!("{network}.network"), "[Network]\n".to_owned())));
        Converted { files, notes: self.builder.notes }.checked()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn convert(line: &str) -> Result<Converted, String> {
        command_line(&crate::ini::split_words(line).unwrap())
    }

    #[test]
    fn a_command_line_becomes_a_file() {
        let line = "docker run -d --name my_web -p 8080:80 -e TZ=UTC -e 'A=b c' --restart=unless-stopped -m 512m \
            --cpus 1.5 nginx:1.27 nginx -g 'daemon off;'";
        let converted = convert(line).unwrap();
        assert_eq!(converted.notes, Vec::<String>::new());
        assert_eq!(
            converted.files.get("my-web.container").unwrap(),
            "[Container]\nPublishPort=8080:80\nEnvironment=TZ=UTC\nEnvironment=\"A=b c\"\nImage=nginx:1.27\n\
             Exec=nginx -g \"daemon off;\"\nNetwork=uplink\n\n\
             [Service]\nRestart=always\nMemoryMax=512M\nCPUQuota=150%\n\n[Install]\nWantedBy=machines.target\n"
        );
    }

    #[test]
    fn what_has_no_counterpart_is_said() {
        let converted = convert("podman run -itP --privileged --gpus all --frob --rm -e HOME redis").unwrap();
        let notes = converted.notes.join("\n");
        for part in [
            "--publish-all",
            "--privileged true: name what",
            "--gpus: no counterpart",
            "--frob: unknown",
            "--rm: ",
            "--env HOME: ",
        ] {
            assert!(notes.contains(part), "{part}: {notes}");
        }
        assert!(converted.files.contains_key("redis.container"));
        let converted =
            convert("docker run --network shop_net:ip=10.216.1.2 --network-alias db --name db redis").unwrap();
        assert!(converted.files.contains_key("shop-net.network"));
        let text = converted.files.get("db.container").unwrap();
        assert!(
            text.contains("Network=shop-net.network:ip=10.216.1.2\n") && text.contains("NetworkAlias=db\n"),
            "{text}"
        );
        let converted = convert("podman run --dns-opt ndots:3 --hosts-file none --isolation x redis").unwrap();
        assert!(converted.files.contains_key("redis.container"), "{:?}", converted.files);
        assert!(convert("docker run --name").unwrap_err().contains("lacks its value"));
        assert!(convert("docker run -d").unwrap_err().contains("no image"));
    }
}
