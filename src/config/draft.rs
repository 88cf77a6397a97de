// SPDX-License-Identifier: MIT
//! A configuration file as it is put together: assignments under their sections. Pure.

use std::fmt;

use super::keys::{FileType, Kind, keys};
use super::quadlet::expand::literal;
use crate::unit::config_word;

/// A file in the making. `Display` renders it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    head: String,
    sections: Vec<(String, String)>,
}

impl Draft {
    /// Adds a comment above everything else.
    pub fn comment(&mut self, text: &str) {
        self.head += &format!("# {}\n", text.replace(char::is_control, " "));
    }

    /// Adds an assignment to the file's own section; where the key takes words, `value` is one of them.
    ///
    /// # Errors
    /// The value cannot be written into one line.
    pub fn own(&mut self, file_type: FileType, key: &str, value: &str) -> Result<(), String> {
        let words = keys(file_type).iter().any(|k| k.name == key && k.kind == Kind::Words);
        let value = literal(value);
        let value = if words { config_word(&value) } else { value };
        self.set(file_type.section(), key, &value)
    }

    /// Adds an assignment of several words.
    ///
    /// # Errors
    /// As for [`Draft::own`].
    pub fn words<'a>(
        &mut self,
        section: &str,
        key: &str,
        words: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), String> {
        let words: Vec<String> = words.into_iter().map(|word| config_word(&literal(word))).collect();
        self.set(section, key, &words.join(" "))
    }

    /// Adds an assignment as it is.
    ///
    /// # Errors
    /// As for [`Draft::own`].
    pub fn set(&mut self, section: &str, key: &str, value: &str) -> Result<(), String> {
        if value.chars().any(char::is_control) || value.ends_with('\\') || value.trim() != value {
            return Err(format!("{key}={value:?} cannot be written into a file"));
        }
        let text = self.section(section);
        *text += &format!("{key}={value}\n");
        Ok(())
    }

    /// The text of a section, which is made if it is not there.
    pub fn section(&mut self, section: &str) -> &mut String {
        let known = self.sections.iter().position(|(name, _)| name == section);
        let index = known.unwrap_or_else(|| {
            self.sections.push((section.to_owned(), String::new()));
            self.sections.len() - 1
        });
        // There are as many as the last push made.
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
    fn files_are_read_back_as_they_were_meant() {
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
