// SPDX-License-Identifier: MIT
//! `sdme-gen config`: reads and changes `sdme.conf`, one key at a time. The rest of the file stays
//! as it is.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};

use super::files;
use crate::config::keys::{FileType, Kind, supported};
use crate::config::settings::Settings;
use crate::ini::{self, continues};
use crate::search::{SearchPath, search};
use crate::unit::config_word;

const FILE: &str = "sdme.conf";
const SECTION: &str = "Defaults";

/// The keys that are set, including drop-ins, with their values, in the order of the file.
///
/// # Errors
/// The file or a drop-in is invalid.
pub fn get(root: &Path) -> Result<Vec<(String, String)>> {
    let sources = search(&SearchPath::from_environment(root));
    let Some(file) = sources.files.iter().find(|f| f.file_type == FileType::Defaults) else { return Ok(Vec::new()) };
    let settings = Settings::load(file).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow!("{}", lines.join("\n"))
    })?;
    let mut out: Vec<(String, String)> = Vec::new();
    for entry in settings.section(SECTION) {
        let adds_up = supported(FileType::Defaults, &entry.key).is_ok_and(|key| key.kind == Kind::Words);
        match out.iter_mut().find(|(key, _)| *key == entry.key) {
            Some((_, value)) if adds_up => *value = format!("{value} {}", entry.value),
            Some((_, value)) => value.clone_from(&entry.value),
            None => out.push((entry.key.clone(), entry.value.clone())),
        }
    }
    Ok(out)
}

/// Checks the name of a key, and returns the kind of its values.
///
/// # Errors
/// There is no such key. The message suggests a similar name.
pub fn check(key: &str) -> Result<Kind> {
    supported(FileType::Defaults, key).map(|key| key.kind).map_err(|message| anyhow!(message))
}

/// Sets a key in `/etc/sdme/sdme.conf`. No value or an empty value removes the assignments of the
/// key.
///
/// # Errors
/// There is no such key, the value is invalid for it, or the file cannot be read or written.
pub fn set(root: &Path, key: &str, values: &[String], dry_run: bool) -> Result<()> {
    let kind = check(key)?;
    let value = match (kind, values) {
        // As in the file, a single argument can contain several words.
        (Kind::Words, [value]) => {
            written(&ini::split_words(value).map_err(|error| anyhow!("{key}={value}: {}", error.fault()))?)
        }
        (Kind::Words, values) => written(values),
        (_, [] | [_]) => values.concat(),
        _ => bail!("{key}= takes one value; put it in quotes"),
    };
    let value = if values.concat().is_empty() { String::new() } else { value };
    if value.chars().any(char::is_control) || value.ends_with('\\') || value.trim() != value {
        bail!("{key}={value:?} cannot be written into a file");
    }
    let path = files::path(root, FILE);
    let old = match fs::read_to_string(&path) {
        Ok(old) => old,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let new = edited(&old, key, &value)?;
    files::put(root, FILE, &new, dry_run)
}

/// Formats words as the value of a key in the file.
fn written(words: &[String]) -> String {
    words.iter().map(|word| config_word(word)).collect::<Vec<_>>().join(" ")
}

/// Returns `text` with a single assignment of `key`, in the place of the last one, or after the
/// header of the section.
fn edited(text: &str, key: &str, value: &str) -> Result<String> {
    let name: Arc<str> = Arc::from(format!("{}/{FILE}", files::DIRECTORY));
    let document = ini::parse(&name, text.as_bytes()).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow!("{}", lines.join("\n"))
    })?;
    let lines: Vec<&str> = text.lines().collect();
    let of_key = document.entries.iter().filter(|e| &*e.section == SECTION && e.key == key);
    let places: Vec<usize> = of_key.map(|e| index(e.at.line)).collect();
    let header = document.headers.iter().rfind(|(section, _)| &**section == SECTION);
    let insert_after = places.last().copied().or_else(|| header.map(|(_, at)| index(at.line)));
    let assignment = (!value.is_empty()).then(|| format!("{key}={value}"));
    let mut out: Vec<String> = Vec::new();
    let mut number = 0;
    while let Some(line) = lines.get(number) {
        let here = number;
        let taken = places.contains(&here);
        // An assignment continues over lines that end in a backslash. Comments between these lines
        // belong to it.
        let mut open = taken && continues(line);
        if !taken {
            out.push((*line).to_owned());
        }
        number += 1;
        while open {
            let Some(next) = lines.get(number) else { break };
            open = next.trim_start().starts_with(['#', ';']) || continues(next);
            number += 1;
        }
        if insert_after == Some(here) {
            out.extend(assignment.clone());
        }
    }
    if insert_after.is_none()
        && let Some(assignment) = assignment
    {
        out.extend([format!("[{SECTION}]"), assignment]);
    }
    Ok(out.join("\n") + if out.is_empty() { "" } else { "\n" })
}

fn index(line: u32) -> usize {
    usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_assignment_changes_and_the_rest_stays() {
        let text = "# mine\n[Defaults]\nMirror=a \\\n# between\n b\nBaseFs=x\n; end\n";
        assert_eq!(edited(text, "Mirror", "c d").unwrap(), "# mine\n[Defaults]\nMirror=c d\nBaseFs=x\n; end\n");
        assert_eq!(edited(text, "BaseFs", "").unwrap(), "# mine\n[Defaults]\nMirror=a \\\n# between\n b\n; end\n");
        assert_eq!(edited("", "BaseFs", "host").unwrap(), "[Defaults]\nBaseFs=host\n");
        assert_eq!(edited("[Defaults]\nA=1\n", "BaseFs", "host").unwrap(), "[Defaults]\nBaseFs=host\nA=1\n");
        assert!(edited("[Defaults\n", "BaseFs", "host").is_err());
    }

    #[test]
    fn keys_have_the_values_to_which_they_were_set() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let set = |key: &str, values: &[&str]| {
            set(root, key, &values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>(), false)
        };
        set("CacheSize", &["5G"]).unwrap();
        set("Mirror", &["docker.io", "mirror.example.org"]).unwrap();
        set("CacheSize", &["6G"]).unwrap();
        // A single quoted argument is split into words, as the value in a file is.
        for quoted in ["docker.io mirror.example.org", " docker.io  'mirror.example.org' "] {
            set("Mirror", &["docker.io", "other.example.org"]).unwrap();
            set("Mirror", &[quoted]).unwrap();
            let text = fs::read_to_string(root.join("etc/sdme/sdme.conf")).unwrap();
            assert!(text.contains("\nMirror=docker.io mirror.example.org\n"), "{text}");
        }
        let error = set("Mirror", &["docker.io 'mirror"]).unwrap_err().to_string();
        assert_eq!(
            error,
            "Mirror=docker.io 'mirror: the quote ' is never closed; close the quote, or write \\' for the character"
        );
        let both = [("Mirror", "docker.io mirror.example.org"), ("CacheSize", "6G")];
        let mut got = get(root).unwrap();
        got.sort_by(|a, b| b.cmp(a));
        assert_eq!(got, both.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert!(set("BaseFS", &["x"]).unwrap_err().to_string().contains("did you mean BaseFs?"));
        assert!(set("CacheSize", &["much"]).is_err() && set("CacheSize", &["1", "2"]).is_err());
        set("Mirror", &[]).unwrap();
        assert_eq!(fs::read_to_string(root.join("etc/sdme/sdme.conf")).unwrap(), "[Defaults]\nCacheSize=6G\n");
    }
}
