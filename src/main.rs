// SPDX-License-Identifier: MIT
//! The command line tool.

use std::process::ExitCode;

fn main() -> ExitCode {
    sdme_gen::cli::run()
}
