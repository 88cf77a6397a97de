// SPDX-License-Identifier: MIT
//! The state of a host as lines of text: everything that containers, pods and published ports
//! change on a host while they run. Two hosts with the same lines have the same state.

use std::collections::BTreeSet;

use crate::support::tiers::Machine;

/// Waits until systemd has no jobs and no unit is activating or deactivating, then prints one line
/// for each fact. Each line begins with the kind of the fact.
const SCRIPT: &str = r#"
units() {
    systemctl list-units --all --plain --no-legend --no-pager 'systemd-nspawn@*' 'sdme-*'
}
for ((i = 0; i < 200; i++)); do
    [ "$(systemctl list-jobs --no-legend)" ] || units | grep -qE ' (de)?activating ' || break
    sleep 0.05
done
systemctl list-jobs --no-legend | sed 's/^ *[0-9]* /job: /'
# Without the description. Inactive units say nothing: systemd forgets them when it likes.
units | awk '$3 != "inactive" { print "unit:", $1, $2, $3, $4 }'
# The local address and the programs that have the socket, without their process IDs.
ss -Hltnup | while read -r protocol state _ _ address _ users; do
    programs=$(grep -o '"[^"]*"' <<<"$users" | sort -u | tr -d '\n')
    echo "socket: $protocol $state $address $programs"
done
nft list ruleset | sed -E 's/ # handle [0-9]+//; s/counter packets [0-9]+ bytes [0-9]+/counter/; s/^\s+//' |
    awk '/^table/ { table = $2 " " $3; part = "" } /^chain|^set|^map/ { part = $2 } NF && $0 != "}" { print "nft:", table, part ":", $0 }'
# Without the index of the peer, and whether it is up by now.
ip -br link | awk '{ sub(/@.*/, "", $1); print "link:", $1 }'
# Without IPv6: link-local addresses follow from hardware addresses, which are random.
ip -br -4 address | awk '{ sub(/@.*/, "", $1); $2 = ""; print "address:", $0 }'
# Mounts are listed from the mount table: systemd takes note of them some time later.
find /run/netns -mindepth 1 -printf 'namespace: %p %y %l\n' 2>/dev/null
findmnt -rno TARGET,FSTYPE | grep -E '^/(run/(sdme|netns|credentials)|run/systemd/nspawn|var/lib/(machines|sdme))' | sed 's/^/mount: /'
grep -H . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/*/{forwarding,route_localnet} | sed 's/^/sysctl: /'
machinectl list --no-legend --no-pager | awk '{ print "machine:", $1, $2, $3 }'
cd /
for directory in run/sdme run/systemd/system run/systemd/nspawn run/systemd/generator run/systemd/generator.late; do
    [ -d $directory ] || continue
    # Not beyond a mount: what is in a volume or a container's root is not the host's state.
    find /$directory -mindepth 1 -xdev -printf 'path: %p %y %m %u:%g %l\n'
    find /$directory -xdev -type f -size -16k -print0 | xargs -0r grep -IH '' -- | sed 's/^/file: /'
done
true
"#;

/// Parts of lines that are ignored in a comparison, each with the reason.
const LEFT_OUT: &[(&str, &str)] = &[
    ("/run/systemd/nspawn/locks", "systemd-nspawn names them after inodes and leaves them"),
    ("/run/systemd/nspawn/propagate", "systemd-nspawn leaves the directory of a machine that has ended"),
    ("/run/systemd/nspawn/unix-export path:", "systemd-nspawn makes the directory at its first start and leaves it"),
    (
        "/run/sdme/host-base",
        "made by the first start of all, for all later ones; it has the state of the host's own /usr",
    ),
    ("/etc/machine-id:", "a container's random ID"),
    ("address: lo", "the loopback interface's address never changes"),
];

/// Paths that remain on every host after their first use, as empty directories.
const STAYS: &[&str] = &[
    "path: /run/sdme/containers d",
    "path: /run/sdme/names d",
    "path: /run/sdme/networks d",
    "path: /run/sdme/pods d",
    "path: /run/sdme/secrets d",
    "path: /run/systemd/nspawn/unix-export d",
];

/// The paths of the generators' output. A reload may change these paths and nothing else.
const GENERATED: &[&str] = &["path: /run/systemd/generator", "file: /run/systemd/generator"];

/// The state of a host at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State(BTreeSet<String>);

impl State {
    /// Reads the state of a host after it has settled.
    pub fn of(host: &impl Machine) -> Self {
        let lines = host.ok(SCRIPT);
        let known = |line: &str| {
            LEFT_OUT.iter().any(|(part, _)| line.contains(part)) || STAYS.iter().any(|stays| line.starts_with(stays))
        };
        Self(lines.lines().filter(|line| !known(line)).map(|line| line.trim_end().to_owned()).collect())
    }

    /// The state without the output of generators.
    pub fn without_generated(&self) -> Self {
        let generated = |line: &&String| GENERATED.iter().any(|start| line.starts_with(start));
        Self(self.0.iter().filter(|line| !generated(line)).cloned().collect())
    }

    /// The lines that only this state has (`-`) and that only the other state has (`+`). If only
    /// one of them has a path, neither its content nor anything below it is listed.
    pub fn changes_to(&self, other: &Self) -> Vec<String> {
        let missing = topmost(self.0.difference(&other.0)).map(|line| format!("- {line}"));
        missing.chain(topmost(other.0.difference(&self.0)).map(|line| format!("+ {line}"))).collect()
    }
}

/// The path in a `path:` line.
fn path(line: &str) -> Option<&str> {
    line.strip_prefix("path: ")?.split(' ').next()
}

/// The lines, without those about the content of a path of another line or about anything below it.
fn topmost<'a>(lines: impl Iterator<Item = &'a String>) -> impl Iterator<Item = &'a String> {
    let lines: Vec<&String> = lines.collect();
    let paths: BTreeSet<String> = lines.iter().filter_map(|line| path(line)).map(str::to_owned).collect();
    let above = move |name: &str| name.match_indices(['/', ':']).any(|(end, _)| paths.contains(&name[..end]));
    lines.into_iter().filter(move |line| !path(line).or(line.strip_prefix("file: ")).is_some_and(&above))
}

#[test]
fn changes_list_only_the_topmost_paths() {
    let state = |lines: &[&str]| State(lines.iter().map(|&line| line.to_owned()).collect());
    let before =
        state(&["unit: a active", "path: /run/systemd/generator/a f", "path: /run/x/a f", "file: /run/x/b:old"]);
    let after = state(&[
        "unit: b active",
        "path: /run/x/c d",
        "path: /run/x/c/d f",
        "file: /run/x/c/d:text",
        "file: /run/x/b:new",
    ]);
    let changes = [
        "- file: /run/x/b:old",
        "- path: /run/systemd/generator/a f",
        "- path: /run/x/a f",
        "- unit: a active",
        "+ file: /run/x/b:new",
        "+ path: /run/x/c d",
        "+ unit: b active",
    ];
    assert_eq!(before.changes_to(&after), changes);
    assert!(!before.without_generated().0.contains("path: /run/systemd/generator/a f"));
}
