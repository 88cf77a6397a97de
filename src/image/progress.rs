// SPDX-License-Identifier: MIT
//! How an import tells what it is doing.
//!
//! A trait, so that the journal gets plain lines, a terminal gets bars, and tests get nothing. Must not decide
//! anything: an import behaves the same whoever listens.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::text;

/// Where an import reports what it does. Downloads report from a thread of their own.
pub trait Progress: Sync {
    /// One step begun or finished, as a sentence without a full stop.
    fn message(&self, text: &str);

    /// Something the administrator should know about, which does not stop the import.
    fn warning(&self, text: &str) {
        self.message(&format!("warning: {text}"));
    }

    /// `done` of `total` bytes of `what` (a shortened digest). Called often; `done == total` exactly once at the end.
    fn transfer(&self, what: &str, done: u64, total: u64);

    /// `done` of `total` stored bytes of the layer `what` are unpacked. Called often; `done == total` at the end.
    fn unpacking(&self, _what: &str, _done: u64, _total: u64) {}
}

/// Bars if standard error is a terminal, else plain lines.
#[must_use]
pub fn shown() -> Box<dyn Progress> {
    if std::io::stderr().is_terminal() { Box::new(Bars::default()) } else { Box::new(Lines::default()) }
}

/// Reports nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn message(&self, _text: &str) {}
    fn transfer(&self, _what: &str, _done: u64, _total: u64) {}
}

/// Plain lines on standard error, for the journal and for pipes: a transfer is shown at each quarter, and only when
/// it is large enough to be waited for.
#[derive(Debug, Default)]
pub struct Lines {
    /// The transfer shown last and how many quarters of it were announced.
    shown: Mutex<(String, u64)>,
}

/// Transfers below this size are not worth a line in the journal.
const QUIET_BELOW: u64 = 8 << 20;

impl Progress for Lines {
    fn message(&self, text: &str) {
        // Nothing sensible is left to do when standard error is gone; the import itself must go on.
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

/// A bar for everything that is going on, on the terminal that standard error is; messages scroll above them.
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
            // The only error would be one of the template.
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            self.all.add(bar)
        });
        bar.set_position(done);
    }
}

impl Progress for Bars {
    fn message(&self, text: &str) {
        // As for lines.
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
        // What comes next is the reason for those that did not get to their end.
        let _ = self.all.clear();
    }
}
