// SPDX-License-Identifier: MIT
//! Escaping of strings for use in unit names (systemd.unit(5), "String Escaping for Inclusion in
//! Unit Names"). Pure.

use std::fmt::Write as _;

/// The output of `systemd-escape TEXT`.
#[must_use]
pub fn escape_instance(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'/' => out.push('-'),
            b'.' if index == 0 => out.push_str("\\x2e"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'.' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out
}

/// The output of `systemd-escape --path PATH`, for an absolute path without `..`.
#[must_use]
pub fn escape_path(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    if parts.is_empty() { "-".to_owned() } else { escape_instance(&parts.join("/")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_manual_says() {
        assert_eq!(escape_path("/var/lib/machines/my-web"), "var-lib-machines-my\\x2dweb");
        assert_eq!(escape_path("//"), "-");
        assert_eq!(escape_path("/.a//b/"), "\\x2ea-b");
        assert_eq!(escape_instance("docker.io/library/nginx:1.27"), "docker.io-library-nginx:1.27");
        assert_eq!(escape_instance("\u{e9}@"), "\\xc3\\xa9\\x40");
    }

    #[test]
    fn the_oracle_agrees() {
        for text in ["a/b-c", ".x", "a b", "x@y", "oci:/srv/my-images/nginx", "\u{fc}", "a\\b", "_:."] {
            let Ok(out) = std::process::Command::new("systemd-escape").arg(text).output() else {
                eprintln!("SKIP the_oracle_agrees: systemd-escape is not installed");
                assert!(std::env::var_os("SDME_TEST_REQUIRE").is_none());
                return;
            };
            assert_eq!(String::from_utf8_lossy(&out.stdout).trim_end(), escape_instance(text), "{text}");
        }
    }
}
