// SPDX-License-Identifier: MIT
//! Expands specifiers (systemd.unit(5)) and variables (systemd.service(5), "Command lines") in
//! values. Quadlet writes the values of its keys into the command lines of units, where systemd
//! expands both. Pure.

use crate::diag::Fault;
use std::collections::BTreeMap;

use crate::unit::is_env_name;

/// The values of specifiers and variables in one file.
#[derive(Debug, Clone, Default)]
pub struct Context<'a> {
    /// The name that Quadlet would give to the unit of the file, without `.service`: `%N`.
    pub name: &'a str,
    /// The host name of the host, if it is known: `%H`.
    pub host: Option<&'a str>,
    /// The variables that `[Service]` sets.
    pub variables: BTreeMap<String, String>,
}

/// An expanded value, and the warnings about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The value, in which all known specifiers and variables are expanded.
    pub value: String,
    /// Warnings about specifiers and variables that systemd would expand to other texts. Each cause
    /// is a whole sentence.
    pub remarks: Vec<Fault>,
    /// The first variable that is not in the context.
    pub unset: Option<String>,
}

/// Specifiers of the system manager whose values are not known when units are generated.
const LATER: &str = "aAbBdfgGjJkKlmMoqrRsvwWyY";

impl Context<'_> {
    /// Expands a value. `words` is whether the value is a command line, in which a word `$NAME` is
    /// expanded, too.
    #[must_use]
    pub fn expand(&self, value: &str, words: bool) -> Expanded {
        let mut out = Expanded::default();
        if !value.contains(['%', '$']) {
            out.value.push_str(value);
            return out;
        }
        let mut rest = value;
        while let Some(at) = rest.find(['%', '$']) {
            let (before, special) = rest.split_at(at);
            let begins = out.value.chars().chain(before.chars()).next_back().is_none_or(char::is_whitespace);
            out.value.push_str(before);
            rest = if special.starts_with('%') {
                self.specifier(special, &mut out)
            } else {
                self.variable(special, words && begins, &mut out)
            };
        }
        out.value.push_str(rest);
        out
    }

    /// Expands the specifier at the beginning of `text`. Returns the rest of the text.
    fn specifier<'t>(&self, text: &'t str, out: &mut Expanded) -> &'t str {
        let mut chars = text.chars();
        chars.next();
        let letter = chars.next();
        let service;
        let known = match letter {
            Some('%') => "%",
            Some('N' | 'p' | 'P') => self.name,
            Some('n') => {
                service = format!("{}.service", self.name);
                &service
            }
            // In an instance of a template, these specifiers are already replaced, so this is no
            // instance.
            Some('i' | 'I') => "",
            Some('H') => self.host.unwrap_or_else(|| {
                out.remarks
                    .push(Fault::new("%H is localhost, because the host's name is not known here", "write the name"));
                "localhost"
            }),
            Some('l') if self.host.is_some() => self.host.and_then(|host| host.split('.').next()).unwrap_or_default(),
            Some('h') => "/root",
            Some('t') => "/run",
            Some('D') => "/usr/share",
            Some('E') => "/etc",
            Some('S') => "/var/lib",
            Some('C') => "/var/cache",
            Some('L') => "/var/log",
            Some('T') => "/tmp",
            Some('V') => "/var/tmp",
            Some('u' | 'g') => "root",
            Some('U' | 'G') => "0",
            // An unknown specifier is not changed, as in systemd.
            other => {
                if let Some(letter) = other.filter(|letter| LATER.contains(*letter)) {
                    out.remarks.push(Fault::new(
                        format!("%{letter} is not replaced: its value is not known when the unit is made"),
                        format!("write the value, or %%{letter} for these two characters"),
                    ));
                }
                out.value.push('%');
                return text.get(1..).unwrap_or_default();
            }
        };
        out.value.push_str(known);
        chars.as_str()
    }

    /// Expands the variable at the beginning of `text`. Returns the rest of the text.
    fn variable<'t>(&self, text: &'t str, word: bool, out: &mut Expanded) -> &'t str {
        let after = text.get(1..).unwrap_or_default();
        if let Some(rest) = after.strip_prefix('$') {
            out.value.push('$');
            return rest;
        }
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, rest) = if let Some(braced) = braced {
            braced
        } else {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            let (name, rest) = after.split_at(end);
            if !word || !is_env_name(name) || rest.starts_with(|c: char| !c.is_whitespace()) {
                out.value.push('$');
                return after;
            }
            (name, rest)
        };
        let written = text.get(..text.len() - rest.len()).unwrap_or_default();
        let plain = |value: &&String| !value.contains(|c: char| c.is_whitespace() || "\"'\\".contains(c));
        if let Some(value) = self.variables.get(name).filter(plain) {
            out.value.push_str(value);
            return rest;
        }
        let why = if self.variables.contains_key(name) {
            "its value has blanks, quotes or backslashes"
        } else {
            out.unset.get_or_insert_with(|| name.to_owned());
            "[Service] does not set it"
        };
        out.remarks.push(Fault::new(
            format!("{written} is not replaced: {why}"),
            format!("write the value, or ${written} if the application's shell is to replace it"),
        ));
        out.value.push_str(written);
        rest
    }
}

/// Replaces `%N` and `%p` in a value of `[Unit]` or `[Service]` with `name`, the name of the unit
/// in Quadlet. All other specifiers are left for systemd.
#[must_use]
pub fn named(value: &str, name: &str) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let specifier = after.chars().next();
        match specifier {
            Some('N' | 'p') => out.push_str(name),
            Some(letter) => out.extend(['%', letter]),
            None => out.push('%'),
        }
        rest = specifier.and_then(|letter| after.get(letter.len_utf8()..)).unwrap_or_default();
    }
    out + rest
}

/// Escapes a text, so that [`Context::expand`] returns `text` again.
#[must_use]
pub fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        let doubled = match (c, chars.peek()) {
            ('%', Some(next)) => *next == '%' || next.is_ascii_alphabetic(),
            ('$', Some(next)) => matches!(next, '$' | '{') || next.is_ascii_alphabetic() || *next == '_',
            _ => false,
        };
        if doubled {
            out.push(c);
        }
        // The second of two equal characters is escaped separately.
        if doubled && chars.next_if_eq(&c).is_some() {
            out.push(c);
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn context() -> Context<'static> {
        let variables = [("A", "x"), ("B", "y z")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        Context { name: "web", host: Some("box.example.org"), variables: variables.into() }
    }

    #[test]
    fn values_are_expanded_as_systemd_does() {
        for (value, meant) in [
            ("%S/%N/100%%", "/var/lib/web/100%"),
            ("%h %t %E %n %p-%i.", "/root /run /etc web.service web-."),
            ("/run/user/%U:%G:%u", "/run/user/0:0:root"),
            ("a-%H %l", "a-box.example.org box"),
            ("size=10%,mode=755 50%", "size=10%,mode=755 50%"),
            ("%{code} %", "%{code} %"),
            ("$${X} a$$ $", "${X} a$ $"),
            ("${A}/b$A", "x/b$A"),
            ("100%%N", "100%N"),
        ] {
            let expanded = context().expand(value, false);
            assert_eq!((expanded.value.as_str(), expanded.remarks.len()), (meant, 0), "{value}");
        }
        assert_eq!(context().expand("run $A -$A", true).value, "run x -$A");
        assert_eq!(Context::default().expand("%H", false).value, "localhost");
    }

    #[test]
    fn texts_that_are_not_expanded_get_a_warning() {
        for (value, why) in
            [("50%off", "not known when the unit is made"), ("${C:-d}", "does not set it"), ("${B}", "has blanks")]
        {
            let expanded = context().expand(value, false);
            assert_eq!(expanded.value, value);
            assert!(expanded.remarks.iter().any(|remark| remark.cause.contains(why)), "{value}: {expanded:?}");
        }
        assert!(
            context().expand("$C", true).remarks.iter().any(|remark| remark.remedy.contains("write the value, or $$C"))
        );
    }

    #[test]
    fn specifiers_of_the_unit_name_are_replaced() {
        for (value, meant) in
            [("/srv/%N", "/srv/web"), ("%p.env %%N %n %i %", "web.env %%N %n %i %"), ("%%%N", "%%web"), ("a%é", "a%é")]
        {
            assert_eq!(named(value, "web"), meant);
        }
    }

    #[test]
    fn escaped_texts_expand_to_themselves() {
        for text in ["%h", "%%", "50%off", "100%", "$$", "${A}", "$A", "a$", "$$$", "%%%h", "$%N%", "p$$w%%d${A}"] {
            let expanded = context().expand(&literal(text), true);
            assert_eq!((expanded.value.as_str(), expanded.remarks.len()), (text, 0), "{text} as {}", literal(text));
        }
    }
}
