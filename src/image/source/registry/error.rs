// SPDX-License-Identifier: MIT
//! Errors that a registry is the cause of. Each has the remedy, if there is one, from the place
//! where the error is found.

use std::fmt;

use anyhow::Error;

/// What to do if the image or the access to it is wrong.
pub const LOG_IN: &str = "correct Image=, or log in to the registry";

/// An error that a registry is the cause of.
#[derive(Debug, Clone)]
pub struct RegistryError {
    /// Who has failed: `the registry`, or the names of the mirrors and of the registry.
    subject: String,
    /// What happened, as the rest of a sentence about the subject: `has no such image`.
    what: String,
    /// The request and the answer, beginning with a colon, or empty.
    request: String,
    remedy: Option<&'static str>,
}

impl RegistryError {
    /// Makes an error without a remedy.
    pub fn new(what: impl Into<String>) -> Self {
        Self { subject: "the registry".to_owned(), what: what.into(), request: String::new(), remedy: None }
    }

    /// The same error with what to do about it.
    pub fn with_remedy(self, remedy: &'static str) -> Self {
        Self { remedy: Some(remedy), ..self }
    }

    /// The same error with the path of the request and the answer to it.
    pub fn with_request(self, path: &str, answer: &str) -> Self {
        Self { request: format!(": {path}: {answer}"), ..self }
    }

    /// The same error without the request, as one of the mirror `host`.
    pub fn of_mirror(self, host: &str) -> Self {
        Self { subject: format!("the mirror {host}"), request: String::new(), ..self }
    }

    /// The same error as one of the registry `host`, with the failures of its mirrors before it,
    /// because the registry is only asked if all mirrors have failed.
    pub fn after(self, mirrors: &[String], host: &str) -> Self {
        Self { subject: format!("{}; {host}", mirrors.join("; ")), ..self }
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.subject, self.what, self.request)
    }
}

impl std::error::Error for RegistryError {}

/// Makes an error without a remedy: `what` is the rest of a sentence about the registry.
pub fn said(what: impl Into<String>) -> Error {
    Error::new(RegistryError::new(what))
}

/// Returns the error of a registry among the causes of `error`.
pub fn of(error: &Error) -> Option<&RegistryError> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// Returns the remedy for an error of a registry. Returns `None` for other errors and if there is
/// no remedy.
#[must_use]
pub fn remedy(error: &Error) -> Option<&'static str> {
    of(error)?.remedy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_remedy_behind_contexts_and_mirrors() {
        let missing = RegistryError::new("has no such image").with_request("/v2/a", "404").with_remedy(LOG_IN);
        let mirror = missing.clone().of_mirror("near").to_string();
        let error = Error::new(missing.after(&[mirror], "far")).context("fetching");
        assert_eq!(
            format!("{error:#}"),
            "fetching: the mirror near has no such image; far has no such image: /v2/a: 404"
        );
        assert_eq!(remedy(&error), Some(LOG_IN));
        assert_eq!(remedy(&said("sent nothing")), None);
        assert_eq!(remedy(&anyhow::anyhow!("the registry has no such image")), None);
    }
}
