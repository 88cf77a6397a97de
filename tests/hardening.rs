// SPDX-License-Identifier: MIT
//! Tier 2: the restrictions of containers, measured from inside, are compared with the tables of
//! `docs/security.md`. Each cell of the tables is measured, and each measurement has a row in the
//! tables.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use support::containers::{Container, WELCOME, boot_with, ready};
use support::host::Host;

on_every_suite!(presets_do_what_is_documented, applications_serve_under_every_preset, single_settings_take_effect);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    if ready(suite, &["image:minbase", "image:databases"]) {
        case(&boot_with(Host::builder(suite, name.split('_').next().unwrap()).copy()));
    }
}

/// The presets, and the settings of a container's file for each of them.
const PRESETS: [(&str, &str); 3] =
    [("default", ""), ("hardened", "Hardened=yes\n"), ("strict", "Strict=yes\nAppArmor=unconfined\n")];

/// Returns the rows of the table below a heading of the page: a name, and a cell for each preset.
fn documented(heading: &str) -> BTreeMap<String, [String; 3]> {
    let page = std::fs::read_to_string(support::repo("docs/security.md")).unwrap();
    let section = page.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |"));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    rows.map(cells).map(|row| (row[0].clone(), [row[1].clone(), row[2].clone(), row[3].clone()])).collect()
}

/// Returns the measured rows. `reports` has lines `WHAT: CELL` for each preset.
fn found(reports: &[String; 3]) -> BTreeMap<String, [String; 3]> {
    let mut out: BTreeMap<String, [String; 3]> = BTreeMap::new();
    for (index, report) in reports.iter().enumerate() {
        for line in report.lines() {
            let (what, cell) = line.split_once(": ").unwrap_or_else(|| panic!("no answer: {report}"));
            cell.clone_into(&mut out.entry(what.to_owned()).or_default()[index]);
        }
    }
    out
}

/// Returns the measured rows that differ from those of the page.
fn undocumented(heading: &str, reports: &[String; 3]) -> String {
    let (documented, found) = (documented(heading), found(reports));
    let mut wrong = String::new();
    for (what, cells) in &found {
        if documented.get(what) != Some(cells) {
            writeln!(wrong, "| {what} | {} |", cells.join(" | ")).unwrap();
        }
    }
    let missing: Vec<&String> = documented.keys().filter(|what| !found.contains_key(*what)).collect();
    assert!(missing.is_empty() && found.len() > 20, "{heading}: nobody looks at {missing:?}");
    if wrong.is_empty() { wrong } else { format!("{heading}: these rows are found otherwise:\n{wrong}") }
}

/// Encodes a script so that it can be part of a command line in a unit or a `.container` file.
fn packed(script: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(script)
}

/// Runs a Perl script as root of the container.
fn as_root(host: &Host, container: &str, script: &str) -> String {
    host.ok(&format!("echo {} | base64 -d | systemd-run -M {container} -q --wait --pipe perl", packed(script)))
}

fn presets_do_what_is_documented(host: &Host) {
    let probe = std::fs::read_to_string(support::repo("tests/hardening/probe.pl")).unwrap();
    let moves = std::fs::read_to_string(support::repo("tests/hardening/moves.pl")).unwrap();
    // These files must not be reachable from inside.
    host.ok("for d in /root /etc /etc/sdme /run/sdme /var/lib/sdme /var/lib/machines; do
        mkdir -p $d && echo secret >$d/host-marker; done");
    host.ok("systemd-run -q --unit=host-service perl -MIO::Socket -e '
        my $tcp = IO::Socket::INET->new(LocalAddr => \"127.0.0.1\", LocalPort => 7777, Listen => 5) or die;
        socket(my $s, AF_UNIX, SOCK_STREAM, 0); bind($s, pack(\"S a*\", AF_UNIX, \"\\0host-abstract\")) or die; listen($s, 5);
        sleep 600'");
    host.write("/etc/sdme/neighbour.container", "[Container]\n");
    for (name, text) in PRESETS {
        // The network depends on the preset, too.
        let file = format!(
            "[Container]\nImage=oci:/srv/images/minbase\nMode=app\n{text}Environment=PROBE={}\n\
             Exec=sh -c 'echo \"$PROBE\" | base64 -d | perl >/srv/new && mv /srv/new /srv/report; exec sleep infinity'\n\
             HealthInterval=2s\n\
             HealthCmd=test -e /srv/check || (echo \"$PROBE\" | base64 -d | perl >/srv/check.new && mv /srv/check.new /srv/check)\n",
            packed(&probe)
        );
        host.write(&format!("/etc/sdme/{name}.container"), file);
    }
    host.ok("sdme-gen check && systemctl daemon-reload && systemctl start systemd-nspawn@neighbour");
    let host_network = host.ok("readlink /proc/1/ns/net");
    let containers = PRESETS.map(|(name, _)| Container::new(host, name));
    for container in &containers {
        container.systemctl("start");
    }
    let report = |container: &Container<'_>| {
        let network = |pid: &str| {
            let shared = host.ok(&format!("readlink /proc/{pid}/ns/net")) == host_network;
            format!("network: {}\n", if shared { "the host's" } else { "its own" })
        };
        let application = host.wait(&format!("cat {}/oci/root/srv/report", container.upper()), 30);
        // A command of exec and the health check must have the same restrictions as the
        // application.
        let name = &container.name;
        let beside = host.ok(&format!("sdme-gen exec {name} -- sh -c 'echo \"$PROBE\" | base64 -d | perl'"));
        assert_eq!(beside, application, "{name}: a command by exec");
        let check = host.wait(&format!("cat {}/oci/root/srv/check", container.upper()), 30);
        assert_eq!(check, application, "{name}: the health check");
        let leader = host.ok(&format!("machinectl show -P Leader {}", container.name));
        let status = host.ok(&format!("cat /proc/{}/status /proc/{0}/uid_map", leader.trim()));
        (application + &network(&container.process("sleep")), first_process(&status) + &network(leader.trim()))
    };
    let reports: Vec<(String, String)> = containers.iter().map(report).collect();
    let [a, b, c] = [0, 1, 2].map(|index| reports[index].clone());
    let mut wrong = undocumented("Inside an application", &[a.0, b.0, c.0]);
    let roots = PRESETS.map(|(name, _)| as_root(host, name, &probe));
    let with = |index: usize, own: String| own + &roots[index];
    wrong += &undocumented("Root of the container", &[with(0, a.1), with(1, b.1), with(2, c.1)]);
    let moves = PRESETS.map(|(name, _)| as_root(host, name, &moves));
    wrong += &undocumented("Moves against the host", &moves);
    assert!(wrong.is_empty(), "{wrong}");

    // The service manager rates the exposure of the application's service.
    let security = containers[2].ok("systemd-analyze security --no-pager sdme-oci-app.service | tail -n 1");
    let exposure = security.split("service: ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(exposure.parse::<f32>().unwrap() <= 3.0, "{security}");
    // Shared files have not changed.
    host.ok("test ! -e /usr/tampered && sdme-gen fs verify");
}

/// Returns the properties of the container's service manager that the host sees.
fn first_process(status: &str) -> String {
    let field =
        |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_else(|| panic!("{status}")).trim();
    let map = status.lines().last().unwrap().split_whitespace().collect::<Vec<_>>();
    let of_host = map == ["0", "0", "4294967295"];
    assert!(of_host || map[0] == "0" && map[2] == "65536", "{map:?}");
    format!(
        "first process, seccomp mode: {}\nfirst process, no new privileges: {}\nfirst process, root is: {}\n",
        field("Seccomp:"),
        if field("NoNewPrivs:") == "1" { "yes" } else { "no" },
        if of_host { "the host's root" } else { "nobody" },
    )
}

fn applications_serve_under_every_preset(host: &Host) {
    let database = |tag: &str| format!("oci:/srv/images/databases:{tag}");
    let images = [
        ("nginx", "oci:/srv/images/nginx".to_owned()),
        ("redis", database("redis")),
        ("postgres", database("postgres")),
    ];
    for (name, preset) in PRESETS {
        for (application, image) in &images {
            let text =
                format!("[Container]\nImage={image}\nNetwork=private\nEnvironment=POSTGRES_PASSWORD=secret\n{preset}");
            host.write(&format!("/etc/sdme/{application}-{name}.container"), text);
        }
    }
    host.ok("sdme-gen check && systemctl daemon-reload");
    for (name, _) in PRESETS {
        for (application, _) in &images {
            let container = Container::new(host, &format!("{application}-{name}"));
            container.systemctl("start");
            let inside = format!("nsenter --net=/run/sdme/pods/{}/netns", container.name);
            let log = format!("|| {{ journalctl -M {} -n 30 --no-pager -o cat; false; }}", container.name);
            match *application {
                "nginx" => {
                    assert_eq!(host.wait(&format!("{inside} curl -fsS http://127.0.0.1/ {log}"), 30), WELCOME);
                }
                "redis" => {
                    let ping = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/6379 && echo PING >&3 && timeout 5 head -n 1 <&3'";
                    host.wait(&format!("{inside} {ping} | grep PONG {log}"), 60);
                }
                _ => {
                    // The client sends SSLRequest, which the server answers with a single letter.
                    let ask = r#"bash -c 'exec 3<>/dev/tcp/127.0.0.1/5432 && printf "\0\0\0\10\4\322\26\57" >&3 && timeout 5 head -c 1 <&3'"#;
                    host.wait(&format!("{inside} {ask} | grep '[SN]' {log}"), 60);
                }
            }
            let state = format!("systemctl -M {} is-system-running --wait", container.name);
            assert_eq!(host.wait(&state, 30), "running\n");
            assert_eq!(host.ok(&format!("systemctl -M {} --failed --no-legend", container.name)), "");
            container.systemctl("stop");
        }
    }
}

fn single_settings_take_effect(host: &Host) {
    // The profile has Docker's format; the number is ENOSYS on x86-64.
    host.write(
        "/etc/sdme/deny.json",
        r#"{"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#,
    );
    let probe = "grep -E '^(CapBnd|CapEff|NoNewPrivs):' /proc/self/status
        perl -e '$! = 0; getpriority(0, 0); print \"errno: \", $! + 0, \"\\n\"'
        perl -e '$! = 0; syscall(425, 0, 0); print \"io_uring_setup: \", $! + 0, \"\\n\"'";
    let containers = [
        ("plain", "", ""),
        // A list of allowed system calls stays a list of allowed calls, whatever a preset denies.
        (
            "listed",
            "Strict=yes\nAppArmor=unconfined\n",
            "[App]\nSystemCallFilter=@system-service\nSystemCallFilter=~getpriority\n",
        ),
        ("named", "SystemCallFilter=io_uring_setup\n", ""),
        (
            "single",
            "AddCapability=SYS_PTRACE\nDropCapability=CHOWN mknod\nNoNewPrivileges=no\nSystemCallFilter=~getpriority\n",
            "",
        ),
        ("user", "User=65534:65534\nAddCapability=SYS_PTRACE NET_BIND_SERVICE\n", ""),
        ("least", "DropCapability=all\nAddCapability=NET_BIND_SERVICE\nSeccompProfile=/etc/sdme/deny.json\n", ""),
    ];
    for (name, text, more) in containers {
        let file = format!(
            "[Container]\nImage=oci:/srv/images/minbase\nMode=app\n{text}Environment=PROBE={}\n\
             Exec=sh -c 'echo \"$PROBE\" | base64 -d | sh >/tmp/new && mv /tmp/new /tmp/report; exec sleep infinity'\n{more}",
            packed(probe)
        );
        host.write(&format!("/etc/sdme/{name}.container"), file);
    }
    host.ok("sdme-gen check && systemctl daemon-reload");
    let report = |name: &str| {
        let container = Container::new(host, name);
        container.systemctl("start");
        host.wait(&format!("cat {}/oci/root/tmp/report", container.upper()), 30)
    };
    // Bits of capabilities(7): CAP_CHOWN is 0, NET_BIND_SERVICE 10, SYS_PTRACE 19, MKNOD 27.
    let status = |capabilities: u64, no_new_privileges: u8, errno: u8| {
        format!(
            "CapEff:\t{capabilities:016x}\nCapBnd:\t{capabilities:016x}\nNoNewPrivs:\t{no_new_privileges}\nerrno: {errno}\n\
             io_uring_setup: 1\n"
        )
    };
    let dockers = 0xa804_25fb;
    assert_eq!(report("plain"), status(dockers, 1, 0));
    // The system call is allowed, and fails because of missing parameters.
    assert_eq!(report("named"), status(dockers, 1, 0).replace("io_uring_setup: 1\n", "io_uring_setup: 14\n"));
    assert!(report("listed").ends_with("errno: 1\nio_uring_setup: 1\n"));
    // These calls are not in @system-service, but the preset alone would allow some of them.
    let kept = |call: &str| host.ok("systemctl -M listed show -P SystemCallFilter sdme-oci-app").contains(call);
    assert!(kept("openat") && !kept("pivot_root") && !kept("io_uring"));
    assert_eq!(report("single"), status(dockers & !1 & !(1 << 27) | 1 << 19, 0, 1));
    assert_eq!(report("least"), status(1 << 10, 1, 38));
    // A user other than root gets only the capabilities that are added by name.
    let user = status(1 << 10 | 1 << 19, 1, 0);
    assert_eq!(
        report("user"),
        user.replace("CapBnd:\t0000000000080400", &format!("CapBnd:\t{:016x}", dockers | 1 << 19))
    );

    // `check --security` reports the same settings.
    let said = host.ok("sdme-gen check --security");
    let said: Vec<&str> = said.split("\n\n").collect();
    let of = |name: &str| *said.iter().find(|text| text.starts_with(&format!("{name}\n"))).unwrap();
    let line = |name: &str, what: &str| {
        let found = of(name).lines().find_map(|line| line.trim_start().strip_prefix(what)).unwrap();
        found.trim().to_owned()
    };
    assert_eq!(line("single", "capabilities added"), "CAP_SYS_PTRACE");
    assert!(line("single", "system calls").split(' ').any(|word| word == "~getpriority"));
    assert_eq!(line("single", "application no new privileges"), "no");
    assert_eq!(line("least", "application capabilities"), "CAP_NET_BIND_SERVICE");
    assert_eq!(line("least", "application seccomp profile"), "/etc/sdme/deny.json");
    assert_eq!(line("plain", "preset"), "default");

    // Either no profile of this name is loaded or there is no AppArmor, so the start must fail.
    host.write("/etc/sdme/armoured.container", "[Container]\nAppArmor=nobody-has-this\n");
    host.ok("systemctl daemon-reload");
    host.fails("systemctl start systemd-nspawn@armoured");
    let log = host.ok("journalctl -u systemd-nspawn@armoured --no-pager -o cat");
    assert!(log.contains("/etc/sdme/armoured.container:2: "), "{log}");
}
