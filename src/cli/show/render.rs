// SPDX-License-Identifier: MIT
//! `sdme-gen render`: prints the files that the configuration becomes, or writes them to a
//! directory.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::Compiled;
use crate::admin::show::origin::Origins;
use crate::cli::print::report;
use crate::config::keys::FileType;
use crate::config::sources::SourceFile;
use crate::model::{Image, Model};
use crate::output::layer::private;
use crate::output::tree::{Node, Place, Tree};
use crate::paths;
use crate::plan;
use crate::runtime;
use crate::search::{SearchPath, search};
use crate::text;
use crate::unit::escape_path;

/// Prints the files of the objects called `names`, or of all objects without names. With `output`,
/// writes the files below that directory instead.
///
/// # Errors
/// There is no object with one of these names, or a file cannot be written.
pub fn run(
    root: &Path,
    output: Option<&Path>,
    origin: bool,
    names: &[String],
    out: &mut dyn Write,
) -> Result<ExitCode> {
    let mut compiled = runtime::compile(root);
    let code = report(&compiled);
    only(&mut compiled, names)?;
    match output {
        Some(directory) => write(&compiled.tree, directory)?,
        None if origin => write!(out, "{}", text::lines(&with_origins(&compiled, root, names)))?,
        None => write!(out, "{}", text::lines(&compiled.tree.to_string()))?,
    }
    Ok(code)
}

/// Keeps the files of the objects called `names`, and those of the images of these containers.
/// Without names, all files are kept.
///
/// # Errors
/// There is no object with one of these names.
fn only(compiled: &mut Compiled, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let mut tree = Tree::default();
    for name in names {
        let units = beginnings(name, &compiled.model);
        let kept = |(place, path, _): &(&Place, &str, &Node)| match place {
            Place::Layer(container) => container == name,
            Place::Settings => *path == format!("{name}.nspawn"),
            Place::Units => is_of(path, name, &units),
        };
        let mut found = compiled.tree.iter().filter(kept).peekable();
        if found.peek().is_none() {
            bail!("nothing is called {name}");
        }
        found.for_each(|(place, path, node)| tree.add(place.clone(), path, node.clone()));
    }
    compiled.tree = tree;
    Ok(())
}

/// Whether a unit, a drop-in or a link belongs to the object called `name`.
fn is_of(path: &str, name: &str, beginnings: &[String]) -> bool {
    let mut parts = path.split('/');
    let (first, last) = (parts.next().unwrap_or_default(), parts.next());
    // In a directory of links, the last part of the path is the linked unit.
    let unit = if first.ends_with(".d") { first } else { last.unwrap_or(first) };
    // The address of a port contains no hyphen, so a rest with a hyphen belongs to a container with
    // a longer name.
    let port = unit.strip_prefix("sdme-publish-").and_then(|rest| rest.strip_prefix(name)?.strip_prefix('-'));
    beginnings.iter().any(|beginning| unit.starts_with(beginning)) || port.is_some_and(|port| !port.contains('-'))
}

/// The beginnings of the names of the units that belong to the object called `name`, without the
/// units of ports.
fn beginnings(name: &str, model: &Model) -> Vec<String> {
    let own = ["systemd-nspawn@", "sdme-pod@", "sdme-network@", "sdme-image@"].map(|unit| format!("{unit}{name}."));
    let volume = format!("{}.mount", escape_path(&paths::volume(name)));
    let images = model.containers.get(name).map(|container| plan::images(container, model)).unwrap_or_default();
    own.into_iter().chain([volume]).chain(images.into_iter().map(Image::service)).collect()
}

/// The files as text, with the origin behind each line. The meaning of `names` is that of [`only`].
fn with_origins(compiled: &Compiled, root: &Path, names: &[String]) -> String {
    let sources = search(&SearchPath::from_environment(root));
    let is_asked = |file: &SourceFile| {
        file.file_type == FileType::Defaults
            || names.is_empty()
            || names.iter().any(|name| is_used(file, name, compiled))
    };
    let origins = Origins::find(&sources, &compiled.facts, &compiled.tree, is_asked);
    let mut tree = Tree::default();
    for (place, path, node) in compiled.tree.iter() {
        let node = match node {
            Node::File(text) => Node::File(origins.annotate(place, path, text)),
            Node::Private(text) => Node::Private(origins.annotate(place, path, text)),
            other => other.clone(),
        };
        tree.add(place.clone(), path, node);
    }
    tree.to_string()
}

/// Whether a configuration file defines the object called `name`, or an image or a pod of the
/// container with that name.
fn is_used(file: &SourceFile, name: &str, compiled: &Compiled) -> bool {
    let model = &compiled.model;
    let is_called = |name: &str| name == file.described() || name == file.name;
    let of_container = model.containers.get(name).is_some_and(|container| match file.file_type {
        FileType::Pod => container.pods().into_iter().any(is_called),
        FileType::Image => plan::images(container, model).into_iter().any(is_called),
        // The name of a container can differ from that of its file.
        _ => container.file == file.main.path,
    });
    of_container || file.described() == *name
}

/// Writes every file below `directory`, at the path with which it is printed.
///
/// # Errors
/// The directory is not empty, or a file cannot be written.
fn write(tree: &Tree, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let mut entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    if entries.next().is_some() {
        bail!("{} is not empty; name a new directory", directory.display());
    }
    for (place, path, node) in tree.iter() {
        let full = directory.join(place.directory().trim_start_matches('/')).join(path);
        let parent = full.parent().unwrap_or(directory);
        fs::create_dir_all(parent)
            .and_then(|()| match node {
                Node::File(content) => fs::write(&full, content),
                Node::Private(content) => private(&full, content),
                Node::Link(target) => symlink(target, &full),
                Node::Opaque => fs::create_dir_all(&full),
            })
            .with_context(|| format!("cannot write {}", full.display()))?;
    }
    Ok(())
}
