// SPDX-License-Identifier: MIT
//! The mark: the first line of a converted file. It has a digest of the remaining text, so that the
//! next conversion recognizes a file that was changed since. Pure.

use super::Outcome;
use crate::image::digest::Digest;

const START: &str = "# Written by sdme-gen convert ";
const OF: &str = " for the project ";
/// Stands in place of the project name in a file that several projects share.
const SHARED: &str = "*";
const MIDDLE: &str = "; not replaced once it is changed (";

/// The origin of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A conversion of the named project wrote the file, and it is unchanged.
    Converted(String),
    /// A conversion wrote the file for a network that projects share, and it is unchanged.
    Shared,
    /// A conversion wrote the file, and it was changed since.
    Changed,
    /// No conversion of this kind wrote the file.
    Other,
}

/// Puts a mark with the name of the conversion (`tool`) in front of each file and unit.
pub fn mark(out: &mut Outcome, tool: &str) {
    for (name, text) in out.files.iter_mut().chain(&mut out.units) {
        let rest = format!("\n{text}");
        let project = if out.shared.contains(name) { SHARED } else { &out.project };
        *text = format!("{START}{tool}{OF}{project}{MIDDLE}{})\n{rest}", digest(&rest));
    }
}

/// Returns the origin of a file with this text, from the point of view of the conversion `tool`.
#[must_use]
pub fn origin(tool: &str, text: &str) -> Origin {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let own = first.strip_prefix(START).and_then(|first| first.strip_prefix(tool)?.strip_prefix(OF));
    let Some((project, end)) = own.and_then(|first| first.split_once(MIDDLE)) else {
        return Origin::Other;
    };
    if end.strip_suffix(')') == Some(digest(rest).as_str()) {
        if project == SHARED { Origin::Shared } else { Origin::Converted(project.to_owned()) }
    } else {
        Origin::Changed
    }
}

fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).prefix16().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_mark_tells_converted_changed_and_other_files_apart() {
        let mut out = Outcome { project: "shop".to_owned(), ..Outcome::default() };
        for name in ["a.network", "b.network"] {
            out.files.insert(name.to_owned(), "[Network]\nInternal=yes\n".to_owned());
        }
        out.shared.insert("b.network".to_owned());
        mark(&mut out, "compose");
        let text = out.files.get("a.network").unwrap();
        assert_eq!(origin("compose", text), Origin::Converted("shop".to_owned()));
        assert_eq!(origin("compose", &text.replace("yes", "no")), Origin::Changed);
        assert_eq!(origin("kube", text), Origin::Other);
        assert_eq!(origin("compose", out.files.get("b.network").unwrap()), Origin::Shared);
        assert_eq!(origin("compose", "[Network]\n"), Origin::Other);
    }
}
