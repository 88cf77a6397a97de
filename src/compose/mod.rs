// SPDX-License-Identifier: MIT
//! Compose projects (the Compose Specification), resolved as the reference implementation (compose-go 2) does, before anything is
//! mapped: which files a project has, variables, `.env`, merging, `extends`, `include`, profiles and the name. Pure over [`Files`].

pub mod dotenv;
mod load;
mod merge;
mod paths;
pub mod template;
pub mod value;
pub mod yaml;

use std::collections::BTreeSet;

pub use load::Environment;
use load::{Loader, add_file};
pub use paths::{absolute, directory_of, is_path};
use value::{Map, Value};

/// Names of the file of a project, the first that exists is taken, each with the names of the file that overrides it.
const NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
const OVERRIDES: [&str; 4] =
    ["compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"];

/// What there is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Missing,
    /// A directory.
    Directory,
    /// Anything else.
    File,
}

/// The files that a project can name.
pub trait Files {
    /// The text of a file, or nothing if there is no such file.
    ///
    /// # Errors
    /// The file cannot be read, or is no UTF-8.
    fn read(&self, path: &str) -> Result<Option<String>, String>;
    /// What there is at a path.
    fn kind(&self, path: &str) -> Kind;
    /// The names of what is in a directory, in order; none if it cannot be read.
    fn list(&self, directory: &str) -> Vec<String>;
}

/// What to resolve.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The directory that the user is in, absolute.
    pub directory: String,
    /// Files of the project; without any, those of `COMPOSE_FILE` or the standard names.
    pub files: Vec<String>,
    /// Files in place of `.env`.
    pub env_files: Vec<String>,
    /// The directory of the project, in place of that of the first file.
    pub project_directory: Option<String>,
    /// The name of the project, in place of the one in the files.
    pub name: Option<String>,
    /// Profiles besides those of `COMPOSE_PROFILES`.
    pub profiles: Vec<String>,
    /// The environment of the user.
    pub environment: Environment,
}

/// A project as one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The name of the project: lower case letters, digits, dashes and underscores.
    pub name: String,
    /// The directory of the project.
    pub directory: String,
    /// The environment of the user, `.env` and `COMPOSE_PROJECT_NAME`.
    pub environment: Environment,
    /// All files merged, with absolute paths and without variables.
    pub model: Map,
    /// The active profiles.
    pub profiles: BTreeSet<String>,
    /// Variables without a value that were used, and are empty.
    pub unset: BTreeSet<String>,
}

/// Resolves a project.
///
/// # Errors
/// There is no file of a project, or a file that cannot be used; with its path.
pub fn resolve(request: &Request, files: &dyn Files) -> Result<Resolved, String> {
    let mut environment = request.environment.clone();
    let here = |path: &String| absolute(&request.directory, path);
    let given = || request.project_directory.as_ref().map(here);
    let start = given().or_else(|| request.files.first().map(|file| directory_of(&here(file))));
    let start = start.unwrap_or_else(|| request.directory.clone());
    // The file .env may name the files of the project, so it comes first; without a file named, a directory above may have them.
    let found =
        if request.files.is_empty() && !environment.contains_key("COMPOSE_FILE") { find(&start, files)? } else { None };
    let directory = given().or_else(|| found.as_deref().map(directory_of)).unwrap_or(start);
    if request.env_files.is_empty() {
        let beside = absolute(&directory, ".env");
        if let Some(text) = files.read(&beside)? {
            add_file(&mut environment, &beside, &text)?;
        }
    }
    for path in request.env_files.iter().map(here) {
        let text = files.read(&path)?.ok_or_else(|| format!("{path}: there is no such file"))?;
        add_file(&mut environment, &path, &text)?;
    }
    let paths = if !request.files.is_empty() {
        request.files.iter().map(here).collect()
    } else if let Some(named) = environment.get("COMPOSE_FILE").filter(|named| !named.is_empty()) {
        let separator = environment.get("COMPOSE_PATH_SEPARATOR").filter(|s| !s.is_empty()).map_or(":", String::as_str);
        named.split(separator).map(|path| absolute(&request.directory, path)).collect()
    } else {
        let file = found.ok_or_else(|| format!("{}: there is none of {}", request.directory, NAMES.join(", ")))?;
        with_override(&file, files)?
    };
    let directory = given().or_else(|| paths.first().map(|file: &String| directory_of(file))).unwrap_or(directory);
    let mut loader = Loader::new(files);
    let name = project_name(request, &environment, &directory, &mut loader, &paths)?;
    environment.insert("COMPOSE_PROJECT_NAME".to_owned(), name.clone());
    let model = loader.project(&paths, &directory, &environment)?;
    if !matches!(model.get("services"), Some(Value::Map(services)) if !services.is_empty()) {
        return Err(format!("{}: there are no services", paths.join(", ")));
    }
    let profiles = environment.get("COMPOSE_PROFILES").map(String::as_str).unwrap_or_default();
    let profiles = profiles.split(',').map(|profile| profile.trim().to_owned());
    let profiles = profiles.chain(request.profiles.iter().cloned()).filter(|profile| !profile.is_empty()).collect();
    Ok(Resolved { name, directory, environment, model, profiles, unset: loader.unset })
}

/// The files of a project whose file is one of the standard names: with the file that overrides it, if there is one.
///
/// # Errors
/// A file cannot be read.
pub fn with_override(file: &str, files: &dyn Files) -> Result<Vec<String>, String> {
    let mut all = vec![file.to_owned()];
    let directory = directory_of(file);
    if NAMES.iter().any(|name| absolute(&directory, name) == file) {
        let overrides = OVERRIDES.iter().map(|name| absolute(&directory, name));
        all.extend(overrides.filter(|path| files.kind(path) == Kind::File).take(1));
    }
    Ok(all)
}

/// The file of the project in `directory` or the nearest directory above.
fn find(directory: &str, files: &dyn Files) -> Result<Option<String>, String> {
    let mut directory = directory.to_owned();
    loop {
        for name in NAMES {
            let path = absolute(&directory, name);
            if files.kind(&path) == Kind::File {
                return Ok(Some(path));
            }
        }
        if directory == "/" {
            return Ok(None);
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
) -> Result<String, String> {
    let set = || environment.get("COMPOSE_PROJECT_NAME").filter(|name| !name.is_empty()).cloned();
    let given = match request.name.clone().or_else(set) {
        Some(name) => Some(name),
        None => loader.name(paths, environment)?,
    };
    if let Some(name) = given {
        if normal(&name) != name {
            return Err(format!(
                "{name:?} cannot be the name of a project: it needs lower case letters, digits, dashes and underscores, and a letter \
                 or digit first"
            ));
        }
        return Ok(name);
    }
    let name = normal(directory.rsplit('/').next().unwrap_or_default());
    if name.is_empty() { Err("the project has no name; set it with --project-name".to_owned()) } else { Ok(name) }
}

fn normal(name: &str) -> String {
    let lower = name.to_lowercase();
    let plain: String = lower.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
    plain.trim_start_matches(['-', '_']).to_owned()
}

impl Resolved {
    /// Whether a service is started with the project: it has no profile, or an active one.
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
