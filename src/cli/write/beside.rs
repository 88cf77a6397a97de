// SPDX-License-Identifier: MIT
//! The files of a converted project outside of `/etc/sdme`: timers, files that are mounted into
//! containers, and encrypted credentials. As in `/etc/sdme`, files that a person has written or
//! changed are left alone.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::admin::write::credentials;
use crate::convert::{FILES, Origin, Outcome, origin};
use crate::image::digest::Digest;
use crate::text;

/// The directory in which the service manager looks up credentials by name (systemd.exec(5),
/// `LoadCredential=`).
pub const CREDENTIALS: &str = "/etc/credstore";

/// The directory of the administrator's units.
pub const UNITS: &str = "/etc/systemd/system";

/// The directory in which the service manager looks up encrypted credentials by name
/// (systemd.exec(5), `LoadCredentialEncrypted=`).
pub const ENCRYPTED: &str = "/etc/credstore.encrypted";

/// The file with the digests of the files that a conversion has written, in the same directory.
const WRITTEN: &str = ".written";

/// Writes all of these files, or prints what would be written. Returns whether there were changes.
///
/// # Errors
/// A file cannot be read or written.
pub fn write(outcome: &Outcome, tool: &str, root: &Path, dry_run: bool, out: &mut dyn Write) -> Result<bool> {
    let units = units(outcome, tool, root, dry_run, out)?;
    let files = mounted(outcome, root, dry_run, out)?;
    let secrets = secrets(outcome, root, dry_run, out)?;
    Ok(units || files || secrets)
}

/// Writes the units. They have the same mark as the files in `/etc/sdme`.
fn units(outcome: &Outcome, tool: &str, root: &Path, dry_run: bool, out: &mut dyn Write) -> Result<bool> {
    let directory = below(root, UNITS);
    let mine = |text: &str| origin(tool, text) == Origin::Converted(outcome.project.clone());
    let mut any = false;
    let present = |name: &str| fs::read_to_string(directory.join(name)).ok();
    for (name, text) in &outcome.units {
        let shown = format!("{UNITS}/{name}");
        let known = present(name);
        match &known {
            Some(known) if known == text => continue,
            Some(known) if !mine(known) => {
                eprintln!("{shown}: somebody else wrote or changed this file, so it is left alone");
                continue;
            }
            Some(_) => writeln!(out, "update {shown}")?,
            None => writeln!(out, "write {shown}")?,
        }
        any = true;
        if dry_run {
            difference(known.as_deref().unwrap_or_default(), text, out)?;
        } else {
            put(root, &shown, text.as_bytes(), 0o644)?;
            // [Install] of a timer has no effect until it is enabled, so this makes the link that
            // systemctl enable would make.
            if text.lines().any(|line| line == "WantedBy=timers.target") {
                link(root, &format!("{UNITS}/timers.target.wants"), name)?;
            }
        }
    }
    let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        if !name.ends_with(".timer")
            || outcome.units.contains_key(&name)
            || !present(&name).is_some_and(|text| mine(&text))
        {
            continue;
        }
        any = true;
        writeln!(out, "remove {UNITS}/{name}")?;
        if !dry_run {
            fs::remove_file(directory.join(&name)).with_context(|| format!("cannot remove {UNITS}/{name}"))?;
            let _ = fs::remove_file(directory.join("timers.target.wants").join(&name));
        }
    }
    Ok(any)
}

fn link(root: &Path, directory: &str, name: &str) -> Result<()> {
    let place = below(root, directory);
    fs::create_dir_all(&place).with_context(|| format!("cannot make {directory}"))?;
    match std::os::unix::fs::symlink(format!("../{name}"), place.join(name)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other.with_context(|| format!("cannot make the link {directory}/{name}")),
    }
}

/// Writes the files of ConfigMaps. They cannot contain a mark, so a file with digests next to them
/// shows which of them are unchanged.
fn mounted(outcome: &Outcome, root: &Path, dry_run: bool, out: &mut dyn Write) -> Result<bool> {
    let top = format!("{FILES}/{}", outcome.project);
    let recorded = fs::read_to_string(below(root, &format!("{top}/{WRITTEN}"))).unwrap_or_default();
    let recorded: BTreeMap<&str, &str> =
        recorded.lines().filter_map(|line| line.split_once(' ')).map(|(d, p)| (p, d)).collect();
    let digest = |bytes: &[u8]| Digest::of(bytes).prefix16().to_owned();
    let mut written: BTreeMap<String, String> = BTreeMap::new();
    let mut any = false;
    for (path, file) in &outcome.mounted {
        let shown = format!("{top}/{path}");
        let place = below(root, &shown);
        let own = digest(&file.content);
        let present = match fs::read(&place) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
        };
        let mode = fs::metadata(&place).map(|metadata| metadata.permissions().mode() & 0o7777).ok();
        match &present {
            Some(bytes) if *bytes == file.content && mode == Some(file.mode) => {
                written.insert(path.clone(), own);
                continue;
            }
            Some(bytes) if *bytes != file.content && recorded.get(path.as_str()) != Some(&digest(bytes).as_str()) => {
                eprintln!("{}: somebody else wrote or changed this file, so it is left alone", text::line(&shown));
                continue;
            }
            Some(_) => writeln!(out, "update {}", text::line(&shown))?,
            None => writeln!(out, "write {}", text::line(&shown))?,
        }
        any = true;
        written.insert(path.clone(), own);
        if !dry_run {
            put(root, &shown, &file.content, file.mode)?;
        }
    }
    for (path, known) in &recorded {
        let shown = format!("{top}/{path}");
        let inside = !path.split('/').any(|part| part == "..") && !path.starts_with('/');
        if outcome.mounted.contains_key(*path) || !inside {
            continue;
        }
        let place = below(root, &shown);
        match fs::read(&place) {
            Ok(bytes) if digest(&bytes) == **known => {
                any = true;
                writeln!(out, "remove {}", text::line(&shown))?;
                if !dry_run {
                    fs::remove_file(&place).with_context(|| format!("cannot remove {shown}"))?;
                }
            }
            _ => {}
        }
    }
    if any && !dry_run {
        let lines = written.iter().fold(String::new(), |all, (path, digest)| all + &format!("{digest} {path}\n"));
        put(root, &format!("{top}/{WRITTEN}"), lines.as_bytes(), 0o600)?;
    }
    Ok(any)
}

/// Writes the values of Secrets. On the running system, systemd-creds(1) encrypts them. For another
/// root, whose key is not available, they are written without encryption.
fn secrets(outcome: &Outcome, root: &Path, dry_run: bool, out: &mut dyn Write) -> Result<bool> {
    let encrypts = credentials::can_encrypt(root);
    let mut any = false;
    for (name, value) in &outcome.secrets {
        let plain = format!("{CREDENTIALS}/{name}");
        if let Ok(present) = fs::read(below(root, &plain)) {
            if present != *value {
                eprintln!(
                    "{plain}: the file has another value, so it is left alone; remove it and convert again to replace it"
                );
            }
            continue;
        }
        let shown = if encrypts { format!("{ENCRYPTED}/{name}") } else { plain };
        let place = below(root, &shown);
        if place.symlink_metadata().is_ok() {
            if credentials::decrypt(name, &place).is_some_and(|present| present == *value) {
                continue;
            }
            eprintln!(
                "{shown}: the file has another value, so it is left alone; remove it and convert again to replace it"
            );
            continue;
        }
        any = true;
        writeln!(out, "write {}", text::line(&shown))?;
        if dry_run {
            continue;
        }
        let (directory, _) = shown.rsplit_once('/').unwrap_or_default();
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(below(root, directory));
        made.with_context(|| format!("cannot make {directory}"))?;
        if encrypts {
            credentials::encrypt(name, value, &place)?;
        } else {
            eprintln!(
                "{shown}: the value is not encrypted, because systemd-creds cannot know the key of another system"
            );
            let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&place);
            let written = file.and_then(|mut file| file.write_all(value));
            written.with_context(|| format!("cannot write {shown}"))?;
        }
    }
    Ok(any)
}

/// Writes a file atomically.
fn put(root: &Path, path: &str, content: &[u8], mode: u32) -> Result<()> {
    let place = below(root, path);
    let Some(directory) = place.parent() else { bail!("{path}: a file is in a directory") };
    let write = || {
        fs::create_dir_all(directory)?;
        let mut file = tempfile_in(directory)?;
        file.1.write_all(content)?;
        file.1.set_permissions(fs::Permissions::from_mode(mode))?;
        fs::rename(&file.0, &place)
    };
    write().with_context(|| format!("cannot write {}", text::line(path)))
}

/// A new temporary file in the directory of the file that it will replace.
fn tempfile_in(directory: &Path) -> std::io::Result<(PathBuf, fs::File)> {
    let path = directory.join(format!(".sdme-new-{}", std::process::id()));
    let _ = fs::remove_file(&path);
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    Ok((path, file))
}

/// A path of the system below `root`.
pub fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Prints the removed and the added lines.
pub fn difference(before: &str, after: &str, out: &mut dyn Write) -> Result<()> {
    let only = |one: &str, other: &str| -> Vec<String> {
        let mut rest: Vec<&str> = other.lines().collect();
        let lines = one.lines().filter(|line| match rest.iter().position(|known| known == line) {
            Some(index) => {
                rest.remove(index);
                false
            }
            None => true,
        });
        lines.map(text::line).collect()
    };
    for line in only(before, after) {
        writeln!(out, "  -{line}")?;
    }
    for line in only(after, before) {
        writeln!(out, "  +{line}")?;
    }
    Ok(())
}
