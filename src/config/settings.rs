// SPDX-License-Identifier: MIT
//! The settings of one configuration file: the file is merged with its drop-ins, and every section,
//! key and value is checked. Pure.

use std::sync::Arc;

use super::keys::{FileType, KeyName, Kind, Scope, application, key, keys, scope, supported};
use super::quadlet::foreign;
use super::sources::{SourceFile, Sources, Text, instance};
use super::values::parse_bool;
use crate::diag::{Code, Diagnostic, Fault, Location, Problem, Spanned, did_you_mean, errors_first, has_errors};
use crate::ini::{Document, Entry, parse_partly, split_words};

/// The assignments of a file and its drop-ins in the order in which they apply, without those that
/// a later assignment resets.
#[derive(Debug, Clone)]
pub struct Settings {
    entries: Vec<Arc<Entry>>,
    /// The names of applications in section headers, each with the location of the header.
    named: Vec<Spanned<String>>,
    /// Warnings about accepted assignments, such as keys that have no effect or another effect than
    /// in Quadlet.
    warnings: Vec<Diagnostic>,
}

/// The section `[Quadlet]`, which every file except `sdme.conf` may have.
const QUADLET: &str = "Quadlet";

/// Keys of `[Pod]` that apply to the members of the pod.
const FOR_MEMBERS: [&str; 9] =
    ["AddHost", "DNS", "DNSOption", "DNSSearch", "HostName", "ShmSize", "StopTimeout", "UserNS", "Volume"];

impl Settings {
    /// Parses, checks and merges a file and its drop-ins.
    ///
    /// An error in a drop-in makes the whole file invalid, because a container must not run with a
    /// part of its configuration.
    ///
    /// # Errors
    /// All problems of the file and its drop-ins, if one of them is an error or [`Code::Awaited`].
    pub fn load(file: &SourceFile) -> Result<Self, Vec<Diagnostic>> {
        Self::load_on(file, &Sources::default())
    }

    /// Does the same as [`Settings::load`]. Specifiers and variables have the values in `sources`.
    ///
    /// # Errors
    /// The same errors as [`Settings::load`].
    pub fn load_on(file: &SourceFile, sources: &Sources) -> Result<Self, Vec<Diagnostic>> {
        let (settings, problems) = Self::load_partly(file, sources);
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    /// Reads the valid assignments of a file and its drop-ins. If there are errors, or if the file
    /// has to wait for another one ([`Code::Awaited`]), the list has all problems. Otherwise, the
    /// list is empty, and the problems are the warnings of the settings.
    #[must_use]
    pub fn load_partly(file: &SourceFile, sources: &Sources) -> (Self, Vec<Diagnostic>) {
        let mut problems = Vec::new();
        let mut entries = Vec::new();
        let mut named = Vec::new();
        for text in std::iter::once(&file.main).chain(&file.drop_ins) {
            match read(text) {
                Ok((document, wrong)) => {
                    problems.extend(wrong);
                    check_sections(file.file_type, &document, &mut problems);
                    named.extend(document.headers.iter().filter_map(|(header, at)| {
                        let value = application(file.file_type, header)?.1.to_owned();
                        Some(Spanned { value, at: at.clone() })
                    }));
                    entries.extend(document.entries);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if let Some(names) = instance(&file.name) {
            for entry in &mut entries {
                entry.value = with_instance(&entry.value, names);
            }
            // `DefaultInstance=` applies to the template, and not to its instances
            // (systemd.unit(5)).
            entries.retain(|e| &*e.section != "Install" || e.key != "DefaultInstance");
        }
        // Only the syntax of `DefaultDependencies=` is checked, because the default dependencies of
        // Quadlet, which the key can switch off, do not exist here.
        for entry in entries.iter().filter(|e| &*e.section == QUADLET) {
            if let Err(problem) = check_quadlet(entry) {
                problems.push(Diagnostic::error(&entry.at, problem));
            }
        }
        let own = file.file_type.section();
        foreign::translate(file.file_type, &mut entries, &mut problems);
        let awaited = match file.file_type {
            FileType::Defaults => Vec::new(),
            _ => foreign::expand(file, sources, &mut entries, &mut problems),
        };
        problems.extend(awaited.iter().cloned());
        entries.retain(|entry| {
            let section = application(file.file_type, &entry.section);
            let own = &*entry.section == own || section.is_some_and(|(section, _)| section == own);
            let checked = if own { check_entry(file.file_type, entry) } else { Ok(()) };
            let placed = || match section {
                Some(_) if own && scope(&entry.key) == Scope::Container => {
                    let problem = Code::OneApplication
                        .problem(format!("{}= concerns the whole container", entry.key), "write it in [Container]");
                    Err(problem)
                }
                _ => Ok(()),
            };
            if let Err(problem) = checked.and_then(|()| placed()) {
                problems.push(Diagnostic::error(&entry.at, problem));
                return false;
            }
            if own {
                problems.extend(foreign::remark(file.file_type, entry));
            }
            true
        });
        let entries = without_resets(own, entries.into_iter().map(Arc::new));
        if has_errors(&problems) || !awaited.is_empty() {
            return (Self { entries, named, warnings: Vec::new() }, errors_first(problems));
        }
        (Self { entries, named, warnings: problems }, Vec::new())
    }

    /// Returns the warnings about accepted assignments, such as keys that have no effect or another
    /// effect than in Quadlet.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// Returns the names of applications in section headers, in the order of the headers. A name
    /// with several sections occurs several times.
    #[must_use]
    pub fn applications(&self) -> &[Spanned<String>] {
        &self.named
    }

    /// Returns the settings of one application: `[Container]` and `[App]`, as if the container had
    /// no other application. The assignments of `[Container NAME]` come last, and an empty
    /// assignment there also resets the assignments of `[Container]`. Keys of one process
    /// ([`Scope::Process`]) are taken from `[Container]` only if the application is `alone` in the
    /// container.
    #[must_use]
    pub fn of_application(&self, name: &str, alone: bool) -> Self {
        let shared = self.entries.iter().filter(|e| match &*e.section {
            "Container" => match scope(&e.key) {
                Scope::Container => false,
                Scope::Applications => true,
                Scope::Process => alone,
            },
            section => section == "App",
        });
        let own = self.entries.iter().filter_map(|e| {
            let (section, _) = application(FileType::Container, &e.section).filter(|(_, n)| *n == name)?;
            Some(Arc::new(Entry { section: section.into(), ..Entry::clone(e) }))
        });
        Self {
            entries: without_resets("Container", shared.cloned().chain(own)),
            named: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Returns the settings of a pod that apply to its members, as if they were in the `.container`
    /// file of each member.
    #[must_use]
    pub fn for_members(&self) -> Self {
        let handed = self.section("Pod").filter(|e| FOR_MEMBERS.contains(&e.key.as_str()));
        let handed = handed.map(|e| Arc::new(Entry { section: "Container".into(), ..e.clone() }));
        Self { entries: handed.collect(), named: Vec::new(), warnings: Vec::new() }
    }

    /// Returns these settings with those of `pod` before them. `pod` is the result of
    /// [`Settings::for_members`]. If the container has no application, only volumes and keys of the
    /// whole container are taken from the pod.
    #[must_use]
    pub fn in_pod(&self, pod: &Self) -> Self {
        let runs = [key::IMAGE, key::APP].into_iter().any(|key| self.text("Container", key).is_some());
        let meant = |e: &&Arc<Entry>| runs || e.key == "Volume" || scope(&e.key) == Scope::Container;
        let entries = pod.entries.iter().filter(meant).chain(&self.entries).cloned().collect();
        Self { entries, named: self.named.clone(), warnings: Vec::new() }
    }

    /// Whether there are no assignments.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the last assignment of a key, or none if it is empty or missing.
    #[must_use]
    pub fn text(&self, section: &str, key: KeyName) -> Option<Spanned<&str>> {
        let last = self.all(section, key).next_back()?;
        (!last.value.is_empty()).then(|| Spanned { value: last.value.as_str(), at: last.at.clone() })
    }

    /// Returns all words of a key, each with its location.
    #[must_use]
    pub fn words(&self, section: &str, key: KeyName) -> Vec<Spanned<String>> {
        let mut out = Vec::new();
        for entry in self.all(section, key) {
            let words = split_words(&entry.value).unwrap_or_default();
            out.extend(words.into_iter().map(|value| Spanned { value, at: entry.at.clone() }));
        }
        out
    }

    /// Returns all values of a key without the quotes around them, each with its location.
    #[must_use]
    pub fn lines(&self, section: &str, key: KeyName) -> Vec<Spanned<String>> {
        let line = |e: &Entry| Some(Spanned { value: unquoted(&e.value).ok()?, at: e.at.clone() });
        self.all(section, key).filter_map(line).collect()
    }

    /// Returns all assignments of a section.
    pub fn section(&self, section: &str) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|e| &**e).filter(move |e| &*e.section == section)
    }

    fn all(&self, section: &str, key: KeyName) -> impl DoubleEndedIterator<Item = &Entry> {
        // The key is compared first, because it differs more often than the section.
        let found = move |e: &&Entry| key == e.key && &*e.section == section;
        self.entries.iter().map(|e| &**e).filter(found)
    }
}

fn read(text: &Text) -> Result<(Document, Vec<Diagnostic>), Diagnostic> {
    match &text.content {
        Ok(bytes) => parse_partly(&text.path, bytes),
        Err(fault) => Err(Diagnostic::error(&Location::whole(&text.path), Code::Unreadable.of(fault.clone()))),
    }
}

fn check_sections(file_type: FileType, document: &Document, problems: &mut Vec<Diagnostic>) {
    let own = file_type.section();
    let passed = file_type.passed_through();
    for (name, at) in &document.headers {
        // Sections that begin with X- are ignored, as in unit files (systemd.unit(5)).
        let known = &**name == own || passed.contains(&&**name) || application(file_type, name).is_some();
        let quadlets = &**name == QUADLET && file_type != FileType::Defaults;
        if known || quadlets || name.starts_with("X-") {
            continue;
        }
        let known = || std::iter::once(own).chain(passed.iter().copied());
        let all = || known().map(|section| format!("[{section}]")).collect::<Vec<_>>().join(", ");
        let problem = Code::UnknownSection.problem(
            format!("unknown section [{name}] in a .{} file", file_type.extension()),
            did_you_mean(name, known()).unwrap_or_else(|| format!("write one of {}", all())),
        );
        problems.push(Diagnostic::error(at, problem));
    }
}

fn check_quadlet(Entry { key, value, .. }: &Entry) -> Result<(), Problem> {
    const KNOWN: &str = "DefaultDependencies";
    if key != KNOWN {
        let remedy = did_you_mean(key, [KNOWN]).unwrap_or_else(|| "remove it".to_owned());
        let problem = Code::UnknownKey.problem(format!("unknown key {key}= in [{QUADLET}]"), remedy);
        return Err(problem);
    }
    check_value(KNOWN, Kind::Flag, value)
}

fn check_entry(file_type: FileType, entry: &Entry) -> Result<(), Problem> {
    let key = supported(file_type, &entry.key)?;
    check_value(&key.name, key.kind, &entry.value)
}

fn check_value(name: &str, kind: Kind, value: &str) -> Result<(), Problem> {
    if value.is_empty() {
        return Ok(());
    }
    let quoting = |fault: Fault| Code::Quoting.of(fault).of(&format!("{name}="));
    match kind {
        Kind::Text => Ok(()),
        Kind::Flag if parse_bool(value).is_some() => Ok(()),
        Kind::Flag => Err(Code::Choice.problem(format!("{name}={value} is not a boolean"), "write yes or no")),
        Kind::Choice(words) if words.contains(&value) => Ok(()),
        Kind::Choice(words) => {
            let near = did_you_mean(value, words.iter().copied());
            Err(Code::Choice.problem(
                format!("{name}={value} is not one of {}", words.join(", ")),
                near.unwrap_or_else(|| "write one of these values".to_owned()),
            ))
        }
        Kind::Words | Kind::Line => split_words(value).map(drop).map_err(|error| quoting(error.fault())),
        Kind::Lines => unquoted(value).map(drop).map_err(quoting),
    }
}

/// Returns a value without the quotes around it. A value that does not begin with a quote is not
/// changed.
fn unquoted(value: &str) -> Result<String, Fault> {
    if !value.starts_with(['"', '\'']) {
        return Ok(value.to_owned());
    }
    match split_words(value).map_err(|error| error.fault())?.as_slice() {
        [word] => Ok(word.clone()),
        _ => Err(Fault::new("text follows the closing quote", "put the whole value in quotes, or remove the quotes")),
    }
}

/// Replaces `%i` and `%I` with the name of the instance, and `%p` and `%P` with the name of the
/// template. systemd would replace `%i` with the name of the machine, because the unit is
/// `systemd-nspawn@NAME.service`.
fn with_instance(value: &str, (template, instance): (&str, &str)) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('%', Some('i' | 'I')) => out.push_str(instance),
            ('%', Some('p' | 'P')) => out.push_str(template),
            ('%', Some('%')) => out.push_str("%%"),
            _ => {
                out.push(c);
                continue;
            }
        }
        chars.next();
    }
    out
}

/// Removes assignments that are reset. In the section `own`, an empty assignment resets the earlier
/// assignments of its key, and so does each assignment of a command line. Sections that are passed
/// through are not changed, because systemd resets their settings itself.
fn without_resets(own: &str, entries: impl Iterator<Item = Arc<Entry>>) -> Vec<Arc<Entry>> {
    let file_type = FileType::ALL.into_iter().find(|t| t.section() == own);
    let is_line = |name: &str| {
        let all = file_type.map(keys).unwrap_or_default();
        all.iter().any(|key| key.kind == Kind::Line && key.name == name)
    };
    let mut out: Vec<Arc<Entry>> = Vec::with_capacity(entries.size_hint().0);
    for entry in entries {
        let resets = &*entry.section == own && (entry.value.is_empty() || is_line(&entry.key));
        if resets {
            out.retain(|e| &*e.section != own || e.key != entry.key);
        }
        if !resets || !entry.value.is_empty() {
            out.push(entry);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(path: &str, content: &str) -> Text {
        Text { path: Arc::from(path), content: Ok(content.as_bytes().to_vec()) }
    }

    fn load(main: &str, drop_in: &str) -> Result<Settings, Vec<String>> {
        let file = SourceFile {
            file_type: FileType::Container,
            name: "x".into(),
            main: text("x.container", main),
            drop_ins: vec![text("x.container.d/a.conf", drop_in)],
        };
        Settings::load(&file).map_err(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn instance_specifiers_are_replaced() {
        assert_eq!(with_instance("%i-%p %%i %n %", ("web", "1")), "1-web %%i %n %");
    }

    #[test]
    fn lists_append_until_a_reset_and_scalars_are_replaced() {
        let base = "[Container]\nImage=a\nEnvironment=A=1 \"B=2 3\"\n";
        let merged = load(base, "[Container]\nImage=b\nEnvironment=C=4\n").unwrap();
        assert_eq!(merged.text("Container", key::IMAGE).unwrap().value, "b");
        let values =
            |s: &Settings| s.words("Container", key::ENVIRONMENT).into_iter().map(|w| w.value).collect::<Vec<_>>();
        assert_eq!(values(&merged), ["A=1", "B=2 3", "C=4"]);
        let reset = load(base, "[Container]\nImage=\nEnvironment=\nEnvironment=D=5\n").unwrap();
        assert_eq!(reset.text("Container", key::IMAGE), None);
        assert_eq!(values(&reset), ["D=5"]);
    }

    #[test]
    fn problems_name_the_file_and_the_line() {
        let all = load("[Containr]\n[Container]\nImag=x\n", "[Container]\nMode=bass\nExec=\"a\n").unwrap_err();
        assert_eq!(
            all,
            [
                "x.container:1: unknown section [Containr] in a .container file; did you mean Container?",
                "x.container:3: unknown key Imag= in [Container]; did you mean Image?",
                "x.container.d/a.conf:2: Mode=bass is not one of auto, base, app; did you mean base?",
                "x.container.d/a.conf:3: Exec=: the quote \" is never closed; close the quote, or write \\\" for the character",
            ]
        );
    }

    #[test]
    fn applications_get_the_common_settings_and_their_own() {
        let file = "[Container a]\nEnvironment=\nEnvironment=C=3\nExec=run\n\
            [Container]\nEnvironment=A=1\nExec=all\n[App]\nNice=1\n[App b]\nNice=\n";
        let all = load(file, "[Container b]\nEnvironment=B=2\n").unwrap();
        let values = |name, alone, key| -> Vec<String> {
            all.of_application(name, alone).words("Container", key).into_iter().map(|w| w.value).collect()
        };
        assert_eq!(values("a", false, key::ENVIRONMENT), ["C=3"]);
        assert_eq!(values("b", false, key::ENVIRONMENT), ["A=1", "B=2"]);
        assert_eq!(values("a", false, key::EXEC), ["run"]);
        assert!(values("b", false, key::EXEC).is_empty());
        assert_eq!(values("b", true, key::EXEC), ["all"]);
        let nice = |name| all.of_application(name, false).section("App").map(|e| e.value.clone()).collect::<Vec<_>>();
        assert_eq!((nice("a"), nice("b")), (vec!["1".to_owned()], vec!["1".to_owned(), String::new()]));
        let names: Vec<&str> = all.applications().iter().map(|n| n.value.as_str()).collect();
        assert_eq!(names, ["a", "b", "b"]);

        let wrong = load("[Container a]\nImage=x\n[Service a]\n", "").unwrap_err();
        assert_eq!(
            wrong,
            [
                "x.container:3: unknown section [Service a] in a .container file; did you mean Service?",
                "x.container:2: Image= concerns the whole container; write it in [Container]",
            ]
        );
    }
}
