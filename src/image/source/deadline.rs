// SPDX-License-Identifier: MIT
//! The time limit of an import: `ImportTimeout=`.

use std::io;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::config::values::access::ImportTimeout;
use crate::diag::Fault;

/// The time at which an import has to end. There is none unless the administrator has set one.
#[derive(Debug, Clone, Copy)]
pub struct Deadline<'a> {
    end: Option<(&'a ImportTimeout, Instant)>,
}

impl<'a> Deadline<'a> {
    /// Returns the deadline of an import that starts now.
    #[must_use]
    pub fn from_now(timeout: Option<&'a ImportTimeout>) -> Self {
        let end = |timeout: &'a ImportTimeout| {
            Some((timeout, Instant::now().checked_add(Duration::from_millis(timeout.milliseconds))?))
        };
        Self { end: timeout.and_then(end) }
    }

    /// Checks that the deadline has not passed.
    ///
    /// # Errors
    /// Returns an error if the deadline has passed.
    pub fn check(self) -> io::Result<()> {
        match self.end {
            Some((timeout, end)) if Instant::now() >= end => Err(io::Error::other(fault(timeout))),
            _ => Ok(()),
        }
    }

    /// Waits for `answer` until the deadline.
    ///
    /// # Errors
    /// Returns an error if the deadline passes first, and the errors of `answer`.
    pub async fn wait<T>(self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        match self.end {
            Some((timeout, end)) => {
                let waited = tokio::time::timeout_at(end.into(), answer).await;
                waited.unwrap_or_else(|_| Err(fault(timeout).into()))
            }
            None => answer.await,
        }
    }
}

fn fault(timeout: &ImportTimeout) -> Fault {
    let cause = format!("importing took longer than ImportTimeout={}, {}", timeout.written, timeout.at);
    Fault::new(cause, "set a longer time there")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::values::access;
    use crate::diag::{Location, Spanned};

    #[test]
    fn reads_and_waits_end_at_the_deadline() {
        let at = Location::new(&"/etc/sdme/sdme.conf".into(), 2);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let read = |value| {
            access::ImportTimeout::of(Spanned { value: access::import_timeout(value).unwrap(), at: at.clone() })
        };
        let short = read("20ms");
        let deadline = Deadline::from_now(short.as_ref());
        deadline.check().unwrap();
        let never = std::future::pending::<Result<()>>();
        let error = runtime.block_on(deadline.wait(never)).unwrap_err().to_string();
        let want = "importing took longer than ImportTimeout=20ms, /etc/sdme/sdme.conf:2; set a longer time there";
        assert_eq!(error, want);
        assert_eq!(deadline.check().unwrap_err().to_string(), want);
        for off in ["0", "infinity"] {
            assert_eq!(read(off), None);
        }
        Deadline::from_now(None).check().unwrap();
        assert!(
            access::import_timeout("soon").unwrap_err().fault.cause.starts_with("ImportTimeout=soon is not a time")
        );
    }
}
