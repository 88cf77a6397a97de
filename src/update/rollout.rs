// SPDX-License-Identifier: MIT
//! Switches images to other versions, restarts their containers one after the other, and switches
//! back when one fails.
//!
//! The switch is noted in the store before it is made, and each image is switched by renaming one
//! symbolic link. After a power cut, every container therefore runs on one of the two versions. The
//! next start undoes an unfinished switch ([`Store::undo_unfinished`]).

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
use crate::cause::{self, Cause};
use crate::image::{Failure, Imported, Store, Switch, Updates};
use crate::model::{Container, Facts, Image, Model};
use crate::runtime::volumes::snapshots;
use crate::runtime::{failure, systemd};

/// Interval of checks on a restarted container.
const LOOK: Duration = Duration::from_millis(250);

/// The switch of one image.
#[derive(Debug, Clone)]
pub struct Change {
    /// The image.
    pub image: Image,
    /// The version before the switch.
    pub from: Imported,
    /// The version after the switch.
    pub to: Imported,
}

/// The result of a rollout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Containers that run on the new versions.
    pub updated: Vec<String>,
    /// The container that failed, and the reason.
    pub failed: Option<(String, Cause)>,
    /// Containers that ran on the new versions and run on the former ones again.
    pub returned: Vec<String>,
    /// Containers that run on neither version.
    pub broken: Vec<String>,
}

/// The context of rollouts.
#[derive(Debug)]
pub struct Host<'a> {
    /// The store of images.
    pub store: &'a Store,
    /// The configuration.
    pub model: &'a Model,
    /// Facts about this machine.
    pub facts: &'a Facts,
    /// The containers that may be restarted.
    pub members: &'a BTreeMap<String, Member>,
}

/// The purpose of a rollout, which determines its events and what happens when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To use the versions that the sources name; a failure switches back.
    Update,
    /// To use former versions; a failure is final, and updates do not retry the versions that were
    /// left.
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

    /// Switches images, and restarts `members` in this order.
    ///
    /// # Errors
    /// Returns an error if the switch cannot be noted or made; no container is restarted then. Also
    /// returns an error if the end of the switch cannot be noted.
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
                updates.refused.remove(&change.to.image.manifest);
                updates.failure = None;
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
            match self.advance(name, &own, later, (&running, purpose), &mut touched) {
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
                    let why = Cause::of_error("", &error);
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

    /// Stops the running containers of `later` that share a volume with a container that is about
    /// to start, because a volume must not change while it is copied. The stopped containers are
    /// started in their turn.
    fn stop_sharers(&self, name: &str, later: &[String], before: &Units, touched: &mut Vec<String>) -> Result<()> {
        let copied = self.copied(name);
        let shares = |other: &&String| !snapshot::mounted(other, (self.model, self.facts)).is_disjoint(&copied);
        let runs = |other: &&String| before.get(&Container::unit(other)).is_some_and(units::Unit::is_active);
        let others: Vec<&String> = later.iter().filter(runs).filter(shares).collect();
        touched.extend(others.iter().map(|other| (*other).clone()));
        stop(&others.iter().map(|other| Container::unit(other)).collect())
    }

    /// Returns the changes that concern a container.
    fn changes_of<'a>(&self, name: &str, changes: &'a [Change]) -> Vec<&'a Change> {
        let images: BTreeSet<&str> = match self.model.containers.get(name) {
            Some(container) => crate::plan::images(container, self.model).into_iter().collect(),
            None => BTreeSet::new(),
        };
        changes.iter().filter(|change| images.contains(change.image.name.as_str())).collect()
    }

    /// Links each image to one of the two versions of its change.
    fn link(&self, changes: &[Change], version: fn(&Change) -> &Imported) -> Result<()> {
        changes.iter().try_for_each(|change| self.store.switch(&change.image.name, version(change).entry()))
    }

    /// Completes the switch. After an update, the replaced version becomes the target of a later
    /// rollback.
    fn finish(&self, changes: &[Change], is_update: bool) -> Result<()> {
        // While the switch is noted, starts use the linked version regardless of sdme.lock, so the
        // lock can be moved here.
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

    /// Links the former versions again, and completes the switch.
    fn back(&self, changes: &[Change]) -> Result<()> {
        self.link(changes, |change| &change.from)?;
        for change in changes {
            let mut updates = self.updates(change);
            updates.switch = None;
            self.store.note_updates(&change.image.name, &updates)?;
        }
        Ok(())
    }

    /// Restarts a running container unless it already uses the new versions, and waits until its
    /// checks have passed. Returns false if the container does not run. A rollback also restarts a
    /// container that has not completed its start, because a bad version can prevent that.
    fn advance(
        &self,
        name: &str,
        changes: &[&Change],
        later: &[String],
        (before, purpose): (&Units, Purpose),
        touched: &mut Vec<String>,
    ) -> Result<bool> {
        let unit = Container::unit(name);
        let restarts = |word: &str| match purpose {
            Purpose::Update => word == "running",
            Purpose::Rollback => ["running", "starting", "restarting"].contains(&word),
        };
        if !before.get(&unit).is_some_and(|unit| restarts(unit.word(false))) {
            return Ok(false);
        }
        let wanted: BTreeSet<&str> = changes.iter().map(|change| change.to.entry()).collect();
        let runs_on = images::running(Path::new("/"))?.remove(name).unwrap_or_default();
        touched.push(name.to_owned());
        if !wanted.iter().all(|entry| runs_on.contains(*entry)) {
            self.stop_sharers(name, later, before, touched)?;
            restart(&unit)?;
        }
        let time = self.members.get(name).map_or(0, |member| member.settle);
        let on_demand = self.model.pods.get(name).is_some_and(|pod| pod.wanted.on_demand);
        settle(name, Duration::from_millis(time), on_demand)?;
        Ok(true)
    }

    /// Switches back to the former versions after the container `failed` did not start, and
    /// restarts the containers that ran on the new versions. These starts also restore the copied
    /// volumes.
    fn undo(
        &self,
        changes: &[Change],
        failed: &str,
        touched: &[String],
        volumes: &BTreeSet<String>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        // If the copy of a volume failed, the new version was never started and is not refused.
        let is_tried = cause::of(&Container::unit(failed)).is_none_or(|cause| cause.word != failure::NO_SNAPSHOT);
        let guilty = if is_tried { self.changes_of(failed, changes) } else { Vec::new() };
        for change in &guilty {
            let mut updates = self.updates(change);
            updates.refused.insert(change.to.image.manifest.clone());
            // The remedy is about the refused version, which does not run any more.
            updates.failure = outcome.failed.clone().map(|(container, why)| Failure { container, text: why.reason });
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
            // The starts below report the consequences.
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

/// Stops units.
///
/// # Errors
/// Returns an error if a unit cannot be stopped.
pub fn stop(units: &BTreeSet<String>) -> Result<()> {
    if units.is_empty() {
        return Ok(());
    }
    let units = units.iter().map(String::as_str);
    systemd::quietly(&std::iter::once("stop").chain(units).collect::<Vec<_>>())
}

/// Restarts a unit. The start limit is reset first, because it is meant for automatic restarts.
///
/// # Errors
/// Returns an error if the unit does not start, with the cause that the unit recorded.
pub fn restart(unit: &str) -> Result<()> {
    systemd::forget_failure(Path::new("/"), unit);
    systemd::quietly(&["restart", unit]).map_err(|error| match cause::of(unit) {
        Some(cause) => cause.into_error(),
        None => error,
    })
}

/// Waits for `time`, and checks meanwhile that the container keeps running, that it is not
/// restarted, and that none of its health checks fails.
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
        // A container that is started on demand may stop when it is idle.
        let idle = on_demand && listed.state == "stopped";
        if listed.state != "running" && !idle {
            let word = listed.cause.as_deref().unwrap_or(&listed.state);
            return Err(match &listed.note {
                Some(note) => note.clone().into_error().context(word.to_owned()),
                None => anyhow!("{word}"),
            });
        }
        if let Some((app, word)) =
            listed.health.iter().find(|(_, word)| ["unhealthy", "failed"].contains(&word.as_str()))
        {
            let note = listed.note.as_ref().filter(|_| word == "unhealthy");
            return Err(match note {
                Some(note) => note.clone().into_error(),
                None => anyhow!("the health check of {app} says {word}"),
            });
        }
        if late {
            return Ok(());
        }
        std::thread::sleep(LOOK.min(deadline.saturating_duration_since(Instant::now())));
    }
}
