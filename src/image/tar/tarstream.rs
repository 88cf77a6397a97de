// SPDX-License-Identifier: MIT
//! Reads the members of a tar stream once from the beginning to the end, with limits on all sizes.
//!
//! The `tar` crate decodes the headers. The framing is implemented here, because the iterator of
//! the crate reads extension headers of any size into memory and splits PAX records at newlines.
//! Where tar readers disagree, this one follows Go's archive/tar, which container tools use, so
//! that an image has the same content everywhere. This module must not access the file system.

use std::io::{self, Read};

use anyhow::{Context as _, Result, bail};
use tar::{EntryType, Header};

use super::ahead::read_whole;
use super::sparse::{Segment, fits, gnu_map, pax_map};
use super::{BLOCK, pax};

/// Maximum size in bytes of an extension header (long name, PAX records). The kernel limits
/// extended attributes to 64 KiB each, so real headers are far smaller.
const MAX_EXTENSION: u64 = 1 << 20;
/// The kernel's `PATH_MAX` without the terminating NUL.
const MAX_PATH: usize = 4095;

/// The type of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file, whose content follows.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to `link`.
    Symlink,
    /// A hard link to `link`.
    HardLink,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
}

/// A member with its extension headers applied.
#[derive(Debug, Clone)]
pub struct Member {
    /// The name as written, including a leading `./` and a trailing `/`.
    pub path: Vec<u8>,
    /// The target of a symbolic or hard link.
    pub link: Vec<u8>,
    /// The type of the member.
    pub kind: Kind,
    /// The permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// The numeric owner.
    pub uid: u32,
    /// The numeric group.
    pub gid: u32,
    /// The modification time as seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// The size of the file in bytes, including holes.
    pub size: u64,
    /// The major and minor device number.
    pub device: (u32, u32),
    /// The extended attributes as full names and values.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The map of a sparse file; `None` for any other file.
    pub segments: Option<Vec<Segment>>,
}

/// Reads members from a stream. After [`TarStream::next_member`] has returned a file, the content
/// is read through the [`Read`] implementation. The next call skips the rest of the content.
#[derive(Debug)]
pub struct TarStream<R> {
    pub(crate) reader: R,
    body: u64,
    padding: u64,
}

impl<R: Read> Read for TarStream<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.body).unwrap_or(usize::MAX).min(buf.len());
        let Some(buf) = buf.get_mut(..want) else { return Ok(0) };
        if buf.is_empty() {
            return Ok(0);
        }
        let read = self.reader.read(buf)?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends inside a file"));
        }
        self.body -= read as u64;
        Ok(read)
    }
}

impl<R: Read> TarStream<R> {
    /// Creates a reader that starts at the first header.
    pub fn new(reader: R) -> Self {
        Self { reader, body: 0, padding: 0 }
    }

    /// Returns the inner stream. Its position is behind the header of the last returned member.
    #[must_use]
    pub fn inner(&self) -> &R {
        &self.reader
    }

    /// Returns the inner stream at its current position.
    #[must_use]
    pub fn into_inner(self) -> R {
        self.reader
    }

    /// Returns the next member, or `None` at the end of the archive.
    ///
    /// # Errors
    /// Returns an error if the archive is malformed, truncated or exceeds a limit, or if reading
    /// fails.
    pub fn next_member(&mut self) -> Result<Option<Member>> {
        let mut long_name = None;
        let mut long_link = None;
        let mut overrides: Option<pax::Overrides> = None;
        loop {
            self.skip_body()?;
            let Some(header) = self.header()? else {
                if long_name.is_some() || long_link.is_some() || overrides.is_some() {
                    bail!("the archive ends after an extension header");
                }
                return Ok(None);
            };
            let size = entry_size(&header)?;
            match header.entry_type() {
                EntryType::GNULongName => long_name = Some(cut_nul(self.extension(size)?)),
                EntryType::GNULongLink => long_link = Some(cut_nul(self.extension(size)?)),
                EntryType::XHeader => {
                    overrides = Some(pax::parse(&self.extension(size)?)?);
                }
                // These records apply to all following members. Go and Docker ignore them; `git
                // archive` stores a comment in them.
                EntryType::XGlobalHeader => drop(self.extension(size)?),
                kind => {
                    let mut overrides = overrides.unwrap_or_default();
                    let path = overrides.sparse.as_mut().and_then(|sparse| sparse.name.take());
                    let path = path.or(overrides.path.take()).or(long_name);
                    let path = path.unwrap_or_else(|| written_name(header.as_bytes()));
                    let link = overrides.link.take().or(long_link);
                    let link = link.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned());
                    return self
                        .member(&header, kind, path.clone(), link, overrides)
                        .with_context(|| format!("entry `{}`", path.escape_ascii()))
                        .map(Some);
                }
            }
        }
    }

    fn member(
        &mut self,
        header: &Header,
        kind: EntryType,
        path: Vec<u8>,
        link: Vec<u8>,
        overrides: pax::Overrides,
    ) -> Result<Member> {
        if path.len() > MAX_PATH || link.len() > MAX_PATH {
            bail!("has a name or link target of more than {MAX_PATH} bytes");
        }
        let kind = match kind {
            // In archives from before POSIX, a directory is recognized by the slash at the end of
            // its name.
            EntryType::Regular if path.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink,
            EntryType::Link => Kind::HardLink,
            EntryType::Char => Kind::Char,
            EntryType::Block => Kind::Block,
            EntryType::Fifo => Kind::Fifo,
            other => bail!("has the unknown type `{}`", [other.as_byte()].escape_ascii()),
        };
        let mut size = overrides.size.map_or_else(|| entry_size(header), Ok)?;
        // Go ignores the size field of members other than files, which have no body.
        if kind != Kind::File {
            size = 0;
        }
        self.start_body(size);
        let map = match overrides.sparse {
            Some(_) if header.entry_type() != EntryType::Regular => bail!("is a sparse file of another type"),
            Some(sparse) => Some(pax_map(self, &sparse)?),
            None if header.entry_type() == EntryType::GNUSparse => Some(gnu_map(&mut self.reader, header)?),
            None => None,
        };
        let mut segments = None;
        if let Some((real, map)) = map {
            fits(&map, real, self.body)?;
            size = real;
            segments = Some(map);
        }
        let mtime = if let Some(mtime) = overrides.mtime {
            mtime
        } else {
            (number(&header.as_old().mtime).context("mtime field")?, 0)
        };
        let mode = number(&header.as_old().mode).context("mode field")?;
        let device = if matches!(kind, Kind::Char | Kind::Block) { device(header.as_bytes())? } else { (0, 0) };
        Ok(Member {
            path,
            link,
            kind,
            mode: u32::try_from(mode & 0o7777).context("mode field")?,
            uid: owner(overrides.uid, &header.as_old().uid)?,
            gid: owner(overrides.gid, &header.as_old().gid)?,
            mtime,
            size,
            device,
            xattrs: overrides.xattrs,
            segments,
        })
    }

    fn start_body(&mut self, size: u64) {
        self.body = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    fn skip_body(&mut self) -> Result<()> {
        let left = self.body.saturating_add(self.padding);
        if left > 0 {
            let skipped = io::copy(&mut (&mut self.reader).take(left), &mut io::sink()).context("skipping a body")?;
            // Some programs omit the padding of the last file.
            if skipped < self.body {
                bail!("the archive ends inside a file");
            }
            self.body = 0;
            self.padding = 0;
        }
        Ok(())
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > MAX_EXTENSION {
            bail!("an extension header of {size} bytes is larger than {MAX_EXTENSION}");
        }
        self.start_body(size);
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).context("reading an extension header")?;
        Ok(bytes)
    }

    /// Returns the next header, or `None` at the end mark or at the end of the stream.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        if !self.block(header.as_mut_bytes())? {
            return Ok(None);
        }
        if header.as_bytes().iter().all(|b| *b == 0) {
            let mut second = [0_u8; BLOCK];
            if self.block(&mut second)? && second.iter().any(|b| *b != 0) {
                bail!("the archive goes on after a single zero block");
            }
            return Ok(None);
        }
        let wanted = number(&header.as_old().cksum);
        let wanted = wanted.context("this is not a tar archive: a header has no readable checksum")?;
        // The checksum field itself counts as blanks. Some programs sum the bytes as signed numbers
        // (POSIX, pax, "ustar Interchange Format").
        let bytes =
            header.as_bytes().iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte });
        let unsigned: i64 = bytes.clone().map(i64::from).sum();
        let signed: i64 = bytes.map(|byte| i64::from(byte.cast_signed())).sum();
        if wanted != unsigned && wanted != signed {
            bail!("the archive is damaged: a header has a wrong checksum");
        }
        Ok(Some(header))
    }

    /// Fills one block. Returns false if the stream has ended right before the block.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool> {
        match read_whole(&mut self.reader, block).context("reading a header")? {
            0 => Ok(false),
            BLOCK => Ok(true),
            _ => bail!("the archive ends inside a header"),
        }
    }
}

/// Parses a number in a header: octal digits with blanks and NULs around them, where no digits mean
/// zero; or a binary number in two's complement, which GNU tar writes for values with too many
/// digits (Go, archive/tar/strconv.go).
fn number(field: &[u8]) -> Result<i64> {
    let wrong = || format!("`{}` is no number", field.escape_ascii());
    if let Some((first, rest)) = field.split_first()
        && first & 0x80 != 0
    {
        let negative = first & 0x40 != 0;
        let start = i128::from(first & 0x3f) - if negative { 0x40 } else { 0 };
        // Fields have at most twelve bytes, so this cannot overflow.
        let value = rest.iter().take(14).fold(start, |sum, byte| sum * 256 + i128::from(*byte));
        return i64::try_from(value).with_context(wrong);
    }
    let blank = |byte: &u8| matches!(byte, 0 | b' ');
    let start = field.iter().position(|byte| !blank(byte)).unwrap_or(field.len());
    let digits = field.get(start..).unwrap_or_default();
    let digits = digits.split(|byte| *byte == 0).next().unwrap_or_default().trim_ascii_end();
    if digits.is_empty() {
        return Ok(0);
    }
    if !digits.iter().all(|digit| (b'0'..=b'7').contains(digit)) {
        bail!(wrong());
    }
    i64::from_str_radix(&String::from_utf8_lossy(digits), 8).with_context(wrong)
}

fn entry_size(header: &Header) -> Result<u64> {
    number(&header.as_old().size).and_then(|size| Ok(u64::try_from(size)?)).context("size field")
}

/// Returns the device numbers. Only headers with a magic have them, whatever the version bytes are.
fn device(header: &[u8; BLOCK]) -> Result<(u32, u32)> {
    if !header.get(257..).is_some_and(|rest| rest.starts_with(b"ustar")) {
        return Ok((0, 0));
    }
    let read = |range: std::ops::Range<usize>| -> Result<u32> {
        Ok(u32::try_from(number(header.get(range).unwrap_or_default())?)?)
    };
    Ok((read(329..337).context("device field")?, read(337..345).context("device field")?))
}

/// Returns the name in a header. Only the magic decides whether the header has a prefix field,
/// whatever the version bytes are. Go's writer before Go 1.8 put a prefix into GNU headers, at the
/// position where such headers may have times. Go's reader and this one therefore treat the field
/// as a prefix if it is not a time (Go, archive/tar/reader.go).
fn written_name(header: &[u8; BLOCK]) -> Vec<u8> {
    let field = |range: std::ops::Range<usize>| {
        let bytes = header.get(range).unwrap_or_default();
        bytes.split(|byte| *byte == 0).next().unwrap_or_default()
    };
    let starts = |at: usize, magic: &[u8]| header.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let prefix = if starts(257, b"ustar\0") {
        // star has times behind a shorter prefix, and its own mark at the end.
        field(if starts(508, b"tar\0") { 345..476 } else { 345..500 })
    } else if starts(257, b"ustar  \0") && ![345..357, 357..369].into_iter().all(|time| is_time(field(time))) {
        Some(field(345..500)).filter(|prefix| prefix.is_ascii()).unwrap_or_default()
    } else {
        b""
    };
    let slash: &[u8] = if prefix.is_empty() { b"" } else { b"/" };
    [prefix, slash, field(0..100)].concat()
}

/// Whether a field is empty or has a time: octal digits with blanks around them, or a binary
/// number.
fn is_time(field: &[u8]) -> bool {
    let binary = field.first().is_some_and(|byte| byte & 0x80 != 0);
    binary || field.trim_ascii().iter().all(|byte| (b'0'..=b'7').contains(byte))
}

/// Returns a numeric owner or group: the override if there is one, otherwise the field.
fn owner(overridden: Option<u64>, field: &[u8]) -> Result<u32> {
    let id = overridden.map_or_else(|| number(field).context("owner field").map(i128::from), |id| Ok(id.into()))?;
    match u32::try_from(id) {
        // chown(2) interprets -1 as "leave unchanged".
        Ok(id) if id != u32::MAX => Ok(id),
        _ => bail!("has the impossible owner {id}"),
    }
}

fn cut_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|b| *b == 0) {
        bytes.truncate(end);
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The results are those of Go's reader.
    #[test]
    fn numbers_are_parsed_as_in_go() {
        for (field, want) in [
            (&b"0000644\0"[..], 0o644),
            (b"644 \0\0\0\0", 0o644),
            (b"  644\0xx", 0o644),
            (b"\0\x00644\0\0\0", 0o644),
            (b"        ", 0),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"", 0),
            (b"\x80\0\0\0\0\0\x01\0", 256),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", -2),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", -256),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", i64::MAX),
        ] {
            assert_eq!(number(field).unwrap(), want, "{}", field.escape_ascii());
        }
        for bad in
            [&b"0000648\0"[..], b"6 4", b"-1", b"x", b"\x80\0\0\0\x80\0\0\0\0\0\0\0", b"7777777777777777777777777"]
        {
            assert!(number(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn only_headers_with_a_magic_have_device_numbers() {
        for (magic, want) in [(&b"ustar\0xy"[..], (1, 3)), (b"ustar  \0", (1, 3)), (b"\0\0\0\0\0\0\0\0", (0, 0))] {
            let mut header = [0; BLOCK];
            for (at, field) in [(257, magic), (329, b"0000001\0"), (337, b"      3 ")] {
                for (to, from) in header.iter_mut().skip(at).zip(field) {
                    *to = *from;
                }
            }
            assert_eq!(device(&header).unwrap(), want, "{}", magic.escape_ascii());
        }
    }

    /// Headers with these fields, and the name that Go's reader returns.
    #[test]
    fn names_get_the_prefix_that_go_reads() {
        for (magic, mark, prefix, want) in [
            (&b"ustar\x0000"[..], &b""[..], &b"dir/sub"[..], "dir/sub/file"),
            (b"ustar\0\0\0", b"", b"dir/sub", "dir/sub/file"),
            (b"ustar\x00xy", b"", b"dir/sub", "dir/sub/file"),
            (b"ustar\x0000", b"tar\0", b"dir/sub", "dir/sub/file"),
            (b"ustar\x0000", b"", b"", "file"),
            // GNU headers: with a prefix instead of times, with times, and with a prefix that is
            // not ASCII.
            (b"ustar  \0", b"", b"dir/sub", "dir/sub/file"),
            (b"ustar  \0", b"", b"14371634331\x0014371634331\x00", "file"),
            (b"ustar  \0", b"", b"d\xffr", "file"),
            (b"ustar \0\0", b"", b"dir/sub", "file"),
            (b"\0\0\0\0\0\0\0\0", b"", b"dir/sub", "file"),
        ] {
            let mut header = [0; BLOCK];
            for (at, field) in [(0, &b"file"[..]), (257, magic), (345, prefix), (508, mark)] {
                for (to, from) in header.iter_mut().skip(at).zip(field) {
                    *to = *from;
                }
            }
            assert_eq!(String::from_utf8_lossy(&written_name(&header)), want, "{}", magic.escape_ascii());
        }
    }
}
