// SPDX-License-Identifier: MIT
//! `ReloadCmd=` and `ReloadSignal=`: what `systemctl reload` does. Pure.

use crate::config::settings::Settings;
use crate::config::values;
use crate::diag::{Code, Diagnostic};

/// What an application is told to reload its configuration by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// A command beside it.
    Command(Vec<String>),
    /// A signal, in systemctl's spelling.
    Signal(String),
}

/// Reads the keys of one application, which exclude each other.
pub fn reload(settings: &Settings, problems: &mut Vec<Diagnostic>) -> Option<Reload> {
    let command: Vec<String> = settings.words("Container", "ReloadCmd").into_iter().map(|word| word.value).collect();
    let command = (!command.is_empty()).then_some(Reload::Command(command));
    let Some(signal) = settings.text("Container", "ReloadSignal") else { return command };
    if command.is_some() {
        problems.push(Diagnostic::error(
            &signal.at,
            Code::Combination.problem("ReloadSignal= and ReloadCmd= exclude each other; remove one"),
        ));
    }
    let name = values::signal(signal.value);
    if name.is_none() {
        let message = format!("ReloadSignal={} is not a signal; write SIGHUP or HUP", signal.value);
        problems.push(Diagnostic::error(&signal.at, Code::Signal.problem(message)));
    }
    name.map(Reload::Signal)
}
