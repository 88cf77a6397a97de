// SPDX-License-Identifier: MIT
//! The systemd generator (systemd.generator(7)): compiles the configuration into its output
//! directory, and keeps the units of running containers, pods and networks. It reads nothing else
//! and starts no process. The exit status is 0, unless the command line is invalid or a unit cannot
//! be written.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sdme_gen::output::emit::emit;
use sdme_gen::search::{SearchPath, search};
use sdme_gen::started;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let ([directory] | [directory, _, _]) = arguments.as_slice() else {
        eprintln!("usage: sdme-generator NORMAL-DIR [EARLY-DIR LATE-DIR]; systemd runs this at boot and reload");
        return ExitCode::from(2);
    };
    if std::env::var_os("SYSTEMD_IN_INITRD").is_some_and(|v| v == "1") {
        return ExitCode::SUCCESS;
    }
    let root = Path::new("/");
    let sources = search(&SearchPath::from_environment(root));
    let compiled = sdme_gen::compile_units(&sources, &started::read(root));
    for diagnostic in &compiled.diagnostics {
        let level = if diagnostic.severity == sdme_gen::diag::Severity::Error { 3 } else { 4 };
        log(level, diagnostic);
    }
    if let Err(failed) = emit(&compiled.tree, directory) {
        for (path, error) in failed {
            log(3, format_args!("cannot write {}: {error}", path.display()));
        }
        return ExitCode::FAILURE;
    }
    // The process ends here, so that freeing thousands of small allocations would only take time.
    std::mem::forget((sources, compiled));
    ExitCode::SUCCESS
}

/// Writes a line to the kernel log, because generators run before the journal accepts messages. If
/// the generator is run by hand, or there is no kernel log, the line goes to standard error.
fn log(level: u8, message: impl Display) {
    let by_systemd = std::env::var_os("SYSTEMD_SCOPE").is_some();
    let line = format!("<{level}>sdme-generator[{}]: {message}\n", std::process::id());
    // Each write is one record, and the kernel refuses a record that is too long (kernel/printk,
    // LOG_LINE_MAX).
    let short: String = line.chars().take(900).collect();
    // The file is opened again for each line, because the kernel accepts only ten lines in five
    // seconds from each open file.
    let sent = by_systemd
        && OpenOptions::new()
            .write(true)
            .open("/dev/kmsg")
            .is_ok_and(|mut kmsg| kmsg.write_all(short.as_bytes()).is_ok());
    if !sent {
        eprintln!("{message}");
    }
}
