// SPDX-License-Identifier: MIT
//! Resolves the `User` of an image to numeric IDs, by the image's `etc/passwd` and `etc/group`, as
//! Docker documents it.
//!
//! Never uses the name service or the files of the host. The two files are read as bytes of unknown
//! encoding.

use anyhow::{Context as _, Error, Result, bail};
use serde::{Deserialize, Serialize};

use crate::contract::process;
use crate::model::Identity;
use crate::rootdir::tree::Tree;

/// Maximum size of the two files in bytes.
const MAX_FILE: u64 = 16 << 20;
/// The highest numeric ID that Docker accepts.
const MAX_ID: u32 = i32::MAX as u32;

/// The ID of the user `nobody`, which has no rights.
const NOBODY: u32 = 65534;

/// The user that an application runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user as the image has it: empty, `name`, `name:group`, `uid` or `uid:gid`.
    pub spec: String,
    /// The numeric user ID.
    pub uid: u32,
    /// The numeric group ID.
    pub gid: u32,
    /// The supplementary group IDs, sorted.
    pub additional_gids: Vec<u32>,
    /// The home directory from the image's passwd; `/` if there is no entry.
    pub home: String,
    /// The reason why the IDs are unknown, if they are. A container of such an image needs its own
    /// `User=`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

impl User {
    /// Returns root, for images whose user is not used.
    #[must_use]
    pub fn root(spec: &str) -> Self {
        let (additional_gids, home) = (Vec::new(), "/".to_owned());
        Self { spec: spec.to_owned(), uid: 0, gid: 0, additional_gids, home, unknown: None }
    }

    /// Returns a user that is not in the image's files, with the reason.
    #[must_use]
    pub fn unknown(spec: &str, why: String) -> Self {
        Self { uid: NOBODY, gid: NOBODY, unknown: Some(why), ..Self::root(spec) }
    }

    /// Returns the user in the form that the launcher reads.
    ///
    /// # Errors
    /// Returns the reason if the IDs of the user are unknown.
    pub fn process(&self) -> Result<process::User, String> {
        let Self { uid, gid, additional_gids, home, unknown, .. } = self.clone();
        unknown.map_or(Ok(process::User { uid, gid, additional_gids, home }), Err)
    }
}

struct Account<'a> {
    name: &'a [u8],
    uid: u32,
    gid: u32,
    home: &'a [u8],
}

struct Group<'a> {
    name: &'a [u8],
    gid: u32,
    members: &'a [u8],
}

fn number(bytes: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty() && !line.starts_with(b"#"))
}

fn accounts(passwd: &[u8]) -> impl Iterator<Item = Account<'_>> {
    lines(passwd).filter_map(|line| {
        let mut fields = line.split(|b| *b == b':');
        let name = fields.next()?;
        let uid = number(fields.nth(1)?)?;
        let gid = number(fields.next()?)?;
        Some(Account { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
    })
}

fn groups(group: &[u8]) -> impl Iterator<Item = Group<'_>> {
    lines(group).filter_map(|line| {
        let mut fields = line.split(|b| *b == b':');
        let name = fields.next()?;
        let gid = number(fields.nth(1)?)?;
        Some(Group { name, gid, members: fields.next().unwrap_or_default() })
    })
}

/// Resolves `spec` with the two files in `tree`. A missing file counts as an empty file.
///
/// # Errors
/// Returns an error if a name is not found, if a number is out of range, or if a file cannot be
/// read safely.
pub fn resolve(tree: &Tree, spec: &str) -> Result<User> {
    let passwd = tree.read_file(b"etc/passwd", MAX_FILE).context("reading the image's etc/passwd")?;
    let group = tree.read_file(b"etc/group", MAX_FILE).context("reading the image's etc/group")?;
    resolve_in(&passwd.unwrap_or_default(), &group.unwrap_or_default(), spec)
}

/// Resolves the user of a configured application: `User=`, `Group=` and `GroupAdd=` override the
/// user of the image.
///
/// # Errors
/// The same errors as those of [`resolve`], and one for a user whose IDs are unknown.
pub fn identify(tree: &Tree, own: &str, identity: &Identity) -> Result<process::User> {
    let user = identity.user.as_deref().unwrap_or(own);
    let spec = match &identity.group {
        // The group replaces the primary group of the user.
        Some(group) => format!("{}:{group}", user.split(':').next().unwrap_or_default()),
        None => user.to_owned(),
    };
    let mut user = resolve(tree, &spec)?.process().map_err(Error::msg)?;
    if !identity.more_groups.is_empty() {
        let group =
            tree.read_file(b"etc/group", MAX_FILE).context("reading the image's etc/group")?.unwrap_or_default();
        for name in &identity.more_groups {
            user.additional_gids.push(group_id(&group, name)?);
        }
        user.additional_gids.sort_unstable();
        user.additional_gids.dedup();
    }
    Ok(user)
}

fn group_id(group: &[u8], which: &str) -> Result<u32> {
    let numeric = number(which.as_bytes());
    let found = groups(group).find(|group| numeric.map_or(group.name == which.as_bytes(), |gid| gid == group.gid));
    match (found, numeric) {
        (Some(group), _) => Ok(group.gid),
        (None, Some(gid)) if gid <= MAX_ID => Ok(gid),
        (None, Some(gid)) => bail!("group id {gid} is out of range"),
        (None, None) => bail!("group `{which}` is not in the image's etc/group"),
    }
}

fn resolve_in(passwd: &[u8], group: &[u8], spec: &str) -> Result<User> {
    let (who, which) = spec.split_once(':').unwrap_or((spec, ""));
    let numeric = number(who.as_bytes());
    let account = accounts(passwd).find(|account| match who {
        "" => account.uid == 0,
        _ => account.name == who.as_bytes() || numeric == Some(account.uid),
    });
    let (uid, mut gid, home) = match (&account, numeric) {
        (Some(account), _) => (account.uid, account.gid, String::from_utf8(account.home.to_vec()).unwrap_or_default()),
        (None, _) if who.is_empty() => (0, 0, String::new()),
        // A numeric user needs no entry in passwd; its group is then root's.
        (None, Some(uid)) if uid <= MAX_ID => (uid, 0, String::new()),
        (None, Some(uid)) => bail!("user id {uid} is out of range"),
        (None, None) => bail!("user `{who}` is not in the image's etc/passwd"),
    };
    let mut additional_gids = Vec::new();
    if which.is_empty() {
        // Supplementary groups are taken from the image only if no group is requested. They are
        // found by the name of the account.
        if let Some(account) = &account {
            additional_gids.extend(
                groups(group)
                    .filter(|group| group.members.split(|b| *b == b',').any(|member| member == account.name))
                    .map(|group| group.gid),
            );
            additional_gids.sort_unstable();
            additional_gids.dedup();
        }
    } else {
        gid = group_id(group, which)?;
    }
    let home = if home.is_empty() { "/".to_owned() } else { home };
    Ok(User { spec: spec.to_owned(), uid, gid, additional_gids, home, unknown: None })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n# comment\nbroken\nj\xf6rg:x:7:7::/:/bin/sh\n\
        app:x:1000:1001:App:/srv/app:/bin/false\n1234:x:55:56::/numeric:\nhigh:x:4000000000:1::/h:\n";
    const GROUP: &[u8] =
        b"root:x:0:\nwheel:x:10:root,app\nadm:x:4:syslog,root\napp:x:1001:\nextra:x:20:app\nweb:x:30\n99:x:31:\n";

    #[test]
    fn users_and_groups_are_resolved_as_docker_documents() {
        for (spec, uid, gid, extra, home) in [
            ("", 0, 0, &[4, 10][..], "/root"),
            ("root", 0, 0, &[4, 10], "/root"),
            ("0", 0, 0, &[4, 10], "/root"),
            ("0:0", 0, 0, &[], "/root"),
            ("root:web", 0, 30, &[], "/root"),
            ("app", 1000, 1001, &[10, 20], "/srv/app"),
            ("app:web", 1000, 30, &[], "/srv/app"),
            ("app:77", 1000, 77, &[], "/srv/app"),
            ("app:", 1000, 1001, &[10, 20], "/srv/app"),
            ("1000", 1000, 1001, &[10, 20], "/srv/app"),
            ("1000:5", 1000, 5, &[], "/srv/app"),
            ("2000", 2000, 0, &[], "/"),
            ("2000:web", 2000, 30, &[], "/"),
            ("1234", 55, 56, &[], "/numeric"),
            (":web", 0, 30, &[], "/root"),
            ("high", 4_000_000_000, 1, &[], "/h"),
        ] {
            let additional_gids = extra.to_vec();
            let want = User { spec: spec.into(), uid, gid, additional_gids, home: home.into(), unknown: None };
            assert_eq!(resolve_in(PASSWD, GROUP, spec).unwrap(), want, "{spec}");
        }
    }

    #[test]
    fn missing_files_count_as_empty() {
        let user = resolve_in(b"", b"", "").unwrap();
        assert_eq!((user.uid, user.gid, user.home.as_str()), (0, 0, "/"));
        assert_eq!(resolve_in(b"", b"", "12:34").unwrap().gid, 34);
    }

    #[test]
    fn unknown_names_and_numbers_out_of_range_are_refused() {
        for bad in ["nobody", "app:none", "4294967295", "99999999999", "-1", "0:3000000000"] {
            assert!(resolve_in(PASSWD, GROUP, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn links_to_the_files_of_the_host_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("etc/passwd")).unwrap();
        std::os::unix::fs::symlink("../../../../etc/group", dir.path().join("etc/group")).unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        assert!(resolve(&tree, "daemon").is_err());
    }
}
