// SPDX-License-Identifier: MIT
//! Resolves Compose projects (the Compose Specification) in the same way as the reference
//! implementation (compose-go 2), before anything is converted: the files of a project, variables,
//! `.env`, merging, `extends`, `include`, profiles and the project name. Pure over [`Files`].

pub mod dotenv;
mod load;
mod merge;
mod paths;
pub mod template;
pub mod value;
pub mod yaml;

use std::collections::BTreeSet;
use std::fmt;

pub use dotenv::Environment;
use load::{Loader, add_files};
pub use paths::{absolute, directory_of, is_path};
use value::{Map, Value};

use crate::diag::Fault;

/// File names of a project; the first name that exists is used. `OVERRIDES` has the names of the
/// files that override them.
const NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
const OVERRIDES: [&str; 4] =
    ["compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"];

/// Why the text of a file is not accepted, from a parser that does not know the name of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The number of the line, from 1, if the parser knows it.
    pub line: Option<u32>,
    /// The cause and the remedy.
    pub fault: Fault,
}

impl Malformed {
    /// Makes the error of a line.
    pub fn at(line: u32, cause: impl Into<String>, remedy: &str) -> Self {
        Self { line: Some(line), fault: Fault::new(cause, remedy) }
    }

    /// The fault with `FILE:LINE:` in front of its cause.
    #[must_use]
    pub fn of(self, file: &str) -> Fault {
        match self.line {
            Some(line) => self.fault.of(&format!("{file}:{line}")),
            None => self.fault.of(file),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        self.fault.fmt(f)
    }
}

/// The kind of file at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no file at the path.
    Missing,
    /// A directory.
    Directory,
    /// Anything else.
    File,
}

/// Access to the files that a project can name.
pub trait Files {
    /// Reads a file. Returns `None` if there is no such file.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or is not UTF-8.
    fn read(&self, path: &str) -> Result<Option<String>, Fault>;
    /// Returns the kind of file at a path.
    fn kind(&self, path: &str) -> Kind;
    /// Returns the sorted names of the entries of a directory; an unreadable directory has none.
    fn list(&self, directory: &str) -> Vec<String>;
}

/// The project to resolve, as the command line names it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The current directory of the user, as an absolute path.
    pub directory: String,
    /// Files of the project. If empty, `COMPOSE_FILE` or the standard names decide.
    pub files: Vec<String>,
    /// Files that are read instead of `.env`.
    pub env_files: Vec<String>,
    /// The directory of the project; the default is the directory of the first file.
    pub project_directory: Option<String>,
    /// The name of the project; the default is the name in the files.
    pub name: Option<String>,
    /// Profiles that are active in addition to those of `COMPOSE_PROFILES`.
    pub profiles: Vec<String>,
    /// The environment of the user.
    pub environment: Environment,
}

/// A resolved project: one model of all files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The name of the project, of lower-case letters, digits, dashes and underscores.
    pub name: String,
    /// The directory of the project, as an absolute path.
    pub directory: String,
    /// The environment of the user, with the variables of `.env` and `COMPOSE_PROJECT_NAME`.
    pub environment: Environment,
    /// The merged files, with absolute paths and with all variables replaced.
    pub model: Map,
    /// The active profiles.
    pub profiles: BTreeSet<String>,
    /// Names of the variables that were used without having a value; they were replaced by an empty
    /// text.
    pub unset: BTreeSet<String>,
}

/// Resolves a project.
///
/// # Errors
/// Returns an error with the path if the project has no file, or if one of its files cannot be
/// used.
pub fn resolve(request: &Request, files: &dyn Files) -> Result<Resolved, Fault> {
    let mut environment = request.environment.clone();
    let here = |path: &String| absolute(&request.directory, path);
    let given = || request.project_directory.as_ref().map(here);
    let start = given().or_else(|| request.files.first().map(|file| directory_of(&here(file))));
    let start = start.unwrap_or_else(|| request.directory.clone());
    // `.env` may name the files of the project in COMPOSE_FILE, so `.env` is read first. Its
    // directory is that of the first standard file here or in a directory above, unless files are
    // named.
    let found =
        if request.files.is_empty() && !environment.contains_key("COMPOSE_FILE") { find(&start, files) } else { None };
    let directory = given().or_else(|| found.as_deref().map(directory_of)).unwrap_or(start);
    let env_files: Vec<String> = request.env_files.iter().map(here).collect();
    add_files(&mut environment, &directory, &env_files, files)?;
    let paths = if !request.files.is_empty() {
        request.files.iter().map(here).collect()
    } else if let Some(named) = environment.get("COMPOSE_FILE").filter(|named| !named.is_empty()) {
        let separator = environment.get("COMPOSE_PATH_SEPARATOR").filter(|s| !s.is_empty()).map_or(":", String::as_str);
        named.split(separator).map(|path| absolute(&request.directory, path)).collect()
    } else {
        let file = found.ok_or_else(|| {
            let cause = format!("{}: there is none of {}", request.directory, NAMES.join(", "));
            Fault::new(cause, "name the file of the project")
        })?;
        with_override(&file, files)
    };
    let directory = given().or_else(|| paths.first().map(|file: &String| directory_of(file))).unwrap_or(directory);
    let mut loader = Loader::new(files);
    let name = project_name(request, &environment, &directory, &mut loader, &paths)?;
    environment.insert("COMPOSE_PROJECT_NAME".to_owned(), name.clone());
    let model = loader.project(&paths, &directory, &environment)?;
    if !matches!(model.get("services"), Some(Value::Map(services)) if !services.is_empty()) {
        return Err(Fault::new(format!("{}: there are no services", paths.join(", ")), "write services:"));
    }
    let profiles = environment.get("COMPOSE_PROFILES").map(String::as_str).unwrap_or_default();
    let profiles = profiles.split(',').map(|profile| profile.trim().to_owned());
    let profiles = profiles.chain(request.profiles.iter().cloned()).filter(|profile| !profile.is_empty()).collect();
    Ok(Resolved { name, directory, environment, model, profiles, unset: loader.unset })
}

/// Returns the files of a project for one file. A file with a standard name is followed by its
/// override file, if that exists.
///
/// # Errors
/// Never returns an error.
pub fn with_override(file: &str, files: &dyn Files) -> Vec<String> {
    let mut all = vec![file.to_owned()];
    let directory = directory_of(file);
    if NAMES.iter().any(|name| absolute(&directory, name) == file) {
        let overrides = OVERRIDES.iter().map(|name| absolute(&directory, name));
        all.extend(overrides.filter(|path| files.kind(path) == Kind::File).take(1));
    }
    all
}

/// Returns the first standard file in `directory` or in the nearest directory above.
fn find(directory: &str, files: &dyn Files) -> Option<String> {
    let mut directory = directory.to_owned();
    loop {
        for name in NAMES {
            let path = absolute(&directory, name);
            if files.kind(&path) == Kind::File {
                return Some(path);
            }
        }
        if directory == "/" {
            return None;
        }
        directory = directory_of(&directory);
    }
}

fn project_name(
    request: &Request,
    environment: &Environment,
    directory: &str,
    loader: &mut Loader<'_>,
    paths: &[String],
) -> Result<String, Fault> {
    let set = || environment.get("COMPOSE_PROJECT_NAME").filter(|name| !name.is_empty()).cloned();
    let given = match request.name.clone().or_else(set) {
        Some(name) => Some(name),
        None => loader.name(paths, environment)?,
    };
    if let Some(name) = given {
        if normal(&name) != name {
            return Err(Fault::new(
                format!("{name:?} cannot be the name of a project"),
                "write lower-case letters, digits, dashes and underscores, and a letter or digit first",
            ));
        }
        return Ok(name);
    }
    let name = normal(directory.rsplit('/').next().unwrap_or_default());
    if name.is_empty() { Err(Fault::new("the project has no name", "set it with --project-name")) } else { Ok(name) }
}

fn normal(name: &str) -> String {
    let lower = name.to_lowercase();
    let plain: String = lower.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
    plain.trim_start_matches(['-', '_']).to_owned()
}

impl Resolved {
    /// Whether a service starts with the project: the service has no profile, or one of its
    /// profiles is active.
    #[must_use]
    pub fn is_active(&self, service: &Value) -> bool {
        let profiles = service.get("profiles").and_then(Value::as_list).unwrap_or_default();
        profiles.is_empty()
            || self.profiles.contains("*")
            || profiles.iter().filter_map(Value::scalar).any(|profile| self.profiles.contains(&profile))
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
