// SPDX-License-Identifier: MIT
//! Switches images to other versions, restarts what runs on them, one container after the other, and goes back when one fails.
//!
//! What is about to happen is noted first, and each image is switched by the rename of one link, so that a power cut leaves every
//! container on one of the two versions. An unfinished switch is undone by the next start ([`Store::undo_unfinished`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use super::plan::Member;
use super::{lock, snapshot};
use crate::admin::images;
use crate::admin::show::ps;
use crate::admin::show::ps::units;
use crate::admin::show::ps::units::Units;
use crate::announce::{About, Event, announce};
use crate::cause;
use crate::image::{Imported, Store, Switch, Updates};
use crate::model::{Container, Facts, Image, Model};
use crate::runtime::volumes::snapshots;
use crate::runtime::{failure, systemd};

/// Time between two looks at a container that was restarted.
const LOOK: Duration = Duration::from_millis(250);

/// An image to be switched.
#[derive(Debug, Clone)]
pub struct Change {
    /// The image.
    pub image: Image,
    /// The version of before.
    pub from: Imported,
    /// The version of after.
    pub to: Imported,
}

/// What a rollout came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Containers that run on the new versions.
    pub updated: Vec<String>,
    /// The container that failed, and why.
    pub failed: Option<(String, String)>,
    /// Containers that ran on the new versions and are back on the former ones.
    pub returned: Vec<String>,
    /// Containers that run on neither version.
    pub broken: Vec<String>,
}

/// Everything that rollouts have in common.
#[derive(Debug)]
pub struct Host<'a> {
    /// The store.
    pub store: &'a Store,
    /// The configuration.
    pub model: &'a Model,
    /// What is known about this machine.
    pub facts: &'a Facts,
    /// The containers that may be restarted.
    pub members: &'a BTreeMap<String, Member>,
}

/// Why the digests of a rollout are not to be tried again, if it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To use what the sources name now.
    Update,
    /// To go back to a former version.
    Rollback,
}

fn digests(changes: &[&Change]) -> (String, String) {
    let all = |version: fn(&Change) -> &Imported| {
        changes.iter().map(|change| version(change).image.manifest.as_str()).collect::<Vec<_>>().join(" ")
    };
    (all(|change| &change.from), all(|change| &change.to))
}

fn names(changes: &[&Change]) -> String {
    changes.iter().map(|change| change.image.name.as_str()).collect::<Vec<_>>().join(" ")
}

impl Host<'_> {
    fn updates(&self, change: &Change) -> Updates {
        self.store.updates(&change.image.name, &change.image.source.to_string())
    }

    /// Switches images and restarts `members` in this order.
    ///
    /// # Errors
    /// The switch cannot be noted or made. Nothing was restarted then.
    pub fn run(&self, changes: &[Change], members: &[String], purpose: Purpose) -> Result<Outcome> {
        let all: Vec<&Change> = changes.iter().collect();
        let running = units::read()?;
        let volumes: BTreeSet<String> = members.iter().flat_map(|name| self.copied(name)).collect();
        for change in changes {
            let mut updates = self.updates(change);
            updates.switch = Some(Switch {
                from: change.from.entry().to_owned(),
                to: change.to.entry().to_owned(),
                volumes: volumes.clone(),
            });
            if purpose == Purpose::Rollback {
                updates.refused.insert(change.from.image.manifest.clone());
            }
            self.store.note_updates(&change.image.name, &updates)?;
        }
        if let Err(error) = self.link(changes, |change| &change.to) {
            self.back(changes).context("cannot go back to the former versions")?;
            return Err(error);
        }
        let (from, to) = digests(&all);
        let text = format!("switched {} to {to}", names(&all));
        announce(Event::Switched, About { image: &names(&all), from: &from, to: &to, ..About::default() }, &text);
        let mut outcome = Outcome::default();
        let mut touched = Vec::new();
        for (index, name) in members.iter().enumerate() {
            let own: Vec<&Change> = self.changes_of(name, changes);
            let later = members.get(index + 1..).unwrap_or_default();
            match self.advance(name, &own, later, &running, &mut touched) {
                Ok(false) => {}
                Ok(true) => {
                    let (from, to) = digests(&own);
                    let about = About { image: &names(&own), container: name, from: &from, to: &to };
                    let (event, what) = match purpose {
                        Purpose::Update => (Event::Updated, "was updated and"),
                        Purpose::Rollback => (Event::RolledBack, "was rolled back and"),
                    };
                    announce(event, about, &format!("{name} {what} runs on {to}"));
                    outcome.updated.push(name.clone());
                }
                Err(error) => {
                    let why = format!("{error:#}");
                    let (from, to) = digests(&own);
                    let about = About { image: &names(&own), container: name, from: &from, to: &to };
                    announce(Event::Failed, about, &format!("{name} does not run on {to}: {why}"));
                    outcome.failed = Some((name.clone(), why));
                    break;
                }
            }
        }
        match (outcome.failed.clone(), purpose) {
            (Some((failed, _)), Purpose::Update) => self.undo(changes, &failed, &touched, &volumes, &mut outcome)?,
            (Some((failed, _)), Purpose::Rollback) => {
                outcome.broken.push(failed);
                self.finish(changes, false)?;
            }
            (None, purpose) => self.finish(changes, purpose == Purpose::Update)?,
        }
        snapshots::forget(&volumes);
        Ok(outcome)
    }

    fn copied(&self, name: &str) -> BTreeSet<String> {
        snapshot::copied(name, self.members, (self.model, self.facts))
    }

    /// Stops what runs of `later` and shares a volume with a container that is about to start: nothing may change the volume while
    /// it is copied. Each of them is started in its turn.
    fn part(&self, name: &str, later: &[String], before: &Units, touched: &mut Vec<String>) -> Result<()> {
        let copied = self.copied(name);
        let shares = |other: &&String| !snapshot::mounted(other, (self.model, self.facts)).is_disjoint(&copied);
        let runs = |other: &&String| before.get(&Container::unit(other)).is_some_and(units::Unit::is_active);
        let others: Vec<&String> = later.iter().filter(runs).filter(shares).collect();
        touched.extend(others.iter().map(|other| (*other).clone()));
        stop(&others.iter().map(|other| Container::unit(other)).collect())
    }

    /// The changes that concern a container.
    fn changes_of<'a>(&self, name: &str, changes: &'a [Change]) -> Vec<&'a Change> {
        let images: BTreeSet<&str> = match self.model.containers.get(name) {
            Some(container) => crate::plan::images(container, self.model).into_iter().collect(),
            None => BTreeSet::new(),
        };
        changes.iter().filter(|change| images.contains(change.image.name.as_str())).collect()
    }

    /// Links all images to one of their versions.
    fn link(&self, changes: &[Change], version: fn(&Change) -> &Imported) -> Result<()> {
        changes.iter().try_for_each(|change| self.store.switch(&change.image.name, version(change).entry()))
    }

    /// Ends the switch: what it replaced is what a rollback goes to.
    fn finish(&self, changes: &[Change], is_update: bool) -> Result<()> {
        // Until here, starts use what is linked, whatever sdme.lock says, because the switch is noted.
        lock::follow(self.model, changes.iter().map(|change| (&change.image, &change.to)))?;
        for change in changes {
            let mut updates = self.updates(change);
            updates.switch = None;
            updates.pending = updates.pending.filter(|entry| entry != change.to.entry());
            updates.former = is_update.then(|| change.from.entry().to_owned());
            self.store.note_updates(&change.image.name, &updates)?;
            if let Err(error) = images::retire(Path::new("/"), &change.image.name) {
                eprintln!("sdme-gen: former versions of {} are left for sdme-gen prune: {error:#}", change.image.name);
            }
        }
        Ok(())
    }

    /// Links the former versions again and ends the switch.
    fn back(&self, changes: &[Change]) -> Result<()> {
        self.link(changes, |change| &change.from)?;
        for change in changes {
            let mut updates = self.updates(change);
            updates.switch = None;
            self.store.note_updates(&change.image.name, &updates)?;
        }
        Ok(())
    }

    /// Restarts a container that runs on an earlier version, and waits until it has passed its checks. Says whether it was
    /// one that runs.
    fn advance(
        &self,
        name: &str,
        changes: &[&Change],
        later: &[String],
        before: &Units,
        touched: &mut Vec<String>,
    ) -> Result<bool> {
        let unit = Container::unit(name);
        if before.get(&unit).is_none_or(|unit| unit.word(false) != "running") {
            return Ok(false);
        }
        let wanted: BTreeSet<&str> = changes.iter().map(|change| change.to.entry()).collect();
        let runs_on = images::running(Path::new("/"))?.remove(name).unwrap_or_default();
        touched.push(name.to_owned());
        if !wanted.iter().all(|entry| runs_on.contains(*entry)) {
            self.part(name, later, before, touched)?;
            restart(&unit)?;
        }
        let time = self.members.get(name).map_or(0, |member| member.settle);
        let on_demand = self.model.pods.get(name).is_some_and(|pod| pod.wanted.on_demand);
        settle(name, Duration::from_millis(time), on_demand)?;
        Ok(true)
    }

    /// Goes back to the former versions after `failed` has failed, and restarts what ran on the new ones. Volumes that were copied are
    /// put back by these starts.
    fn undo(
        &self,
        changes: &[Change],
        failed: &str,
        touched: &[String],
        volumes: &BTreeSet<String>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        // A version is not to blame if a volume could not be copied before it was started.
        let is_tried = cause::of(&Container::unit(failed)).is_none_or(|cause| cause.word != failure::NO_SNAPSHOT);
        let guilty = if is_tried { self.changes_of(failed, changes) } else { Vec::new() };
        for change in &guilty {
            let mut updates = self.updates(change);
            updates.refused.insert(change.to.image.manifest.clone());
            updates.pending = None;
            self.store.note_updates(&change.image.name, &updates)?;
        }
        self.link(changes, |change| &change.from)?;
        snapshots::give_back(volumes)?;
        outcome.updated.clear();
        let mut back: Vec<&str> = vec![failed];
        for name in touched.iter().map(String::as_str) {
            if !back.contains(&name) {
                back.push(name);
            }
        }
        let uses = |name: &&&str| !snapshot::mounted(name, (self.model, self.facts)).is_disjoint(volumes);
        let stopped = back.iter().filter(uses).map(|name| Container::unit(name)).collect();
        if let Err(error) = stop(&stopped) {
            // The starts below tell what comes of that.
            eprintln!("sdme-gen: {error:#}");
        }
        for name in back.into_iter().map(str::to_owned) {
            let own = self.changes_of(&name, changes);
            let (to, from) = digests(&own);
            let about = About { image: &names(&own), container: &name, from: &from, to: &to };
            match restart(&Container::unit(&name)) {
                Ok(()) => {
                    outcome.returned.push(name.clone());
                    announce(Event::RolledBack, about, &format!("{name} runs on its former version {to} again"));
                }
                Err(error) => {
                    let text = format!("{name} does not run on its former version {to} either: {error:#}");
                    announce(Event::RollbackFailed, about, &text);
                    outcome.broken.push(name);
                }
            }
        }
        self.back(changes)
    }
}

/// Stops containers.
///
/// # Errors
/// One of them cannot be stopped.
pub fn stop(units: &BTreeSet<String>) -> Result<()> {
    if units.is_empty() {
        return Ok(());
    }
    let units = units.iter().map(String::as_str);
    systemd::quietly(&std::iter::once("stop").chain(units).collect::<Vec<_>>())
}

/// Restarts a container. Start limits do not apply: they are for automatic restarts.
///
/// # Errors
/// It does not start, with the cause where the unit tells it.
pub fn restart(unit: &str) -> Result<()> {
    systemd::forget_failure(Path::new("/"), unit);
    systemd::quietly(&["restart", unit]).map_err(|error| match cause::of(unit) {
        Some(cause) => anyhow!(cause.text),
        None => error,
    })
}

/// Waits for `time` and makes sure that a container goes on running as it was started, that no application of it restarts, and
/// that no check of it says that it is unhealthy.
fn settle(name: &str, time: Duration, on_demand: bool) -> Result<()> {
    let unit = Container::unit(name);
    let run = systemd::property(&unit, "InvocationID");
    let deadline = Instant::now() + time;
    let names = [name.to_owned()];
    loop {
        let late = Instant::now() >= deadline;
        if systemd::property(&unit, "InvocationID") != run {
            bail!("it ended and was started again");
        }
        let listed = ps::list(&names, false)?;
        let listed = listed.first().context("its file is gone")?;
        // A container that is started on demand may stop again.
        let idle = on_demand && listed.state == "stopped";
        if listed.state != "running" && !idle {
            let word = listed.cause.as_deref().unwrap_or(&listed.state);
            bail!("{}", listed.note.as_ref().map_or_else(|| word.to_owned(), |note| format!("{word}: {note}")));
        }
        if let Some((app, word)) =
            listed.health.iter().find(|(_, word)| ["unhealthy", "failed"].contains(&word.as_str()))
        {
            bail!("the health check of {app} says {word}");
        }
        if late {
            return Ok(());
        }
        std::thread::sleep(LOOK.min(deadline.saturating_duration_since(Instant::now())));
    }
}
