// SPDX-License-Identifier: MIT
//! Updates images and restarts their containers: `sdme-gen update`, `rollback` and `lock`.
//!
//! [`plan`] is pure: it selects the images and containers of an update, and their order. [`check`]
//! asks the sources for digests, and [`rollout`] switches images and restarts containers. Other
//! modules do not depend on this one; they only read the update notes in the store.

pub mod check;
pub mod lock;
pub mod plan;
pub mod rollback;
pub mod rollout;
pub mod snapshot;
mod unfinished;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use serde::Serialize;

use crate::admin::images;
use crate::announce::{About, Event, announce};
use crate::config::values::source::{AutoUpdate, ImageSource};
use crate::image::trust::is_refusal;
use crate::image::{Imported, Store, now};
use crate::model::{Facts, Image, Model};
use crate::runtime::{pull, systemd};
use check::Answer;
use plan::{Rollout, Targets};
use rollout::{Change, Host, Purpose};

/// The options of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The maximum action for any image.
    pub most: AutoUpdate,
    /// Whether the update only reports what it would do.
    pub dry_run: bool,
}

/// The result of an update for one image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImageReport {
    /// The name of the image.
    pub name: String,
    /// The reference of the image.
    pub reference: String,
    /// The manifest digest of the imported version.
    pub current: Option<String>,
    /// The manifest digest that the source names.
    pub latest: Option<String>,
    /// `current`, `available`, `downloaded`, `updated`, `failed`, `not accepted` by the signature
    /// policy, `refused` for a version that failed before and is not retried, `unavailable`,
    /// `skipped` or `not imported`.
    pub status: String,
    /// The reason for the status, unless the status explains itself.
    pub reason: Option<String>,
}

/// The result of an update for one container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ContainerReport {
    /// The name of the container.
    pub name: String,
    /// `updated`, `would update`, `rolled back`, `failed` for a container that runs on neither
    /// version, or `skipped`.
    pub status: String,
    /// The reason for the status, unless the status explains itself.
    pub reason: Option<String>,
}

/// The result of an update.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The images that the update concerns.
    pub images: Vec<ImageReport>,
    /// The containers that were restarted, or would have been.
    pub containers: Vec<ContainerReport>,
}

impl Report {
    /// Whether the update succeeded. A version that failed in an earlier update is not counted as a
    /// failure again.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let images = self
            .images
            .iter()
            .all(|image| !["failed", "not accepted", "unavailable", "skipped"].contains(&image.status.as_str()));
        images && self.containers.iter().all(|one| ["updated", "would update"].contains(&one.status.as_str()))
    }
}

/// The state of one update.
struct Run<'a> {
    model: &'a Model,
    facts: &'a Facts,
    store: &'a Store,
    targets: Targets,
    options: Options,
    report: Report,
}

/// Updates the images and containers of `names`; without names, all those for which `AutoUpdate=`
/// is set.
///
/// # Errors
/// Returns an error if a name is unknown, if another update is running, or if the store cannot be
/// read. Failures of single images and containers are in the report.
pub fn update(names: &[String], options: Options) -> Result<Report> {
    let root = Path::new("/");
    let (model, facts) = crate::runtime::known(root);
    let targets = plan::targets(&model, names).map_err(|message| anyhow!(message))?;
    if let Some(Err(problem)) = &model.lock {
        bail!("{problem}");
    }
    let store = Store::open(root);
    let _lock = store.lock_updates()?;
    let mut run = Run { model: &model, facts: &facts, store: &store, targets, options, report: Report::default() };
    if !options.dry_run {
        unfinished::undo(&store, &model)?;
    }
    run.go()?;
    Ok(run.report)
}

impl Run<'_> {
    fn go(&mut self) -> Result<()> {
        let asked: Vec<&Image> = self
            .targets
            .images
            .iter()
            .filter_map(|(name, policy)| Some((self.model.images.get(name)?, policy)))
            .filter(|(image, policy)| !matches!((&image.source, policy), (ImageSource::Registry(_), AutoUpdate::Local)))
            .map(|(image, _)| image)
            .collect();
        let mut answers = check::ask(self.store, self.model, &asked);
        let mut changes = BTreeMap::new();
        let mut bad = BTreeSet::new();
        for (name, policy) in self.targets.images.clone() {
            let Some(image) = self.model.images.get(&name) else { continue };
            let (report, change) = self.look(image, policy, answers.remove(&name))?;
            if ["unavailable", "not accepted"].contains(&report.status.as_str()) {
                bad.insert(name.clone());
            }
            self.report.images.push(report);
            changes.extend(change.map(|change| (name, change)));
        }
        let to_switch: BTreeSet<String> = changes.keys().cloned().collect();
        let mut stopped = None;
        for part in plan::rollouts(&self.targets.members, &to_switch) {
            self.roll_out(&part, &changes, &bad, &mut stopped)?;
        }
        Ok(())
    }

    /// Compares an image with the answer of its source, and downloads a new version if the policy
    /// says so. Returns the report, and the change to be made.
    fn look(&self, image: &Image, policy: AutoUpdate, answer: Option<Answer>) -> Result<(ImageReport, Option<Change>)> {
        let policy = policy.min(self.options.most);
        let (name, reference) = (image.name.as_str(), image.source.to_string());
        let current = self.store.lookup(name)?.filter(|found| found.image.reference == reference);
        let mut report = ImageReport { name: name.to_owned(), reference: reference.clone(), ..ImageReport::default() };
        let Some(current) = current else {
            "not imported".clone_into(&mut report.status);
            report.reason = Some("the first start imports it".to_owned());
            return Ok((report, None));
        };
        report.current = Some(current.image.manifest.clone());
        let mut updates = self.store.updates(name, &reference);
        let status = |report: &mut ImageReport, status: &str| status.clone_into(&mut report.status);
        let mut shared = None;
        match answer {
            Some(Err(why)) => {
                status(&mut report, "unavailable");
                let about = About { image: name, from: &current.image.manifest, ..About::default() };
                announce(Event::Unavailable, about, &format!("{reference} cannot be checked: {why}"));
                report.reason = Some(why);
                return Ok((report, None));
            }
            Some(Ok(address)) => {
                let digest = address.digest.to_string();
                shared = Some(address.shared().to_string());
                updates.named(&digest, now());
                if !self.options.dry_run {
                    self.store.note_updates(name, &updates)?;
                }
                report.latest = Some(digest);
            }
            None => {}
        }
        let stale = || self.stale(&current);
        let latest = report.latest.clone().filter(|latest| *latest != current.image.manifest);
        let Some(latest) = latest else {
            status(&mut report, "current");
            // The name has this version already; containers that still run on an earlier version
            // are restarted.
            let from = if policy >= AutoUpdate::Local { stale()? } else { None };
            return Ok((report, from.map(|from| Change { image: image.clone(), from, to: current })));
        };
        let about = About { image: name, from: &current.image.manifest, to: &latest, ..About::default() };
        if updates.refused.contains(&latest) {
            status(&mut report, "refused");
            let why = if updates.unaccepted {
                "the signature policy does not accept it; sign the image and run sdme-gen fs pull, or wait for another version"
            } else {
                "it failed, or was rolled back; another version of the source is waited for"
            };
            report.reason = Some(why.to_owned());
            announce(Event::Refused, about, &format!("{reference}: {latest} failed before and is not tried again"));
            return Ok((report, None));
        }
        status(&mut report, "available");
        if policy <= AutoUpdate::Check || self.options.dry_run {
            if !self.options.dry_run {
                announce(Event::Available, about, &format!("{reference}: a new version is available, {latest}"));
            }
            let would = policy > AutoUpdate::Download && self.options.dry_run;
            let change = would.then(|| Change { image: image.clone(), from: current.clone(), to: current.clone() });
            return Ok((report, change));
        }
        let pending = updates.pending.as_ref().and_then(|entry| self.store.version(name, entry).ok());
        let to = match pending.filter(|pending| pending.image.manifest == latest) {
            Some(pending) => pending,
            // If the image has an index, it is fetched by the digest of the index, because that is
            // the digest in sdme.lock.
            None => match pull::fetch(self.store, image, shared.as_ref().unwrap_or(&latest)) {
                Ok(found) => {
                    announce(Event::Downloaded, about, &format!("{reference}: downloaded {latest}"));
                    found
                }
                Err(error) if is_refusal(&error) => {
                    let why = format!("{error:#}");
                    status(&mut report, "not accepted");
                    let mut updates = self.store.updates(name, &reference);
                    updates.refused.insert(latest.clone());
                    self.store.note_updates(name, &updates)?;
                    announce(Event::NotAccepted, about, &format!("{reference}: {latest} is not accepted: {why}"));
                    report.reason = Some(why);
                    return Ok((report, None));
                }
                Err(error) => {
                    let why = format!("{error:#}");
                    status(&mut report, "unavailable");
                    announce(Event::Unavailable, about, &format!("{reference}: {latest} cannot be downloaded: {why}"));
                    report.reason = Some(why);
                    return Ok((report, None));
                }
            },
        };
        status(&mut report, "downloaded");
        let switches = policy > AutoUpdate::Download;
        Ok((report, switches.then(|| Change { image: image.clone(), from: current, to })))
    }

    /// Returns an earlier version of an image that a container still runs on.
    fn stale(&self, current: &Imported) -> Result<Option<Imported>> {
        let running = images::running(Path::new("/"))?;
        let members = running.iter().filter(|(name, _)| self.targets.members.contains_key(*name));
        let entries: BTreeSet<&String> = members.flat_map(|(_, entries)| entries).collect();
        let older = self.store.former_versions(&current.name)?;
        Ok(older.into_iter().find(|version| entries.contains(&version.entry().to_owned())))
    }

    fn roll_out(
        &mut self,
        part: &Rollout,
        changes: &BTreeMap<String, Change>,
        bad: &BTreeSet<String>,
        stopped: &mut Option<String>,
    ) -> Result<()> {
        let needed = part.members.iter().filter_map(|name| self.targets.members.get(name)).flat_map(|m| &m.images);
        let missing = needed.into_iter().find(|image| bad.contains(*image)).cloned();
        let reason = stopped.clone().map(|failed| format!("the update of {failed} failed before"));
        let reason = reason.or(missing.map(|image| format!("the image {image} is unavailable")));
        let reason = reason.or_else(|| self.no_snapshot(part));
        let of_part: Vec<Change> = part.images.iter().filter_map(|name| changes.get(name)).cloned().collect();
        if self.options.dry_run || reason.is_some() {
            let word = if reason.is_some() { "skipped" } else { "would update" };
            for name in &part.members {
                self.container(name, word, reason.clone());
            }
            if reason.is_some() {
                self.images(&part.images, "skipped", reason.as_deref());
            }
            return Ok(());
        }
        // The update uses these versions before a start has requested them, so their pull stamps
        // are written here.
        for change in &of_part {
            pull::set_mark(self.model, &change.image, &change.to);
        }
        let host = Host { store: self.store, model: self.model, facts: self.facts, members: &self.targets.members };
        let outcome = host.run(&of_part, &part.members, Purpose::Update)?;
        for name in &outcome.updated {
            self.container(name, "updated", None);
        }
        match &outcome.failed {
            None => self.images(&part.images, "updated", None),
            Some((failed, why)) => {
                for name in &part.members {
                    let word = if outcome.broken.contains(name) {
                        "failed"
                    } else if name == failed || outcome.returned.contains(name) {
                        "rolled back"
                    } else {
                        "skipped"
                    };
                    let reason =
                        if name == failed { why.to_string() } else { format!("the update of {failed} failed") };
                    self.container(name, word, Some(reason));
                }
                self.images(&part.images, "failed", Some(&why.to_string()));
                *stopped = Some(failed.clone());
            }
        }
        Ok(())
    }

    /// Returns why the volumes of `part` cannot be copied before its containers start on new
    /// versions.
    fn no_snapshot(&self, part: &Rollout) -> Option<String> {
        if self.options.dry_run {
            return None;
        }
        let units = match crate::admin::show::ps::units::read() {
            Ok(units) => units,
            Err(error) => return Some(format!("{error:#}")),
        };
        let known = (self.model, self.facts);
        let problem = snapshot::problem(&part.members, &self.targets.members, known, &units)?;
        let images = part.images.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        announce(Event::NoSnapshot, About { image: &images, ..About::default() }, &problem);
        Some(problem)
    }

    fn container(&mut self, name: &str, status: &str, reason: Option<String>) {
        self.report.containers.push(ContainerReport { name: name.to_owned(), status: status.to_owned(), reason });
    }

    fn images(&mut self, names: &BTreeSet<String>, status: &str, reason: Option<&str>) {
        for report in self.report.images.iter_mut().filter(|report| names.contains(&report.name)) {
            status.clone_into(&mut report.status);
            report.reason = reason.map(str::to_owned);
        }
    }
}

/// Checks that updates are possible on this host.
///
/// # Errors
/// Returns an error if systemd does not run here.
pub fn needs_live() -> Result<()> {
    if systemd::is_live(Path::new("/")) {
        Ok(())
    } else {
        bail!("systemd does not run here; updates restart its units")
    }
}
