// SPDX-License-Identifier: MIT
//! Random sequences of edits, mistakes and repairs, reloads, starts, stops, restarts, kills and
//! removals of five containers and three pods. After each sequence, what runs and has a valid file
//! is restarted, and everything else is stopped. Then the host must be in the state of a host that
//! only had the final files, and after everything was stopped and removed, in the state of a new
//! host. The seed of each sequence is printed. `SDME_TEST_SEED=SEED SDME_TEST_SEQUENCES=COUNT`
//! tries other sequences, or one again.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::bench::Bench;
use crate::files::{Files, Ports};
use crate::state::State;
use crate::support::containers::ready;
use crate::support::random::Random;

on_every_suite!(any_sequence_ends_in_the_state_of_its_files);

const CONTAINERS: u64 = 5;
const PODS: u64 = 3;
/// The maximum number of steps of a sequence.
const STEPS: u64 = 6;
/// The seed of the first sequence unless `SDME_TEST_SEED` is set; each following sequence has the
/// next number.
const SEED: u64 = 1;
/// The number of sequences unless `SDME_TEST_SEQUENCES` is set. One takes ten to twenty seconds on
/// an idle machine.
const SEQUENCES: u64 = 2;
/// A line with an unknown key, which makes a file invalid.
const MISTAKE: &str = "Imge=x\n";

fn on(suite: &str, _: &str, case: fn(&mut Bench)) {
    if ready(suite, &[]) {
        case(&mut Bench::new(suite));
    }
}

/// The current files, and a log of the steps so far.
#[derive(Debug)]
struct Sequence {
    random: Random,
    files: Files,
    log: String,
}

impl Sequence {
    /// A sequence that begins with some containers and pods.
    fn new(seed: u64) -> Self {
        let random = Random::new(seed);
        let mut this = Self { random, files: Files::default(), log: String::new() };
        (1..=PODS).for_each(|number| this.edit_pod(number));
        (1..=CONTAINERS).for_each(|number| this.edit_container(number));
        this
    }

    fn edit_container(&mut self, number: u64) {
        let port = 8000 + 10 * number + self.random.below(3);
        let pod = 1 + self.random.below(PODS);
        // LISTEN= writes the configuration of nginx again at each start, because the container
        // keeps the one of an earlier start.
        let text = match self.random.below(6) {
            0 => format!("Network=private\nPublishPort={port}:80\nLISTEN=80\n"),
            1 => format!("Network=private\nPublishPort={port}:80\nPublishMode=nft\nLISTEN=80\n"),
            2 => format!("Network=uplink\nPublishPort=127.0.0.1:{port}:80\nLISTEN=80\n"),
            3 => format!("Network=none\nVolume=data-{number}:/data\n"),
            4 => format!("Pod=pod-{pod}.pod\nLISTEN={port}\n"),
            _ => format!("OciPod=pod-{pod}.pod\nLISTEN={port}\n"),
        };
        self.files.add(&format!("box-{number}.container"), &text);
    }

    fn edit_pod(&mut self, number: u64) {
        let port = 8100 + 10 * number + self.random.below(3);
        let more = self.random.pick(&["", "Network=uplink\n", "PublishMode=nft\n", "Volume=/srv/one:/pod\n"]);
        self.files.add(&format!("pod-{number}.pod"), &format!("PublishPort={port}:80\n{more}"));
    }

    /// The name of a random file, if there are any files.
    fn any_file(&mut self) -> Option<String> {
        let names: Vec<&str> = self.files.0.keys().map(String::as_str).collect();
        (!names.is_empty()).then(|| self.random.pick(&names).to_owned())
    }

    /// Does one step. Starts of invalid or removed units fail, as they must; only the final state
    /// is checked.
    fn step(&mut self, bench: &Bench) {
        let container = 1 + self.random.below(CONTAINERS);
        let pod = 1 + self.random.below(PODS);
        let unit = format!("systemd-nspawn@box-{container}.service");
        let target = format!("sdme-pod@pod-{pod}.target");
        let command = match self.random.below(14) {
            0 | 1 => {
                self.edit_container(container);
                format!("edit box-{container}")
            }
            2 => {
                self.edit_pod(pod);
                format!("edit pod-{pod}")
            }
            3 => self.any_file().map_or_else(String::new, |name| {
                *self.files.0.get_mut(&name).unwrap() += MISTAKE;
                format!("mistake in {name}")
            }),
            4 => {
                self.files.0.values_mut().for_each(|text| *text = text.replace(MISTAKE, ""));
                "repair".to_owned()
            }
            5 => self.any_file().map_or_else(String::new, |name| {
                self.files.0.remove(&name);
                format!("remove {name}")
            }),
            6 | 7 => "systemctl daemon-reload".to_owned(),
            8 => format!("systemctl start {unit}"),
            9 => format!("systemctl stop {unit}"),
            10 => format!("systemctl restart {unit}"),
            11 => format!("systemctl kill --signal=KILL {unit}"),
            12 => format!("systemctl {} {target}", self.random.pick(&["start", "stop", "restart"])),
            _ => format!("systemctl stop {unit} && systemctl start {unit}"),
        };
        writeln!(self.log, "{command}").unwrap();
        if command.starts_with("systemctl") {
            bench.host.run(&format!("timeout 40 sh -c '{command}'"));
        } else {
            self.files.write(&bench.host);
        }
    }

    /// Whether a file and the pod that it names are valid.
    fn is_valid(&self, name: &str) -> bool {
        let Some(text) = self.files.0.get(name) else { return false };
        let pod = text.lines().find_map(|line| line.strip_prefix("Pod=").or(line.strip_prefix("OciPod=")));
        !text.contains(MISTAKE) && pod.is_none_or(|pod| self.is_valid(pod))
    }

    /// The units of valid files.
    fn valid_units(&self) -> BTreeSet<String> {
        let valid = self.files.0.iter().filter(|(name, _)| self.is_valid(name));
        Files(valid.map(|(name, text)| (name.clone(), text.clone())).collect()).units().into_iter().collect()
    }
}

/// The active containers and targets of pods.
fn active(bench: &Bench) -> BTreeSet<String> {
    let list = "systemctl list-units --plain --no-legend --state=active,activating 'systemd-nspawn@*.service' 'sdme-pod@*.target'";
    let units = bench.host.ok(list);
    units.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Updates what runs or has failed, as an administrator would: restarts what has a valid file, and
/// stops or removes the rest. Returns the units that run then, and the problems.
fn update(bench: &Bench, sequence: &Sequence) -> (Vec<String>, Vec<String>) {
    sequence.files.load(&bench.host);
    let valid = sequence.valid_units();
    let failed = "systemctl list-units --failed --plain --no-legend 'systemd-nspawn@*.service' | cut -d' ' -f1";
    let failed = bench.host.ok(failed);
    let (again, lost): (Vec<&str>, Vec<&str>) = failed.lines().partition(|unit| valid.contains(*unit));
    // The reason of a failure is kept until the next start of the container, and a release that was
    // killed leaves mounts until then.
    for unit in &lost {
        let name = unit.trim_start_matches("systemd-nspawn@").trim_end_matches(".service");
        bench.host.run(&format!("sdme-gen rm {name}"));
    }
    if !lost.is_empty() {
        // Write the files again that `sdme-gen rm` has removed.
        sequence.files.load(&bench.host);
    }
    bench.host.run("systemctl reset-failed");
    let running = active(bench).into_iter().chain(again.into_iter().map(str::to_owned)).collect::<BTreeSet<_>>();
    let (stays, goes): (Vec<String>, Vec<String>) = running.into_iter().partition(|unit| valid.contains(unit));
    let mut problems = bench.systemctl("stop", &goes);
    // A pod that was started by a container without its target is restarted by its service.
    let pods = "systemctl list-units --plain --no-legend --state=active 'sdme-pod@pod-*.service' | cut -d' ' -f1";
    let pods = bench.host.ok(pods);
    let is_valid = |pod: &&str| sequence.is_valid(&pod.replace("sdme-pod@", "").replace(".service", ".pod"));
    let (pods, orphans): (Vec<&str>, Vec<&str>) = pods.lines().partition(is_valid);
    let owned = |units: Vec<&str>| units.into_iter().map(str::to_owned).collect::<Vec<_>>();
    problems.extend(bench.systemctl("stop", &owned(orphans)));
    let pods = owned(pods);
    problems.extend(bench.systemctl("restart", &pods));
    problems.extend(bench.systemctl("restart", &stays));
    (stays.into_iter().chain(pods).collect(), problems)
}

/// The published TCP ports whose container is one of the units and has an application that listens
/// on port 80.
fn ports(sequence: &Sequence, units: &[String]) -> Ports {
    let runs = |name: &str| units.contains(&format!("systemd-nspawn@{name}.service"));
    let published = |(file, text): (&String, &String)| {
        let name = file.strip_suffix(".container").filter(|name| runs(name))?;
        let port = text.lines().find_map(|line| line.strip_prefix("PublishPort="))?.strip_suffix(":80")?;
        (!name.is_empty()).then(|| port.to_owned())
    };
    Ports(sequence.files.0.iter().filter_map(published).collect())
}

/// Runs a sequence and checks the final state.
fn try_sequence(bench: &mut Bench, seed: u64) -> Vec<String> {
    let mut sequence = Sequence::new(seed);
    sequence.files.load(&bench.host);
    let mut problems = bench.start(&sequence.files.units());
    for _ in 0..=sequence.random.below(STEPS) {
        sequence.step(bench);
    }
    let (units, lines) = update(bench, &sequence);
    problems.extend(lines);
    let answering = ports(&sequence, &units);
    problems.extend(answering.dead(&bench.host));
    let found = State::of(&bench.host);
    let failed = "for unit in $(systemctl list-units --failed --plain --no-legend | cut -d' ' -f1); do
        journalctl -b --no-pager -o short-monotonic -n 15 UNIT=$unit + _SYSTEMD_UNIT=$unit; done";
    let failed = bench.host.run(failed).stdout;
    // The generator keeps the units of what stopped since the last reload until the next one.
    bench.host.ok("systemctl daemon-reload");
    let reloaded = State::of(&bench.host);
    problems.extend(bench.clear().iter().map(|line| format!("after everything was removed: {line}")));
    let (wanted, lines) = bench.wanted(&sequence.files, &units, &answering);
    problems.extend(lines.iter().map(|line| format!("on a host with only the files of the end: {line}")));
    let changes = wanted.without_generated().changes_to(&found.without_generated());
    problems.extend(changes.iter().map(|line| format!("compared with that, before a reload: {line}")));
    problems.extend(wanted.changes_to(&reloaded).iter().map(|line| format!("compared with that: {line}")));
    if !problems.is_empty() {
        let files: Vec<String> = sequence.files.0.iter().map(|(name, text)| format!("{name}: {text:?}")).collect();
        let files = files.join("\n");
        problems.insert(0, format!("SDME_TEST_SEED={seed}\n{}runs at the end: {units:?}\n{files}", sequence.log));
        problems.push(failed);
    }
    problems
}

fn any_sequence_ends_in_the_state_of_its_files(bench: &mut Bench) {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let first = number("SDME_TEST_SEED").unwrap_or(SEED);
    let count = number("SDME_TEST_SEQUENCES").unwrap_or(SEQUENCES);
    let mut problems = Vec::new();
    for seed in first..first + count {
        let begin = std::time::Instant::now();
        problems.extend(try_sequence(bench, seed));
        eprintln!("SDME_TEST_SEED={seed}: {:?}", begin.elapsed());
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_same_seed_yields_the_same_sequence() {
    let [one, two, other] = [1, 1, 2].map(|seed| Sequence::new(seed).files);
    assert_eq!(one, two);
    assert_ne!(one, other);
}
