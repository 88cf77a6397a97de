// SPDX-License-Identifier: MIT
//! The keys `ReloadCmd=` and `ReloadSignal=`: the action of `systemctl reload`. Pure.

use crate::config::keys::key;
use crate::config::reader::Reader;
use crate::config::settings::Settings;
use crate::config::values;
use crate::diag::{Code, Diagnostic};
use crate::model::Reload;

/// Reads the keys of one application. They exclude each other.
pub fn reload(settings: &Settings, problems: &mut Vec<Diagnostic>) -> Option<Reload> {
    let mut reader = Reader::new(settings, "Container", problems);
    let command = reader.command(key::RELOAD_CMD).map(Reload::Command);
    if command.is_some() {
        let problem =
            Code::Combination.problem("ReloadSignal= and ReloadCmd= cannot both be set", "remove one of them");
        reader.reject(key::RELOAD_SIGNAL, problem);
    }
    let signal = reader.value(key::RELOAD_SIGNAL, |value| {
        let wrong = || Code::Signal.problem(format!("ReloadSignal={value} is not a signal"), "write SIGHUP or HUP");
        values::signal(value).map(Reload::Signal).ok_or_else(wrong)
    });
    command.or(signal)
}
