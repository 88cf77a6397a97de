// SPDX-License-Identifier: MIT
//! PAX extended headers: records `LENGTH KEY=VALUE\n`, as defined by POSIX pax(1).
//!
//! Records are split by their length and never at newlines, because extended attributes have binary
//! values. Pure.

use std::io;

/// The values that an extended header overrides for one member.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Overrides {
    /// The key `path`.
    pub path: Option<Vec<u8>>,
    /// The key `linkpath`.
    pub link: Option<Vec<u8>>,
    /// The key `size`, in bytes.
    pub size: Option<u64>,
    /// The key `uid`.
    pub uid: Option<u64>,
    /// The key `gid`.
    pub gid: Option<u64>,
    /// The key `mtime`, as seconds and nanoseconds. The nanoseconds are never negative.
    pub mtime: Option<(i64, i64)>,
    /// The keys `SCHILY.xattr.NAME`, as names and values.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The keys `GNU.sparse.*`. With them, the body of the member is not the plain content of the
    /// file.
    pub sparse: Option<Sparse>,
}

/// The records of a sparse file, in any version that GNU tar has written (its manual, "Sparse
/// Formats").
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sparse {
    /// The keys `major` and `minor`, which may be missing in versions 0.0 and 0.1.
    pub version: (Option<u64>, Option<u64>),
    /// The key `name`: the name of the file. The name in the header may be artificial.
    pub name: Option<Vec<u8>>,
    /// The key `size` or `realsize`: the size in bytes including holes.
    pub size: Option<u64>,
    /// The key `numblocks`: the number of segments.
    pub pieces: Option<u64>,
    /// Alternating offsets and lengths, of `map`, or of `offset` and `numbytes`. Version 1.0 has
    /// them in the body.
    pub map: Vec<u64>,
}

fn bad(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("PAX header: {text}"))
}

/// Parses the body of one extended header.
///
/// # Errors
/// Returns an error if a record is malformed, or if a known key has an invalid value.
pub fn parse(mut bytes: &[u8]) -> io::Result<Overrides> {
    let mut out = Overrides::default();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|b| *b == b' ').ok_or_else(|| bad("record without a length"))?;
        let (length, _) = bytes.split_at(space);
        let length = usize::try_from(number(length)?).map_err(|_| bad("length out of range"))?;
        let record = bytes.get(space + 1..length).ok_or_else(|| bad("record longer than the header"))?;
        let Some((b'\n', record)) = record.split_last() else { return Err(bad("record without its newline")) };
        let equals = record.iter().position(|b| *b == b'=').ok_or_else(|| bad("record without `=`"))?;
        let (key, value) = record.split_at(equals);
        apply(&mut out, key, value.get(1..).unwrap_or_default())?;
        bytes = bytes.get(length..).unwrap_or_default();
    }
    Ok(out)
}

fn apply(out: &mut Overrides, key: &[u8], value: &[u8]) -> io::Result<()> {
    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
        if name.is_empty() || name.contains(&0) {
            return Err(bad("extended attribute without a usable name"));
        }
        out.xattrs.retain(|(known, _)| known != name);
        out.xattrs.push((name.to_vec(), value.to_vec()));
        return Ok(());
    }
    if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
        return sparse(out.sparse.get_or_insert_default(), key, value);
    }
    // An empty value removes the override (POSIX pax, "extended header keyword/value pairs").
    let given = (!value.is_empty()).then_some(value);
    match key {
        b"path" => out.path = given.map(<[u8]>::to_vec),
        b"linkpath" => out.link = given.map(<[u8]>::to_vec),
        b"size" => out.size = given.map(number).transpose()?,
        b"uid" => out.uid = given.map(number).transpose()?,
        b"gid" => out.gid = given.map(number).transpose()?,
        b"mtime" => out.mtime = given.map(time).transpose()?,
        _ => {}
    }
    Ok(())
}

fn sparse(out: &mut Sparse, key: &[u8], value: &[u8]) -> io::Result<()> {
    match key {
        b"major" => out.version.0 = Some(number(value)?),
        b"minor" => out.version.1 = Some(number(value)?),
        b"name" => out.name = Some(value.to_vec()),
        b"size" | b"realsize" => out.size = Some(number(value)?),
        b"numblocks" => out.pieces = Some(number(value)?),
        b"map" => {
            let given = (!value.is_empty()).then_some(value);
            let numbers = given.into_iter().flat_map(|map| map.split(|b| *b == b',')).map(number);
            out.map = numbers.collect::<io::Result<_>>()?;
        }
        b"offset" if out.map.len().is_multiple_of(2) => out.map.push(number(value)?),
        b"numbytes" if !out.map.len().is_multiple_of(2) => out.map.push(number(value)?),
        _ => return Err(bad("records of a sparse file that make no sense")),
    }
    Ok(())
}

/// Parses an unsigned decimal number.
pub(crate) fn number(digits: &[u8]) -> io::Result<u64> {
    if digits.is_empty() || digits.len() > 20 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(bad("a number was expected"));
    }
    let text = std::str::from_utf8(digits).map_err(|_| bad("a number was expected"))?;
    text.parse().map_err(|_| bad("number out of range"))
}

/// Parses decimal seconds with an optional sign and fraction. Times before 1970 are rounded down.
fn time(text: &[u8]) -> io::Result<(i64, i64)> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |b| *b == b'.');
    let seconds = number(parts.next().unwrap_or_default())?;
    let seconds = i64::try_from(seconds).map_err(|_| bad("time out of range"))?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(bad("time with a malformed fraction"));
    }
    let nanos =
        (0..9).fold(0_i64, |sum, i| sum * 10 + fraction.get(i).map_or(0, |digit| i64::from(digit.wrapping_sub(b'0'))));
    Ok(match (negative, nanos) {
        (false, _) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanos),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + rest.to_string().len();
        if length.to_string().len() != rest.to_string().len() {
            length = rest + length.to_string().len();
        }
        let mut out = format!("{length} {key}=").into_bytes();
        out.extend_from_slice(value);
        out.push(b'\n');
        out
    }

    #[test]
    fn known_keys_and_binary_values() {
        let mut bytes = record("path", b"a\nb=c");
        bytes.extend(record("SCHILY.xattr.security.capability", b"\x01\n\n2=\x00"));
        bytes.extend(record("mtime", b"12.5"));
        bytes.extend(record("comment", b"ignored"));
        let got = parse(&bytes).unwrap();
        assert_eq!(got.path.as_deref(), Some(&b"a\nb=c"[..]));
        assert_eq!(got.xattrs, [(b"security.capability".to_vec(), b"\x01\n\n2=\x00".to_vec())]);
        assert_eq!(got.mtime, Some((12, 500_000_000)));
    }

    #[test]
    fn times_have_fractions_and_signs() {
        for (text, want) in [
            ("0", (0, 0)),
            ("1.000000001", (1, 1)),
            ("-1.25", (-2, 750_000_000)),
            ("-3", (-3, 0)),
            ("7.1234567899", (7, 123_456_789)),
        ] {
            assert_eq!(time(text.as_bytes()).unwrap(), want, "{text}");
        }
        for bad in ["", "x", "1.x", "99999999999999999999", "+1"] {
            assert!(time(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn maps_of_sparse_files_are_read_in_all_versions() {
        let old =
            [("size", "9"), ("numblocks", "2"), ("offset", "1"), ("numbytes", "2"), ("offset", "5"), ("numbytes", "0")];
        let new = [("name", "real"), ("map", "1,2,5,0"), ("size", "9"), ("numblocks", "2")];
        let read = |records: &[(&str, &str)]| {
            let bytes = records.iter().flat_map(|(key, value)| record(&format!("GNU.sparse.{key}"), value.as_bytes()));
            parse(&bytes.collect::<Vec<u8>>()).map(|found| found.sparse.unwrap())
        };
        for records in [&old[..], &new] {
            let found = read(records).unwrap();
            assert_eq!((found.size, found.pieces, found.map.as_slice()), (Some(9), Some(2), &[1, 2, 5, 0][..]));
        }
        for records in [&[("numbytes", "1")][..], &[("offset", "1"), ("offset", "2")], &[("map", "1,")], &[("x", "1")]]
        {
            assert!(read(records).is_err(), "{records:?}");
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [&b"x"[..], b"5 a=b", b"99 a=b\n", b"6 a=bX", b"4 ab\n", b"0 a=b\n", b"1 a=b\n", b"-3 a=b\n"] {
            assert!(parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
