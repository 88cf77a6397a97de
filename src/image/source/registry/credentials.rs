// SPDX-License-Identifier: MIT
//! Finds credentials for a registry in `auth.json` files (containers-auth.json(5)).
//!
//! This module must not print credentials.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use serde::Deserialize;
use serde_json::Value;

use super::super::regular;
use crate::config::values::access::Access;
use crate::diag::Fault;
use crate::image::source::json::respell;
use crate::image::store::digest::read_limited;

/// Maximum size of a credentials file in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The credentials for a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Anonymous access.
    Anonymous,
    /// A user name and a password.
    Password(String, String),
    /// A refresh token for the token service of the registry.
    IdentityToken(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Password(..) => "Password",
            Self::IdentityToken(_) => "IdentityToken",
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthFile {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    identitytoken: Option<String>,
}

/// Finds the credentials for a repository. `own` has the settings of the image, which a mirror does
/// not get.
///
/// # Errors
/// Returns an error if an existing file cannot be read or parsed, or if it delegates to a
/// credential helper.
pub fn find(registry: &str, repository: &str, own: Option<&Access>) -> Result<Credentials> {
    if let Some((user, password)) = own.and_then(|access| access.credentials.clone()) {
        return Ok(Credentials::Password(user, password));
    }
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let chosen = own.and_then(|access| access.auth_file.as_ref()).map(PathBuf::from);
    if let Some(path) = chosen.or_else(|| variable("REGISTRY_AUTH_FILE")) {
        return Ok(read(&path, registry, repository)?.unwrap_or(Credentials::Anonymous));
    }
    // Services of the system manager have no HOME.
    let home = variable("HOME").unwrap_or_else(|| PathBuf::from("/root"));
    let runtime = variable("XDG_RUNTIME_DIR").unwrap_or_else(|| PathBuf::from("/run/containers/0"));
    let below = if variable("XDG_RUNTIME_DIR").is_some() { "containers/auth.json" } else { "auth.json" };
    for path in [
        runtime.join(below),
        home.join(".config/containers/auth.json"),
        home.join(".docker/config.json"),
        PathBuf::from("/etc/sdme/auth.json"),
    ] {
        if path.exists()
            && let Some(found) = read(&path, registry, repository)?
        {
            return Ok(found);
        }
    }
    Ok(Credentials::Anonymous)
}

fn read(path: &Path, registry: &str, repository: &str) -> Result<Option<Credentials>> {
    (|| {
        let bytes = read_limited(regular(path)?, MAX_FILE, "the file")?;
        lookup(&bytes, registry, repository)
    })()
    .with_context(|| format!("credentials in `{}`", path.display()))
}

fn lookup(bytes: &[u8], registry: &str, repository: &str) -> Result<Option<Credentials>> {
    // The message of the parser would quote from the file.
    let mut document: Value = serde_json::from_slice(bytes)
        .map_err(|error| anyhow!("the file is malformed at line {}, column {}", error.line(), error.column()))?;
    respell(&mut document, &["auths", "credHelpers"]);
    if let Some(auths) = document.get_mut("auths") {
        respell(auths, &[]);
        for entry in auths.as_object_mut().into_iter().flat_map(serde_json::Map::values_mut) {
            respell(entry, &["auth", "identitytoken"]);
        }
    }
    let file: AuthFile = serde_json::from_value(document)
        .map_err(|_| anyhow!("`auths` and `credHelpers` do not have the form of containers-auth.json(5)"))?;
    let entries: BTreeMap<String, &Entry> = file.auths.iter().map(|(key, entry)| (plain(key), entry)).collect();
    // The longest matching key takes precedence: HOST/a/b, HOST/a, HOST.
    let mut key = format!("{registry}/{repository}");
    loop {
        if let Some(entry) = entries.get(&key)
            && let Some(found) = decode(entry).with_context(|| format!("the entry `{key}`"))?
        {
            return Ok(Some(found));
        }
        let Some((shorter, _)) = key.rsplit_once('/') else { break };
        key = shorter.to_owned();
    }
    if let Some(helper) = file.cred_helpers.get(registry) {
        bail!(Fault::new(
            format!("it leaves {registry} to the helper program `{helper}`, which is not supported"),
            "log in without one"
        ));
    }
    Ok(None)
}

/// Normalizes a key. Older files of Docker have URLs as keys, and a special name for Docker Hub.
fn plain(key: &str) -> String {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let rest = if rest == key { rest } else { rest.split('/').next().unwrap_or_default() };
    match rest {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        other => other.trim_end_matches('/').to_owned(),
    }
}

fn decode(entry: &Entry) -> Result<Option<Credentials>> {
    if let Some(token) = entry.identitytoken.as_ref().filter(|token| !token.is_empty()) {
        return Ok(Some(Credentials::IdentityToken(token.clone())));
    }
    let Some(auth) = entry.auth.as_ref().filter(|auth| !auth.is_empty()) else { return Ok(None) };
    let bytes = base64::engine::general_purpose::STANDARD.decode(auth.trim()).map_err(|_| anyhow!("is not base64"))?;
    let text = String::from_utf8(bytes).map_err(|_| anyhow!("is not UTF-8"))?;
    let Some((user, password)) = text.split_once(':') else { bail!("has no password") };
    // Docker pads passwords with NUL bytes.
    Ok(Some(Credentials::Password(user.to_owned(), password.trim_end_matches('\0').to_owned())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn auth(text: &str) -> String {
        base64::engine::general_purpose::STANDARD.encode(text)
    }

    #[test]
    fn the_entry_with_the_longest_key_is_used() {
        let file = serde_json::json!({
            "auths": {
                "l.io:5": {"auth": auth("host:1")}, "l.io:5/team": {"auth": auth("team:2:3")},
                "l.io:5/team/app": {"identitytoken": "token", "auth": auth("x:y")},
                "https://index.docker.io/v1/": {"auth": auth("docker:d\0\0")},
                "http://old.io/v2/": {"auth": auth("old:o")}, "empty.io": {}
            },
            "credHelpers": {"help.io": "secretservice"}, "credsStore": "desktop"
        });
        let bytes = file.to_string().into_bytes();
        let password = |user: &str, password: &str| Some(Credentials::Password(user.into(), password.into()));
        for (registry, repository, want) in [
            ("l.io:5", "other/app", password("host", "1")),
            ("l.io:5", "team/tool", password("team", "2:3")),
            ("l.io:5", "teams/app", password("host", "1")),
            ("l.io:5", "team/app", Some(Credentials::IdentityToken("token".into()))),
            ("l.io:5", "team/app/more", Some(Credentials::IdentityToken("token".into()))),
            ("docker.io", "library/nginx", password("docker", "d")),
            ("old.io", "a", password("old", "o")),
            ("l.io", "team/app", None),
            ("empty.io", "a", None),
        ] {
            assert_eq!(lookup(&bytes, registry, repository).unwrap(), want, "{registry}/{repository}");
        }
        assert!(lookup(&bytes, "help.io", "a").unwrap_err().to_string().contains("secretservice"));
        let spelt = serde_json::json!({"Auths": {"l.io": {"Auth": auth("a:b"), "identityToken": null}, "x": null},
            "credHelpers": null});
        assert_eq!(lookup(&spelt.to_string().into_bytes(), "l.io", "a").unwrap(), password("a", "b"));
    }

    #[test]
    fn errors_and_debug_output_show_no_credentials() {
        for bad in [r#"{"auths": "hunter2"}"#, r#"{"auths": {"a": {"auth": "hunter2!"}}}"#, "hunter2"] {
            let error = format!("{:#}", lookup(bad.as_bytes(), "a", "b").unwrap_err());
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert_eq!(lookup(b"{}", "a", "b").unwrap(), None);
        assert!(!format!("{:?}", Credentials::Password("u".into(), "secret".into())).contains("secret"));
    }

    #[test]
    fn settings_of_the_image_override_the_default_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.json");
        let text = serde_json::json!({"auths": {"r.io": {"auth": auth("file:f")}}}).to_string();
        std::fs::write(&path, text).unwrap();
        let mut access = Access { auth_file: Some(path.to_str().unwrap().into()), ..Access::default() };
        let of = |access: &Access, host| find(host, "a", Some(access)).unwrap();
        assert_eq!(of(&access, "r.io"), Credentials::Password("file".into(), "f".into()));
        // A file that the image names is the only file that is read.
        assert_eq!(of(&access, "other.io"), Credentials::Anonymous);
        access.credentials = Some(("me".into(), "m".into()));
        assert_eq!(of(&access, "r.io"), Credentials::Password("me".into(), "m".into()));
        access = Access { auth_file: Some("/nowhere/auth.json".into()), ..Access::default() };
        assert!(find("r.io", "a", Some(&access)).is_err());
    }
}
