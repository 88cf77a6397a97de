// SPDX-License-Identifier: MIT
//! Reports the progress of an import.
//!
//! Progress is a trait, so that the journal gets plain lines, a terminal gets progress bars, and
//! tests get nothing. An import must behave identically for all implementations.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::text;

/// Receives the progress of an import. Downloads report from their own thread.
pub trait Progress: Sync {
    /// Reports that a step has begun or ended, as a sentence without a full stop.
    fn message(&self, text: &str);

    /// Reports a problem that the administrator should know about and that does not stop the
    /// import.
    fn warning(&self, text: &str) {
        self.message(&format!("warning: {text}"));
    }

    /// Reports that `done` of `total` bytes of `what` (a shortened digest) were transferred. Called
    /// often; `done == total` exactly once, at the end.
    fn transfer(&self, what: &str, done: u64, total: u64);

    /// Reports that `done` of `total` stored bytes of the layer `what` were unpacked. Called often;
    /// `done == total` at the end.
    fn unpacking(&self, _what: &str, _done: u64, _total: u64) {}
}

/// Returns progress bars if standard error is a terminal, plain lines otherwise.
#[must_use]
pub fn shown() -> Box<dyn Progress> {
    if std::io::stderr().is_terminal() { Box::new(Bars::default()) } else { Box::new(Lines::default()) }
}

/// Discards all reports.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn message(&self, _text: &str) {}
    fn transfer(&self, _what: &str, _done: u64, _total: u64) {}
}

/// Writes plain lines to standard error, for the journal and for pipes. A large transfer is
/// reported at each quarter, a small one not at all.
#[derive(Debug, Default)]
pub struct Lines {
    /// The last reported transfer, and the number of its quarters that were reported.
    shown: Mutex<(String, u64)>,
}

/// Transfers smaller than this number of bytes are not reported.
const QUIET_BELOW: u64 = 8 << 20;

impl Progress for Lines {
    fn message(&self, text: &str) {
        // If standard error is closed, the report is lost, and the import continues.
        let _ = writeln!(std::io::stderr().lock(), "{}", text::line(text));
    }

    fn transfer(&self, what: &str, done: u64, total: u64) {
        if total < QUIET_BELOW {
            return;
        }
        let quarter = (u128::from(done) * 4 / u128::from(total)).min(4) as u64;
        let Ok(mut shown) = self.shown.lock() else { return };
        if shown.0 != what {
            *shown = (what.to_owned(), 0);
        }
        if quarter > shown.1 {
            shown.1 = quarter;
            self.message(&format!("{what}: {}% of {} MiB", quarter * 25, total >> 20));
        }
    }
}

/// Shows a progress bar for each transfer on the terminal of standard error. Messages scroll above
/// the bars.
#[derive(Debug, Default)]
pub struct Bars {
    all: MultiProgress,
    known: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    fn set(&self, what: String, done: u64, total: u64) {
        let Ok(mut known) = self.known.lock() else { return };
        if done >= total {
            if let Some(bar) = known.remove(&what) {
                bar.finish_and_clear();
                self.all.remove(&bar);
            }
            return;
        }
        let bar = known.entry(what).or_insert_with_key(|what| {
            let style = ProgressStyle::with_template("{prefix:27} [{wide_bar}] {bytes} of {total_bytes}, {eta}");
            let bar = ProgressBar::new(total).with_prefix(text::line(what));
            // Only an invalid template could fail here, and this template is valid.
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            self.all.add(bar)
        });
        bar.set_position(done);
    }
}

impl Progress for Bars {
    fn message(&self, text: &str) {
        // If standard error is closed, the report is lost, and the import continues.
        let _ = self.all.println(text::line(text));
    }

    fn transfer(&self, what: &str, done: u64, total: u64) {
        self.set(format!("fetching {what}"), done, total);
    }

    fn unpacking(&self, what: &str, done: u64, total: u64) {
        self.set(format!("unpacking {what}"), done, total);
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // Unfinished bars are removed, because the error message follows that explains them.
        let _ = self.all.clear();
    }
}
