// SPDX-License-Identifier: MIT
//! Removes several objects by their names. All names are checked before the first object is
//! removed.

use std::io::Write;

use anyhow::Result;

use crate::text;

/// Calls `remove` with each name, and with whether it must only check. Prints the paths that are
/// removed, or that would be removed with `dry_run`.
///
/// # Errors
/// An object cannot be removed. If the check of a name fails, nothing is removed.
pub(super) fn all(
    names: &[String],
    dry_run: bool,
    out: &mut dyn Write,
    remove: impl Fn(&str, bool) -> Result<Vec<String>>,
) -> Result<()> {
    let checked = names.iter().map(|name| remove(name, true)).collect::<Result<Vec<_>>>()?;
    for (name, removed) in names.iter().zip(checked) {
        let removed = if dry_run { removed } else { remove(name, false)? };
        for path in removed {
            writeln!(out, "remove {}", text::line(&path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::cell::RefCell;

    use anyhow::bail;

    use super::*;

    #[test]
    fn all_names_are_checked_before_the_first_removal() {
        let removed = RefCell::new(Vec::new());
        let run = |names: &[&str], dry_run| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut out = Vec::new();
            all(&names, dry_run, &mut out, |name, check| {
                if name == "missing" {
                    bail!("there is no {name}");
                }
                if !check {
                    removed.borrow_mut().push(name.to_owned());
                }
                Ok(vec![format!("/x/{name}")])
            })
            .map(|()| String::from_utf8(out).unwrap())
        };
        assert!(run(&["a", "missing"], false).is_err() && removed.borrow().is_empty());
        assert_eq!(run(&["a", "b"], true).unwrap(), "remove /x/a\nremove /x/b\n");
        assert!(removed.borrow().is_empty());
        assert_eq!(run(&["a", "b"], false).unwrap(), "remove /x/a\nremove /x/b\n");
        assert_eq!(*removed.borrow(), ["a", "b"]);
    }
}
