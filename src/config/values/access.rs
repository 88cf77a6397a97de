// SPDX-License-Identifier: MIT
//! How registries are spoken to: keys of `.image` files and of `sdme.conf`, parsed. Pure.

use crate::diag::{Code, Location, Problem, Spanned};

/// Settings of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// `AuthFile=`
    pub auth_file: Option<String>,
    /// `Creds=`: user name and password.
    pub credentials: Option<(String, String)>,
    /// `CertDir=`
    pub cert_dir: Option<String>,
    /// `TLSVerify=`, if it was said.
    pub tls_verify: Option<bool>,
    /// `Retry=`: how often a request is repeated that failed for no lasting reason.
    pub retries: u32,
    /// `RetryDelay=`: milliseconds before the first repetition, doubled with each.
    pub delay: u64,
}

impl Default for Access {
    fn default() -> Self {
        Self { auth_file: None, credentials: None, cert_dir: None, tls_verify: None, retries: 3, delay: 1000 }
    }
}

/// Settings of the whole machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registries {
    /// `Mirror=`: a registry, and one that is asked before it. In the order of asking.
    pub mirrors: Vec<(String, String)>,
    /// `Insecure=`: registries that are spoken to over plain HTTP.
    pub insecure: Vec<String>,
    /// `CacheSize=`: bytes of downloads that are kept.
    pub cache_size: u64,
    /// `KeepVersions=`: former versions of each image that are kept.
    pub keep_versions: usize,
    /// `ImportTimeout=`: how long one import may take; no limit unless set.
    pub import_timeout: Option<ImportTimeout>,
}

/// `ImportTimeout=`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportTimeout {
    /// The time.
    pub milliseconds: u64,
    /// The time as the administrator wrote it, for the error message.
    pub written: String,
    /// The line that sets it, for the error message.
    pub at: Location,
}

impl Default for Registries {
    fn default() -> Self {
        Self { mirrors: Vec::new(), insecure: Vec::new(), cache_size: 10 << 30, keep_versions: 1, import_timeout: None }
    }
}

/// Reads `Creds=USER[:PASSWORD]`.
///
/// # Errors
/// When there is no user.
pub fn credentials(value: &str) -> Result<(String, String), Problem> {
    let (user, password) = value.split_once(':').unwrap_or((value, ""));
    if user.is_empty() || value.chars().any(char::is_control) {
        return Err(Code::User.problem("Creds= has no user name", "write USER:PASSWORD"));
    }
    Ok((user.to_owned(), password.to_owned()))
}

/// Reads the path of a file or directory.
///
/// # Errors
/// When it is not absolute.
pub fn path(key: &str, value: &str) -> Result<String, Problem> {
    if !value.starts_with('/') || value.chars().any(char::is_control) {
        return Err(
            Code::Path.problem(format!("{key}={value} is not an absolute path"), "write a path that begins with /")
        );
    }
    Ok(value.to_owned())
}

/// Reads `Retry=`.
///
/// # Errors
/// When it is no number, or one that nobody waits for.
pub fn retries(value: &str) -> Result<u32, Problem> {
    let number = value.parse().ok().filter(|n| *n <= 100);
    number.ok_or_else(|| {
        Code::Quantity.problem(format!("Retry={value} is not a number from 0 to 100"), "write a number such as 3")
    })
}

/// Reads `RetryDelay=`, in milliseconds.
///
/// # Errors
/// When it is no time, or longer than a day.
pub fn delay(value: &str) -> Result<u64, Problem> {
    let time = super::time::milliseconds(value).filter(|time| *time <= 86_400_000);
    time.ok_or_else(|| Code::Quantity.problem(format!("RetryDelay={value} is not a time"), "write 5s or 500ms"))
}

impl ImportTimeout {
    /// The limit that `written` sets; `None` for no limit.
    #[must_use]
    pub fn of(written: Spanned<(u64, String)>) -> Option<Self> {
        let (milliseconds, text) = written.value;
        (milliseconds > 0).then_some(Self { milliseconds, written: text, at: written.at })
    }
}

/// Reads `ImportTimeout=`: milliseconds, 0 for `infinity`, and the value as it is written.
///
/// # Errors
/// When it is not a time.
pub fn import_timeout(value: &str) -> Result<(u64, String), Problem> {
    let milliseconds = if value == "infinity" { Some(0) } else { super::time::milliseconds(value) };
    let wrong =
        || Code::Quantity.problem(format!("ImportTimeout={value} is not a time"), "write 30min, 2h or infinity");
    milliseconds.map(|time| (time, value.to_owned())).ok_or_else(wrong)
}

/// Reads `CacheSize=`: a size in bytes, which may be 0.
///
/// # Errors
/// When it is not a size.
pub fn size(value: &str) -> Result<u64, Problem> {
    let wrong = || Code::Quantity.problem(format!("CacheSize={value} is not a size"), "write 10G or 500M");
    super::bytes(value).ok_or_else(wrong)
}

/// Reads `KeepVersions=`.
///
/// # Errors
/// When it is not a number from 0 to 1000.
pub fn keep_versions(value: &str) -> Result<usize, Problem> {
    let number = value.parse().ok().filter(|number| *number <= 1000);
    number.ok_or_else(|| {
        Code::Quantity
            .problem(format!("KeepVersions={value} is not a number from 0 to 1000"), "write a number such as 1")
    })
}

/// Reads the words of `Mirror=`: a registry and its mirror, in turn.
///
/// # Errors
/// When one has no counterpart or is no host.
pub fn mirrors(words: &[String]) -> Result<Vec<(String, String)>, Problem> {
    words
        .chunks(2)
        .map(|pair| {
            let [registry, mirror] = pair else {
                let problem = Code::ImageReference
                    .problem("Mirror= has a registry without its mirror", "write Mirror=docker.io mirror.example.org");
                return Err(problem);
            };
            Ok((host("Mirror", registry)?, host("Mirror", mirror)?))
        })
        .collect()
}

/// Reads the name of a registry.
///
/// # Errors
/// When it is none.
pub fn host(key: &str, value: &str) -> Result<String, Problem> {
    if super::source::is_host(value) {
        Ok(value.to_owned())
    } else {
        Err(Code::ImageReference.problem(format!("{key}=: {value:?} is not a registry"), "write HOST or HOST:PORT"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values() {
        assert_eq!(credentials("me:a:b").unwrap(), ("me".into(), "a:b".into()));
        assert!(credentials(":x").is_err());
        assert_eq!(retries("0").unwrap(), 0);
        assert!(retries("-1").is_err() && retries("1000").is_err());
        assert_eq!(delay("250ms").unwrap(), 250);
        for bad in ["", "2d"] {
            assert!(delay(bad).is_err(), "{bad}");
        }
        assert_eq!((size("10G").unwrap(), size("0").unwrap()), (10 << 30, 0));
        assert!(size("G").is_err() && size("1X").is_err() && size("99999999T").is_err());
        assert_eq!((keep_versions("0").unwrap(), keep_versions("3").unwrap()), (0, 3));
        assert!(keep_versions("-1").is_err() && keep_versions("all").is_err());
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(mirrors(&words("docker.io a:5")).unwrap(), [("docker.io".into(), "a:5".into())]);
        assert!(mirrors(&words("docker.io")).is_err() && mirrors(&words("docker.io a/b")).is_err());
    }
}
