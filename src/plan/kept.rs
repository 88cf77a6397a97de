// SPDX-License-Identifier: MIT
//! Units of running containers and pods are kept, whatever the files contain at the time of a
//! reload: until the container or pod is restarted or stopped, its ports, proxies and network stay
//! as they were when it started. Pure.

use std::collections::BTreeMap;

use super::stub;
use crate::model::{Model, Rejected};
use crate::output::tree::{Node, Place, Tree};
use crate::started::Started;
use crate::unit::UnitFile;

/// The name of the drop-in that changes a kept unit.
const DROP_IN: &str = "90-sdme-kept.conf";

/// The state of the file of a running unit.
enum Fate<'a> {
    /// The file is valid, and may have changed.
    Planned,
    Rejected(&'a Rejected),
    Removed,
}

/// Adds to `tree` the units of running containers, pods and networks that the tree lacks.
pub fn keep(started: &[Started], model: &Model, tree: &mut Tree) {
    let rejected: BTreeMap<String, &Rejected> =
        model.rejected.iter().filter_map(|rejected| Some((Model::unit_of(rejected)?, rejected))).collect();
    for started in started {
        let fate = match rejected.get(&started.unit) {
            Some(rejected) => Fate::Rejected(rejected),
            None if started.own().any(|(path, _)| tree.has(&Place::Units, path)) => Fate::Planned,
            None => Fate::Removed,
        };
        if matches!(fate, Fate::Rejected(_)) {
            // This removes the unit that only reports the rejection.
            tree.remove(Place::Units, &started.unit);
        }
        for (path, text) in started.files.iter().filter(|(path, _)| !tree.has(&Place::Units, path)).collect::<Vec<_>>()
        {
            let drop_in = format!("{path}.d/{DROP_IN}");
            if !started.is_service() {
                let unit = port(started, path, tree);
                tree.file(Place::Units, drop_in, &unit);
            } else if path.ends_with(".mount") && matches!(fate, Fate::Planned) {
                tree.file(Place::Units, drop_in, &mount(started));
            }
            tree.add(Place::Units, path, Node::File(without_images(text)));
        }
        let changed = match fate {
            Fate::Planned => continue,
            Fate::Rejected(rejected) => rejection(rejected, started),
            Fate::Removed => removal(started),
        };
        tree.file(Place::Units, format!("{}.d/{DROP_IN}", started.unit), &changed);
    }
}

/// Removes the dependencies on images: a restart of another unit must not import an image that no
/// planned unit needs.
fn without_images(text: &str) -> String {
    let lines = text.split_inclusive('\n');
    lines.filter(|line| !line.starts_with("Wants=sdme-image@")).collect()
}

fn head(started: &Started) -> UnitFile {
    let mut unit = UnitFile::generated_from(&started.directory());
    unit.comment(
        "The files of this unit have changed since it was started. Until it stops, it stays as it was started.",
    );
    unit
}

/// The drop-in of a socket or proxy of a port that is not planned any more. A restart or stop of
/// the unit that the proxy is bound to closes the port.
fn port(started: &Started, path: &str, tree: &Tree) -> UnitFile {
    let mut unit = head(started);
    if *path != started.unit {
        // Connections start the proxy as long as its socket is open.
        unit.set("Unit", "ConditionPathExists", started.directory());
        return unit;
    }
    let text = started.files.get(path).map(String::as_str).unwrap_or_default();
    if let Some(owner) = started.owner() {
        // A socket that starts its container can be open while the container does not run.
        unit.set("Unit", if text.contains("\nStopWhenUnneeded=yes\n") { "BindsTo" } else { "PartOf" }, owner);
    }
    // A new socket for the same port opens after this one has closed.
    let sockets = tree
        .below(&Place::Units)
        .filter(|(other, _)| other.ends_with(".socket") && !started.files.contains_key(*other));
    for (other, node) in sockets {
        if let Node::File(other_text) = node
            && number(text).is_some_and(|port| number(other_text) == Some(port))
        {
            unit.set("Unit", "Before", other);
        }
    }
    unit.set("Unit", "StopWhenUnneeded", "no").set("Unit", "ConditionPathExists", "!/");
    unit
}

/// The port number of a socket.
fn number(socket: &str) -> Option<&str> {
    socket.lines().find_map(|line| line.strip_prefix("ListenStream="))?.rsplit(':').next()
}

/// The drop-in of the mount of a volume that is not planned any more. A running container still
/// uses it.
fn mount(started: &Started) -> UnitFile {
    let mut unit = head(started);
    unit.set("Unit", "BindsTo", started.unit.as_str()).set("Unit", "StopWhenUnneeded", "no");
    unit.set("Unit", "ConditionPathExists", "!/");
    unit
}

/// The drop-in of a container or pod whose file is rejected. Another start of it fails with the
/// reason.
fn rejection(rejected: &Rejected, started: &Started) -> UnitFile {
    let mut unit = head(started);
    stub::describe(rejected, &mut unit);
    unit.set("Service", "ExecStartPre", "").set("Service", "ExecStart", "");
    // The commands after a stop of the unit report the recorded cause.
    unit.set("Service", "ExecStart", stub::command(rejected, " --unit=%n")).set("Service", "Restart", "no");
    unit
}

/// The drop-in of a container or pod whose file was removed. A restart of its pod only stops it.
fn removal(started: &Started) -> UnitFile {
    let mut unit = head(started);
    match started.container_of_pod() {
        Some(container) => {
            unit.set("Unit", "BindsTo", container).set("Unit", "StopWhenUnneeded", "no");
            unit.set("Unit", "ConditionPathExists", "!/");
        }
        None if started.is_service() => {
            unit.set("Unit", "AssertPathExists", "!/");
        }
        // The drop-in of the port already has these settings.
        None => {}
    }
    unit
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::config::keys::FileType;
    use crate::config::sources::{SourceFile, Sources, Text};
    use crate::plan::units;
    use crate::resolve::resolve;

    fn model(files: &[(&str, FileType, &str)]) -> Model {
        let mut sources = Sources::default();
        for (name, file_type, text) in files {
            let path = format!("/etc/sdme/{name}.{}", file_type.extension());
            let main = Text { path: path.into(), content: Ok(text.as_bytes().to_vec()) };
            sources.files.push(SourceFile {
                file_type: *file_type,
                name: (*name).to_owned(),
                main,
                drop_ins: Vec::new(),
            });
        }
        resolve(&sources)
    }

    /// The copies that starts of these units make, as in `started::keep`.
    fn started(model: &Model, units_started: &[&str]) -> Vec<Started> {
        let tree = units(model);
        let text = |path: &str| match tree.below(&Place::Units).find(|(p, _)| *p == path) {
            Some((_, Node::File(text))) => Some((path.to_owned(), text.clone())),
            _ => None,
        };
        let own = |unit: &str| [unit.to_owned(), format!("{unit}.d/10-sdme.conf")];
        let mut all = Vec::new();
        for unit in units_started {
            let files: BTreeMap<String, String> = own(unit).iter().filter_map(|path| text(path)).collect();
            for stem in files.values().flat_map(|text| crate::started::sockets(text)) {
                let files =
                    [".socket", ".service"].iter().filter_map(|suffix| text(&(stem.clone() + suffix))).collect();
                all.push(Started { unit: stem + ".socket", files });
            }
            all.push(Started { unit: (*unit).to_owned(), files });
        }
        all
    }

    /// The files that running units add to the tree.
    fn added(started: &[Started], model: &Model) -> BTreeMap<String, String> {
        let before = units(model);
        let mut after = before.clone();
        keep(started, model, &mut after);
        let text = |node: &Node| if let Node::File(text) = node { text.clone() } else { String::new() };
        let new = after.below(&Place::Units).filter(|(path, node)| {
            before.below(&Place::Units).find(|(p, _)| p == path).is_none_or(|(_, old)| old != *node)
        });
        new.map(|(path, node)| (path.to_owned(), text(node))).collect()
    }

    const WEB: [&str; 2] = ["systemd-nspawn@web.service", "sdme-pod@web.service"];

    fn web(text: &str) -> Model {
        model(&[("web", FileType::Container, &format!("[Container]\nImage=docker.io/library/nginx:1\n{text}"))])
    }

    #[test]
    fn a_changed_port_is_kept_until_the_restart() {
        let before = started(&web("Network=private\nPublishPort=8080:80\n"), &WEB);
        assert!(added(&before, &web("Network=private\nPublishPort=8080:80\n")).is_empty());
        let added = added(&before, &web("Network=private\nPublishPort=8081:80\n"));
        let names: Vec<&str> = added.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "sdme-publish-web-8080.service",
                "sdme-publish-web-8080.service.d/90-sdme-kept.conf",
                "sdme-publish-web-8080.socket",
                "sdme-publish-web-8080.socket.d/90-sdme-kept.conf",
            ]
        );
        let socket = &added["sdme-publish-web-8080.socket.d/90-sdme-kept.conf"];
        assert!(
            socket.contains("BindsTo=systemd-nspawn@web.service\nStopWhenUnneeded=no\nConditionPathExists=!/\n"),
            "{socket}"
        );
        let proxy = &added["sdme-publish-web-8080.service.d/90-sdme-kept.conf"];
        let record = "/run/sdme/started/sdme-publish-web-8080.socket";
        assert!(proxy.contains(&format!("ConditionPathExists={record}\n")), "{proxy}");
    }

    #[test]
    fn a_rejected_file_leaves_what_runs_and_fails_the_next_start() {
        let before = started(&web("Network=private\nPublishPort=8080:80\n"), &WEB);
        let added = added(&before, &web("Network=private\nPublishPort=8080:80\nImge=x\n"));
        let drop_in = &added["systemd-nspawn@web.service.d/90-sdme-kept.conf"];
        assert!(drop_in.contains("unknown key Imge=") && drop_in.contains("\nExecStart=\nExecStart="), "{drop_in}");
        assert!(added.contains_key("sdme-publish-web-8080.socket"));
        let pod = &added["sdme-pod@web.service.d/90-sdme-kept.conf"];
        assert!(
            pod.contains("BindsTo=systemd-nspawn@web.service\nStopWhenUnneeded=no\nConditionPathExists=!/\n"),
            "{pod}"
        );
        // The unit that only reports the rejection must not replace the unit of the running
        // container.
        let mut tree = units(&web("Imge=x\n"));
        keep(&before, &web("Imge=x\n"), &mut tree);
        let own = tree.below(&Place::Units).find(|(path, _)| *path == "systemd-nspawn@web.service");
        assert!(own.is_none_or(|(_, node)| matches!(node, Node::File(text) if !text.contains(" rejected "))));
    }

    #[test]
    fn a_removed_file_is_not_started_again_and_imports_nothing() {
        let before = started(&web("Network=private\nPublishPort=8080:80\n"), &WEB);
        let added = added(&before, &model(&[]));
        assert!(added["systemd-nspawn@web.service.d/90-sdme-kept.conf"].contains("AssertPathExists=!/\n"));
        let own = WEB.iter().find_map(|unit| added.get(*unit).or_else(|| added.get(&format!("{unit}.d/10-sdme.conf"))));
        assert!(!own.unwrap().contains("Wants=sdme-image@"));
        assert!(own.unwrap().contains("ExecStopPost=+/usr/bin/sdme-gen release"));
    }

    #[test]
    fn a_pod_keeps_its_ports() {
        let pod = |text: &str| {
            let member = "[Container]\nImage=docker.io/library/nginx:1\nPod=tier.pod\n";
            model(&[("member", FileType::Container, member), ("tier", FileType::Pod, text)])
        };
        let before = started(&pod("[Pod]\nPublishPort=8080:80\n"), &["sdme-pod@tier.service"]);
        let changed = added(&before, &pod("[Pod]\n"));
        assert!(
            changed["sdme-publish-tier-8080.socket.d/90-sdme-kept.conf"].contains("BindsTo=sdme-pod@tier.service\n")
        );
        assert!(!changed.contains_key("sdme-pod@tier.service.d/90-sdme-kept.conf"));
        let rejected = added(&before, &pod("[Pod]\nX=y\n"));
        assert!(rejected["sdme-pod@tier.service.d/90-sdme-kept.conf"].contains("rejected: "));
        assert!(rejected["sdme-pod@tier.service.d/10-sdme.conf"].contains("Wants=sdme-publish-tier-8080.socket"));
    }
}
