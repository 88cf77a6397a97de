// SPDX-License-Identifier: MIT
//! Runs OCI images and systemd-nspawn containers as ordinary systemd units.
//!
//! [`compile`] is the whole core and is pure: it turns a configuration into files and diagnostics.
//! Reading ([`search`]) and writing ([`output`]) happen at the two ends; `docs/architecture.md`
//! shows how the modules work together.

#[cfg(feature = "image")]
pub mod admin;
pub mod announce;
pub mod cause;
pub mod config;
pub mod contract;
#[cfg(feature = "image")]
pub mod convert;
pub mod diag;
mod halves;
pub mod ini;
pub mod journal;
pub mod model;
pub mod mount_flags;
pub mod output;
pub mod paths;
pub mod plan;
pub mod resolve;
pub mod search;
pub mod started;
pub mod text;
pub mod unit;

#[cfg(feature = "image")]
pub mod cli;
#[cfg(feature = "image")]
pub mod compose;
#[cfg(feature = "image")]
pub mod export;
#[cfg(feature = "image")]
pub mod image;
#[cfg(feature = "image")]
pub mod kube;
#[cfg(feature = "image")]
pub mod rootdir;
#[cfg(feature = "image")]
pub mod runtime;
#[cfg(feature = "image")]
pub mod update;

use config::sources::Sources;
use diag::Diagnostic;
use model::{Facts, Model};
use output::tree::Tree;
use started::Started;

/// The result of compiling a configuration.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The resolved configuration.
    pub model: Model,
    /// The facts that were used.
    pub facts: Facts,
    /// The planned files.
    pub tree: Tree,
    /// All problems, sorted by location.
    pub diagnostics: Vec<Diagnostic>,
}

/// Compiles a configuration. The same input gives the same output, in whatever order the files were
/// found.
#[must_use]
pub fn compile(sources: &Sources, facts: &Facts) -> Compiled {
    complete(resolve::resolve(sources), facts.clone())
}

/// Like [`compile`], but the tree contains only what a generator writes: the units, which depend on
/// no facts, and the units that are kept for running containers.
#[must_use]
pub fn compile_units(sources: &Sources, started: &[Started]) -> Compiled {
    let model = resolve::resolve(sources);
    let mut tree = plan::units(&model);
    plan::keep(started, &model, &mut tree);
    let diagnostics = sorted(problems(&model).cloned().collect());
    Compiled { model, facts: Facts::default(), tree, diagnostics }
}

/// The second half of [`compile`], for callers that need the model to collect the facts.
#[must_use]
pub fn complete(model: Model, facts: Facts) -> Compiled {
    let tree = plan::plan(&model, &facts);
    let mut diagnostics: Vec<Diagnostic> = problems(&model).cloned().collect();
    diagnostics.extend(model.containers.values().flat_map(|c| model.unknown_users(c, &facts)));
    diagnostics.extend(model.containers.values().filter_map(|c| model.unusable_profile(c, &facts)));
    Compiled { model, facts, tree, diagnostics: sorted(diagnostics) }
}

/// The problems that the configuration alone shows.
fn problems(model: &Model) -> impl Iterator<Item = &Diagnostic> {
    model.warnings.iter().chain(model.rejected.iter().flat_map(|rejected| &rejected.problems))
}

fn sorted(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics.sort();
    diagnostics.dedup();
    diagnostics
}
