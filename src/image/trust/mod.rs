// SPDX-License-Identifier: MIT
//! Decides whether an image is accepted, by the signature policy of the machine and by `VerifyKey=`
//! in the configuration of sdme-gen.
//!
//! [`crate::config::trust`] has the requirements. [`Judge`] reads the keys. [`decide`] compares the
//! requirements with the attachments of an image, without knowing registries or files. [`attached`]
//! reads the attachments from the source, and [`kept`] reads them from the store.

pub mod attached;
pub mod bundle;
pub mod decide;
pub mod kept;
pub mod keys;
pub mod payload;
pub mod registries_d;
#[cfg(test)]
pub(in crate::image) mod tests;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use self::attached::{Attached, Form};
use self::keys::{Key, MAX_KEY};
use self::registries_d::Attachments;
use crate::config::trust::policy::{KeySource, Requirement};
use crate::config::trust::scope::Subject;
use crate::config::trust::{REGISTRIES_D, Rule, Trust};
use crate::config::values::source::ImageSource;
use crate::image::source::Origin;
use crate::image::source::manifest::Address;
use crate::image::store::digest::Digest;
use crate::rootdir::tree::Tree;

/// The key by which an image was accepted, and the rule that required it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The file that requires a signature.
    pub policy: String,
    /// The scope in that file, or `VerifyKey=`.
    pub scope: String,
    /// The path or name of the key.
    pub key: String,
    /// The fingerprint of the key: `SHA256:` and the digest of its SPKI.
    pub fingerprint: String,
    /// The reference in the signature; `None` if it has none.
    pub signed: Option<String>,
}

/// An image is not accepted. A retry is useless until the image, the policy or a key changes.
#[derive(Debug)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// Whether an import failed because the image is not accepted.
#[must_use]
pub fn is_refusal(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refusal>().is_some()
}

/// A rule with its keys.
#[derive(Debug)]
pub struct Loaded {
    rule: Rule,
    /// The keys of each requirement, or the reason why they cannot be used.
    keys: Vec<Result<Vec<Key>, String>>,
}

/// Decides about one image.
#[derive(Debug)]
pub struct Judge {
    rules: Vec<Loaded>,
    subject: Subject,
    /// Whether signatures are looked for, or the reason why this is unknown.
    looks: Result<bool, String>,
    /// The error of the policy, if it is invalid.
    problem: Option<String>,
}

impl Judge {
    /// Reads the rules and keys for the image at `source`, on the host whose root directory is
    /// `root`. An invalid policy or key is reported by the decision.
    ///
    /// # Errors
    /// Returns an error if the path of the image is not UTF-8.
    pub fn new(source: &ImageSource, trust: &Trust, root: &Path) -> Result<Self> {
        let mut subject = Subject::of(source);
        if let Some(path) = &mut subject.path
            && trust.may_ask(&Subject::of(source))
            && let Ok(real) = fs::canonicalize(&path)
        {
            real.to_str().context("the path of the image is not UTF-8")?.clone_into(path);
        }
        let rules = trust.rules(&subject);
        let signed = |rule: &Rule| rule.requirements.iter().any(|one| matches!(one, Requirement::Signed(_)));
        let by_policy = |rule: &Rule| trust.policy.as_ref().is_some_and(|policy| *policy.path == *rule.file);
        // VerifyKey= implies that signatures are looked for.
        let looks = if rules.iter().any(|rule| signed(rule) && !by_policy(rule)) {
            Ok(true)
        } else if rules.iter().any(signed) && subject.transport == "docker" {
            Attachments::read(root).map(|all| all.are_for(&subject)).map_err(|error| format!("{error:#}"))
        } else {
            Ok(rules.iter().any(signed))
        };
        let load = |rule: Rule| Loaded { keys: rule.requirements.iter().map(|one| keys(one, root)).collect(), rule };
        let problem = trust.policy.as_ref().and_then(|file| file.policy.as_ref().err()).map(ToString::to_string);
        let rules = rules.into_iter().map(load).collect();
        Ok(Self { rules, subject, looks, problem })
    }

    /// Whether any rule has a requirement for the image.
    #[must_use]
    pub fn asks(&self) -> bool {
        let all = self.rules.iter().flat_map(|loaded| &loaded.rule.requirements);
        all.into_iter().any(|one| *one != Requirement::Accept)
    }

    /// Whether the policy is invalid.
    #[must_use]
    pub fn has_problem(&self) -> bool {
        self.problem.is_some()
    }

    /// Refuses an image that no signature can make acceptable.
    ///
    /// # Errors
    /// Returns an error if the image is not accepted, or if the policy is invalid.
    pub fn before(&self) -> Result<()> {
        if let Some(problem) = &self.problem {
            bail!("{problem}");
        }
        Ok(self.rules.iter().try_for_each(decide::before).map_err(|reason| self.refusal(None, &reason))?)
    }

    /// Compares the rules with the attachments.
    ///
    /// # Errors
    /// Returns the reason if the image is not accepted.
    pub fn weigh(&self, digest: &Digest, attached: &[Attached]) -> Result<Vec<Accepted>, Refusal> {
        let mut accepted = Vec::new();
        for loaded in &self.rules {
            let found = decide::rule(loaded, &self.subject, digest, attached);
            accepted.extend(found.map_err(|reason| self.refusal(Some(digest), &reason))?);
        }
        Ok(accepted)
    }

    /// Decides about the image at an origin, and returns its attachments.
    ///
    /// # Errors
    /// Returns an error if the image is not accepted, or if its origin cannot be read.
    pub fn decide(&self, address: &Address, origin: &mut dyn Origin) -> Result<(Vec<Accepted>, Vec<Attached>)> {
        self.before()?;
        let digest = &address.digest;
        let mut attached = Vec::new();
        if !self.asks() {
            return Ok((Vec::new(), attached));
        }
        if self.looks.as_ref().map_err(|problem| anyhow!("{problem}"))? == &true {
            attached = origin.attached(digest, Form::Tagged).context("looking for signatures")?;
            if let Ok(accepted) = self.weigh(digest, &attached) {
                return Ok((accepted, attached));
            }
            attached.extend(origin.attached(digest, Form::Referring).context("looking for signatures")?);
        }
        let accepted = self.weigh(digest, &attached).map_err(|Refusal(text)| {
            // Without --recursive, cosign signs only the index that a tag stands for.
            let of_index = address.index.is_some() && attached.is_empty() && self.looks == Ok(true);
            let hint =
                if of_index { " (cosign sign --recursive also signs the manifest of each platform)" } else { "" };
            Refusal(text + hint)
        })?;
        Ok((accepted, attached))
    }

    fn refusal(&self, digest: Option<&Digest>, reason: &decide::Reason) -> Refusal {
        // The caller adds the name of the image.
        let image = digest.map_or_else(|| "the image".to_owned(), |digest| format!("the image {digest}"));
        let decide::Reason { file, scope, requirement, text, unsigned } = reason;
        let mut text = text.clone();
        if *unsigned && self.looks == Ok(false) {
            let [_, directory] = REGISTRIES_D;
            text = format!(
                "signatures are not looked for; write use-sigstore-attachments: true for this registry in {directory}, as containers-registries.d(5) has it"
            );
        }
        Refusal(format!("{image} is not accepted: {file}, {scope}: {requirement}: {text}"))
    }
}

/// Reads the keys of a requirement.
fn keys(requirement: &Requirement, root: &Path) -> Result<Vec<Key>, String> {
    let Requirement::Signed(signed) = requirement else { return Ok(Vec::new()) };
    let read = |source: &KeySource| -> Result<Key> {
        let pem = match source {
            KeySource::Path(path) => {
                // Symbolic links are resolved below the root, which may be a tree for another machine.
                let key = Tree::open_following(root).and_then(|root| root.read_file(path.as_bytes(), MAX_KEY));
                let key = key.and_then(|key| key.ok_or_else(|| Errno::ENOENT.into()));
                key.with_context(|| format!("the key {path} cannot be read"))?
            }
            KeySource::Data(text) => {
                let text: String = text.chars().filter(|c| !"\r\n".contains(*c)).collect();
                STANDARD.decode(text).context("keyData is not base64")?
            }
        };
        Key::read(source.name(), &pem)
    };
    signed.keys.iter().map(|source| read(source).map_err(|error| format!("{error:#}"))).collect()
}
