// SPDX-License-Identifier: MIT
//! containers-policy.json(5): the images that this machine accepts. Pure.
//!
//! This parser is as strict as the reference implementation: an unknown key, a duplicate key or an
//! unknown type makes the whole file invalid. A requirement that the reference implementation can
//! verify and this program cannot is valid, but rejects the images of its scope.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::identity::Identity;
use super::json::{Json, is_base64};
use super::scope::Subject;
use crate::diag::{Code, Diagnostic, Fault, Location};

/// A signature policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    default: Vec<Requirement>,
    transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
}

/// A requirement of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// `insecureAcceptAnything`
    Accept,
    /// `reject`
    Reject,
    /// `sigstoreSigned` with public keys.
    Signed(Signed),
    /// A requirement that this program cannot verify, in the words of the policy.
    Unsupported(String),
}

/// `sigstoreSigned` with public keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The keys, one of which must have made the signature.
    pub keys: Vec<KeySource>,
    /// `signedIdentity`
    pub identity: Identity,
}

/// The source of a public key in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The path in `keyPath`, `keyPaths` or `VerifyKey=`.
    Path(String),
    /// The key in `keyData` or `keyDatas`, in base64.
    Data(String),
}

impl KeySource {
    /// Returns the name of the key, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        if let Self::Path(path) = self { path } else { "keyData" }
    }
}

impl Requirement {
    /// Describes the requirement, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Accept => "insecureAcceptAnything".to_owned(),
            Self::Reject => "reject".to_owned(),
            Self::Signed(signed) => {
                let keys: Vec<&str> = signed.keys.iter().map(KeySource::name).collect();
                format!("sigstoreSigned by {} for {}", keys.join(" or "), signed.identity.describe())
            }
            Self::Unsupported(what) => what.clone(),
        }
    }
}

/// A policy file, which may be invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFile {
    /// The path of the file.
    pub path: Arc<str>,
    /// The policy, or the error in the file.
    pub policy: Result<Policy, Diagnostic>,
}

impl PolicyFile {
    /// Reads the content of the file at `path`.
    #[must_use]
    pub fn read(path: &Arc<str>, content: Result<&[u8], &Fault>) -> Self {
        let invalid = |line, fault: Fault| {
            let problem = Code::SignaturePolicy.of(fault).of("invalid signature policy");
            Diagnostic::error(&Location::new(path, line), problem)
        };
        let policy = content.map_err(|fault| invalid(1, fault.clone())).and_then(|bytes| {
            let remedy = "correct it as containers-policy.json(5) describes";
            Policy::parse(bytes).map_err(|(line, cause)| invalid(line, Fault::new(cause, remedy)))
        });
        Self { path: Arc::clone(path), policy }
    }
}

impl PolicyFile {
    /// Returns the policy if the file is valid.
    #[must_use]
    pub fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref().ok()
    }
}

impl Policy {
    /// Whether any image may have a requirement other than `insecureAcceptAnything`.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.may_ask("") || self.transports.keys().any(|transport| self.may_ask(transport))
    }

    /// Reads a policy.
    ///
    /// # Errors
    /// The line of the error, from 1, and the message. Errors other than those of the JSON syntax
    /// have the line 1.
    pub fn parse(bytes: &[u8]) -> Result<Self, (u32, String)> {
        let json = Json::parse(bytes)?;
        Self::from_json(&json).map_err(|message| (1, message))
    }

    fn from_json(json: &Json) -> Result<Self, String> {
        let fields = json.fields(&["default", "transports"])?;
        let default = fields.get("default").ok_or("the key \"default\" is missing")?;
        let default = requirements(default).map_err(|message| format!("default: {message}"))?;
        let mut transports = BTreeMap::new();
        if let Some(json) = fields.get("transports") {
            for (transport, json) in json.members().map_err(|message| format!("transports: {message}"))? {
                let place = |message: String| format!("transports: {transport}: {message}");
                let mut scopes = BTreeMap::new();
                for (scope, json) in json.members().map_err(place)? {
                    check_scope(transport, scope).map_err(place)?;
                    let list = requirements(json).map_err(|message| place(format!("{scope:?}: {message}")))?;
                    scopes.insert(scope.to_owned(), list);
                }
                transports.insert(transport.to_owned(), scopes);
            }
        }
        Ok(Self { default, transports })
    }

    /// Returns the requirements of an image, and the name of the scope that has them: the most
    /// specific scope of the image, the scope of the transport, or the default.
    #[must_use]
    pub fn applied(&self, subject: &Subject) -> (String, &[Requirement]) {
        let Some(scopes) = self.transports.get(subject.transport) else { return ("default".to_owned(), &self.default) };
        for scope in subject.scopes() {
            if let Some(requirements) = scopes.get(&scope) {
                let name = if scope.is_empty() {
                    subject.transport.to_owned()
                } else {
                    format!("{}:{scope}", subject.transport)
                };
                return (name, requirements);
            }
        }
        ("default".to_owned(), &self.default)
    }

    /// Whether images of this transport may have a requirement other than `insecureAcceptAnything`.
    #[must_use]
    pub fn may_ask(&self, transport: &str) -> bool {
        let scopes = self.transports.get(transport).into_iter().flat_map(BTreeMap::values);
        scopes.chain([&self.default]).flatten().any(|requirement| *requirement != Requirement::Accept)
    }
}

/// Transports that have only the empty scope (containers-policy.json(5)).
const WITHOUT_SCOPES: [&str; 2] = ["docker-archive", "tarball"];
/// Transports whose scopes are paths.
const OF_PATHS: [&str; 3] = ["dir", "oci", "oci-archive"];

fn check_scope(transport: &str, scope: &str) -> Result<(), String> {
    if scope.is_empty() {
        return Ok(());
    }
    if WITHOUT_SCOPES.contains(&transport) {
        return Err(format!("{scope:?}: this transport has no scope but the empty one"));
    }
    let parts = || scope.split('/').skip(1);
    if OF_PATHS.contains(&transport)
        && (!scope.starts_with('/') || scope == "/" || parts().any(|part| matches!(part, "" | "." | "..")))
    {
        return Err(format!("{scope:?} is not an absolute path without . and .."));
    }
    Ok(())
}

fn requirements(json: &Json) -> Result<Vec<Requirement>, String> {
    let list = json.list()?;
    if list.is_empty() {
        return Err("a list of requirements is empty (write insecureAcceptAnything or reject)".to_owned());
    }
    list.iter().map(requirement).collect()
}

fn requirement(json: &Json) -> Result<Requirement, String> {
    let kind = json.members()?.get("type").map(|value| value.text()).transpose()?;
    match kind {
        Some("insecureAcceptAnything") => json.exact_fields(&["type"]).map(|_| Requirement::Accept),
        Some("reject") => json.exact_fields(&["type"]).map(|_| Requirement::Reject),
        Some("sigstoreSigned") => sigstore(json),
        Some("signedBy") => signed_by(json),
        Some("signedBaseLayer") => {
            let fields = json.exact_fields(&["type", "baseLayerIdentity"])?;
            fields.get("baseLayerIdentity").map(|identity| Identity::parse(identity)).transpose()?;
            Ok(Requirement::Unsupported("signedBaseLayer".to_owned()))
        }
        Some(other) => Err(format!("unknown type {other:?} of a requirement")),
        None => Err("a requirement has no \"type\"".to_owned()),
    }
}

type Fields<'a> = BTreeMap<&'a str, &'a Json>;

/// Returns a field with a text. An empty text counts as missing, as in the reference
/// implementation.
fn text<'a>(fields: &Fields<'a>, key: &str) -> Result<Option<&'a str>, String> {
    let text = fields.get(key).map(|value| value.text()).transpose().map_err(|message| format!("{key}: {message}"))?;
    Ok(text.filter(|text| !text.is_empty()))
}

fn data<'a>(fields: &Fields<'a>, key: &str) -> Result<Option<&'a str>, String> {
    let text = fields.get(key).map(|value| value.text()).transpose().map_err(|message| format!("{key}: {message}"))?;
    if text.is_some_and(|text| !is_base64(text)) {
        return Err(format!("{key} is not base64"));
    }
    Ok(text)
}

fn texts(fields: &Fields<'_>, key: &str) -> Result<Option<Vec<String>>, String> {
    let Some(value) = fields.get(key) else { return Ok(None) };
    let list = value.list().and_then(|list| list.iter().map(|item| item.text().map(str::to_owned)).collect());
    let list: Vec<String> = list.map_err(|message| format!("{key}: {message}"))?;
    if list.is_empty() { Err(format!("{key} is empty")) } else { Ok(Some(list)) }
}

fn datas(fields: &Fields<'_>, key: &str) -> Result<Option<Vec<String>>, String> {
    let list = texts(fields, key)?;
    if list.iter().flatten().all(|text| is_base64(text)) { Ok(list) } else { Err(format!("{key} is not base64")) }
}

fn identity(fields: &Fields<'_>) -> Result<Identity, String> {
    fields.get("signedIdentity").map_or(Ok(Identity::RepoDigestOrExact), |json| Identity::parse(json))
}

/// Keys of `sigstoreSigned` that need a transparency log.
const REKOR: [&str; 4] = ["rekorPublicKeyPath", "rekorPublicKeyPaths", "rekorPublicKeyData", "rekorPublicKeyDatas"];
const FULCIO: [&str; 5] = ["caPath", "caData", "oidcIssuer", "subjectEmail", "buildSignerURI"];
const PKI: [&str; 6] =
    ["caRootsPath", "caRootsData", "caIntermediatesPath", "caIntermediatesData", "subjectEmail", "subjectHostname"];

fn sigstore(json: &Json) -> Result<Requirement, String> {
    let mut known = vec!["type", "keyPath", "keyPaths", "keyData", "keyDatas", "fulcio", "pki", "signedIdentity"];
    known.extend(REKOR);
    let fields = json.fields(&known)?;
    let identity = identity(&fields)?;
    let path = |path: &str| KeySource::Path(path.to_owned());
    let given = [
        text(&fields, "keyPath")?.map(|one| vec![path(one)]),
        texts(&fields, "keyPaths")?.map(|all| all.into_iter().map(KeySource::Path).collect()),
        data(&fields, "keyData")?.map(|one| vec![KeySource::Data(one.to_owned())]),
        datas(&fields, "keyDatas")?.map(|all| all.into_iter().map(KeySource::Data).collect()),
    ];
    for (key, inner) in [("fulcio", &FULCIO[..]), ("pki", &PKI[..])] {
        if let Some(json) = fields.get(key) {
            json.fields(inner).map_err(|message| format!("{key}: {message}"))?;
        }
    }
    let by_authority = ["fulcio", "pki"].into_iter().filter(|key| fields.contains_key(*key));
    let sources = given.iter().flatten().count() + by_authority.clone().count();
    if sources != 1 {
        return Err("exactly one of keyPath, keyPaths, keyData, keyDatas, fulcio and pki is needed".to_owned());
    }
    let log = REKOR.into_iter().filter(|key| fields.contains_key(*key)).collect::<Vec<_>>();
    if log.len() > 1 {
        return Err(format!("{} cannot be given together", log.join(" and ")));
    }
    for key in REKOR {
        match key {
            "rekorPublicKeyPath" => text(&fields, key).map(drop)?,
            "rekorPublicKeyPaths" => texts(&fields, key).map(drop)?,
            "rekorPublicKeyData" => data(&fields, key).map(drop)?,
            _ => datas(&fields, key).map(drop)?,
        }
    }
    let by_authority = by_authority.chain(log.first().copied()).collect::<Vec<_>>();
    if fields.contains_key("fulcio") && log.is_empty() {
        return Err("fulcio needs a rekorPublicKeyPath".to_owned());
    }
    if fields.contains_key("pki") && !log.is_empty() {
        return Err("pki has no rekorPublicKeyPath".to_owned());
    }
    if !by_authority.is_empty() {
        return Ok(Requirement::Unsupported(format!("sigstoreSigned with {}", by_authority.join(" and "))));
    }
    Ok(Requirement::Signed(Signed { keys: given.into_iter().flatten().flatten().collect(), identity }))
}

fn signed_by(json: &Json) -> Result<Requirement, String> {
    let fields = json.fields(&["type", "keyType", "keyPath", "keyPaths", "keyData", "signedIdentity"])?;
    identity(&fields)?;
    let kind = text(&fields, "keyType")?.unwrap_or_default();
    if !["GPGKeys", "signedByGPGKeys", "X509Certificates", "signedByX509CAs"].contains(&kind) {
        return Err(format!("unknown keyType {kind:?}"));
    }
    let given =
        [text(&fields, "keyPath")?.is_some(), fields.contains_key("keyPaths"), data(&fields, "keyData")?.is_some()];
    if let Some(paths) = fields.get("keyPaths") {
        paths.list()?.iter().try_for_each(|path| path.text().map(drop))?;
    }
    if given.into_iter().filter(|given| *given).count() != 1 {
        return Err("exactly one of keyPath, keyPaths and keyData is needed".to_owned());
    }
    Ok(Requirement::Unsupported("signedBy".to_owned()))
}

#[cfg(test)]
mod tests;
