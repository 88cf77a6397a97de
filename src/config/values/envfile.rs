// SPDX-License-Identifier: MIT
//! The files that `EnvironmentFile=` of an application names. They have the format of Docker
//! (docker-run(1), `--env-file`), and not that of systemd: each line has a variable and its value,
//! without quotes and escape sequences. Pure.

use crate::diag::Fault;

/// Reads a file. Returns the names and values of the variables in the order of the lines.
///
/// # Errors
/// The number of the first invalid line, from 1, and its problem. A line is invalid if it is not
/// UTF-8, has no `=`, or has an invalid name or a NUL byte.
pub fn parse(bytes: &[u8]) -> Result<Vec<(String, String)>, (usize, Fault)> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut out = Vec::new();
    for (index, line) in text.split(|b| *b == b'\n').enumerate() {
        let problem = |cause: &str, remedy: &str| (index + 1, Fault::new(cause, remedy));
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = std::str::from_utf8(line).map_err(|_| problem("the line is not UTF-8", "save the file as UTF-8"))?;
        let line = line.trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            let cause = "the line is not NAME=VALUE, and the host's environment is not passed on";
            return Err(problem(cause, "write NAME=VALUE"));
        };
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(problem(&format!("{name:?} is not the name of a variable"), "write a name without blanks"));
        }
        if value.contains('\0') {
            return Err(problem(&format!("the value of {name} has a NUL byte in it"), "remove that byte"));
        }
        out.push((name.to_owned(), value.to_owned()));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_are_read_as_by_docker() {
        let text = b"\xef\xbb\xbf# comment\n\n  A=1\nB=\"2\" # no comment\\\r\nC=\nD=a=b \nA=3";
        let want = [("A", "1"), ("B", "\"2\" # no comment\\"), ("C", ""), ("D", "a=b "), ("A", "3")];
        assert_eq!(parse(text).unwrap(), want.map(|(n, v)| (n.to_owned(), v.to_owned())));
        for (bad, line) in [("A=1\nB", 2), ("export A=1", 1), ("=x", 1), ("\n\nA=\0", 3)] {
            assert_eq!(parse(bad.as_bytes()).unwrap_err().0, line, "{bad:?}");
        }
        assert!(parse(b"A=\xff").is_err());
    }
}
