// SPDX-License-Identifier: MIT
//! Images that keep themselves current: `sdme-gen update`, `rollback` and `lock`.
//!
//! [`plan`] is pure: which images and containers are concerned, and in which order. [`check`] asks sources for digests, [`rollout`]
//! switches and restarts. Uses the store and what runs on the host; nothing there knows about updates but the note in the store.

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

/// What is to be done at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The most that is done about any image.
    pub most: AutoUpdate,
    /// Says what would be done, and changes nothing.
    pub dry_run: bool,
}

/// An image and what was found out about it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImageReport {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub reference: String,
    /// The digest that it stands for.
    pub current: Option<String>,
    /// The digest that its source names.
    pub latest: Option<String>,
    /// `current`, `available`, `downloaded`, `updated`, `failed`, `not accepted` by the signature policy, `refused` for a version that
    /// is not tried again, `unavailable`, `skipped` or `not imported`.
    pub status: String,
    /// Why, where that is not plain.
    pub reason: Option<String>,
}

/// A container and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ContainerReport {
    /// Its name.
    pub name: String,
    /// `updated`, `would update`, `rolled back`, `failed` for one that runs on neither version, or `skipped`.
    pub status: String,
    /// Why, where that is not plain.
    pub reason: Option<String>,
}

/// What an update came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Images.
    pub images: Vec<ImageReport>,
    /// Containers that were, or would have been, restarted.
    pub containers: Vec<ContainerReport>,
}

impl Report {
    /// Whether everything went as it should. A version that failed before is no new failure.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let images = self
            .images
            .iter()
            .all(|image| !["failed", "not accepted", "unavailable", "skipped"].contains(&image.status.as_str()));
        images && self.containers.iter().all(|one| ["updated", "would update"].contains(&one.status.as_str()))
    }
}

/// Everything that one run needs.
struct Run<'a> {
    model: &'a Model,
    facts: &'a Facts,
    store: &'a Store,
    targets: Targets,
    options: Options,
    report: Report,
}

/// Updates what `names` name, or all that `AutoUpdate=` asks for.
///
/// # Errors
/// There is nothing of a name, another update is running, or the store cannot be read. What goes wrong with single images and
/// containers is in the report.
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

    /// Compares an image with the answer of its source, and has a new version downloaded if that is asked for. Gives the change
    /// that is to be made.
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
            // What runs on an earlier version than the name stands for is restarted on this one.
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
            // By the digest of the index if there is one, which sdme.lock takes.
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

    /// An earlier version of an image that a container still runs on.
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
        // Versions that are used without a start that asks for them.
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
                    let reason = if name == failed { why.clone() } else { format!("the update of {failed} failed") };
                    self.container(name, word, Some(reason));
                }
                self.images(&part.images, "failed", Some(why));
                *stopped = Some(failed.clone());
            }
        }
        Ok(())
    }

    /// Why the volumes cannot be copied that are to be before the containers of `part` start on new versions.
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

/// Whether the host is one on which updates can be made.
///
/// # Errors
/// systemd does not run here.
pub fn needs_live() -> Result<()> {
    if systemd::is_live(Path::new("/")) {
        Ok(())
    } else {
        bail!("systemd does not run here; updates restart its units")
    }
}
