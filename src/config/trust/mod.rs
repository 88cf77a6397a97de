// SPDX-License-Identifier: MIT
//! The conditions under which images are accepted: the signature policy of the machine, and
//! `VerifyKey=` of configuration files. `image::trust` verifies the signatures. Pure.

pub mod identity;
pub mod json;
pub mod policy;
pub mod reference;
pub mod scope;

use crate::config::values::access::path;
use crate::diag::{Code, Problem};
use std::sync::Arc;

use self::identity::Identity;
use self::policy::{KeySource, PolicyFile, Requirement, Signed};
use self::scope::Subject;
use crate::diag::{Location, Spanned};

/// The paths of the signature policy, of which the first existing file applies
/// (containers-policy.json(5)). The first path is that of root, because this program runs as root.
pub const POLICIES: [&str; 2] = ["/root/.config/containers/policy.json", "/etc/containers/policy.json"];
/// The directories that configure which registries have signatures beside their images. The first
/// existing directory applies (containers-registries.d(5)).
pub const REGISTRIES_D: [&str; 2] = ["/root/.config/containers/registries.d", "/etc/containers/registries.d"];

/// The values of `VerifyKey=` and `VerifyIdentity=` in one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verify {
    /// The keys with the location of the setting. `VerifyKey=none` gives an empty list.
    pub keys: Option<Spanned<Vec<KeySource>>>,
    /// The identity that a signature must name.
    pub identity: Option<Identity>,
}

impl Verify {
    /// Returns these settings. Settings that are missing are taken from `other`.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            keys: self.keys.or_else(|| other.keys.clone()),
            identity: self.identity.or_else(|| other.identity.clone()),
        }
    }

    /// Returns the signature that the settings require, and the location of the setting. Returns
    /// none if there are no keys.
    fn signed(&self) -> Option<(Signed, &Location)> {
        let keys = self.keys.as_ref().filter(|keys| !keys.value.is_empty())?;
        let identity = self.identity.clone().unwrap_or(Identity::RepoDigestOrExact);
        Some((Signed { keys: keys.value.clone(), identity }, &keys.at))
    }
}

/// The conditions under which an image is accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// The signature policy of the machine, if there is one.
    pub policy: Option<Arc<PolicyFile>>,
    /// The signature that configuration files require in addition to the policy.
    pub verify: Verify,
}

/// The requirements of an image from one source, a policy or a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The path of the policy, or the path and the line of the setting in a configuration file.
    pub file: String,
    /// The scope in the policy, or the key in the configuration file.
    pub scope: String,
    /// The requirements. The image must satisfy all of them.
    pub requirements: Vec<Requirement>,
}

impl Trust {
    /// Returns the rules for an image. The image must satisfy all of them.
    #[must_use]
    pub fn rules(&self, subject: &Subject) -> Vec<Rule> {
        let mut rules = Vec::new();
        if let Some((path, Ok(policy))) = self.policy.as_ref().map(|file| (&file.path, &file.policy)) {
            let (scope, requirements) = policy.applied(subject);
            rules.push(Rule {
                file: path.to_string(),
                scope: format!("scope {scope}"),
                requirements: requirements.to_vec(),
            });
        }
        if let Some((signed, at)) = self.verify.signed() {
            let requirements = vec![Requirement::Signed(signed)];
            rules.push(Rule { file: at.to_string(), scope: "VerifyKey=".to_owned(), requirements });
        }
        rules
    }

    /// Whether the image may have a requirement. If not, a start does not have to verify
    /// signatures. An invalid policy has no requirements for images that are already imported, but
    /// no image is imported until the policy is valid.
    #[must_use]
    pub fn may_ask(&self, subject: &Subject) -> bool {
        let policy = self.policy.as_ref().and_then(|file| file.policy.as_ref().ok());
        let by_policy = policy.is_some_and(|policy| match subject.transport {
            // The path may be a symbolic link into another scope, so all scopes of the transport
            // count.
            "oci" | "oci-archive" | "dir" => policy.may_ask(subject.transport),
            _ => policy.applied(subject).1.iter().any(|requirement| *requirement != Requirement::Accept),
        });
        by_policy || self.verify.signed().is_some()
    }
}

/// Reads the words of `VerifyKey=`. The word `none` gives an empty list.
///
/// # Errors
/// A word is not an absolute path.
pub fn keys(words: &[String]) -> Result<Vec<KeySource>, Problem> {
    if words == ["none"] {
        return Ok(Vec::new());
    }
    let keys: Result<_, Problem> = words.iter().map(|key| path("VerifyKey", key).map(KeySource::Path)).collect();
    keys.map_err(|problem| {
        Code::SignaturePolicy.problem(problem.fault.cause, "write the path of a public key in PEM, or none")
    })
}

/// Reads the words of `VerifyIdentity=`.
///
/// # Errors
/// The words have none of the forms that the message lists.
pub fn identity(words: &[String]) -> Result<Identity, Problem> {
    Identity::from_words(words).map_err(|message| {
        let forms =
            "matchRepoDigestOrExact, matchExact, matchRepository, digest, a reference, or two beginnings of references";
        Code::SignaturePolicy.problem(format!("invalid VerifyIdentity=: {message}"), format!("write {forms}"))
    })
}
