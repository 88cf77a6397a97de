// SPDX-License-Identifier: MIT
//! Compares the requirements of a rule with the attachments of an image. Reads and writes no files.
//!
//! The order is that of the reference implementation: the signature is verified with one of the
//! keys, then the signed content is read, and then its digest and reference are compared with the
//! image. One valid signature satisfies a requirement, and all requirements must be satisfied.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::attached::{Attached, SIGNATURE, SIMPLE_SIGNING};
use super::keys::{Hash, Key};
use super::{Accepted, Loaded, bundle, payload};
use crate::config::trust::identity::Identity;
use crate::config::trust::policy::{Requirement, Signed};
use crate::config::trust::reference::Named;
use crate::config::trust::scope::Subject;
use crate::image::store::digest::Digest;

/// The reason why a rule is not satisfied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The file of the rule.
    pub file: String,
    /// The scope in that file.
    pub scope: String,
    /// The requirement.
    pub requirement: String,
    /// The cause and the remedy.
    pub text: String,
    /// Whether the image has no signature at all.
    pub unsigned: bool,
}

/// Maximum number of rejected signatures that a message quotes.
const MAX_REASONS: usize = 4;

fn reason(loaded: &Loaded, requirement: &Requirement, text: String, unsigned: bool) -> Reason {
    let (file, scope) = (loaded.rule.file.clone(), loaded.rule.scope.clone());
    Reason { file, scope, requirement: requirement.describe(), text, unsigned }
}

/// Refuses an image that no signature can make acceptable.
///
/// # Errors
/// Returns the requirement that cannot be satisfied.
pub fn before(loaded: &Loaded) -> Result<(), Reason> {
    for requirement in &loaded.rule.requirements {
        let text = match requirement {
            Requirement::Accept | Requirement::Signed(_) => continue,
            Requirement::Reject => {
                "the policy rejects every image of this scope; use another image, or change the policy"
            }
            Requirement::Unsupported(what) if what == "signedBy" => {
                "signatures of GnuPG cannot be verified; sign with cosign and a key, and write sigstoreSigned with keyPath"
            }
            Requirement::Unsupported(what) if what == "signedBaseLayer" => {
                "nothing can verify this requirement; write sigstoreSigned with keyPath"
            }
            Requirement::Unsupported(_) => {
                "certificates and transparency logs cannot be verified; sign with a key, and write sigstoreSigned with keyPath and nothing else"
            }
        };
        return Err(reason(loaded, requirement, text.to_owned(), false));
    }
    Ok(())
}

/// Returns the keys by which an image satisfies a rule.
///
/// # Errors
/// Returns the first requirement that is not satisfied.
pub fn rule(
    loaded: &Loaded,
    subject: &Subject,
    digest: &Digest,
    attached: &[Attached],
) -> Result<Vec<Accepted>, Reason> {
    before(loaded)?;
    let mut accepted = Vec::new();
    for (requirement, keys) in loaded.rule.requirements.iter().zip(&loaded.keys) {
        let Requirement::Signed(signed) = requirement else { continue };
        let keys = keys.as_ref().map_err(|why| reason(loaded, requirement, why.clone(), false))?;
        let mut rejected: Vec<String> = Vec::new();
        let found = attached.iter().find_map(|one| match signature(one, keys, signed, subject, digest) {
            Some(Ok(found)) => Some(found),
            Some(Err(why)) => {
                rejected.push(why);
                None
            }
            None => None,
        });
        let Some((key, reference)) = found else {
            let unsigned = rejected.is_empty();
            rejected.dedup();
            let more = rejected.len().saturating_sub(MAX_REASONS);
            rejected.truncate(MAX_REASONS);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let text = if unsigned {
                "the image has no signature; sign it, or use one that is signed".to_owned()
            } else {
                format!("{}{more}; use an image that is signed as the policy asks for", rejected.join(", "))
            };
            return Err(reason(loaded, requirement, text, unsigned));
        };
        accepted.push(Accepted {
            policy: loaded.rule.file.clone(),
            scope: loaded.rule.scope.clone(),
            key: key.name.clone(),
            fingerprint: key.fingerprint.clone(),
            signed: reference,
        });
    }
    Ok(accepted)
}

/// Returns the key and the reference of a signature that is valid for the image, or the reason why
/// it is not. Returns `None` if the attachment is not a signature.
fn signature<'a>(
    attached: &Attached,
    keys: &'a [Key],
    signed: &Signed,
    subject: &Subject,
    digest: &Digest,
) -> Option<Result<(&'a Key, Option<String>), String>> {
    if attached.is_bundle() {
        return Some(of_bundle(attached, keys, signed, subject, digest));
    }
    (attached.media_type == SIMPLE_SIGNING).then(|| of_payload(attached, keys, signed, subject, digest))
}

const OTHER_KEY: &str = "a signature was not made by the key";

fn of_payload<'a>(
    attached: &Attached,
    keys: &'a [Key],
    signed: &Signed,
    subject: &Subject,
    digest: &Digest,
) -> Result<(&'a Key, Option<String>), String> {
    let text = attached.annotations.get(SIGNATURE).ok_or("a signature has no annotation with the signature")?;
    let signature = STANDARD.decode(text).map_err(|_| "a signature is not base64")?;
    let key = keys.iter().find(|key| key.has_signed(&attached.payload, &signature, Hash::Sha256)).ok_or(OTHER_KEY)?;
    let payload = payload::parse(&attached.payload).map_err(|why| format!("the signed payload is malformed: {why}"))?;
    if payload.digest != digest.to_string() {
        return Err(format!("a signature is for the digest {}", payload.digest));
    }
    names(&signed.identity, subject, &payload.reference)?;
    Ok((key, Some(payload.reference)))
}

fn of_bundle<'a>(
    attached: &Attached,
    keys: &'a [Key],
    signed: &Signed,
    subject: &Subject,
    digest: &Digest,
) -> Result<(&'a Key, Option<String>), String> {
    let envelope = bundle::envelope(&attached.payload)?;
    let made = |key: &&Key| key.has_signed(&envelope.message, &envelope.signature, Hash::OfKey);
    let key = keys.iter().find(made).ok_or(OTHER_KEY)?;
    let statement = envelope.statement()?;
    let digest = digest.to_string();
    let subjects: Vec<_> = statement.subjects.into_iter().filter(|(of, _)| *of == digest).collect();
    if subjects.is_empty() {
        return Err("a bundle is for another digest".to_owned());
    }
    if signed.identity == Identity::Digest {
        return Ok((key, None));
    }
    let mut why = "a bundle names no reference, so it may be meant for another image".to_owned();
    for name in subjects.into_iter().filter_map(|(_, name)| name) {
        match names(&signed.identity, subject, &name) {
            Ok(()) => return Ok((key, Some(name))),
            Err(other) => why = other,
        }
    }
    Err(why)
}

/// Checks that a signature with this `reference` is valid for the image.
fn names(identity: &Identity, subject: &Subject, reference: &str) -> Result<(), String> {
    let named = Named::parse(reference);
    if *identity == Identity::Digest || named.is_ok_and(|named| identity.accepts(subject.reference.as_ref(), &named)) {
        return Ok(());
    }
    Err(match (subject.reference.is_none(), identity) {
        (true, Identity::Exact | Identity::RepoDigestOrExact | Identity::Repository | Identity::Remap { .. }) => {
            format!(
                "a signature is for {reference:?}, and an image in files has no reference to compare that with (exactReference and exactRepository need none)"
            )
        }
        _ => format!("a signature is for {reference:?}"),
    })
}
