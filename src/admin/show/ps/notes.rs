// SPDX-License-Identifier: MIT
//! The notes of `sdme-gen ps` below its table: the cause and the remedy if a container is not in
//! the state of the configuration.

use std::collections::BTreeMap;

use crate::admin::show::ps::{Host, Listed};
use crate::cause::{self, Cause};
use crate::config::keys::FileType;
use crate::contract::health::{State, Status, known_key};
use crate::diag::Fault;
use crate::image::{Updates, short};
use crate::model::{Container, Image, Pod};

fn note(reason: &str, remedy: &str) -> Cause {
    Cause::new("", reason, remedy)
}

/// The note about a new or refused version of the container's images, whose updates `updates` is
/// about.
pub(crate) fn of_update(listed: &Listed, updates: &Updates) -> Option<Cause> {
    let name = &listed.name;
    Some(match listed.update.as_deref()? {
        "rolled back" => {
            let digest = updates.rolled_back().map(|digest| format!(" from {}", short(digest))).unwrap_or_default();
            let reason = updates.failure.as_ref().map(|failure| {
                let other = if failure.container == *name { String::new() } else { format!("{}: ", failure.container) };
                format!(" ({other}{})", failure.text)
            });
            let reason = reason.unwrap_or_default();
            note(
                &format!("it was rolled back{digest}{reason}"),
                "sdme-gen update waits for another version of its image",
            )
        }
        "not accepted" => note("the new version of its image is not accepted", "sdme-gen update tells why"),
        word => note(&format!("a new version of its image is {word}"), &format!("run sdme-gen update {name}")),
    })
}

/// The note about a running container with an unhealthy application, with the last check that
/// failed. The container writes these states, so they may contain anything.
pub(crate) fn of_health(name: &str, checks: &BTreeMap<String, State>) -> Option<Cause> {
    let (app, state) = checks.iter().find(|(_, state)| state.status == Status::Unhealthy)?;
    let of_app = if checks.len() > 1 { format!(" of {app}") } else { String::new() };
    let all = format!("sdme-gen logs {name} shows all messages");
    let Some(last) = &state.last else { return Some(note(&format!("its health check{of_app} fails"), &all)) };
    let reason: String = last.reason.lines().next().unwrap_or_default().chars().take(500).collect();
    let key = known_key(&last.key);
    let remedy = format!("correct the application or {key}=, {all}");
    Some(note(&format!("its health check{of_app} fails: {reason}"), &remedy))
}

impl Host {
    /// Whether the service manager reports a unit as failed.
    pub(crate) fn has_failed(&self, unit: &str) -> bool {
        self.units.get(unit).is_some_and(super::units::Unit::has_failed)
    }

    /// The note about a container, if it has a problem.
    pub(crate) fn note(&self, listed: &Listed, container: Option<&Container>) -> Option<Cause> {
        let name = &listed.name;
        let unit = Container::unit(name);
        let rejection = || self.model.rejection(FileType::Container, name).map(Fault::from);
        let pods = self.pods(name, container);
        let failed_image = || {
            let mut images = container.into_iter().flat_map(|container| self.images_of(container));
            images.find(|image| self.has_failed(&Image::service(image)))
        };
        let failures = ["no image", "port taken", "no network", "failed", "restarting"];
        if failures.contains(&listed.state.as_str()) {
            // A unit that the start needs may have recorded the cause instead of the container.
            let images = container.into_iter().flat_map(|container| self.images_of(container)).map(Image::service);
            let needed = images.chain(pods.iter().map(|pod| Pod::service(pod)));
            let needed = needed.filter(|unit| listed.state != "restarting" && self.has_failed(unit));
            if let Some(cause) = std::iter::once(unit.clone()).chain(needed).find_map(|unit| cause::of(&unit)) {
                return Some(cause);
            }
        }
        match listed.state.as_str() {
            "leftover" => {
                let remedy = format!("sdme-gen rm {name} removes what the container left");
                return Some(note(&format!("there is no {name}.container"), &remedy));
            }
            "rejected" => return rejection().map(|fault| Cause::of_fault("", &fault)),
            "no image" => {
                let unit = Image::service(failed_image()?);
                return Some(note("its image could not be imported", &format!("journalctl -u '{unit}' shows why")));
            }
            "port taken" => {
                let socket = pods.iter().find_map(|pod| self.taken(pod))?;
                return Some(note("a port could not be opened", &format!("systemctl status '{socket}' shows why")));
            }
            "no network" => {
                let pod = pods.iter().map(|pod| Pod::service(pod));
                let mut failed = pod.filter(|unit| self.has_failed(unit));
                let remedy = format!("systemctl status {} shows why", failed.next()?);
                return Some(note("its network could not be made", &remedy));
            }
            "failed" => return Some(self.end(listed, &unit)),
            _ => {}
        }
        let has = |what: &str| listed.changed.contains(what);
        if has("removed") {
            let reason = format!("there is no {name}.container any more, and the container still runs");
            return Some(note(&reason, &format!("systemctl stop {unit} stops it")));
        }
        if has("rejected") {
            let what = "it runs on its former file, because the present one is rejected";
            return rejection().map(|fault| Cause::of_fault("", &fault.of(what)));
        }
        if !listed.changed.is_empty() {
            let changed: Vec<&str> = listed.changed.iter().map(String::as_str).collect();
            let changed = changed.join(" and ");
            let remedy = format!("run sdme-gen restart --changed {name}");
            return Some(note(&format!("{changed} changed since its start"), &remedy));
        }
        let outdated = self.outdated.iter().find(|outdated| pods.iter().any(|pod| Pod::service(pod) == outdated.unit));
        if let Some(outdated) = outdated {
            let pod = &outdated.name;
            return Some(match &outdated.problem {
                Some(problem) => note(&format!("its pod {pod} runs on its former file: {problem}"), ""),
                None => note(
                    &format!("its pod {pod} changed since its start"),
                    &format!("run sdme-gen restart --changed {pod}"),
                ),
            });
        }
        if listed.state != "running" {
            return None;
        }
        // If the container has joined the network of another one, that container's note covers its
        // ports. In the host's network, applications open their ports themselves.
        let known = pods.iter().filter_map(|pod| self.model.pods.get(pod.as_str()));
        let planned = known.filter(|pod| !pod.host && (!pod.own || pod.name == *name));
        let missing = planned.flat_map(|pod| pod.wanted.ports.iter().map(move |port| (pod, port))).find(|(_, port)| {
            let address = port.listen();
            let open = |open: &String| {
                let rest = open.strip_prefix(&address).filter(|rest| rest.starts_with([':', '/']));
                rest.is_some_and(|rest| rest.ends_with(&format!("/{}", port.protocol)))
            };
            !listed.published.iter().any(open)
        });
        missing.map(|(pod, port)| {
            let remedy = format!("run systemctl restart {}", Pod::service(&pod.name));
            note(&format!("port {}/{} is not open", port.listen(), port.protocol), &remedy)
        })
    }

    /// The way in which a failed container has ended.
    fn end(&self, listed: &Listed, unit: &str) -> Cause {
        let name = &listed.name;
        let last = format!("sdme-gen logs {name} shows its last lines");
        let ended = self.ended.get(unit).cloned().unwrap_or_default();
        match (ended.result.as_str(), ended.status, ended.signal) {
            ("start-limit-hit", ..) => note(
                "it was started too often in a short time",
                &format!("systemctl reset-failed {unit} permits another start"),
            ),
            ("timeout", ..) => note("its start or stop took too long", &last),
            (_, Some(status), _) if status != 0 => note(&format!("it ended with exit status {status}"), &last),
            (_, _, Some(signal)) => note(
                &format!("signal {signal} killed its main process"),
                &format!("systemctl status {unit} shows more"),
            ),
            _ => note("it could not be prepared for its start", &format!("systemctl status {unit} shows why")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::health::Failed;
    use crate::image::Failure;

    #[test]
    fn an_unhealthy_application_has_its_cause() {
        let last = |key: &str| Some(Failed { key: key.into(), reason: "status 404\nmore".into() });
        let state = |status, key| State { status, last: last(key), ..State::default() };
        let mut checks = BTreeMap::from([("app".to_owned(), state(Status::Healthy, "HealthHttp"))]);
        assert_eq!(of_health("web", &checks), None);
        checks.insert("app".into(), state(Status::Unhealthy, "HealthHttp"));
        let end = "sdme-gen logs web shows all messages";
        let want = format!("its health check fails: status 404; correct the application or HealthHttp=, {end}");
        assert_eq!(of_health("web", &checks).map(|note| note.to_string()), Some(want));
        checks.insert("db".into(), State::default());
        let want = format!("its health check of app fails: status 404; correct the application or HealthCmd=, {end}");
        checks.insert("app".into(), state(Status::Unhealthy, "Exec"));
        assert_eq!(of_health("web", &checks).map(|note| note.to_string()), Some(want));
    }

    #[test]
    fn a_rollback_has_its_version_and_reason() {
        let listed = Listed { name: "front".into(), update: Some("rolled back".into()), ..Listed::default() };
        let mut updates = Updates { refused: [format!("sha256:{}", "0123".repeat(16))].into(), ..Updates::default() };
        let note = of_update(&listed, &updates).map(|note| note.to_string()).unwrap_or_default();
        let end = "sdme-gen update waits for another version of its image";
        assert_eq!(note, format!("it was rolled back from sha256:012301230123; {end}"));
        let text = "failed 3: exit status 3: no config";
        for (container, reason) in
            [("front", "(failed 3: exit status 3: no config)"), ("back", "(back: failed 3: exit status 3: no config)")]
        {
            updates.failure = Some(Failure { container: container.into(), text: text.into() });
            let note = of_update(&listed, &updates).map(|note| note.to_string()).unwrap_or_default();
            assert_eq!(note, format!("it was rolled back from sha256:012301230123 {reason}; {end}"));
        }
    }
}
