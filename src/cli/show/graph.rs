// SPDX-License-Identifier: MIT
//! `sdme-gen graph`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cli::print::report;
use crate::model::Container;
use crate::output::graph::Graph;
use crate::runtime;
use crate::text;

/// Prints the graph of all units, or of the units around some containers.
///
/// # Errors
/// There is no such container.
pub fn run(root: &Path, dot: bool, mermaid: bool, names: &[String], out: &mut dyn Write) -> Result<ExitCode> {
    let compiled = runtime::compile(root);
    let code = report(&compiled);
    let mut graph = Graph::of(&compiled.tree);
    let units: Vec<String> = names.iter().map(|name| Container::unit(name)).collect();
    if let Some((name, _)) = names.iter().zip(&units).find(|(_, unit)| !graph.units.contains_key(*unit)) {
        bail!("there is no container {name}");
    }
    if !units.is_empty() {
        graph = graph.around(&units);
    }
    let rendered = match (dot, mermaid) {
        (true, _) => graph.to_dot(),
        (_, true) => graph.to_mermaid(),
        _ => graph.to_tree(),
    };
    write!(out, "{}", text::lines(&rendered))?;
    Ok(code)
}
