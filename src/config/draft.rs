// SPDX-License-Identifier: MIT
//! Writes a configuration file: assignments that are grouped by section. Pure.

use std::fmt;

use super::keys::{FileType, Kind, keys};
use super::quadlet::expand::literal;
use crate::unit::config_word;

/// A configuration file that is not complete yet. `Display` renders its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    head: String,
    sections: Vec<(String, String)>,
}

impl Draft {
    /// Adds a comment line at the top of the file, below earlier comments. Control characters
    /// become spaces.
    pub fn comment(&mut self, text: &str) {
        self.head += &format!("# {}\n", text.replace(char::is_control, " "));
    }

    /// Adds an assignment to the section of the file type. `value` is a literal text: specifiers
    /// and variables in it are escaped. If the key has a list of words, `value` is one of the
    /// words, and is quoted.
    ///
    /// # Errors
    /// The text of the value cannot be written in one line: it has control characters, begins or
    /// ends with a blank, or ends with a backslash.
    pub fn own(&mut self, file_type: FileType, key: &str, value: &str) -> Result<(), String> {
        let words = keys(file_type).iter().any(|k| k.name == key && k.kind == Kind::Words);
        let value = literal(value);
        let value = if words { config_word(&value) } else { value };
        self.set(file_type.section(), key, &value)
    }

    /// Adds an assignment whose value is a list of words. Each word is a literal text, which is
    /// escaped and quoted.
    ///
    /// # Errors
    /// The same errors as [`Draft::own`].
    pub fn words<'a>(
        &mut self,
        section: &str,
        key: &str,
        words: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), String> {
        let words: Vec<String> = words.into_iter().map(|word| config_word(&literal(word))).collect();
        self.set(section, key, &words.join(" "))
    }

    /// Adds an assignment without escaping or quoting its value.
    ///
    /// # Errors
    /// The same errors as [`Draft::own`].
    pub fn set(&mut self, section: &str, key: &str, value: &str) -> Result<(), String> {
        if value.chars().any(char::is_control) || value.ends_with('\\') || value.trim() != value {
            return Err(format!("{key}={value:?} cannot be written into a file"));
        }
        let text = self.section(section);
        *text += &format!("{key}={value}\n");
        Ok(())
    }

    /// Returns the text of a section. If the section does not exist, it is added at the end.
    pub fn section(&mut self, section: &str) -> &mut String {
        let known = self.sections.iter().position(|(name, _)| name == section);
        let index = known.unwrap_or_else(|| {
            self.sections.push((section.to_owned(), String::new()));
            self.sections.len() - 1
        });
        // `index` is valid, because the section was found or added above.
        match self.sections.get_mut(index) {
            Some((_, text)) => text,
            None => &mut self.head,
        }
    }
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.head)?;
        for (index, (section, text)) in self.sections.iter().enumerate() {
            let space = if index == 0 && self.head.is_empty() { "" } else { "\n" };
            write!(f, "{space}[{section}]\n{text}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_are_escaped_and_line_breaks_are_rejected() {
        let mut draft = Draft::default();
        draft.own(FileType::Container, "Environment", "A=x y\"%$\\").unwrap();
        draft.own(FileType::Container, "HostName", "web").unwrap();
        draft.set("Service", "MemoryMax", "1G").unwrap();
        draft.words("Container", "Exec", &["a b".to_owned(), "c".to_owned()]).unwrap();
        let own = "[Container]\nEnvironment=\"A=x y\\\"%$\\\\\"\nHostName=web\nExec=\"a b\" c\n";
        assert_eq!(draft.to_string(), format!("{own}\n[Service]\nMemoryMax=1G\n"));
        assert!(draft.own(FileType::Container, "HostName", "a\nExec=b").is_err());
        draft.comment("from\nelsewhere");
        assert!(draft.to_string().starts_with("# from elsewhere\n\n[Container]\n"));
    }
}
