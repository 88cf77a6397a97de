// SPDX-License-Identifier: MIT
//! Converts a script of several command lines: the containers, networks and volumes that they
//! create form one project. Commands that create nothing are not converted, and no command is run.
//! Pure.

use std::collections::{BTreeMap, VecDeque};

use super::options::{Place, Run};
use super::{command, finished};
use crate::compose::{absolute, template};
use crate::config::keys::FileType;
use crate::config::quadlet::podman;
use crate::convert::{Builder, Converted, name};

/// Commands of the shell that create nothing a container needs later.
const IDLE: [&str; 12] =
    ["echo", "set", "sleep", "exit", "printf", "true", ":", "wait", "trap", "clear", "which", "curl"];

/// Verbs that have no lasting effect, or that a unit does not need.
const WITHOUT_EFFECT: [&str; 19] = [
    "pull", "start", "stop", "restart", "kill", "rm", "rmi", "logs", "ps", "inspect", "wait", "images", "info",
    "version", "login", "logout", "stats", "top", "port",
];

/// Converts the command lines of a script. Relative paths are resolved against `directory`;
/// `environment` has the variables of the user.
///
/// # Errors
/// Returns an error with the line number for a command that cannot be converted, or an error if no
/// command creates a container.
pub fn script(text: &str, directory: &str, environment: &BTreeMap<String, String>) -> Result<Converted, String> {
    let mut project = Project {
        place: Place { directory: directory.to_owned(), ..Place::default() },
        variables: environment.clone(),
        runs: BTreeMap::new(),
        files: BTreeMap::new(),
        notes: Vec::new(),
    };
    project.variables.insert("PWD".to_owned(), directory.to_owned());
    for (line, words) in statements(text, &mut project)? {
        project.statement(line, &words).map_err(|error| format!("line {line}: {error}"))?;
    }
    if project.runs.is_empty() {
        return Err("no line makes a container; a line such as docker run IMAGE does".to_owned());
    }
    let mut converted = finished(project.runs, project.files);
    converted.notes.splice(0..0, project.notes);
    Ok(converted)
}

struct Project {
    place: Place,
    variables: BTreeMap<String, String>,
    runs: BTreeMap<String, Run>,
    files: BTreeMap<String, String>,
    notes: Vec<String>,
}

impl Project {
    fn statement(&mut self, line: usize, words: &[String]) -> Result<(), String> {
        let mut words: VecDeque<&str> = words.iter().map(String::as_str).collect();
        let Some(parsed) = command(&mut words)? else {
            let first = words.pop_front().unwrap_or_default();
            match (first, words.front()) {
                ("cd", Some(to)) => {
                    self.place.directory = absolute(&self.place.directory, to);
                    self.variables.insert("PWD".to_owned(), self.place.directory.clone());
                }
                (word, _) if IDLE.contains(&word) => {}
                (word, _) => self.notes.push(format!("line {line}: {word} is not run; run the command yourself")),
            }
            return Ok(());
        };
        match (parsed, words.front().copied()) {
            ("run" | "create", _) => {
                let (name, run) = super::read(words, &self.place)?;
                if self.runs.contains_key(&name) {
                    return Err(format!("there is a container {name} already; give this one another --name"));
                }
                self.runs.insert(name, run);
            }
            ("network", Some("create")) => self.create(FileType::Network, words)?,
            ("volume", Some("create")) => self.create(FileType::Volume, words)?,
            ("pod", Some("create")) => self.create(FileType::Pod, words)?,
            ("network", Some("connect")) => self.connect(words)?,
            ("network" | "volume" | "pod", _) => {}
            (verb, _) if WITHOUT_EFFECT.contains(&verb) => {}
            (verb, _) => self.notes.push(format!("line {line}: {verb} is not converted; run the command yourself")),
        }
        Ok(())
    }

    /// Converts `network create`, `volume create` and `pod create`.
    fn create(&mut self, file_type: FileType, mut words: VecDeque<&str>) -> Result<(), String> {
        words.pop_front();
        let mut builder = Builder::new(file_type);
        let mut named = None;
        while let Some(word) = words.pop_front() {
            let Some(option) = word.strip_prefix('-') else {
                named = Some(word);
                continue;
            };
            let (option, value) =
                option.split_once('=').map_or((option, None), |(option, value)| (option, Some(value)));
            let (long, takes) = match option.trim_start_matches('-') {
                "name" => ("name", true),
                "attachable" | "ingress" => continue,
                option => podman::option(file_type, option).ok_or_else(|| super::unknown(word))?,
            };
            let value = match (value, takes) {
                (Some(value), _) => value,
                (None, true) => words.pop_front().ok_or_else(|| format!("{word} lacks its value"))?,
                (None, false) => "true",
            };
            // A driver `bridge` or `local` is the default, so it needs no setting.
            if long == "name" {
                named = Some(value);
            } else if !(long == "driver" && ["bridge", "local"].contains(&value)) {
                let word = if takes { format!("--{long}={value}") } else { format!("--{long}") };
                let (assignments, problems) = podman::assignments(file_type, &[word]);
                for (section, key, value) in assignments {
                    builder.set(long, &section, &key, &value);
                }
                builder.notes.extend(problems);
            }
        }
        let named = name(named.ok_or("nothing is named; give the name")?);
        self.notes.append(&mut builder.notes);
        if file_type == FileType::Volume {
            self.place.volumes.insert(named.clone());
        }
        if file_type == FileType::Pod && !builder.draft.to_string().contains("\nNetwork=") {
            // Podman's pods are in the bridge network by default.
            builder.put("pod create", "Network", "bridge");
        }
        self.files.insert(format!("{named}.{}", file_type.extension()), builder.draft.to_string());
        Ok(())
    }

    /// Converts `network connect [OPTIONS] NETWORK CONTAINER`.
    fn connect(&mut self, mut words: VecDeque<&str>) -> Result<(), String> {
        words.pop_front();
        let mut options = Vec::new();
        let mut named = Vec::new();
        while let Some(word) = words.pop_front() {
            let Some(option) = word.strip_prefix("--") else {
                named.push(word);
                continue;
            };
            let (option, value) =
                option.split_once('=').map_or((option, None), |(option, value)| (option, Some(value)));
            let value = value.or_else(|| words.pop_front()).ok_or_else(|| format!("{word} lacks its value"))?;
            match option {
                "alias" | "ip" | "ip6" => options.push(format!("{option}={value}")),
                _ => return Err(super::unknown(word)),
            }
        }
        let [network, container] = named.as_slice() else { return Err("name a network and a container".to_owned()) };
        let run = self.runs.get_mut(&name(container)).ok_or_else(|| format!("no line above makes {container}"))?;
        run.attach(network, &options.join(","));
        Ok(())
    }

    /// Returns the value of a variable.
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
}

/// Splits a script into its commands, each with its line number and words. Variable assignments are
/// stored in the project.
fn statements(text: &str, project: &mut Project) -> Result<Vec<(usize, Vec<String>)>, String> {
    let mut all = Vec::new();
    let mut scanner = Scanner { text, line: 1 };
    while !scanner.text.is_empty() {
        let line = scanner.line;
        let mut words = scanner.statement(project).map_err(|error| format!("line {line}: {error}"))?;
        if words.first().is_some_and(|word| word == "export") {
            words.remove(0);
        }
        while let Some((name, value)) = words.first().and_then(|word| assignment(word)) {
            project.variables.insert(name, value);
            words.remove(0);
        }
        if let Some(word) =
            words.first().filter(|word| ["if", "for", "while", "case", "function"].contains(&word.as_str()))
        {
            return Err(format!("line {line}: {word} cannot be converted; write the commands one after the other"));
        }
        if words.first().is_some_and(|word| word == "cd") {
            // The words of later commands may contain $PWD, so `cd` takes effect immediately.
            project.statement(line, &words)?;
        } else if !words.is_empty() {
            all.push((line, words));
        }
    }
    Ok(all)
}

/// Parses an assignment `NAME=VALUE`.
fn assignment(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (plain && !name.starts_with(|c: char| c.is_ascii_digit())).then(|| (name.to_owned(), value.to_owned()))
}

/// The remaining text of a script, and the number of its first line.
struct Scanner<'a> {
    text: &'a str,
    line: usize,
}

impl Scanner<'_> {
    /// Returns the words of the next command, by the rules of sh(1) for quotes, comments and
    /// continuation lines.
    fn statement(&mut self, project: &Project) -> Result<Vec<String>, String> {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        while let Some(c) = self.next() {
            match c {
                '\n' | ';' => break,
                '&' | '|' => {
                    if self.text.starts_with(c) {
                        self.next();
                    } else if c == '|' {
                        return Err("a pipe cannot be converted; write the commands one after the other".to_owned());
                    }
                    break;
                }
                '#' if word.is_none() => {
                    while !self.text.is_empty() && !self.text.starts_with('\n') {
                        self.next();
                    }
                }
                '>' | '<' => return Err("a redirection cannot be converted; remove it".to_owned()),
                c if c.is_whitespace() => words.extend(word.take()),
                '\\' => match self.next() {
                    Some('\n') | None => {}
                    // A continuation line with a DOS line end.
                    Some('\r') if self.text.starts_with('\n') => drop(self.next()),
                    Some(c) => word.get_or_insert_default().push(c),
                },
                '\'' => {
                    let quoted = self.until('\'')?;
                    word.get_or_insert_default().push_str(&quoted);
                }
                '"' => {
                    let quoted = self.double(project)?;
                    word.get_or_insert_default().push_str(&quoted);
                }
                '$' | '`' => {
                    let value = self.expansion(c, project)?;
                    word.get_or_insert_default().push_str(&value);
                }
                '~' if word.is_none() && (self.text.starts_with(['/', ':', ' ', '\n'])) => {
                    word = Some(project.variable("HOME").unwrap_or_else(|| "~".to_owned()));
                }
                c => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        Ok(words)
    }

    fn next(&mut self) -> Option<char> {
        let c = self.text.chars().next()?;
        self.text = self.text.get(c.len_utf8()..).unwrap_or_default();
        self.line += usize::from(c == '\n');
        Some(c)
    }

    /// Returns the text up to a character, and skips that character.
    fn until(&mut self, end: char) -> Result<String, String> {
        let mut out = String::new();
        loop {
            match self.next() {
                None => return Err(format!("the {end} is never found that ends a text")),
                Some(c) if c == end => return Ok(out),
                Some(c) => out.push(c),
            }
        }
    }

    /// Returns the text within double quotes.
    fn double(&mut self, project: &Project) -> Result<String, String> {
        let mut out = String::new();
        loop {
            match self.next() {
                None => return Err("the quote \" is never closed".to_owned()),
                Some('"') => return Ok(out),
                Some('\\') => match self.next() {
                    Some('\n') | None => {}
                    Some(c @ ('$' | '`' | '"' | '\\')) => out.push(c),
                    Some(c) => out.extend(['\\', c]),
                },
                Some(c @ ('$' | '`')) => out += &self.expansion(c, project)?,
                Some(c) => out.push(c),
            }
        }
    }

    /// Returns the value of a variable, or the output of the commands `pwd` and `id`.
    fn expansion(&mut self, first: char, project: &Project) -> Result<String, String> {
        let command = if first == '`' {
            Some(self.until('`')?)
        } else if self.text.starts_with('(') {
            self.next();
            Some(self.until(')')?)
        } else {
            None
        };
        if let Some(command) = command {
            return match command.trim() {
                "pwd" => Ok(project.place.directory.clone()),
                "id -u" | "id -g" => Ok(project.variable("UID").unwrap_or_else(|| "0".to_owned())),
                other => Err(format!("the command {other} is not run; write what it prints in its place")),
            };
        }
        let expression = if self.text.starts_with('{') {
            format!("${}}}", self.until('}')?)
        } else {
            let end = self.text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.text.len());
            let (name, rest) = self.text.split_at(end);
            self.text = rest;
            format!("${name}")
        };
        if expression == "$" {
            return Ok(expression);
        }
        let mut unset = None;
        let value = template::substitute(&expression, &|name| project.variable(name), &mut |name| {
            unset = Some(name.to_owned());
        })
        .map_err(|fault| fault.to_string())?;
        match unset {
            Some(name) => Err(format!("the variable {name} is not set; set it above, or write its value")),
            None => Ok(value),
        }
    }
}
