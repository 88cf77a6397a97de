// SPDX-License-Identifier: MIT
//! `sdme-gen cp`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::admin::copy::{self, Options, Place};
use crate::text;

/// What to copy.
#[allow(clippy::doc_markdown, reason = "these texts are shown by --help")]
#[derive(Debug, Args)]
pub struct Arguments {
    /// Application, if the container has several
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
    /// Owner of the copies in the container: a user of the image (default: the owner on the host, by number)
    #[arg(long, value_name = "USER[:GROUP]")]
    chown: Option<String>,
    /// File or directory to copy: a path of the host, or NAME:/PATH. With /. at the end, only what is in the directory
    #[arg(value_name = "SOURCE")]
    from: String,
    /// Existing directory to copy into, or the new name: a path of the host, or NAME:/PATH
    #[arg(value_name = "TARGET")]
    to: String,
}

/// Copies, and lists on standard error the files that were left out.
///
/// # Errors
/// As for [`copy::copy`].
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let options = Options { app: arguments.app.as_deref(), owner: arguments.chown.as_deref() };
    for line in copy::copy(&Place::parse(&arguments.from), &Place::parse(&arguments.to), options)? {
        eprintln!("sdme-gen: {}", text::line(&line));
    }
    Ok(ExitCode::SUCCESS)
}
