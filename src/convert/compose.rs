// SPDX-License-Identifier: MIT
//! Compose files (the Compose Specification): each service becomes a container, and services that share a network, which they
//! do unless told otherwise, share a pod named after the project.

use yaml_rust2::{Yaml, YamlLoader};

use super::{Builder, Converted, name};
use crate::config::keys::{FileType, supported};
use crate::ini::split_words;

/// Where a project is, and the variables it is read with.
pub struct Project<'a> {
    /// The directory of the Compose file, absolute.
    pub directory: &'a str,
    /// The value of a variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// Converts a Compose file.
///
/// # Errors
/// It is no YAML, or has no services.
pub fn compose(text: &str, project: &Project<'_>) -> Result<Converted, String> {
    let documents = YamlLoader::load_from_str(text).map_err(|e| format!("line {}: {}", e.marker().line(), e.info()))?;
    let document = documents.first().ok_or("there is nothing in it")?;
    let services = document["services"].as_hash().ok_or("it has no services")?;
    let mut out = Converted::default();
    let last = project.directory.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let pod_name = name(document["name"].as_str().unwrap_or(last));
    let mut pod = Builder::new(FileType::Pod);
    pod.put("the network", "Network", "uplink");
    let mut members = 0;
    for (service, settings) in services {
        let service = service.as_str().ok_or("a service has no name")?;
        let mut one = Service { origin: service, project, container: Builder::new(FileType::Container) };
        let networked = scalar(&settings["network_mode"]);
        match networked.as_deref() {
            None => {
                one.container.put(service, "Pod", &format!("{pod_name}.pod"));
                members += 1;
            }
            Some(mode) => one.container.network(&format!("{service}: network_mode {mode}"), mode),
        }
        let publishing = if networked.is_none() { Some(&mut pod) } else { None };
        one.read(settings, publishing)?;
        out.notes.append(&mut one.container.notes);
        out.files.insert(format!("{}.container", name(service)), one.container.draft.to_string());
    }
    if members > 0 {
        out.files.insert(format!("{pod_name}.pod"), pod.draft.to_string());
        if members > 1 {
            out.notes.push(format!(
                "{pod_name}.pod: the services reach each other on 127.0.0.1, not by their names; no two can listen on one port"
            ));
        }
    }
    out.notes.append(&mut pod.notes);
    for (key, settings) in document.as_hash().into_iter().flatten() {
        match key.as_str().unwrap_or_default() {
            "services" | "version" | "name" => {}
            "volumes" => {
                for (volume, _) in settings.as_hash().into_iter().flatten() {
                    let volume = name(volume.as_str().unwrap_or_default());
                    out.files.insert(format!("{volume}.volume"), "[Volume]\n".to_owned());
                }
            }
            "networks" => out.notes.push("networks: all services share one pod in their place".to_owned()),
            other if other.starts_with("x-") => {}
            other => out.notes.push(format!("{other}: no counterpart")),
        }
    }
    Ok(out.checked())
}

struct Service<'a> {
    origin: &'a str,
    project: &'a Project<'a>,
    container: Builder,
}

/// Settings that become a key as they are: one value, or a list of them.
const KEYS: [(&str, &str); 27] = [
    ("annotations", "Annotation"),
    ("cap_add", "AddCapability"),
    ("cap_drop", "DropCapability"),
    ("devices", "AddDevice"),
    ("dns", "DNS"),
    ("dns_opt", "DNSOption"),
    ("dns_search", "DNSSearch"),
    ("env_file", "EnvironmentFile"),
    ("environment", "Environment"),
    ("expose", "ExposeHostPort"),
    ("extra_hosts", "AddHost"),
    ("group_add", "GroupAdd"),
    ("hostname", "HostName"),
    ("labels", "Label"),
    ("pids_limit", "PidsLimit"),
    ("pull_policy", "Pull"),
    ("read_only", "ReadOnly"),
    ("secrets", "Secret"),
    ("shm_size", "ShmSize"),
    ("stop_grace_period", "StopTimeout"),
    ("stop_signal", "StopSignal"),
    ("sysctls", "Sysctl"),
    ("tmpfs", "Tmpfs"),
    ("ulimits", "Ulimit"),
    ("user", "User"),
    ("userns_mode", "UserNS"),
    ("working_dir", "WorkingDir"),
];

impl Service<'_> {
    fn read(&mut self, settings: &Yaml, mut pod: Option<&mut Builder>) -> Result<(), String> {
        let mut all: Vec<(&str, &Yaml)> = Vec::new();
        merged(settings, &mut all);
        if all.is_empty() {
            return Err(format!("the service {} has no settings", self.origin));
        }
        for (key, value) in all {
            let origin = format!("{}: {key}", self.origin);
            if let Some((_, ours)) = KEYS.iter().find(|(theirs, _)| *theirs == key) {
                for value in self.values(value) {
                    self.key(&origin, ours, &value);
                }
                continue;
            }
            match key {
                "image" => self.each(value, |builder, image| builder.put(&origin, "Image", image)),
                "command" | "entrypoint" => {
                    let key = if key == "command" { "Exec" } else { "Entrypoint" };
                    let words = match value {
                        Yaml::Array(_) => self.values(value),
                        _ => split_words(&self.values(value).concat()).map_err(|e| format!("{origin}: {e}"))?,
                    };
                    self.container.words(&origin, key, &words);
                }
                "ports" => {
                    for port in self.ports(&origin, value) {
                        match &mut pod {
                            Some(pod) => pod.publish(&origin, &port),
                            None => self.container.publish(&origin, &port),
                        }
                    }
                }
                "volumes" => self.volumes(&origin, value),
                "depends_on" => self.depends(&origin, value),
                "restart" => self.each(value, |builder, policy| builder.restart(&origin, policy)),
                "mem_limit" => self.setting(&origin, "MemoryMax", value),
                "mem_reservation" => self.setting(&origin, "MemoryLow", value),
                "cpus" => self.cpus(&origin, value),
                "healthcheck" => self.health(&origin, value),
                "deploy" => self.deploy(&origin, value),
                "container_name" | "network_mode" | "init" | "stdin_open" | "tty" => {}
                "networks" => self.container.note(&origin, "all services share one pod in place of networks"),
                "privileged" => self.container.note(&origin, "name what it needs: AddCapability=, AddDevice="),
                "build" => self.container.note(&origin, "images are not built here; build it, and name the result"),
                "logging" => self.container.note(&origin, "logs go to the journal"),
                _ => self.container.note(&origin, "no counterpart"),
            }
        }
        if scalar(&settings["image"]).is_none() {
            self.container.note(self.origin, "no image; without Image= the container is a clone of the host");
        }
        Ok(())
    }

    fn key(&mut self, origin: &str, key: &str, value: &str) {
        match key {
            "Environment" if !value.contains('=') => match (self.project.variable)(value) {
                Some(found) => self.container.put(origin, key, &format!("{value}={found}")),
                None => self.container.note(origin, &format!("{value} is not set")),
            },
            "User" => {
                let (user, group) = value.split_once(':').map_or((value, None), |(u, g)| (u, Some(g)));
                self.container.put(origin, "User", user);
                if let Some(group) = group {
                    self.container.put(origin, "Group", group);
                }
            }
            "EnvironmentFile" => self.container.put(origin, key, &self.absolute(value)),
            "AddHost" => self.container.put(origin, key, &value.replacen('=', ":", 1)),
            _ => self.container.put(origin, key, value),
        }
    }

    fn each(&mut self, value: &Yaml, put: impl Fn(&mut Builder, &str)) {
        for value in self.values(value) {
            put(&mut self.container, &value);
        }
    }

    /// A value, the items of a list, or `NAME=VALUE` for those of a map, variables replaced.
    fn values(&mut self, value: &Yaml) -> Vec<String> {
        let all: Vec<String> = match value {
            Yaml::Array(items) => {
                items.iter().filter_map(|item| scalar(item).or_else(|| scalar(&item["source"]))).collect()
            }
            Yaml::Hash(map) => map
                .iter()
                .filter_map(|(key, value)| {
                    let key = scalar(key)?;
                    Some(scalar(value).map_or(key.clone(), |value| format!("{key}={value}")))
                })
                .collect(),
            other => scalar(other).into_iter().collect(),
        };
        all.iter().map(|value| self.replaced(value)).collect()
    }

    /// `$NAME`, `${NAME}`, `${NAME:-DEFAULT}`; `$$` is a dollar sign.
    fn replaced(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out += before;
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
                continue;
            }
            let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let (expression, after) = braced.unwrap_or_else(|| {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                after.split_at(end)
            });
            let end = expression.find([':', '-', '?', '+']).unwrap_or(expression.len());
            let (variable, instead) = expression.split_at(end);
            let default = instead.strip_prefix(":-").or_else(|| instead.strip_prefix('-'));
            let value = (self.project.variable)(variable).filter(|v| !v.is_empty() || !instead.starts_with(':'));
            match value.or_else(|| default.map(str::to_owned)) {
                Some(value) => out += &value,
                None => self.container.note(self.origin, &format!("the variable {variable} is not set")),
            }
            rest = after;
        }
        out + rest
    }

    fn absolute(&self, path: &str) -> String {
        let directory = self.project.directory.trim_end_matches('/');
        match path.strip_prefix("./").or((path == ".").then_some("")) {
            Some(rest) => format!("{directory}/{rest}").trim_end_matches('/').to_owned(),
            None if path.starts_with('/') => path.to_owned(),
            None => format!("{directory}/{path}"),
        }
    }

    fn ports(&mut self, origin: &str, value: &Yaml) -> Vec<String> {
        let items = value.as_vec().map(Vec::as_slice).unwrap_or_default();
        let port = |item: &Yaml| {
            let target = scalar(&item["target"])?;
            let part = |key: &str| scalar(&item[key]);
            let host = part("host_ip").map(|ip| format!("{ip}:")).unwrap_or_default();
            let published = part("published").map(|p| format!("{p}:")).unwrap_or_default();
            let protocol = part("protocol").map(|p| format!("/{p}")).unwrap_or_default();
            Some(format!("{host}{published}{target}{protocol}"))
        };
        let mut out = Vec::new();
        for item in items {
            match scalar(item).map(|text| self.replaced(&text)).or_else(|| port(item)) {
                Some(port) => out.push(port),
                None => self.container.note(origin, "a port without its number"),
            }
        }
        out
    }

    fn volumes(&mut self, origin: &str, value: &Yaml) {
        let items = value.as_vec().map(Vec::as_slice).unwrap_or_default();
        for item in items {
            let long = || {
                let target = scalar(&item["target"])?;
                let source = scalar(&item["source"]).map(|s| format!("{s}:")).unwrap_or_default();
                let only = if item["read_only"].as_bool() == Some(true) { ":ro" } else { "" };
                Some((scalar(&item["type"]), format!("{source}{target}{only}")))
            };
            match scalar(item).map(|text| (None, text)).or_else(long) {
                Some((Some(kind), text)) if kind == "tmpfs" => self.container.put(origin, "Tmpfs", &text),
                Some((_, text)) => {
                    let text = self.replaced(&text);
                    let (source, rest) = text.split_once(':').map_or((None, text.as_str()), |(s, r)| (Some(s), r));
                    let volume = match source {
                        None => rest.to_owned(),
                        Some(path) if path.starts_with(['.', '/']) => format!("{}:{rest}", self.absolute(path)),
                        Some(path) if path.starts_with('~') => {
                            self.container.note(origin, &format!("{path}: write the home directory out"));
                            continue;
                        }
                        Some(named) => format!("{}.volume:{rest}", name(named)),
                    };
                    self.container.put(origin, "Volume", &volume);
                }
                None => self.container.note(origin, "a volume without a target"),
            }
        }
    }

    fn depends(&mut self, origin: &str, value: &Yaml) {
        let names: Vec<String> = match value {
            Yaml::Hash(map) => map.iter().filter_map(|(key, _)| scalar(key)).collect(),
            other => self.values(other),
        };
        for other in names {
            let condition = scalar(&value[other.as_str()]["condition"]).unwrap_or_default();
            let file = format!("{}.container", name(&other));
            self.container.set(origin, "Unit", "Requires", &file);
            self.container.set(origin, "Unit", "After", &file);
            match condition.as_str() {
                "service_healthy" => self.container.note(
                    origin,
                    &format!("{other} counts as started when it is healthy only with Notify=healthy in {file}"),
                ),
                "service_completed_successfully" => {
                    self.container.note(origin, &format!("{other} counts as done when it has started"));
                }
                _ => {}
            }
        }
    }

    fn setting(&mut self, origin: &str, key: &str, value: &Yaml) {
        for value in self.values(value) {
            let value = value.to_ascii_uppercase();
            self.container.set(origin, "Service", key, value.trim_end_matches('B'));
        }
    }

    fn cpus(&mut self, origin: &str, value: &Yaml) {
        match scalar(value).and_then(|text| text.parse::<f64>().ok()) {
            Some(cpus) => self.container.set(origin, "Service", "CPUQuota", &format!("{}%", (cpus * 100.0).round())),
            None => self.container.note(origin, "not a number of processors"),
        }
    }

    fn health(&mut self, origin: &str, value: &Yaml) {
        if value["disable"].as_bool() == Some(true) {
            return self.container.put(origin, "HealthCmd", "none");
        }
        for (key, value) in value.as_hash().into_iter().flatten() {
            let key = key.as_str().unwrap_or_default();
            let ours = match key {
                "test" => {
                    let words = self.values(value);
                    match words.split_first() {
                        Some((kind, rest)) if kind == "CMD" && supported(FileType::Container, "HealthCmd").is_ok() => {
                            self.container.words(origin, "HealthCmd", rest);
                        }
                        Some((kind, rest)) if kind == "CMD-SHELL" || kind == "CMD" => {
                            self.container.put(origin, "HealthCmd", &rest.join(" "));
                        }
                        Some((kind, [])) if kind == "NONE" => self.container.put(origin, "HealthCmd", "none"),
                        _ => self.container.put(origin, "HealthCmd", &words.concat()),
                    }
                    continue;
                }
                "interval" => "HealthInterval",
                "timeout" => "HealthTimeout",
                "retries" => "HealthRetries",
                "start_period" => "HealthStartPeriod",
                "start_interval" => "HealthStartupInterval",
                _ => {
                    self.container.note(&format!("{origin}: {key}"), "no counterpart");
                    continue;
                }
            };
            for value in self.values(value) {
                self.container.put(origin, ours, &value);
            }
        }
    }

    fn deploy(&mut self, origin: &str, value: &Yaml) {
        for (key, value) in value.as_hash().into_iter().flatten() {
            match key.as_str().unwrap_or_default() {
                "resources" => {
                    self.setting(origin, "MemoryMax", &value["limits"]["memory"]);
                    self.setting(origin, "MemoryLow", &value["reservations"]["memory"]);
                    for tasks in self.values(&value["limits"]["pids"]) {
                        self.container.set(origin, "Service", "TasksMax", &tasks);
                    }
                    if !value["limits"]["cpus"].is_badvalue() {
                        self.cpus(origin, &value["limits"]["cpus"]);
                    }
                }
                "restart_policy" => {
                    let condition = scalar(&value["condition"]).unwrap_or_default();
                    let policy = if condition == "any" { "always" } else { &condition };
                    self.container.restart(origin, if policy == "none" { "no" } else { policy });
                }
                other => self.container.note(&format!("{origin}: {other}"), "no counterpart"),
            }
        }
    }
}

fn scalar(value: &Yaml) -> Option<String> {
    match value {
        Yaml::String(text) | Yaml::Real(text) => Some(text.clone()),
        Yaml::Integer(number) => Some(number.to_string()),
        Yaml::Boolean(true) => Some("true".to_owned()),
        Yaml::Boolean(false) => Some("false".to_owned()),
        _ => None,
    }
}

/// The settings of a map, those that `<<` brings in where the map has none of its own.
fn merged<'a>(map: &'a Yaml, out: &mut Vec<(&'a str, &'a Yaml)>) {
    let entries: Vec<(&str, &Yaml)> =
        map.as_hash().into_iter().flatten().filter_map(|(key, value)| Some((key.as_str()?, value))).collect();
    for (key, value) in entries.iter().filter(|(key, _)| *key != "<<") {
        if !out.iter().any(|(known, _)| known == key) {
            out.push((key, value));
        }
    }
    for (_, value) in entries.iter().filter(|(key, _)| *key == "<<") {
        match value {
            Yaml::Array(maps) => maps.iter().for_each(|map| merged(map, out)),
            map => merged(map, out),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn convert(text: &str) -> Result<Converted, String> {
        let variable = |name: &str| (name == "TAG").then(|| "1.27".to_owned());
        compose(text, &Project { directory: "/srv/my app", variable: &variable })
    }

    #[test]
    fn services_share_a_pod() {
        let text = "
x-common: &common
  restart: unless-stopped
  environment: {TZ: UTC}
services:
  web:
    <<: *common
    image: nginx:${TAG}
    ports: ['8080:80', {target: 443, published: 8443}]
    depends_on: [api]
    command: nginx -g 'daemon off;'
  api:
    image: api:${VERSION:-2}
    environment:
      - COST=5$$
    mem_limit: 512m
    frobnicate: 1
";
        let converted = convert(text).unwrap();
        let file = |name: &str| converted.files.get(name).unwrap().as_str();
        assert_eq!(file("my-app.pod"), "[Pod]\nNetwork=uplink\nPublishPort=8080:80\nPublishPort=8443:443\n");
        assert_eq!(
            file("web.container"),
            "[Container]\nPod=my-app.pod\nImage=nginx:1.27\nExec=nginx -g \"daemon off;\"\nEnvironment=TZ=UTC\n\n\
             [Unit]\nRequires=api.container\nAfter=api.container\n\n[Service]\nRestart=always\n\n\
             [Install]\nWantedBy=machines.target\n"
        );
        assert_eq!(
            file("api.container"),
            "[Container]\nPod=my-app.pod\nImage=api:2\nEnvironment=COST=5$\n\n[Service]\nMemoryMax=512M\n"
        );
        assert_eq!(converted.notes.len(), 2, "{:?}", converted.notes);
        assert!(converted.notes.iter().any(|note| note == "api: frobnicate: no counterpart"));
    }

    #[test]
    fn what_is_no_compose_file_is_refused() {
        assert!(convert("services: [").unwrap_err().starts_with("line "));
        assert_eq!(convert("{}").unwrap_err(), "it has no services");
        assert!(convert("services: {web: 5}").unwrap_err().contains("no settings"));
        let converted = convert("services: {web: {image: 'x:${NOTSET}', network_mode: host}}").unwrap();
        assert!(converted.notes.iter().any(|n| n.contains("NOTSET is not set")), "{:?}", converted.notes);
    }
}
