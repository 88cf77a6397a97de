// SPDX-License-Identifier: MIT
//! How registries are accessed: values of `.image` files and of `sdme.conf`. Pure.

use crate::diag::{Code, Location, Problem, Spanned};

/// The registry settings of one image (`.image` file).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// `AuthFile=`
    pub auth_file: Option<String>,
    /// `Creds=`: the user name and the password.
    pub credentials: Option<(String, String)>,
    /// `CertDir=`
    pub cert_dir: Option<String>,
    /// `TLSVerify=`, if the key is set.
    pub tls_verify: Option<bool>,
    /// `Retry=`: the number of retries after a transient failure.
    pub retries: u32,
    /// `RetryDelay=`: the time before the first retry, in milliseconds. The time doubles before
    /// each further retry.
    pub delay: u64,
}

impl Default for Access {
    fn default() -> Self {
        Self { auth_file: None, credentials: None, cert_dir: None, tls_verify: None, retries: 3, delay: 1000 }
    }
}

/// The registry settings of the machine (`sdme.conf`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registries {
    /// `Mirror=`: pairs of a registry and its mirror. Mirrors are asked before the registry, in
    /// this order.
    pub mirrors: Vec<(String, String)>,
    /// `Insecure=`: the registries that are accessed over plain HTTP.
    pub insecure: Vec<String>,
    /// `CacheSize=`: the maximum size of the download cache, in bytes.
    pub cache_size: u64,
    /// `KeepVersions=`: the number of former versions of each image that are kept.
    pub keep_versions: usize,
    /// `ImportTimeout=`: the timeout of the import of one image (default: no timeout).
    pub import_timeout: Option<ImportTimeout>,
}

/// The value of `ImportTimeout=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportTimeout {
    /// The timeout in milliseconds.
    pub milliseconds: u64,
    /// The timeout as the administrator wrote it, for the error message.
    pub written: String,
    /// The line that sets the timeout, for the error message.
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
/// The user name is empty, or the value has control characters.
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
/// The path is not absolute, or has control characters.
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
/// The value is not a number from 0 to 100.
pub fn retries(value: &str) -> Result<u32, Problem> {
    let number = value.parse().ok().filter(|n| *n <= 100);
    number.ok_or_else(|| {
        Code::Quantity.problem(format!("Retry={value} is not a number from 0 to 100"), "write a number such as 3")
    })
}

/// Reads `RetryDelay=`, in milliseconds.
///
/// # Errors
/// The value is not a time span of at most a day.
pub fn delay(value: &str) -> Result<u64, Problem> {
    let time = super::time::milliseconds(value).filter(|time| *time <= 86_400_000);
    time.ok_or_else(|| Code::Quantity.problem(format!("RetryDelay={value} is not a time"), "write 5s or 500ms"))
}

impl ImportTimeout {
    /// Converts the result of [`import_timeout`] with its location. Returns none for 0, which means
    /// no timeout.
    #[must_use]
    pub fn of(written: Spanned<(u64, String)>) -> Option<Self> {
        let (milliseconds, text) = written.value;
        (milliseconds > 0).then_some(Self { milliseconds, written: text, at: written.at })
    }
}

/// Reads `ImportTimeout=`. Returns the timeout in milliseconds, which is 0 for `infinity`, and the
/// value as it is written.
///
/// # Errors
/// The value is neither a time span nor `infinity`.
pub fn import_timeout(value: &str) -> Result<(u64, String), Problem> {
    let milliseconds = if value == "infinity" { Some(0) } else { super::time::milliseconds(value) };
    let wrong =
        || Code::Quantity.problem(format!("ImportTimeout={value} is not a time"), "write 30min, 2h or infinity");
    milliseconds.map(|time| (time, value.to_owned())).ok_or_else(wrong)
}

/// Reads `CacheSize=`. Returns the size in bytes, which may be 0.
///
/// # Errors
/// The value is not a size.
pub fn size(value: &str) -> Result<u64, Problem> {
    let wrong = || Code::Quantity.problem(format!("CacheSize={value} is not a size"), "write 10G or 500M");
    super::bytes(value).ok_or_else(wrong)
}

/// Reads `KeepVersions=`.
///
/// # Errors
/// The value is not a number from 0 to 1000.
pub fn keep_versions(value: &str) -> Result<usize, Problem> {
    let number = value.parse().ok().filter(|number| *number <= 1000);
    number.ok_or_else(|| {
        Code::Quantity
            .problem(format!("KeepVersions={value} is not a number from 0 to 1000"), "write a number such as 1")
    })
}

/// Reads the words of `Mirror=`: registries and their mirrors in turn.
///
/// # Errors
/// A registry has no mirror, or a word is not `HOST` or `HOST:PORT`.
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

/// Reads the host of a registry, `HOST` or `HOST:PORT`, from a value of `key`.
///
/// # Errors
/// The value is not a host.
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
    fn values_outside_their_limits_are_rejected() {
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
