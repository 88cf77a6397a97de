// SPDX-License-Identifier: MIT
//! `sdme-gen export kube`: converts the configuration to Kubernetes manifests.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};

use super::beside::{self, CREDENTIALS, below};
use super::project::LOST;
use crate::admin::write::credentials;
use crate::cli::print::print_json;
use crate::compile;
use crate::export::kube::{HEAD, Kind, Outside, Request, export};
use crate::model::Facts;
use crate::search::{SearchPath, search};
use crate::text;

/// Maximum size in bytes of a file that becomes a part of a ConfigMap.
const LARGEST: u64 = 900 << 10;

/// To what to export.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Convert to Kubernetes objects; exit with 3 if something was lost
    Kube(Options),
}

/// The object that a workload becomes.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Wanted {
    /// StatefulSet for a pod with volumes that no other pod uses, otherwise Deployment
    Auto,
    /// Pod
    Pod,
    /// Deployment
    Deployment,
    /// StatefulSet
    Statefulset,
    /// DaemonSet
    Daemonset,
}

/// What to export, and how.
// An option without a value is a boolean.
#[allow(clippy::struct_excessive_bools, clippy::doc_markdown, reason = "these texts are shown by --help")]
#[derive(Debug, Args)]
pub struct Options {
    /// Names of pods and containers (default: all)
    names: Vec<String>,
    /// Kind of object for each pod; a job becomes a Job, and with a timer a CronJob
    #[arg(long, value_enum, default_value = "auto", value_name = "KIND")]
    kind: Wanted,
    /// Namespace to write into the objects
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Directory to write a file for each workload to (default: all of them on standard output)
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write the values of credentials (default: Secrets without values)
    #[arg(long)]
    with_secrets: bool,
    /// Mount paths of the host as paths of each node
    #[arg(long)]
    host_paths: bool,
    /// Publish ports outside of 30000-32767 by load balancers
    #[arg(long)]
    load_balancer: bool,
    /// Print the objects and losses as JSON
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

/// Access to the files of this machine, or of the system below another directory.
struct Machine<'a> {
    root: &'a Path,
}

impl Outside for Machine<'_> {
    fn file(&self, path: &str) -> Option<Vec<u8>> {
        let metadata = fs::metadata(below(self.root, path)).ok()?;
        if !metadata.is_file() || metadata.len() > LARGEST {
            return None;
        }
        let mut bytes = Vec::new();
        File::open(below(self.root, path)).ok()?.take(LARGEST).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    fn directory(&self, path: &str) -> Option<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(below(self.root, path)).ok()? {
            let entry = entry.ok()?;
            let metadata = fs::metadata(entry.path()).ok()?;
            if !metadata.is_file() {
                return None;
            }
            names.push(entry.file_name().into_string().ok()?);
        }
        names.sort();
        Some(names)
    }

    fn credential(&self, name: &str) -> Option<Vec<u8>> {
        let plain = fs::read(below(self.root, &format!("{CREDENTIALS}/{name}"))).ok();
        let encrypted = || credentials::decrypt(name, &below(self.root, &format!("{}/{name}", beside::ENCRYPTED)));
        plain.or_else(encrypted)
    }

    fn timers(&self) -> Vec<(String, String)> {
        let directory = beside::UNITS;
        let entries = fs::read_dir(below(self.root, directory)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| name.ends_with(".timer"));
        names.sort();
        let text = |name: String| {
            let path = format!("{directory}/{name}");
            Some((path.clone(), fs::read_to_string(below(self.root, &path)).ok()?))
        };
        names.into_iter().filter_map(text).collect()
    }
}

/// Exports, and lists the losses on standard error.
///
/// # Errors
/// A name is unknown, a file has an error, or the objects cannot be written.
pub fn run(verb: &Verb, root: &Path, out: &mut dyn Write) -> Result<ExitCode> {
    let Verb::Kube(options) = verb;
    if let Some(namespace) = &options.namespace {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if namespace.is_empty() || namespace.len() > 63 || !namespace.chars().all(plain) {
            bail!("{namespace:?} is no namespace; write up to 63 small letters, digits and hyphens");
        }
    }
    let request = Request {
        names: options.names.clone(),
        kind: match options.kind {
            Wanted::Auto => Kind::Auto,
            Wanted::Pod => Kind::Pod,
            Wanted::Deployment => Kind::Deployment,
            Wanted::Statefulset => Kind::StatefulSet,
            Wanted::Daemonset => Kind::DaemonSet,
        },
        namespace: options.namespace.clone(),
        with_secrets: options.with_secrets,
        host_paths: options.host_paths,
        load_balancer: options.load_balancer,
    };
    let sources = search(&SearchPath::from_environment(root));
    let compiled = compile(&sources, &Facts::default());
    let exported = export(&sources, &compiled.model, &Machine { root }, &request)
        .map_err(|problems| anyhow!("nothing was exported\n{}", problems.join("\n")))?;
    if options.json {
        let lost: Vec<String> = exported.lost.iter().map(ToString::to_string).collect();
        let document = serde_json::json!({"files": exported.files, "lost": lost, "remarks": exported.remarks});
        print_json(&document, out)?;
    } else {
        for line in exported.lost.iter().map(ToString::to_string).chain(exported.remarks.iter().cloned()) {
            eprintln!("{}", text::line(&line));
        }
        let mut texts = Vec::new();
        for name in exported.files.keys() {
            texts.push((format!("{name}.yaml"), exported.text(name).map_err(|message| anyhow!(message))?));
        }
        match &options.output {
            None => texts.iter().try_for_each(|(_, text)| write!(out, "{}", text::lines(text)))?,
            Some(directory) => write(directory, &texts, options.with_secrets, out)?,
        }
    }
    Ok(if exported.lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(LOST) })
}

/// Writes the files, unless one of them exists and was not written by an export.
fn write(directory: &Path, texts: &[(String, String)], secret: bool, out: &mut dyn Write) -> Result<()> {
    let shown = |name: &str| directory.join(name).display().to_string();
    for (name, _) in texts {
        match fs::read_to_string(directory.join(name)) {
            Ok(present) if present.starts_with(&format!("# {HEAD}")) => {}
            Ok(_) => bail!("{}: somebody else wrote this file; move it, or choose another --output", shown(name)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", shown(name))),
        }
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    for (name, text) in texts {
        let path = directory.join(name);
        let place = path.with_extension("yaml.new");
        let written = || {
            use std::os::unix::fs::OpenOptionsExt as _;
            let _ = fs::remove_file(&place);
            let mode = if secret { 0o600 } else { 0o644 };
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&place)?;
            file.write_all(text.as_bytes())?;
            fs::rename(&place, &path)
        };
        written().with_context(|| format!("cannot write {}", shown(name)))?;
        writeln!(out, "write {}", text::line(&shown(name)))?;
    }
    Ok(())
}
