// SPDX-License-Identifier: MIT
//! The table of edits in `edits.txt`: the files before, the files after, and the action on the
//! running containers. Each result is compared with a host that only ever had the files after the
//! edit. The cases of a group have their own names and ports and run at the same time: a group
//! costs three starts, whatever the number of its cases.

use std::collections::BTreeSet;

use crate::bench::Bench;
use crate::files::{Files, Ports};
use crate::state::State;
use crate::support::containers::ready;

on_every_suite!(a_restarted_container_matches_its_file);

fn on(suite: &str, _: &str, case: fn(&mut Bench)) {
    if ready(suite, &[]) {
        case(&mut Bench::new(suite));
    }
}

/// The action after the edit and the reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// Stops units without a file, restarts the containers, and starts new units.
    Restart,
    /// Restarts the targets of pods instead of their containers.
    Target,
    /// Stops everything, then immediately starts all units that have a file.
    StopStart,
    /// Stops everything.
    Stop,
    /// Stops everything before the edit.
    StopFirst,
    /// `sdme-gen rm --force` without an edit.
    Rm,
    /// `sdme-gen rm --force` after the edit.
    RmAfter,
    /// `sdme-gen rm --force` after the intermediate edit.
    RmChanged,
}

impl Action {
    fn of(name: &str) -> Self {
        match name {
            "restart" => Self::Restart,
            "target" => Self::Target,
            "stop-start" => Self::StopStart,
            "stop" => Self::Stop,
            "stop-first" => Self::StopFirst,
            "rm" => Self::Rm,
            "rm-after" => Self::RmAfter,
            "rm-changed" => Self::RmChanged,
            other => panic!("edits.txt: there is no action {other}"),
        }
    }

    /// Whether the containers run after the action.
    fn leaves_running(self) -> bool {
        matches!(self, Self::Restart | Self::Target | Self::StopStart)
    }

    fn removes(self) -> bool {
        matches!(self, Self::Rm | Self::RmAfter | Self::RmChanged)
    }
}

/// One edit of the table.
#[derive(Debug)]
pub struct Case {
    name: String,
    title: String,
    group: String,
    action: Action,
    /// The files before the edit, and the ports that answer then.
    pub before: (Files, Ports),
    between: Files,
    /// The files after the edit, and the ports that answer after the action.
    pub after: (Files, Ports),
}

impl Case {
    /// The units that must run after the action.
    fn runs(&self) -> Vec<String> {
        if self.action.leaves_running() { self.after.0.units() } else { Vec::new() }
    }

    /// The action as shell commands.
    fn commands(&self) -> String {
        let (old, new) = (self.before.0.units(), self.after.0.units());
        let only = |all: &[String], keep: &dyn Fn(&String) -> bool| -> Vec<String> {
            all.iter().filter(|unit| keep(unit)).cloned().collect()
        };
        let (gone, added) = (only(&old, &|unit| !new.contains(unit)), only(&new, &|unit| !old.contains(unit)));
        let is_target = |unit: &String| unit.ends_with(".target");
        let has_target = old.iter().any(is_target);
        let stays = |target: bool| only(&old, &|unit| new.contains(unit) && is_target(unit) == target);
        let steps = match self.action {
            Action::Restart => vec![("stop", gone), ("restart", stays(false)), ("start", added)],
            Action::Target => {
                assert!(has_target, "{}: no pod", self.title);
                vec![("stop", gone), ("start", added), ("restart", stays(true))]
            }
            // The target of a pod stops before the pod does; a start right after that would cancel
            // the stop of the pod.
            Action::StopStart if self.before.0.all_units().iter().any(is_target) => {
                vec![("stop", self.before.0.all_units()), ("", Vec::new()), ("start", new)]
            }
            Action::StopStart => vec![("stop", self.before.0.all_units()), ("start", new)],
            Action::Stop | Action::StopFirst => vec![("stop", self.before.0.all_units())],
            Action::Rm | Action::RmAfter | Action::RmChanged => {
                let names = self.before.0.all_units();
                let name =
                    |unit: &String| unit.strip_prefix("systemd-nspawn@")?.strip_suffix(".service").map(str::to_owned);
                let names: Vec<String> = names.iter().filter_map(name).collect();
                return format!("sdme-gen rm --force {}\n", names.join(" "));
            }
        };
        let command = |(verb, units): &(&str, Vec<String>)| match (*verb, units.is_empty()) {
            ("", _) => "bash -c 'while systemctl list-jobs --no-legend | grep -q .; do sleep 0.1; done'\n".to_owned(),
            (_, true) => String::new(),
            (verb, false) => format!("systemctl {verb} {}\n", units.join(" ")),
        };
        steps.iter().map(command).collect()
    }
}

/// The cases of the table, with the placeholders of each case filled in.
pub fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = Vec::new();
    let mut group = "";
    for line in include_str!("edits.txt").lines() {
        if let Some(title) = line.strip_prefix("# GROUP: ") {
            group = title;
            continue;
        }
        if let Some((title, action)) = line.strip_prefix("## ").and_then(|line| line.rsplit_once(": ")) {
            all.push(Case {
                name: format!("e{:02}", all.len()),
                title: title.to_owned(),
                group: group.to_owned(),
                action: Action::of(action),
                before: Default::default(),
                between: Files::default(),
                after: Default::default(),
            });
            continue;
        }
        let number = all.len().wrapping_sub(1);
        let (Some(case), Some((kind, text))) = (all.last_mut(), line.split_once(' ')) else { continue };
        let text = (1..10).fold(text.to_owned(), |text, digit| {
            text.replace(&format!("${digit}"), &(8000 + 10 * number + digit).to_string())
        });
        let text = text.replace('$', &case.name);
        let ports = || Ports(text.split(' ').map(str::to_owned).collect());
        let add = |files: &mut Files| {
            let (name, lines) = text.split_once(':').unwrap();
            files.add(name, &lines.trim().replace(" | ", "\n"));
        };
        match kind {
            "<" => add(&mut case.before.0),
            "~" => add(&mut case.between),
            ">" => add(&mut case.after.0),
            "<?" => case.before.1 = ports(),
            ">?" => case.after.1 = ports(),
            _ => {}
        }
    }
    all
}

/// The files of several cases together.
pub fn files<'a>(all: impl IntoIterator<Item = &'a Files>) -> Files {
    all.into_iter().fold(Files::default(), |mut sum, files| {
        sum.extend(files);
        sum
    })
}

pub fn ports<'a>(all: impl IntoIterator<Item = &'a Ports>) -> Ports {
    Ports(all.into_iter().flat_map(|ports| ports.0.clone()).collect())
}

fn a_restarted_container_matches_its_file(bench: &mut Bench) {
    let all = cases();
    assert!(all.len() >= 40, "{} edits", all.len());
    let only = std::env::var("SDME_TEST_EDITS").unwrap_or_default();
    let groups: BTreeSet<&str> = all.iter().map(|case| case.group.as_str()).collect();
    let mut problems = Vec::new();
    for group in groups {
        let cases: Vec<&Case> = all
            .iter()
            .filter(|case| case.group == group && (case.group.contains(&only) || case.title.contains(&only)))
            .collect();
        if !cases.is_empty() {
            problems.extend(try_group(bench, group, &cases));
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// Runs the cases at the same time. Returns each problem with the title of its case.
fn try_group(bench: &mut Bench, group: &str, cases: &[&Case]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut report = |when: &str, lines: Vec<String>| {
        problems.extend(lines.into_iter().map(|line| {
            let case = cases.iter().find(|case| line.contains(&case.name) || case.owns_port(&line));
            let title = case.map_or_else(|| group.to_owned(), |case| format!("{} ({:?})", case.title, case.action));
            format!("{title}; {when}: {line}")
        }));
    };

    let begin = std::time::Instant::now();
    let after = files(cases.iter().map(|case| &case.after.0));
    let answering = ports(cases.iter().map(|case| &case.after.1));
    let runs: Vec<String> = cases.iter().flat_map(|case| case.runs()).collect();
    let (wanted, lines) = bench.wanted(&after, &runs, &answering);
    report("on a host that had only the files after the edit", lines);
    let prepared = begin.elapsed();

    let before = files(cases.iter().map(|case| &case.before.0));
    before.load(&bench.host);
    report("first start", bench.start(&before.units()));
    // The ports that must answer until the action; those of containers that are stopped before the
    // edit are not among them.
    let stays = |case: &&&Case| case.action != Action::StopFirst;
    let old = ports(cases.iter().map(|case| &case.before.1));
    report("before the edit", old.dead(&bench.host));
    act(bench, cases, |case| case.action == Action::StopFirst, &mut report);
    let old = ports(cases.iter().filter(stays).map(|case| &case.before.1));
    let state = State::of(&bench.host).without_generated();

    // Load the intermediate files, then the final ones: a reload changes only what generators
    // write.
    let between = |case: &&Case| match case.action {
        Action::Rm => case.before.0.clone(),
        _ if !case.between.0.is_empty() => case.between.clone(),
        _ => case.after.0.clone(),
    };
    let last = |case: &&Case| match case.action {
        Action::Rm => case.before.0.clone(),
        Action::RmChanged => case.between.clone(),
        _ => case.after.0.clone(),
    };
    for (when, step) in [("reload in between", &between as &dyn Fn(&&Case) -> Files), ("reload", &last)] {
        let files = cases.iter().map(step).fold(Files::default(), |mut sum, files| {
            sum.extend(&files);
            sum
        });
        files.load(&bench.host);
        report(when, old.dead(&bench.host));
        report(when, state.changes_to(&State::of(&bench.host).without_generated()));
    }

    act(bench, cases, |case| case.action != Action::StopFirst, &mut report);
    report("after the action", answering.dead(&bench.host));
    let is = State::of(&bench.host).without_generated();
    report("after the action", wanted.without_generated().changes_to(&is));
    // The generator keeps the units of running containers; the next reload removes them.
    bench.host.ok("systemctl daemon-reload");
    report("after one more reload", wanted.changes_to(&State::of(&bench.host)));
    report("everything stopped and removed", bench.clear());
    eprintln!("{group}: {} edits, {prepared:?} of {:?} to prepare", cases.len(), begin.elapsed());
    problems
}

/// Runs the actions of the cases at the same time.
fn act(bench: &Bench, cases: &[&Case], which: impl Fn(&Case) -> bool, report: &mut dyn FnMut(&str, Vec<String>)) {
    let run = |case: &&&Case| format!("{{ {}}} 2>&1 | sed 's/^/{}: /' &\n", guarded(&case.commands()), case.name);
    let script: String = cases.iter().filter(|case| which(case)).map(|case| run(&case)).collect();
    let output = bench.host.ok(&format!("{script}wait"));
    // Other output is ignored: the messages of successful commands, and systemctl's warning that a
    // reload is due.
    let failed = output.lines().filter(|line| line.contains("failed") || line.contains("status "));
    report("action", failed.map(str::to_owned).collect());
    if cases.iter().any(|case| which(case) && case.action.removes()) {
        bench.host.ok("systemctl daemon-reload");
    }
}

/// Runs each command even if the one before has failed. A command that fails or exceeds 45 seconds
/// is printed with its status.
fn guarded(commands: &str) -> String {
    let lines: Vec<String> =
        commands.lines().map(|line| format!("timeout 45 {line} || echo \"{line}: status $?\"\n")).collect();
    lines.concat()
}

impl Case {
    /// Whether a line contains a port of this case.
    fn owns_port(&self, line: &str) -> bool {
        let tens = (8000 + 10 * self.name[1..].parse::<usize>().unwrap()) / 10;
        (1..10).any(|digit| line.contains(&format!("{tens}{digit}")))
    }
}

#[test]
fn the_table_of_edits_is_parsed() {
    let all = cases();
    let first = &all[0];
    assert_eq!((first.name.as_str(), first.action), ("e00", Action::Restart));
    assert_eq!(first.after.1.0, ["8002"]);
    assert!(first.before.0.0["e00.container"].ends_with("Network=private\nPublishPort=8001:80\n"));
    assert_eq!(first.commands(), "systemctl restart systemd-nspawn@e00.service\n");
    let changes = all.iter().filter(|case| case.action.leaves_running()).count();
    assert!(changes >= 40, "{changes}");
}
