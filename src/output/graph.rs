// SPDX-License-Identifier: MIT
//! The dependencies between planned units. They are parsed from the units themselves, so that the
//! graph shows exactly what systemd reads. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use super::tree::{Node, Place, Tree};
use crate::ini;

/// The templates of sdme-gen. The tree contains only drop-ins of their instances.
const TEMPLATES: [(&str, &str); 5] = [
    ("sdme-demand@.target", include_str!("../../units/sdme-demand@.target")),
    ("sdme-image@.service", include_str!("../../units/sdme-image@.service")),
    ("sdme-network@.service", include_str!("../../units/sdme-network@.service")),
    ("sdme-pod@.service", include_str!("../../units/sdme-pod@.service")),
    ("sdme-pod@.target", include_str!("../../units/sdme-pod@.target")),
];

/// The settings that pull in another unit (systemd.unit(5)), the strongest first.
const PULLS: [&str; 5] = ["BindsTo", "Requires", "Requisite", "Upholds", "Wants"];

/// The directories whose links have the same effect as such a setting.
const LINKS: [(&str, &str); 3] = [("requires", "Requires"), ("upholds", "Upholds"), ("wants", "Wants")];

/// Units, and the units that each of them pulls in.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// Descriptions, by unit.
    pub units: BTreeMap<String, String>,
    /// A unit, a unit that it pulls in, and the setting.
    pub edges: BTreeSet<(String, String, &'static str)>,
}

impl Graph {
    /// The graph of a tree's units.
    #[must_use]
    pub fn of(tree: &Tree) -> Self {
        let mut graph = Self::default();
        for (path, node) in tree.below(&Place::Units) {
            let (first, file) = path.split_once('/').unwrap_or((path, ""));
            match node {
                Node::File(text) => graph.unit(first.strip_suffix(".d").unwrap_or(first), text),
                Node::Link(_) => {
                    let (owner, suffix) = first.rsplit_once('.').unwrap_or((first, ""));
                    let kind = LINKS.iter().find(|(directory, _)| *directory == suffix && !file.is_empty());
                    if let Some((_, kind)) = kind {
                        graph.edge(owner, file, kind);
                    }
                }
                // These nodes occur only in layers, not among units.
                Node::Opaque | Node::Private(_) => {}
            }
        }
        graph.templates();
        graph
    }

    fn unit(&mut self, name: &str, text: &str) {
        let origin: Arc<str> = Arc::from(name);
        // An error is ignored: the text was planned here, and settings from a user were parsed
        // before.
        let Ok(document) = ini::parse(&origin, text.as_bytes()) else { return };
        self.units.entry(name.to_owned()).or_default();
        for entry in document.entries {
            if entry.key == "Description" {
                let parts = entry.value.split("%%").map(|part| part.replace("%i", instance_of(name)));
                self.units.insert(name.to_owned(), parts.collect::<Vec<_>>().join("%"));
            } else if let Some(kind) = PULLS.iter().find(|kind| **kind == entry.key) {
                for other in entry.value.split_whitespace() {
                    self.edge(name, &other.replace("%i", instance_of(name)), kind);
                }
            }
        }
        // A socket starts the service with the same name (systemd.socket(5)).
        if let Some(stem) = name.strip_suffix(".socket") {
            self.edge(name, &format!("{stem}.service"), "Triggers");
        }
    }

    fn edge(&mut self, from: &str, to: &str, kind: &'static str) {
        for unit in [from, to] {
            self.units.entry(unit.to_owned()).or_default();
        }
        self.edges.insert((from.to_owned(), to.to_owned(), kind));
    }

    /// Adds the dependencies that instances get from the templates.
    fn templates(&mut self) {
        let mut done = BTreeSet::new();
        loop {
            let next = self.units.keys().find(|unit| !done.contains(*unit)).cloned();
            let Some(unit) = next else { return };
            let template = unit.split_once('@').zip(unit.rsplit_once('.'));
            if let Some(((stem, _), (_, suffix))) = template {
                let name = format!("{stem}@.{suffix}");
                if let Some((_, text)) = TEMPLATES.iter().find(|(template, _)| *template == name) {
                    let known = self.units.get(&unit).cloned().unwrap_or_default();
                    self.unit(&unit, &text.replace("%i", instance_of(&unit)));
                    if !known.is_empty() {
                        self.units.insert(unit.clone(), known);
                    }
                }
            }
            done.insert(unit);
        }
    }

    /// The subgraph of the units that are connected with one of `units`.
    #[must_use]
    pub fn around(self, units: &[String]) -> Self {
        let mut wanted: BTreeSet<String> = units.iter().filter(|u| self.units.contains_key(*u)).cloned().collect();
        // The search follows edges in both directions. It stops at targets of the system, which
        // unrelated units share.
        let shared = |unit: &str| !unit.contains('@') && unit.ends_with(".target");
        loop {
            let before = wanted.len();
            for (from, to, _) in &self.edges {
                let down = wanted.contains(from) && !shared(from);
                let up = wanted.contains(to) && !shared(to);
                if down || up {
                    wanted.extend([from.clone(), to.clone()]);
                }
            }
            if wanted.len() == before {
                break;
            }
        }
        Self {
            units: self.units.into_iter().filter(|(unit, _)| wanted.contains(unit)).collect(),
            edges: self.edges.into_iter().filter(|(a, b, _)| wanted.contains(a) && wanted.contains(b)).collect(),
        }
    }

    /// The graph as a tree of text: units that nothing pulls in, and below each unit those that it
    /// pulls in. A unit that was printed before is not repeated.
    #[must_use]
    pub fn to_tree(&self) -> String {
        let pulled: BTreeSet<&str> = self.edges.iter().map(|(_, to, _)| to.as_str()).collect();
        let mut out = String::new();
        let mut shown = BTreeSet::new();
        let roots = self.units.keys().filter(|unit| !pulled.contains(unit.as_str()));
        // In a cycle of units that nothing else pulls in, the first unit becomes the root.
        for root in roots.chain(self.units.keys()) {
            if shown.insert(root.clone()) {
                let _ = writeln!(out, "{}", self.line(root));
                self.below(root, "", &mut shown, &mut out);
            }
        }
        out
    }

    fn line(&self, unit: &str) -> String {
        match self.units.get(unit).filter(|text| !text.is_empty()) {
            Some(description) => format!("{unit}  {description}"),
            None => unit.to_owned(),
        }
    }

    fn below(&self, unit: &str, indent: &str, shown: &mut BTreeSet<String>, out: &mut String) {
        let mut others: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (_, to, kind) in self.edges.iter().filter(|(from, ..)| from == unit) {
            others.entry(to).or_default().push(kind);
        }
        let last = others.len().saturating_sub(1);
        for (index, (other, kinds)) in others.into_iter().enumerate() {
            let (branch, trunk) = if index == last { ("└─", "  ") } else { ("├─", "│ ") };
            let kinds = kinds.join(", ");
            if shown.insert(other.to_owned()) {
                let _ = writeln!(out, "{indent}{branch}{kinds} {}", self.line(other));
                self.below(other, &format!("{indent}{trunk}"), shown, out);
            } else {
                let _ = writeln!(out, "{indent}{branch}{kinds} {other} (see above)");
            }
        }
    }

    /// The graph in the language of Graphviz.
    #[must_use]
    pub fn to_dot(&self) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let mut out = String::from("digraph sdme {\n  rankdir=LR\n  node [shape=box]\n");
        for (unit, description) in &self.units {
            let _ = writeln!(out, "  {} [tooltip={}]", quoted(unit), quoted(description));
        }
        for (from, to, kind) in &self.edges {
            let _ = writeln!(out, "  {} -> {} [label={kind}]", quoted(from), quoted(to));
        }
        out + "}\n"
    }

    /// The graph in the language of Mermaid, which web pages can display.
    #[must_use]
    pub fn to_mermaid(&self) -> String {
        let mut out = String::from("flowchart LR\n");
        let ids: BTreeMap<&str, usize> = self.units.keys().map(String::as_str).zip(0..).collect();
        for (unit, id) in &ids {
            let _ = writeln!(out, "  u{id}[\"{}\"]", unit.replace('\\', "&#92;").replace('"', "&quot;"));
        }
        for (from, to, kind) in &self.edges {
            if let (Some(from), Some(to)) = (ids.get(from.as_str()), ids.get(to.as_str())) {
                let _ = writeln!(out, "  u{from} -->|{kind}| u{to}");
            }
        }
        out
    }
}

/// The instance name of a unit. Empty if the unit is not an instance.
fn instance_of(unit: &str) -> &str {
    let rest = unit.split_once('@').map_or("", |(_, rest)| rest);
    rest.rsplit_once('.').map_or(rest, |(instance, _)| instance)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn graph() -> Graph {
        let mut tree = Tree::default();
        let service = "[Unit]\nDescription=Container %i\nBindsTo=sdme-pod@p.service\nAfter=sdme-pod@p.service\n\
            Requires=sdme-image@\\x40.service\n";
        tree.file(Place::Units, "systemd-nspawn@web.service", &service);
        let link = Node::Link("../x".to_owned());
        tree.add(Place::Units, "machines.target.wants/systemd-nspawn@web.service", link.clone());
        tree.add(Place::Units, "sdme-pod@p.target.wants/systemd-nspawn@web.service", link);
        Graph::of(&tree)
    }

    #[test]
    fn every_template_that_is_shipped_is_known() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("units");
        let names =
            std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut shipped: Vec<String> = names.filter(|name| name.contains('@')).collect();
        shipped.sort();
        assert_eq!(shipped, TEMPLATES.map(|(name, _)| name));
    }

    #[test]
    fn a_tree_says_each_thing_once() {
        assert_eq!(
            graph().to_tree(),
            "\
machines.target
└─Wants systemd-nspawn@web.service  Container web
  ├─Requires sdme-image@\\x40.service  Image \\x40
  └─BindsTo sdme-pod@p.service  Network of pod p
sdme-pod@p.target  Pod p and its containers
├─BindsTo sdme-pod@p.service (see above)
└─Wants systemd-nspawn@web.service (see above)
"
        );
    }

    #[test]
    fn for_documents() {
        let graph = graph().around(&["sdme-pod@p.service".to_owned()]);
        let dot = graph.to_dot();
        assert!(dot.contains("\"sdme-pod@p.target\" -> \"sdme-pod@p.service\" [label=BindsTo]\n"), "{dot}");
        assert!(dot.contains("\"sdme-image@\\\\x40.service\""), "{dot}");
        let mermaid = graph.to_mermaid();
        assert!(mermaid.contains("[\"sdme-image@&#92;x40.service\"]\n"), "{mermaid}");
        assert_eq!(mermaid.matches("-->").count(), graph.edges.len());
        assert!(super::tests::graph().around(&["none.service".to_owned()]).units.is_empty());
    }
}
