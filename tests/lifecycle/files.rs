// SPDX-License-Identifier: MIT
//! Configuration files of the tests: short texts, their units, and the ports that must answer.

use std::collections::BTreeMap;

use crate::support::tiers::Machine;

/// The files of `/etc/sdme` by name, except the one of the image. A text `-> TARGET` is a symbolic
/// link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files(pub BTreeMap<String, String>);

/// The line for a server that answers on one port with the number of the port.
fn answers(port: &str) -> String {
    let server = format!("server {{ listen {port}; return 200 {port}; }}");
    format!("Exec=sh -c 'echo \"{server}\" >/etc/nginx/conf.d/site.conf && exec nginx -g \"daemon off;\"'")
}

impl Files {
    /// Adds a file. In the text, `LISTEN=PORT` stands for an application that listens on that port.
    /// The first section and the image are added unless the text begins with a section.
    pub fn add(&mut self, name: &str, text: &str) {
        let start = match name.rsplit('.').next() {
            _ if text.starts_with(['[', '-']) => "",
            Some("container") => "[Container]\nImage=nginx.image\n",
            Some("pod") => "[Pod]\n",
            Some("network") => "[Network]\n",
            Some("volume") => "[Volume]\n",
            Some("image") => "[Image]\n",
            _ => "",
        };
        let line = |line: &str| line.strip_prefix("LISTEN=").map_or_else(|| line.to_owned(), answers) + "\n";
        self.0.insert(name.to_owned(), start.to_owned() + &text.lines().map(line).collect::<String>());
    }

    /// Writes these files to `/etc/sdme` and removes all others except the one of the image.
    pub fn write(&self, host: &impl Machine) {
        let mut script = "cd /etc/sdme && find . -type f,l ! -name nginx.image -delete\n".to_owned();
        for (name, text) in &self.0 {
            let path = if name.starts_with('/') { name.clone() } else { format!("/etc/sdme/{name}") };
            script += &match text.trim().strip_prefix("-> ") {
                Some(target) => format!("ln -sfn '{target}' '{path}'\n"),
                None => format!("cat >'{path}' <<'END OF FILE'\n{text}END OF FILE\n"),
            };
        }
        host.ok(&script);
    }

    /// Writes these files and reloads systemd.
    pub fn load(&self, host: &impl Machine) {
        self.write(host);
        host.ok("systemctl daemon-reload");
    }

    pub fn extend(&mut self, other: &Self) {
        self.0.extend(other.0.clone());
    }

    /// The units that an administrator would start: sockets of what starts on demand, targets of
    /// pods, and services of containers.
    pub fn units(&self) -> Vec<String> {
        let mut pods = Vec::new();
        let mut containers = Vec::new();
        for (file, text) in &self.0 {
            let Some((stem, kind)) = file.rsplit_once('.') else { continue };
            // A template has no unit of its own; its instances are symbolic links to it.
            if stem.ends_with('@') {
                continue;
            }
            let text = text.trim().strip_prefix("-> ").and_then(|target| self.0.get(target)).unwrap_or(text);
            let name = value(text, "ContainerName=").or(value(text, "PodName=")).unwrap_or(stem).replace('@', "-");
            let port = value(text, "PublishPort=").and_then(|port| port.split(':').next());
            match (kind, port) {
                ("pod" | "container", Some(port)) if text.contains("StartOnDemand=yes") => {
                    containers.push(format!("sdme-publish-{name}-{port}.socket"));
                }
                ("pod", _) => pods.push(format!("sdme-pod@{name}.target")),
                ("container", _) => containers.push(format!("systemd-nspawn@{name}.service")),
                _ => {}
            }
        }
        pods.extend(containers);
        pods
    }

    /// These units and the services behind sockets that start on demand: everything that has to be
    /// stopped.
    pub fn all_units(&self) -> Vec<String> {
        let plain = |text: &String| text.replace("StartOnDemand=yes", "StartOnDemand=no");
        let behind = Self(self.0.iter().map(|(name, text)| (name.clone(), plain(text))).collect()).units();
        let sockets = self.units();
        let more: Vec<String> = behind.into_iter().filter(|unit| !sockets.contains(unit)).collect();
        [sockets, more].concat()
    }
}

/// The value of the first line `KEY=VALUE`.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key))
}

/// Ports that must answer. Each is `PORT` or `ADDRESS:PORT`, optionally with `=TEXT` for the
/// beginning of the answer.
#[derive(Debug, Clone, Default)]
pub struct Ports(pub Vec<String>);

impl Ports {
    /// The ports that do not answer as they must. All are asked at the same time. A new application
    /// has ten seconds to listen.
    pub fn dead(&self, host: &impl Machine) -> Vec<String> {
        let ask = |port: &String| {
            let (place, text) = port.split_once('=').unwrap_or((port, ""));
            let place = if place.contains(':') { place.to_owned() } else { format!("127.0.0.1:{place}") };
            format!("ask '{port}' 'http://{place}/' '{text}' &\n")
        };
        // A connection to a closed port fails at once and is retried for ten seconds; one attempt
        // may wait for a start on demand.
        let script = r#"ask() {
            while [ $SECONDS -lt 10 ]; do
                found=$(curl -fsS --max-time 15 "$2" 2>&1) && [[ $found == "$3"* ]] && return
                sleep 0.1
            done
            echo "$1: ${found##*) }"
        }
        "#;
        let all: String = self.0.iter().map(ask).collect();
        host.ok(&format!("{script}{all}wait")).lines().map(|line| format!("does not answer: {line}")).collect()
    }
}
