// SPDX-License-Identifier: MIT
//! The line numbers of the fields of a YAML text, by their paths. [`crate::compose::yaml`] parses
//! the values but keeps no line numbers, so this module parses the same text a second time. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use libyaml_safer::{Event, EventData, Parser, ScalarStyle};

use super::strict::{index, key};

/// Line numbers, from 1, by paths such as `spec.containers[0].image`. The document itself has the
/// empty path.
pub type Lines = BTreeMap<String, u32>;

/// The line numbers of each document with content. The text must have been parsed without an error
/// before.
pub fn lines(text: &str) -> Vec<Lines> {
    let ended = if text.ends_with('\n') { Cow::Borrowed(text) } else { Cow::Owned(format!("{text}\n")) };
    let mut bytes = ended.as_bytes();
    let mut parser = Parser::new();
    parser.set_input_string(&mut bytes);
    let mut walker = Walker { parser };
    let mut all = Vec::new();
    while let Some(event) = walker.next() {
        match &event.data {
            EventData::StreamEnd => break,
            EventData::StreamStart { .. } | EventData::DocumentStart { .. } | EventData::DocumentEnd { .. } => {}
            EventData::Scalar { value, style, .. } if *style == ScalarStyle::Plain && is_null(value) => {}
            _ => {
                let mut lines = Lines::new();
                if walker.value(&event, "", &mut lines).is_none() {
                    break;
                }
                all.push(lines);
            }
        }
    }
    all
}

/// Whether a plain scalar means that the document has no content.
fn is_null(text: &str) -> bool {
    ["", "~", "null", "Null", "NULL"].contains(&text)
}

struct Walker<'a> {
    parser: Parser<&'a mut &'a [u8]>,
}

impl Walker<'_> {
    fn next(&mut self) -> Option<Event> {
        self.parser.parse().ok()
    }

    fn value(&mut self, event: &Event, path: &str, lines: &mut Lines) -> Option<()> {
        // The line number of a field is that of its key, which is recorded before the value.
        lines.entry(path.to_owned()).or_insert_with(|| line(event));
        match &event.data {
            EventData::SequenceStart { .. } => {
                for number in 0.. {
                    let event = self.next()?;
                    if matches!(event.data, EventData::SequenceEnd) {
                        break;
                    }
                    self.value(&event, &index(path, number), lines)?;
                }
            }
            EventData::MappingStart { .. } => loop {
                let event = self.next()?;
                if matches!(event.data, EventData::MappingEnd) {
                    break;
                }
                let field = match &event.data {
                    EventData::Scalar { value, .. } => key(path, value),
                    _ => key(path, "?"),
                };
                lines.insert(field.clone(), line(&event));
                if !matches!(event.data, EventData::Scalar { .. }) {
                    self.value(&event, &field, lines)?;
                }
                let event = self.next()?;
                self.value(&event, &field, lines)?;
            },
            _ => {}
        }
        Some(())
    }
}

fn line(event: &Event) -> u32 {
    u32::try_from(event.start_mark.line).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fields_have_the_lines_of_their_keys() {
        let all = lines("---\n---\na:\n  b:\n  - c: 1\n    d: |\n      x\n  - 2\n---\n{\"x\": [1,\n 2]}\n---\n~\n");
        assert_eq!(all.len(), 2, "{all:?}");
        let get = |document: usize, path: &str| all.get(document).unwrap().get(path).copied();
        for (document, path, line) in [
            (0, "", 3),
            (0, "a", 3),
            (0, "a.b", 4),
            (0, "a.b[0]", 5),
            (0, "a.b[0].c", 5),
            (0, "a.b[0].d", 6),
            (0, "a.b[1]", 8),
            (1, "x[1]", 11),
        ] {
            assert_eq!(get(document, path), Some(line), "{path}");
        }
    }
}
