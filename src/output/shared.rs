// SPDX-License-Identifier: MIT
//! Drop-in directories that are the same, as one directory and links to it. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::tree::Node;

/// So many directories with the same in them become one. For fewer it would save nothing, and `systemctl status` shows
/// the name of the one.
const WORTH_IT: usize = 32;

/// A file by its path, or a link.
pub type File<'a> = (Cow<'a, str>, Cow<'a, Node>);

/// Sorted files, parted into those at the top and those in a directory. Those of one directory come in a row. Where many
/// drop-in directories have the same in them, it is in `sdme-shared-1.d` and so on, which is no unit's by its name, and
/// each of the directories is a link to that. `directory` is the absolute path of where all is: systemd looks for what
/// such a link leads to from its own working directory (`unit_file_build_name_map()` of versions 257 to 262).
pub fn share<'a>(files: impl Iterator<Item = (&'a str, &'a Node)>, directory: &str) -> (Vec<File<'a>>, Vec<File<'a>>) {
    let (nested, top): (Vec<_>, Vec<_>) = files.partition(|(path, _)| path.contains('/'));
    let groups: Vec<&[(&str, &Node)]> = nested.chunk_by(|(a, _), (b, _)| parent(a) == parent(b)).collect();
    let mut alike: BTreeMap<Vec<(&str, &Node)>, Alike> = BTreeMap::new();
    for group in groups.iter().filter(|group| is_shareable(group) && groups.len() >= WORTH_IT) {
        alike.entry(inside(group)).or_default().number += 1;
    }
    alike.retain(|_, alike| alike.number >= WORTH_IT);
    let as_is = |&(path, node): &(&'a str, &'a Node)| (Cow::Borrowed(path), Cow::Borrowed(node));
    let (mut top, mut nested): (Vec<File<'_>>, Vec<File<'_>>) = (top.iter().map(as_is).collect(), Vec::new());
    let mut count = 0;
    for group in groups {
        let own = parent(group.first().map_or("", |(path, _)| path));
        let files = inside(group);
        match alike.get_mut(&files).filter(|_| is_shareable(group)) {
            None => nested.extend(group.iter().map(as_is)),
            Some(alike) => {
                if alike.directory.is_empty() {
                    count += 1;
                    alike.directory = format!("sdme-shared-{count}.d");
                    let placed = |&(name, node): &(_, &'a Node)| {
                        (Cow::Owned(format!("{}/{name}", alike.directory)), Cow::Borrowed(node))
                    };
                    nested.extend(files.iter().map(placed));
                }
                let target = format!("{directory}/{}", alike.directory);
                top.push((Cow::Borrowed(own), Cow::Owned(Node::Link(target))));
            }
        }
    }
    (top, nested)
}

/// Directories with the same in them.
#[derive(Default)]
struct Alike {
    number: usize,
    /// The one that they become, if any of them has.
    directory: String,
}

/// The directory at the top that a path is in.
#[must_use]
pub fn parent(path: &str) -> &str {
    path.split_once('/').map_or("", |(parent, _)| parent)
}

/// Directories of links have meanings of their own to those who list them.
fn is_shareable(group: &[(&str, &Node)]) -> bool {
    group.first().is_some_and(|(path, _)| parent(path).ends_with(".d"))
}

/// What is in a directory, whatever its own name is.
fn inside<'a>(group: &[(&'a str, &'a Node)]) -> Vec<(&'a str, &'a Node)> {
    group.iter().map(|&(path, node)| (path.split_once('/').map_or(path, |(_, name)| name), node)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_one_and_few_stay_as_they_are() {
        let single = Node::File("c".into());
        let (one, other, link) = (Node::File("a".into()), Node::File("b".into()), Node::Link("../x".into()));
        let files = |number: usize| {
            let mut files = vec![("single.service.d/10.conf".to_owned(), &single), ("whole.service".to_owned(), &one)];
            for index in 0..number {
                files.push((format!("x@{index:03}.service.d/10.conf"), &one));
                files.push((format!("y@{index:03}.service.d/10.conf"), &other));
                files.push((format!("z.target.wants/x@{index:03}.service"), &link));
            }
            files.sort_by(|(a, _), (b, _)| a.cmp(b));
            files
        };
        let few = files(WORTH_IT - 1);
        let (top, nested) = share(few.iter().map(|(path, node)| (path.as_str(), *node)), "/out");
        assert_eq!((top.len(), nested.len()), (1, 1 + 3 * (WORTH_IT - 1)));

        let many = files(WORTH_IT);
        let (top, nested) = share(many.iter().map(|(path, node)| (path.as_str(), *node)), "/out");
        assert_eq!((top.len(), nested.len()), (1 + 2 * WORTH_IT, 3 + WORTH_IT));
        // Whatever was there is there by way of the links.
        for (path, node) in &many {
            let found =
                nested.iter().find(|(name, _)| name == path).or_else(|| top.iter().find(|(name, _)| name == path));
            let by_link = || {
                let (directory, name) = path.split_once('/')?;
                let (_, link) = top.iter().find(|(name, _)| name == directory)?;
                let Node::Link(target) = link.as_ref() else { return None };
                nested.iter().find(|(path, _)| format!("/out/{path}") == format!("{target}/{name}"))
            };
            assert_eq!(found.or_else(by_link).map(|(_, node)| node.as_ref()), Some(*node), "{path}");
        }
        // Those in one directory come in a row.
        let directories: Vec<&str> = nested
            .chunk_by(|(a, _), (b, _)| parent(a) == parent(b))
            .filter_map(|group| Some(parent(&group.first()?.0)))
            .collect();
        assert_eq!(directories, ["single.service.d", "sdme-shared-1.d", "sdme-shared-2.d", "z.target.wants"]);
    }
}
