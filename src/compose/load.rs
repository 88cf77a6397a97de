// SPDX-License-Identifier: MIT
//! Loads the files of a project into one model: each file is interpolated, its `include` and
//! `extends` are resolved, and all files are merged. Pure over [`Files`].

use std::collections::BTreeSet;

use super::dotenv::Environment;
use super::paths::{absolute, directory_of, make_absolute};
use super::value::{Map, Value};
use super::{Files, dotenv, merge, template, yaml};
use crate::diag::Fault;

/// Maximum number of files that one project may read.
const MOST_FILES: usize = 500;
/// Maximum depth of `include`.
const MOST_LEVELS: usize = 20;
/// The sections with named entries, which `include` copies into the including file.
const SECTIONS: [&str; 5] = ["services", "volumes", "networks", "secrets", "configs"];

/// Loads the files of a project, and counts them against the limit.
pub struct Loader<'a> {
    files: &'a dyn Files,
    read: usize,
    /// Names of the variables that were used without having a value.
    pub unset: BTreeSet<String>,
}

/// The base directory of relative paths, and the variables that apply to a file.
#[derive(Clone, Copy)]
struct Scope<'a> {
    directory: &'a str,
    environment: &'a Environment,
}

impl<'a> Loader<'a> {
    /// Creates a loader that has read no file yet.
    pub fn new(files: &'a dyn Files) -> Self {
        Self { files, read: 0, unset: BTreeSet::new() }
    }

    /// Loads and merges the files of a project. Relative paths are resolved against `directory`.
    ///
    /// # Errors
    /// Returns an error with the path of the file that cannot be read or is invalid.
    pub fn project(&mut self, files: &[String], directory: &str, environment: &Environment) -> Result<Map, Fault> {
        self.merged(files, Scope { directory, environment }, &mut Vec::new())
    }

    /// Returns the `name:` of the last file that has one, with its variables replaced.
    ///
    /// # Errors
    /// The same errors as those of [`Loader::project`].
    pub fn name(&mut self, files: &[String], environment: &Environment) -> Result<Option<String>, Fault> {
        let mut found = None;
        for file in files {
            for document in self.raw(file)? {
                if let Some(Value::Text(name)) = document.get("name") {
                    let name = template::substitute(name, &|name| environment.get(name).cloned(), &mut |_| {});
                    found = Some(name.map_err(|fault| fault.of("name").of(file))?);
                }
            }
        }
        Ok(found.filter(|name| !name.is_empty()))
    }

    fn merged(&mut self, files: &[String], scope: Scope<'_>, stack: &mut Vec<String>) -> Result<Map, Fault> {
        let mut model = Map::default();
        for file in files {
            if stack.contains(file) || stack.len() >= MOST_LEVELS {
                return Err(Fault::new(
                    format!("{file}: the file is included by itself: {}", stack.join(", ")),
                    "remove one include",
                ));
            }
            for mut document in self.documents(file, scope.environment)? {
                stack.push(file.clone());
                self.include(file, &mut document, scope, stack)?;
                stack.pop();
                self.extend(file, &mut document, scope)?;
                model = merge::files(model, &document).map_err(|fault| fault.of(file))?;
            }
        }
        make_absolute(&mut model, scope.directory, scope.environment);
        Ok(model)
    }

    fn raw(&mut self, file: &str) -> Result<Vec<Map>, Fault> {
        self.read += 1;
        if self.read > MOST_FILES {
            return Err(Fault::new(format!("{file}: the project has more than {MOST_FILES} files"), "use fewer files"));
        }
        let text = required(self.files, file)?;
        let documents = yaml::documents(&text).map_err(|error| error.of(file))?;
        let map = |value| match value {
            Value::Map(map) => Ok(map),
            other => Err(Fault::new(
                format!("{file}: the file has {} in place of a mapping", other.kind()),
                "write services:",
            )),
        };
        documents.into_iter().map(map).collect()
    }

    fn documents(&mut self, file: &str, environment: &Environment) -> Result<Vec<Map>, Fault> {
        let mut documents = self.raw(file)?;
        for document in &mut documents {
            let mut unset = |name: &str| {
                self.unset.insert(name.to_owned());
            };
            template::interpolate(document, &|name| environment.get(name).cloned(), &mut unset)
                .map_err(|fault| fault.of(file))?;
            for section in SECTIONS {
                let known = document.get(section);
                if let Some(other) = known
                    .filter(|value| !matches!(value, Value::Map(_) | Value::Null | Value::Reset | Value::Override(_)))
                {
                    let cause = format!("{file}: {section} must be a mapping, and is {}", other.kind());
                    return Err(Fault::new(cause, format!("write NAME: below {section}:")));
                }
            }
        }
        Ok(documents)
    }

    fn include(
        &mut self,
        file: &str,
        document: &mut Map,
        scope: Scope<'_>,
        stack: &mut Vec<String>,
    ) -> Result<(), Fault> {
        let entries = match document.remove("include") {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::List(entries)) => entries,
            Some(other) => {
                let cause = format!("{file}: include must be a list, and is {}", other.kind());
                return Err(Fault::new(cause, "write - FILE below include:"));
            }
        };
        for entry in entries {
            let strings = |key: &str| texts(entry.get(key));
            let paths = if entry.as_map().is_some() { strings("path") } else { texts(Some(&entry)) };
            let paths: Vec<String> = paths.iter().map(|path| absolute(scope.directory, path)).collect();
            let Some(first) = paths.first() else {
                return Err(Fault::new(format!("{file}: an entry of include has no path"), "write path: FILE"));
            };
            let own = entry.get("project_directory").and_then(Value::scalar);
            let directory = own.map_or_else(|| directory_of(first), |own| absolute(scope.directory, &own));
            let mut environment = scope.environment.clone();
            let env_files = strings("env_file").iter().map(|path| absolute(scope.directory, path)).collect::<Vec<_>>();
            add_files(&mut environment, &directory, &env_files, self.files)?;
            let included = self.merged(&paths, Scope { directory: &directory, environment: &environment }, stack)?;
            take_over(file, document, &included)?;
        }
        Ok(())
    }

    fn extend(&mut self, file: &str, document: &mut Map, scope: Scope<'_>) -> Result<(), Fault> {
        let Some(Value::Map(services)) = document.get("services") else { return Ok(()) };
        let services = services.clone();
        let mut all = Map::default();
        for (name, _) in services.iter() {
            all.set(name, self.extended(name, &services, file, scope, &mut Vec::new())?);
        }
        document.set("services", Value::Map(all));
        Ok(())
    }

    /// Returns a service merged with the services that it extends.
    fn extended(
        &mut self,
        name: &str,
        services: &Map,
        file: &str,
        scope: Scope<'_>,
        chain: &mut Vec<(String, String)>,
    ) -> Result<Value, Fault> {
        let service = services.get(name).ok_or_else(|| {
            Fault::new(
                format!("{file}: there is no service {name} to extend"),
                "write the name of a service in extends",
            )
        })?;
        let mut service = service.clone();
        let Value::Map(settings) = &mut service else { return Ok(service) };
        let Some(extends) = settings.remove("extends").filter(|value| *value != Value::Null) else {
            return Ok(service);
        };
        let here = (file.to_owned(), name.to_owned());
        if chain.contains(&here) {
            return Err(Fault::new(format!("{file}: the service {name} extends itself"), "remove extends"));
        }
        chain.push(here);
        let base = extends.scalar().or_else(|| extends.get("service")?.scalar());
        let base = base.ok_or_else(|| {
            Fault::new(format!("{file}: services.{name}.extends names no service"), "write service: NAME")
        })?;
        let from = match extends.get("file").and_then(Value::scalar) {
            None => self.extended(&base, services, file, scope, chain)?,
            Some(other) => {
                let other = absolute(scope.directory, &other);
                let mut model = Map::default();
                for document in self.documents(&other, scope.environment)? {
                    model = merge::files(model, &document).map_err(|fault| fault.of(&other))?;
                }
                let Some(Value::Map(theirs)) = model.get("services") else {
                    let cause = format!("{other}: there are no services, but {file} extends {base} of it");
                    return Err(Fault::new(cause, "write another file in extends"));
                };
                let directory = directory_of(&other);
                let there = Scope { directory: &directory, environment: scope.environment };
                let from = self.extended(&base, theirs, &other, there, chain)?;
                let mut alone = Map::default();
                alone.set("services", Value::Map([(name.to_owned(), from)].into_iter().collect()));
                make_absolute(&mut alone, &directory, scope.environment);
                alone.get("services").and_then(|services| services.get(name)).cloned().unwrap_or(Value::Null)
            }
        };
        chain.pop();
        if from == Value::Null {
            return Ok(service);
        }
        merge::services(name, merge::untagged(from), service).map_err(|fault| fault.of(file))
    }
}

/// The text of a file that must exist.
fn required(files: &dyn Files, path: &str) -> Result<String, Fault> {
    let missing = || Fault::new(format!("{path}: there is no such file"), "write that file, or another path");
    files.read(path)?.ok_or_else(missing)
}

/// Adds the variables of the files `named` to `environment`. If none is named, those of `.env` in
/// `directory` are added, if that file exists.
///
/// # Errors
/// Returns an error with the path of a named file that does not exist, or of a file that does not
/// follow the format.
pub fn add_files(
    environment: &mut Environment,
    directory: &str,
    named: &[String],
    files: &dyn Files,
) -> Result<(), Fault> {
    if named.is_empty() {
        let beside = absolute(directory, ".env");
        if let Some(text) = files.read(&beside)? {
            add_file(environment, &beside, &text)?;
        }
    }
    for path in named {
        add_file(environment, path, &required(files, path)?)?;
    }
    Ok(())
}

/// Adds the variables of a `.env` file to `environment`. Variables that are already set keep their
/// values.
///
/// # Errors
/// Returns an error with the path of the file if the file does not follow the format.
fn add_file(environment: &mut Environment, path: &str, text: &str) -> Result<(), Fault> {
    let outside = environment.clone();
    let added = dotenv::parse(text, &|name| outside.get(name).cloned()).map_err(|error| error.of(path))?;
    for (name, value) in added {
        environment.entry(name).or_insert(value);
    }
    Ok(())
}

fn take_over(file: &str, document: &mut Map, included: &Map) -> Result<(), Fault> {
    for section in SECTIONS {
        let Some(Value::Map(theirs)) = included.get(section) else { continue };
        let mut ours = match document.get(section) {
            Some(Value::Map(ours)) => ours.clone(),
            _ => Map::default(),
        };
        for (name, value) in theirs.iter() {
            match ours.get(name) {
                Some(known) if known != value => {
                    let cause = format!("{file}: {section}.{name} is also in an included file, and differs there");
                    return Err(Fault::new(cause, "rename one of the two, or remove it"));
                }
                _ => ours.set(name, value.clone()),
            }
        }
        document.set(section, Value::Map(ours));
    }
    Ok(())
}

/// Returns the texts of a value that is one text or a list of texts.
fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::List(items)) => items.iter().filter_map(Value::scalar).collect(),
        Some(value) => value.scalar().into_iter().collect(),
        None => Vec::new(),
    }
}
