// SPDX-License-Identifier: MIT
//! Which images are accepted: the machine's signature policy, and `VerifyKey=` of our own files. Pure; `image::trust` verifies.

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

/// Where the policy is, the first one wins: containers-policy.json(5). This program runs as root.
pub const POLICIES: [&str; 2] = ["/root/.config/containers/policy.json", "/etc/containers/policy.json"];
/// Where it is said which registries have signatures beside images, the first one wins: containers-registries.d(5).
pub const REGISTRIES_D: [&str; 2] = ["/root/.config/containers/registries.d", "/etc/containers/registries.d"];

/// `VerifyKey=` and `VerifyIdentity=` of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verify {
    /// The keys, and where they are written; no keys for `VerifyKey=none`.
    pub keys: Option<Spanned<Vec<KeySource>>>,
    /// What a signature has to name.
    pub identity: Option<Identity>,
}

impl Verify {
    /// The same, with what another file says where this one says nothing.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            keys: self.keys.or_else(|| other.keys.clone()),
            identity: self.identity.or_else(|| other.identity.clone()),
        }
    }

    /// What it asks for, and where that is written.
    fn signed(&self) -> Option<(Signed, &Location)> {
        let keys = self.keys.as_ref().filter(|keys| !keys.value.is_empty())?;
        let identity = self.identity.clone().unwrap_or(Identity::RepoDigestOrExact);
        Some((Signed { keys: keys.value.clone(), identity }, &keys.at))
    }
}

/// What decides about an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// The machine's policy, if there is one.
    pub policy: Option<Arc<PolicyFile>>,
    /// What our own files ask for beyond it.
    pub verify: Verify,
}

/// What an image has to meet, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The file.
    pub file: String,
    /// The scope in a policy, or the key in a file of ours.
    pub scope: String,
    /// All of these.
    pub requirements: Vec<Requirement>,
}

impl Trust {
    /// The rules for an image; all of them are to be met.
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

    /// Whether anything may be asked of an image. If not, nothing has to be found out at a start. A policy that cannot be read asks
    /// for nothing of what is there already; nothing is imported past it.
    #[must_use]
    pub fn may_ask(&self, subject: &Subject) -> bool {
        let policy = self.policy.as_ref().and_then(|file| file.policy.as_ref().ok());
        let by_policy = policy.is_some_and(|policy| match subject.transport {
            // Symbolic links lead from one scope to another.
            "oci" | "oci-archive" | "dir" => policy.may_ask(subject.transport),
            _ => policy.applied(subject).1.iter().any(|requirement| *requirement != Requirement::Accept),
        });
        by_policy || self.verify.signed().is_some()
    }
}

/// Reads the words of `VerifyKey=`. `none` gives no keys.
///
/// # Errors
/// One of them is not an absolute path.
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
/// They are none of the forms that the message lists.
pub fn identity(words: &[String]) -> Result<Identity, Problem> {
    Identity::from_words(words).map_err(|message| {
        let forms =
            "matchRepoDigestOrExact, matchExact, matchRepository, digest, a reference, or two beginnings of references";
        Code::SignaturePolicy.problem(format!("invalid VerifyIdentity=: {message}"), format!("write {forms}"))
    })
}
