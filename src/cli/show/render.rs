// SPDX-License-Identifier: MIT
//! `sdme-gen render`: the files that the configuration becomes, shown or written to a directory.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::Compiled;
use crate::cli::report;
use crate::config::keys::FileType;
use crate::config::sources::SourceFile;
use crate::output::layer::private;
use crate::output::origin::Origins;
use crate::output::tree::{Node, Place, Tree};
use crate::plan;
use crate::resolve::model::Model;
use crate::runtime;
use crate::search::{SearchPath, search};
use crate::text;

/// Shows the files of what is called `names`, of everything without names, or writes them below `output`.
///
/// # Errors
/// Nothing has one of the names, or a file cannot be written.
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

/// Keeps the files of what is called `names`, and of the images that these containers run; without names, all files.
///
/// # Errors
/// Nothing has one of the names.
fn only(compiled: &mut Compiled, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let mut tree = Tree::default();
    for name in names {
        let kept = |(place, path, _): &(&Place, &str, &Node)| match place {
            Place::Layer(container) => container == name,
            Place::Settings => *path == format!("{name}.nspawn"),
            Place::Units => is_of(path, name, &compiled.model),
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

/// Whether a unit, a drop-in or a link is about what is called `name`.
fn is_of(path: &str, name: &str, model: &Model) -> bool {
    let mut parts = path.split('/');
    let (first, last) = (parts.next().unwrap_or_default(), parts.next());
    // The link of a unit that starts with another one.
    let unit = if first.ends_with(".d") { first } else { last.unwrap_or(first) };
    let images = model.containers.get(name).map(|container| plan::images(container, model)).unwrap_or_default();
    let is_image = |image: &&str| unit.starts_with(&format!("sdme-image@{image}.service"));
    let own = ["systemd-nspawn@", "sdme-pod@", "sdme-network@", "sdme-image@"];
    own.iter().any(|template| unit.starts_with(&format!("{template}{name}.")))
        || unit.starts_with(&format!("sdme-publish-{name}-"))
        || unit.starts_with(&format!("{}.mount", crate::unit::escape_path(&crate::paths::volume(name))))
        || images.iter().any(is_image)
}

/// The files as text, behind each line where it comes from. Names as for [`only`].
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

/// Whether a file is about what is called `name`, or about an image or a pod of the container of that name.
fn is_used(file: &SourceFile, name: &str, compiled: &Compiled) -> bool {
    let model = &compiled.model;
    let used = model.containers.get(name).map(|container| {
        let pods = container.pods().into_iter().filter(|_| file.file_type == FileType::Pod);
        let images = plan::images(container, model).into_iter().filter(|_| file.file_type == FileType::Image);
        pods.chain(images).any(|used| used == file.described() || used == file.name)
    });
    // A container may have another name than its file.
    let of_container = model.containers.get(name).is_some_and(|container| container.file == file.main.path);
    of_container || used == Some(true) || file.described() == *name
}

/// Writes every file below `directory`, under the path it is printed with.
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
