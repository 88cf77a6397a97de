// SPDX-License-Identifier: MIT
//! Attacks by the working directory of an image, and by what an application finds in `/proc`. The
//! application must stay in its own root directory, whatever its working directory is and whichever
//! processes it sees.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use crate::PROTECTIONS;
use crate::hostile::{image, script};
use crate::support::containers::Container;
use crate::support::host::Host;

on_every_suite!(applications_stay_in_their_root, nothing_is_told_to_others);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    crate::on(suite, name, images, case);
}

/// Reports the position of the application, and tries to write a unit into the root directory of
/// the container.
const WRITE: &str = r#"cwd=$(readlink /proc/self/cwd)
for up in . .. ../.. ../../..; do
    [ -e $up/oci/root ] && seen="$seen $up"
    mkdir -p $up/etc/systemd/system && echo attacked >$up/etc/systemd/system/escaped
done 2>/dev/null
echo "started at $cwd, sees the container's root at:$seen" >/report/new
mv /report/new /report/done
exec sleep infinity"#;

/// Searches for the root directory of the container behind all visible descriptors, root
/// directories and working directories.
const LOOK: &str = r#"for path in /proc/[0-9]*/fd/* /proc/[0-9]*/root /proc/[0-9]*/cwd; do
    for up in $path $path/.. $path/../..; do
        [ -e $up/oci/root ] || continue
        seen="$seen $up"
        echo attacked >$up/etc/systemd/system/escaped
    done
done 2>/dev/null
echo "sees the container's root at:$seen" >/report/new
mv /report/new /report/done
exec sleep infinity"#;

/// Writes a line to the console that claims to be an emergency.
const CONSOLE: &str = "echo '<0>attack-on-the-console' >/dev/console; exec sleep infinity";

fn images(directory: &Path) {
    let fill = |program: &'static str, work: &'static str| {
        move |top: &Path| {
            script(top, "attack", program);
            fs::create_dir(top.join("report")).unwrap();
            fs::set_permissions(top.join("report"), fs::Permissions::from_mode(0o1777)).unwrap();
            symlink(work, top.join("work")).unwrap();
        }
    };
    let config = ["--config.entrypoint", "/attack", "--config.workingdir", "/work"];
    image(directory, "shipped", fill(WRITE, "/proc/self/fd/4"), &config);
    image(directory, "link", fill(WRITE, "/"), &config);
    image(directory, "console", fill(CONSOLE, "/"), &config);
    image(directory, "look", fill(LOOK, "/"), &config);
}

/// Returns targets of the working directory, which must not lead out of the root directory of the
/// application.
fn targets() -> Vec<String> {
    let descriptors = (0..20).flat_map(|n| [format!("/proc/self/fd/{n}"), format!("/proc/self/fd/{n}/..")]);
    let first = (3..12).flat_map(|n| [format!("/proc/1/fd/{n}"), format!("/proc/1/fd/{n}/..")]);
    let others = [
        "/proc/self/cwd",
        "/proc/1/cwd",
        "/proc/1/cwd/..",
        "/proc/1/root",
        "/proc/1/root/..",
        "/proc/1/root/oci/new",
        "/proc/self/fd/4/new",
    ];
    descriptors.chain(first).chain(others.map(str::to_owned)).collect()
}

/// Returns what an attack has left outside of the root directory of the application.
fn escaped(host: &Host, name: &str) -> Option<String> {
    let find = format!(
        "cd /var/lib/sdme/containers/{name}/upper && find . -name escaped -not -path './oci/root/*'
         find ./oci -mindepth 1 -maxdepth 1 -not -name root
         find /etc/systemd /run/systemd/system /usr/lib/systemd -name escaped"
    );
    let found = host.ok(&find);
    (!found.is_empty()).then(|| format!("{name}: the attack wrote {}", found.trim().replace('\n', ", ")))
}

/// Returns the report of an attack if it has seen more than the root directory of the application.
fn saw(host: &Host, name: &str) -> Option<String> {
    let path = format!("/var/lib/sdme/containers/{name}/upper/oci/root/report/done");
    let report = host.run(&format!("cat {path}")).stdout;
    let clean = report.is_empty() || report.trim_end().ends_with("root at:");
    (!clean).then(|| format!("{name}: {}", report.trim()))
}

fn applications_stay_in_their_root(host: &Host) {
    let mut found = as_shipped(host);
    found.extend(by_links(host));
    found.extend(through_proc(host));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Starts one container for each entry of `kinds` in parallel, collects the problems that `look`
/// finds, and removes the containers.
fn together(host: &Host, kinds: &[(String, String)], look: impl Fn(&Container<'_>) -> Vec<String>) -> Vec<String> {
    let all: Vec<Container<'_>> = kinds.iter().map(|(name, _)| Container::new(host, name)).collect();
    for (container, (_, text)) in all.iter().zip(kinds) {
        host.write(&container.file(), format!("[Container]\n{text}"));
    }
    let units: Vec<&str> = all.iter().map(|container| container.unit.as_str()).collect();
    host.ok("systemctl daemon-reload");
    host.run(&format!("systemctl start {}", units.join(" ")));
    let mut found = Vec::new();
    for container in &all {
        // Either the attack reports, or the application is refused and the container ends.
        let reported = format!("test -e {}/oci/root/report/done", container.upper());
        host.wait(&format!("{reported} || ! systemctl is-active -q {}", container.unit), 30);
        found.extend(look(container));
        found.extend(saw(host, &container.name));
        found.extend(escaped(host, &container.name));
    }
    host.run(&format!("systemctl stop {}", units.join(" ")));
    for container in &all {
        host.ok(&format!("rm {}", container.file()));
    }
    found
}

fn nothing_is_told_to_others(host: &Host) {
    let mut found = severities(host);
    found.extend(arguments(host));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The image and the `.container` file are used as an attacker would provide them.
fn as_shipped(host: &Host) -> Vec<String> {
    let look = |container: &Container<'_>| {
        let directory = format!("{}/var/log/journal", container.upper());
        let log = host.run(&format!("journalctl -q -D {directory} -o cat -u sdme-oci-app")).stdout;
        let named = log.contains("cannot enter the working directory");
        (!named)
            .then(|| format!("{}: the log does not name the working directory: {log}", container.name))
            .into_iter()
            .collect()
    };
    let of = |(protection, text): (&str, &str)| {
        let kinds = [("image", ""), ("file", "WorkingDir=/proc/self/fd/4\n"), ("user", "User=1000\n")];
        let kinds = kinds.map(|(kind, more)| {
            (format!("shipped-{kind}-{protection}"), format!("Image=oci:/srv/hostile/shipped\n{text}{more}"))
        });
        together(host, &kinds, look)
    };
    PROTECTIONS.into_iter().flat_map(of).collect()
}

/// Tries one link after the other in a running container, as if the application had created the
/// link before its restart.
fn by_links(host: &Host) -> Vec<String> {
    let mut found = Vec::new();
    for (protection, text) in PROTECTIONS {
        for (user, more) in [("root", ""), ("user", "User=1000\nWorkingDir=/work\n")] {
            let name = format!("link-{user}-{protection}");
            let container = Container::new(host, &name);
            container.configure(&format!("[Container]\nImage=oci:/srv/hostile/link\n{text}{more}"));
            container.systemctl("start");
            host.wait(&format!("test -e {}/oci/root/report/done", container.upper()), 20);
            // The directory is entered before the user is changed, so half of the links are enough
            // for another user.
            let targets: Vec<String> =
                targets().into_iter().filter(|target| user == "root" || !target.ends_with("/..")).collect();
            // The container must not end with its application. Each attempt ends with a report or a
            // failure.
            let script = format!(
                "mkdir -p /run/systemd/system.control
                 ln -s /dev/null /run/systemd/system.control/sdme-ended@.service
                 systemctl daemon-reload
                 for target in {}; do
                     rm -f /oci/root/report/done /oci/root/work
                     ln -s $target /oci/root/work
                     systemctl reset-failed sdme-oci-app.service
                     systemctl restart sdme-oci-app.service || continue
                     for try in $(seq 200); do
                         test -e /oci/root/report/done && break
                         systemctl is-failed -q sdme-oci-app.service && break
                         sleep 0.02
                     done
                     cat /oci/root/report/done 2>/dev/null | sed \"s,^,$target: ,\"
                 done",
                targets.join(" ")
            );
            let inside = format!("systemd-run -M {name} --wait --pipe -q sh -c '{script}'");
            let reports = host.run_for(&inside, Duration::from_secs(180));
            assert!(reports.success(), "{name}: {reports}");
            let wrong = reports.stdout.lines().filter(|line| !line.ends_with("root at:"));
            found.extend(wrong.map(|line| format!("{name}: {line}")));
            found.extend(escaped(host, &name));
            host.run(&format!("systemctl stop {}; rm {}", container.unit, container.file()));
        }
    }
    found
}

/// Tries every setting under which the application could reach the launcher.
fn through_proc(host: &Host) -> Vec<String> {
    host.write("/etc/sdme/allow.json", r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}"#);
    let of = |(protection, text): (&str, &str)| {
        let kinds = [
            ("plain", ""),
            ("seccomp", "SeccompProfile=/etc/sdme/allow.json\n"),
            ("ptrace", "AddCapability=CAP_SYS_PTRACE\n"),
        ];
        let kinds = kinds.map(|(kind, more)| {
            (format!("look-{kind}-{protection}"), format!("Image=oci:/srv/hostile/look\n{text}{more}"))
        });
        let look = |container: &Container<'_>| {
            let running = host.run(&format!("systemctl is-active -q {}", container.unit)).success();
            (!running).then(|| format!("{} does not run", container.name)).into_iter().collect()
        };
        together(host, &kinds, look)
    };
    PROTECTIONS.into_iter().flat_map(of).collect()
}

/// Text that a container writes to its console must not become a message of the host with a
/// severity that the container chooses. Warnings of our own commands in the same service keep their
/// severity.
fn severities(host: &Host) -> Vec<String> {
    let mut found = Vec::new();
    for (protection, text) in PROTECTIONS.iter().filter(|(protection, _)| *protection != "strict") {
        let name = format!("console-{protection}");
        let container = Container::new(host, &name);
        container.configure(&format!("[Container]\nImage=oci:/srv/hostile/console\n{text}"));
        // The recorded base differs, as if the container had run on another operating system
        // before; sdme-gen prepare warns about that.
        host.write(&format!("/var/lib/sdme/containers/{name}/base"), "something else");
        container.systemctl("start");
        let log = format!("journalctl -q -u {} -o json", container.unit);
        let line = host.wait(&format!("{log} | grep -e '0>attack-on-the-console' -e '\"attack-on-the-console'"), 20);
        if !line.contains(r#""PRIORITY":"6""#) || !line.contains("<0>attack-on-the-console") {
            found.push(format!("{name}: the container chose the severity of {line}"));
        }
        let warning = host.wait(&format!("{log} | grep 'now runs on'"), 10);
        if !warning.contains(r#""PRIORITY":"4""#) || warning.contains("<4>") {
            found.push(format!("{name}: the warning has lost its severity: {warning}"));
        }
        host.run(&format!("systemctl stop {}; rm {}", container.unit, container.file()));
    }
    found
}

/// Arguments of programs and health checks may be passwords. Neither a user of the host nor another
/// user in the container can read them in files, and no user of the host can reach the setuid
/// programs of an image.
fn arguments(host: &Host) -> Vec<String> {
    let mut found = Vec::new();
    for (protection, text) in PROTECTIONS {
        let name = format!("arguments-{protection}");
        let container = Container::new(host, &name);
        let keys = "Image=oci:/srv/hostile/link\nExec=hush-argument\nHealthCmd=test hush-check\n";
        container.configure(&format!("[Container]\n{keys}{text}"));
        container.systemctl("start");
        let user = "setpriv --reuid 1000 --regid 1000 --clear-groups --";
        let read = host.run(&format!("{user} grep -rs hush- /run/sdme /var/lib/sdme /run/systemd/nspawn")).stdout;
        if !read.is_empty() {
            found.push(format!("{name}: a user of the host reads {read}"));
        }
        let store = format!("/var/lib/sdme /var/lib/machines /run/sdme/containers/{name}");
        let readable =
            host.run(&format!("for d in {store}; do {user} ls -d $d/. 2>&1 | grep -v 'ermission denied'; done")).stdout;
        if !readable.is_empty() {
            found.push(format!("{name}: a user of the host enters {readable}"));
        }
        let inside = format!("systemd-run -M {name} --uid=1000 --wait --pipe -q grep -s hush- -r /oci /etc/systemd");
        let read = host.run(&inside).stdout;
        if !read.is_empty() {
            found.push(format!("{name}: a user of the container reads {read}"));
        }
        host.run(&format!("systemctl stop {}; rm {}", container.unit, container.file()));
    }
    found
}
