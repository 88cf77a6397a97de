// SPDX-License-Identifier: MIT
//! Archives with random access: an index of the positions of all files. A compressed archive is
//! first decompressed into the scratch directory, because it cannot be searched.
//!
//! Names are only compared and never joined to a path, and links can only lead to other members. No
//! other file is written.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::{Blob, Surroundings, regular};
use crate::image::store::digest::HashingReader;
use crate::image::tar::compress::{Compression, decoder, detect};
use crate::image::tar::tarstream::{Kind, TarStream};

/// Maximum number of members in an archive of images, whose names are kept in memory. An image has
/// a few members for each layer.
const MAX_MEMBERS: usize = 10_000;
/// Maximum length of a chain of links.
const MAX_LINKS: u32 = 8;

/// An archive with an index of its members.
pub struct Archive {
    file: File,
    members: HashMap<String, Member>,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("members", &self.members.len()).finish_non_exhaustive()
    }
}

enum Member {
    File { start: u64, length: u64 },
    Link(String),
}

/// A reader that counts the bytes that were read.
struct Counted<R> {
    inner: R,
    position: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Archive {
    /// Reads the archive at `path` once, and indexes it.
    ///
    /// # Errors
    /// Returns an error if the file is not a tar archive, has too many members, or exceeds the size
    /// limit.
    pub fn read(path: &Path, around: Surroundings<'_>) -> Result<Self> {
        (|| -> Result<Self> {
            let mut file = regular(path)?;
            let mut start = [0; 6];
            let mut blob = Blob::whole(file.try_clone().context("opening it again")?)?;
            let read = blob.read(&mut start).context("reading its beginning")?;
            if detect(start.get(..read).unwrap_or_default()) != Compression::None {
                blob.rewind();
                file = unpacked(blob, around)?;
            }
            let members = index(&file)?;
            Ok(Self { file, members })
        })()
        .with_context(|| format!("the archive `{}`", path.display()))
    }

    /// Returns a file of the archive.
    ///
    /// # Errors
    /// Returns an error if the archive has no file of that name.
    pub fn open(&self, name: &str) -> Result<Blob> {
        let mut wanted = name.to_owned();
        for _ in 0..=MAX_LINKS {
            match self.members.get(&wanted) {
                Some(Member::File { start, length }) => {
                    let file = self.file.try_clone().context("opening the archive again")?;
                    return Ok(Blob::part(file, *start, *length));
                }
                Some(Member::Link(target)) => target.clone_into(&mut wanted),
                None => break,
            }
        }
        bail!("the archive has no file `{}`", name.escape_debug())
    }
}

fn unpacked(blob: Blob, around: Surroundings<'_>) -> Result<File> {
    let path = around.scratch.join("archive");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .context("creating a file for the uncompressed archive")?;
    // The file disappears with its last descriptor.
    std::fs::remove_file(&path).context("removing the name of the uncompressed archive")?;
    let mut plain = HashingReader::new(decoder(blob)?, around.limit, "the uncompressed archive");
    io::copy(&mut plain, &mut file).context("uncompressing it")?;
    Ok(file)
}

fn index(file: &File) -> Result<HashMap<String, Member>> {
    let blob = Blob::whole(file.try_clone().context("opening it again")?)?;
    let mut stream = TarStream::new(Counted { inner: BufReader::with_capacity(1 << 17, blob), position: 0 });
    let mut members = HashMap::new();
    let mut count = 0;
    while let Some(member) = stream.next_member()? {
        count += 1;
        if count > MAX_MEMBERS {
            bail!("it has more than {MAX_MEMBERS} members");
        }
        // A member without a plain name can never be requested.
        let Some(name) = plain(&[], &member.path) else { continue };
        let found = match member.kind {
            Kind::File if member.segments.is_none() => {
                Member::File { start: stream.inner().position, length: member.size }
            }
            Kind::HardLink => match plain(&[], &member.link) {
                Some(target) => Member::Link(target),
                None => continue,
            },
            // Older versions of Docker store a layer that occurs twice as a symbolic link to its
            // other occurrence.
            Kind::Symlink => match plain(parent(name.as_bytes()), &member.link) {
                Some(target) => Member::Link(target),
                None => continue,
            },
            _ => continue,
        };
        members.insert(name, found);
    }
    Ok(members)
}

fn parent(name: &[u8]) -> &[u8] {
    name.iter().rposition(|b| *b == b'/').and_then(|end| name.get(..end)).unwrap_or_default()
}

/// Returns a path without `.`, `..` and empty components, or `None` if it leaves the archive or is
/// not UTF-8.
fn plain(below: &[u8], path: &[u8]) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    let path = [below, path].join(&b'/');
    for part in std::str::from_utf8(&path).ok()?.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}
