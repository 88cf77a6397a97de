// SPDX-License-Identifier: MIT
//! Tier 2: containers on real systemd hosts, from a file in `/etc/sdme` to a page over HTTP, and
//! until nothing is left.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use support::containers::{Container, DEBIAN, NGINX, WELCOME, boot, quoted, ready};
use support::host::Host;

/// The base of a container, and what runs in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An application on the `/usr` of the host.
    Usr,
    /// An application on a base image that its file names.
    Base,
    /// An application on the default base image.
    BaseFs,
    /// A base image without an application.
    System,
    /// A clone of the host.
    Clone,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Usr, Self::Base, Self::BaseFs, Self::System, Self::Clone];
    /// One kind for each base.
    const BASES: [Self; 3] = [Self::Usr, Self::Base, Self::Clone];

    /// Writes all files except that of the container.
    fn prepare(self, host: &Host) {
        host.write("/etc/sdme/nginx.image", format!("[Image]\nImage={NGINX}\n"));
        host.write("/etc/sdme/debian.image", format!("[Image]\nImage={DEBIAN}\n"));
        if self == Self::BaseFs {
            host.write("/etc/sdme/sdme.conf", "[Defaults]\nBaseFs=debian.image\n");
        }
    }

    /// Returns the file of the container.
    fn file(self) -> &'static str {
        match self {
            Self::Usr | Self::BaseFs => "[Container]\nImage=nginx.image\n",
            Self::Base => "[Container]\nImage=nginx.image\nBase=debian.image\n",
            Self::System => "[Container]\nImage=debian.image\n",
            Self::Clone => "[Container]\n",
        }
    }

    fn has_application(self) -> bool {
        !matches!(self, Self::System | Self::Clone)
    }

    /// Asserts that the container runs its application or system.
    fn assert_up(self, container: &Container<'_>) {
        if self.has_application() {
            assert_eq!(container.host.wait_http("http://localhost/", 10), WELCOME);
        } else {
            let command = format!("systemctl -M {} is-system-running", container.name);
            container.host.wait(&command, 10);
        }
    }

    /// Returns the directories of the host that are lower layers of the container and must not
    /// change.
    fn below(self) -> &'static [&'static str] {
        match self {
            Self::Usr => &["/var/lib/sdme/store", "/usr"],
            Self::Base | Self::BaseFs | Self::System => &["/var/lib/sdme/store"],
            Self::Clone => &["/usr", "/etc"],
        }
    }
}

on_every_suite!(
    containers_start_and_end_and_leave_nothing,
    a_start_removes_what_an_interrupted_end_has_left,
    ten_at_once_share_an_image_and_leave_it_alone,
    the_start_limit_is_in_force,
    a_changed_configuration_takes_effect_with_a_restart,
    an_image_that_is_as_asked_for_is_not_looked_at,
    a_misspelt_key_fails_the_start_at_once_and_says_so,
    a_failed_pull_fails_the_start_and_names_the_source,
    an_interrupted_pull_leaves_nothing_and_the_next_one_works,
    applied_units_need_no_generator,
    generated_and_applied_units_get_along,
    values_arrive_byte_for_byte,
    logs_are_in_the_journal_and_a_stop_is_the_images_own,
);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    if ready(suite, &[]) {
        case(&boot(suite, name.split('_').next().unwrap()));
    }
}

/// Returns the mount table without the fields that differ in each read.
fn mounts(host: &Host) -> BTreeSet<String> {
    host.ok("cut -d' ' -f4-6 /proc/self/mountinfo").lines().map(str::to_owned).collect()
}

/// Waits until the mount table is `before` again, and asserts that nothing of the container is
/// left.
fn assert_gone(container: &Container<'_>, namespace: &str, before: &BTreeSet<String>) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let now = mounts(container.host);
        let left: Vec<&String> = now.symmetric_difference(before).collect();
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "mounts left or lost: {left:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let all = "for p in /proc/[0-9]*; do echo $(readlink $p/ns/pid) $(cat $p/comm); done 2>/dev/null";
    let processes = container.host.ok(all);
    let left: Vec<&str> = processes.lines().filter(|line| line.starts_with(namespace)).collect();
    assert!(left.is_empty(), "processes left: {left:?}");
    assert!(processes.contains("pid:["), "the check itself finds nothing");
    let gone = format!("test ! -e /sys/fs/cgroup/machine.slice/{}", container.unit);
    container.host.wait(&format!("{gone} && ! ls -A /run/systemd/nspawn/unix-export | grep ."), 5);
}

/// Returns the PID namespace of a running container.
fn namespace(container: &Container<'_>) -> String {
    let name = &container.name;
    container.host.ok(&format!("readlink /proc/$(machinectl show -P Leader {name})/ns/pid")).trim().to_owned()
}

/// Starts a container of each kind, and ends it in every possible way.
fn containers_start_and_end_and_leave_nothing(host: &Host) {
    for kind in Kind::ALL {
        kind.prepare(host);
        live(host, kind);
    }
}

fn live(host: &Host, kind: Kind) {
    let name = format!("{kind:?}").to_lowercase();
    let web = Container::new(host, &name);
    let before = mounts(host);
    web.configure(kind.file()).systemctl("start");
    kind.assert_up(&web);
    let release = match kind {
        Kind::Usr | Kind::Clone => host.read("/etc/os-release"),
        _ => std::fs::read_to_string(support::cache().join("base/etc/os-release")).unwrap(),
    };
    assert_eq!(web.ok("cat /etc/os-release"), release);

    let processes = namespace(&web);
    web.systemctl("stop");
    assert_gone(&web, &processes, &before);

    web.systemctl("start");
    kind.assert_up(&web);
    let processes = namespace(&web);
    host.ok(&format!("kill -KILL {}", web.property("MainPID")));
    host.wait(&format!("systemctl is-failed {}", web.unit), 10);
    web.systemctl("start");
    kind.assert_up(&web);
    // All processes are killed at once, including those that should clean up if they are in the
    // same control group.
    let killed = namespace(&web);
    host.ok(&format!("systemctl kill --signal=KILL {}", web.unit));
    host.wait(&format!("systemctl is-failed {}", web.unit), 10);
    assert_gone(&web, &killed, &before);
    web.systemctl("start");
    kind.assert_up(&web);
    let second = namespace(&web);
    host.ok(&format!("machinectl poweroff {name}"));
    host.wait(&format!("systemctl show -P ActiveState {} | grep -x inactive", web.unit), 20);
    assert_gone(&web, &processes, &before);
    assert_gone(&web, &second, &before);

    web.systemctl("start");
    // Kinds that differ from another one only in their configuration need fewer restarts.
    let restarts = if matches!(kind, Kind::BaseFs | Kind::System) { 2 } else { 20 };
    for _ in 0..restarts {
        web.systemctl("reset-failed").systemctl("restart");
        kind.assert_up(&web);
    }
    let processes = namespace(&web);
    web.systemctl("stop");
    assert_gone(&web, &processes, &before);
    let killed = "journalctl -b -u 'systemd-nspawn@*' | grep -E 'timed out|Killing' | grep -v 'code=killed, status=9'";
    host.ok(&format!("! {killed}"));
}

/// Returns names, types, modes, owners, links, sizes, times and contents of all files in
/// `directories`.
fn fingerprint(host: &Host, directories: &[&str]) -> BTreeSet<String> {
    let list =
        "find \"$d\" -printf '%p %y %m %U:%G %n %s %T@ %l\\n' && find \"$d\" -type f -print0 | xargs -0r sha256sum";
    let lines = host.ok(&format!("for d in {}; do {list} || exit; done", directories.join(" ")));
    lines.lines().map(str::to_owned).collect()
}

/// Ten containers share one image. Each of them has its own files, and the shared directories do
/// not change.
fn ten_at_once_share_an_image_and_leave_it_alone(host: &Host) {
    for kind in Kind::BASES {
        kind.prepare(host);
        ten(host, kind);
    }
}

fn ten(host: &Host, kind: Kind) {
    let all: Vec<_> = (1..=10)
        .map(|number| (Container::new(host, &format!("{kind:?}{number}").to_lowercase()), 8000 + number))
        .collect();
    for (container, port) in &all {
        let mut file = kind.file().to_owned();
        if kind.has_application() {
            let name = &container.name;
            file += &format!("Environment=NAME={name} PORT={port}\n");
            file += r#"Exec=sh -c 'mkdir -p /srv/own && echo "I am $NAME" >/srv/own/$NAME && \
                echo "server { listen $PORT; root /srv/own; }" >/etc/nginx/conf.d/site.conf && \
                exec nginx -g "daemon off;"'"#;
        }
        host.write(&container.file(), file);
    }
    host.ok("systemctl daemon-reload && systemctl start sdme-image@nginx sdme-image@debian");
    let before = fingerprint(host, kind.below());
    let units: Vec<&str> = all.iter().map(|(container, _)| container.unit.as_str()).collect();
    host.ok(&format!("systemctl start {}", units.join(" ")));
    // The first container has created these shared directories.
    let shared = host.ok("ls -d /run/sdme/host-base /run/sdme/empty 2>/dev/null || true");
    let shared: Vec<&str> = shared.lines().collect();
    let made = fingerprint(host, &shared);
    for (container, port) in &all {
        let name = &container.name;
        let own = if kind.has_application() {
            assert_eq!(host.wait_http(&format!("http://localhost:{port}/{name}"), 10), format!("I am {name}\n"));
            "/oci/root/srv/own"
        } else {
            container.ok(&format!("mkdir -p /srv/own && echo I am {name} >/srv/own/{name}"));
            "/srv/own"
        };
        assert_eq!(host.ok(&format!("ls {}{own}", container.upper())), format!("{name}\n"));
    }
    assert_eq!(host.ok("machinectl --no-legend list | wc -l"), "10\n");
    host.ok(&format!("systemctl stop {}", units.join(" ")));
    assert!(before.len() > 10);
    for (earlier, later) in [(before, fingerprint(host, kind.below())), (made, fingerprint(host, &shared))] {
        let changed: Vec<&String> = earlier.symmetric_difference(&later).take(20).collect();
        assert!(changed.is_empty(), "what they share has changed: {changed:#?}");
    }
    host.ok("test -z \"$(ls -A /run/sdme/containers /run/sdme/started | grep -v :)\"");
    for (container, _) in &all {
        host.ok(&format!("rm {}", container.file()));
    }
}

fn the_start_limit_is_in_force(host: &Host) {
    let web = Container::new(host, "web");
    web.configure(&format!("[Container]\nImage={NGINX}\n"));
    assert_eq!(web.property("StartLimitBurst"), "5");
    assert_eq!(web.property("StartLimitIntervalUSec"), "10s");
    let restart = format!("systemctl restart {}", web.unit);
    // The image is imported by now.
    web.systemctl("start").systemctl("reset-failed");
    let refused = (0..20).find(|_| !host.run(&restart).success());
    assert_eq!(refused, Some(5));
    assert_eq!(web.property("Result"), "start-limit-hit");
    host.fails("curl -s http://localhost/");
    web.systemctl("reset-failed").systemctl("start");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
}

fn a_start_removes_what_an_interrupted_end_has_left(host: &Host) {
    let web = Container::new(host, "end");
    web.configure(Kind::Usr.file());
    Kind::Usr.prepare(host);
    let drop_in = "/run/systemd/system/systemd-nspawn@end.service.d/end.conf";
    host.write(drop_in, "[Service]\nExecStopPost=\n");
    host.ok("systemctl daemon-reload");
    web.systemctl("start");
    Kind::Usr.assert_up(&web);
    let by_hand = |host: &Host| host.run("sdme-gen prepare end");
    assert!(by_hand(host).stderr.contains("end is mounted; stop systemd-nspawn@end.service first"));
    web.systemctl("stop");
    host.ok(&format!("mountpoint -q /var/lib/machines/end && rm {drop_in} && systemctl daemon-reload"));
    assert!(by_hand(host).stderr.contains("if nothing is left running, unmount it"));
    web.systemctl("start");
    Kind::Usr.assert_up(&web);
    web.systemctl("stop");
    host.ok("! mountpoint -q /var/lib/machines/end && test ! -e /run/sdme/containers/end");
}

fn a_changed_configuration_takes_effect_with_a_restart(host: &Host) {
    const SCRIPT: &str = "Exec=sh -c 'while :; do sleep 100; done' alpha\n";
    let web = Container::new(host, "web");
    let environment = |name: &str| environment(&web, "sh").get(name).cloned();
    let file = |more: &str| format!("[Container]\nImage={NGINX}\n{more}");
    web.configure(&file(&format!("{SCRIPT}HostName=first\nTimezone=Asia/Tokyo\nEnvironment=A=1 B=2\n")));
    web.systemctl("start");
    assert_eq!((environment("A"), environment("B")), (Some("1".to_owned()), Some("2".to_owned())));
    assert_eq!(arguments(&web, "sh")[3], "alpha");
    assert_eq!(web.ok("hostname; readlink /etc/localtime"), "first\n../usr/share/zoneinfo/Asia/Tokyo\n");
    // Files that the container has written are kept.
    web.ok("echo kept >/srv/kept");

    web.configure(&file(&format!("{}HostName=second\nEnvironment=A=changed\n", SCRIPT.replace("alpha", "beta"))));
    assert_eq!(web.ok("hostname"), "first\n", "a running container keeps what it started with");
    web.systemctl("restart");
    assert_eq!((environment("A"), environment("B")), (Some("changed".to_owned()), None));
    assert_eq!(arguments(&web, "sh")[3], "beta");
    assert_eq!(web.ok("test ! -L /etc/localtime && hostname && cat /srv/kept"), "second\nkept\n");

    web.configure(&file(""));
    web.systemctl("restart");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
    assert_eq!(web.ok("hostname; cat /srv/kept; grep -c second /etc/hosts || true"), "web\nkept\n0\n");

    // A running container keeps running if its file is removed or becomes invalid, and can still be
    // stopped.
    web.configure("[Container]\nImagine=x\n").systemctl("stop");
    host.wait("! mountpoint -q /var/lib/machines/web", 5);
    web.configure(&file("")).systemctl("start");
    host.ok(&format!("rm {} && systemctl daemon-reload", web.file()));
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
    web.systemctl("stop");
    host.wait("! mountpoint -q /var/lib/machines/web", 5);
    host.fails("systemctl start systemd-nspawn@web");
    let loaded = host.ok("systemctl daemon-reload && systemctl show -P FragmentPath systemd-nspawn@web.service");
    assert!(!loaded.contains("/run/systemd/generator"), "{loaded}");
    host.fails("systemctl start systemd-nspawn@web");
}

/// A start with an imported image runs no process to check the image, moves no journal, and watches
/// no memory pressure.
fn an_image_that_is_as_asked_for_is_not_looked_at(host: &Host) {
    let image = |more: &str| {
        host.write("/etc/sdme/own.image", format!("[Image]\nImage={NGINX}\n{more}"));
        host.ok("systemctl daemon-reload");
    };
    let web = Container::new(host, "web");
    let looked = |wanted: &str| {
        web.systemctl("restart");
        assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
        assert_eq!(host.ok("systemctl show -P ConditionResult sdme-image@own").trim(), wanted);
    };
    image("");
    web.configure("[Container]\nImage=own.image\n[Unit]\nStartLimitIntervalSec=0\n");
    looked("yes");
    looked("no");
    assert_eq!(web.ok("ls /run/log/journal 2>/dev/null; ls /var/log/journal/*/system.journal | wc -l").trim(), "1");
    let open = web.ok("ls -l /proc/1/fd /proc/$(pidof systemd-journald)/fd || true");
    assert!(open.contains("socket:") && !open.contains("pressure"), "{open}");

    // Other settings lead to a new check, even if they were used before.
    image("Mode=app\n");
    looked("yes");
    looked("no");
    image("");
    looked("yes");
    image("Policy=newer\n");
    looked("yes");
    looked("yes");
    image("");
    looked("no");

    // A start that needs a lost file fails and names it, and the next start imports the image
    // again.
    web.systemctl("stop");
    host.ok("rm -r /var/lib/sdme/layers/*");
    host.fails("systemctl start systemd-nspawn@web");
    let status = host.fails("systemctl status -l systemd-nspawn@web");
    assert!(status.contains("is not there; import it again"), "{status}");
    looked("yes");
    looked("no");
    web.systemctl("stop");
    host.ok("rm /var/lib/sdme/fs/own");
    looked("yes");
}

/// Returns the environment of the application's process called `name`.
fn environment(container: &Container<'_>, name: &str) -> BTreeMap<String, String> {
    let text = container.host.read(&format!("/proc/{}/environ", container.process(name)));
    let variable = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.split_terminator('\0').map(|line| variable(line).expect("a variable")).collect()
}

/// Returns the command line of the application's process called `name`.
fn arguments(container: &Container<'_>, name: &str) -> Vec<String> {
    let text = container.host.read(&format!("/proc/{}/cmdline", container.process(name)));
    text.split_terminator('\0').map(str::to_owned).collect()
}

fn a_misspelt_key_fails_the_start_at_once_and_says_so(host: &Host) {
    let (web, other) = (Container::new(host, "web"), Container::new(host, "other"));
    let good = format!("[Container]\nImage={NGINX}\n");
    other.configure("[Container]\n");
    web.configure(&format!("{good}Enviroment=A=b\n"));
    let began = Instant::now();
    host.fails("systemctl start systemd-nspawn@web");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let status = host.fails("systemctl status --no-pager systemd-nspawn@web");
    let problem = "/etc/sdme/web.container:3: unknown key Enviroment= in [Container]; did you mean Environment?";
    assert!(status.contains(problem), "{status}");
    assert!(!host.run("mountpoint -q /var/lib/machines/web").success());
    other.systemctl("start");

    web.configure(&format!("{good}Environment=A=b\n")).systemctl("start");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
}

fn a_failed_pull_fails_the_start_and_names_the_source(host: &Host) {
    let (old, new) = (Container::new(host, "old"), Container::new(host, "new"));
    let file = |source: &str| format!("[Container]\nImage={source}\n");
    old.configure(&file(NGINX)).systemctl("start").systemctl("stop");

    let fails = |image: &str, expected: &[&str]| {
        host.fails(&format!("systemctl start {} {}", new.unit, old.unit));
        // The failed image does not affect other containers.
        assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
        old.systemctl("reset-failed").systemctl("stop");
        let status = host.fails(&format!("systemctl status --no-pager -l '{image}'"));
        for text in expected {
            assert!(status.contains(text), "no {text:?} in {status}");
        }
        host.ok("! ls -A /var/lib/sdme/store | grep import");
    };
    new.configure(&file("oci:/srv/nowhere"));
    fails("sdme-image@oci:-srv-nowhere", &["oci:/srv/nowhere", "No such file or directory"]);

    // One byte of the last layer is changed; the other layers are already imported and are not
    // read.
    let digest = "grep -o 'sha256:[0-9a-f]*' | cut -d: -f2";
    host.ok("cp -r /srv/images/nginx /srv/damaged");
    let manifest = host.ok(&format!("cat /srv/damaged/index.json | {digest} | head -n 1"));
    let blob = host.ok(&format!("cat /srv/damaged/blobs/sha256/{} | {digest} | tail -n 1", manifest.trim()));
    let layer = format!("/srv/damaged/blobs/sha256/{}", blob.trim());
    host.ok(&format!("cp {layer} /srv/good && printf X | dd conv=notrunc bs=1 seek=20 of={layer}"));
    host.write("/etc/sdme/damaged.image", "[Image]\nImage=oci:/srv/damaged\n");
    new.configure(&file("damaged.image"));
    fails("sdme-image@damaged", &["oci:/srv/damaged", blob.trim(), "is damaged"]);

    // After the repair, another start is sufficient.
    host.ok(&format!("cp /srv/good {layer}"));
    new.systemctl("start");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
    new.systemctl("stop");

    // After the import, the source is not needed any more.
    host.ok("rm -r /srv/damaged");
    new.systemctl("start");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);

    // A restart does not fall back to the former image.
    new.configure(&file("oci:/srv/nowhere"));
    host.fails(&format!("systemctl restart {}", new.unit));
    assert_eq!(new.property("ActiveState"), "failed");
    new.configure(&file("damaged.image")).systemctl("start");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
}

fn an_interrupted_pull_leaves_nothing_and_the_next_one_works(host: &Host) {
    let system = Container::new(host, "system");
    system.configure(&format!("[Container]\nImage={DEBIAN}\n"));
    let kill = "until test -d /var/lib/sdme/store/.import-*/rootfs/usr; do :; done
            systemctl kill -s KILL 'sdme-image@oci:-srv-images-base'";
    host.ok(&format!("systemctl start --no-block {}; {kill}", system.unit));
    host.wait("systemctl is-failed 'sdme-image@oci:-srv-images-base'", 10);
    host.ok("test ! -e /var/lib/sdme/fs/oci:-srv-images-base && ls -d /var/lib/sdme/store/.import-*");
    host.wait(&format!("systemctl is-failed {}", system.unit), 10);
    system.systemctl("start");
    host.ok("systemctl -M system is-system-running");
    host.ok("! ls -A /var/lib/sdme/store | grep import");
}

/// The units and settings are static files, and the host has no generator of ours.
fn applied_units_need_no_generator(host: &Host) {
    host.ok("rm /usr/lib/systemd/system-generators/sdme-generator");
    for kind in Kind::ALL {
        kind.prepare(host);
        apply(host, kind);
    }
}

fn apply(host: &Host, kind: Kind) {
    let web = Container::new(host, "web");
    web.configure(kind.file());
    assert_eq!(web.property("FragmentPath"), "/usr/lib/systemd/system/systemd-nspawn@.service");
    host.ok("sdme-gen apply && systemctl daemon-reload");
    host.ok("test -e /etc/systemd/nspawn/web.nspawn");
    for verb in ["start", "restart"] {
        web.systemctl(verb);
        kind.assert_up(&web);
        assert_eq!(web.property("FragmentPath"), "/etc/systemd/system/systemd-nspawn@web.service");
        host.ok("test ! -e /run/systemd/nspawn/web.nspawn");
    }
    web.systemctl("stop");
    host.ok(&format!("rm {} && sdme-gen apply && systemctl daemon-reload", web.file()));
    assert_eq!(web.property("FragmentPath"), "/usr/lib/systemd/system/systemd-nspawn@.service");
    host.ok("test ! -e /etc/systemd/nspawn/web.nspawn");
}

fn generated_and_applied_units_get_along(host: &Host) {
    let web = Container::new(host, "web");
    let file = |more: &str| format!("[Container]\nImage={NGINX}\n{more}[Install]\nWantedBy=machines.target\n");
    web.configure(&file(""));
    host.ok("for i in 1 2 3 4 5; do systemctl daemon-reload & sdme-gen apply & wait; done");
    host.ok("systemctl daemon-reload && sdme-gen apply --dry-run | tee /dev/stderr | wc -l | grep -qx 0");
    web.systemctl("start");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
    // Applied files take precedence, as all files in /etc do. The container reports that they are
    // outdated.
    web.configure(&file("HostName=changed\n")).systemctl("restart");
    let journal = host.ok("journalctl -b -u systemd-nspawn@web");
    assert!(journal.contains("/etc/systemd/nspawn/web.nspawn is used and differs"), "{journal}");
    host.ok("sdme-gen apply && systemctl daemon-reload && systemctl restart systemd-nspawn@web");
    assert_eq!(web.ok("hostname"), "changed\n");

    // Without applied files, a start uses the generated ones.
    host.ok(&format!("mv {0} /srv && sdme-gen apply && mv /srv/web.container {0}", web.file()));
    host.ok("test ! -e /etc/systemd/nspawn/web.nspawn && systemctl daemon-reload");
    web.systemctl("restart");
    assert_eq!(host.wait_http("http://localhost/", 10), WELCOME);
    assert_eq!(web.property("FragmentPath"), "/run/systemd/generator/systemd-nspawn@web.service");
}

fn values_arrive_byte_for_byte(host: &Host) {
    let every_byte: String = (1..=127_u8).map(char::from).collect();
    let hard = [
        "",
        " leading and trailing ",
        "it's \"quoted\"",
        "$HOME ${HOME} $$ %n %% %",
        "back\\slash \\n \\",
        "two\nlines\n",
        "\r\ttab",
        "`id` $(id) ; | & # * ? [a] ~",
        "Grüße, 世界 🦀",
        "-x",
        "[Service]",
        &every_byte,
    ];
    let web = Container::new(host, "web");
    let mut file = format!("[Container]\nImage={NGINX}\nExec=sh -c 'while :; do sleep 100; done' zero");
    for value in hard {
        file += &format!(" \\\n  {}", quoted(value));
    }
    file += "\n";
    for (number, value) in hard.iter().enumerate() {
        file += &format!("Environment={}\n", quoted(&format!("V{number}={value}")));
    }
    // Values as a user would write them by hand.
    file +=
        "Environment=PLAIN=100%$HOME 'SINGLE=a \"b\" c' \"DOUBLE=it's\" \\\n  TAIL=\\u20ac\n# EMPTY has no value.\n";
    file += "Environment=EMPTY= PATH=/usr/bin:/bin\n";
    web.configure(&file).systemctl("start");

    let mut expected: BTreeMap<String, String> =
        hard.iter().enumerate().map(|(number, value)| (format!("V{number}"), (*value).to_owned())).collect();
    let by_hand = [("PLAIN", "100%$HOME"), ("SINGLE", "a \"b\" c"), ("DOUBLE", "it's"), ("TAIL", "€"), ("EMPTY", "")];
    // Variables that override those of the image, and the ones that Docker sets in each container.
    let usual = [("PATH", "/usr/bin:/bin"), ("HOME", "/root"), ("HOSTNAME", "web")];
    expected.extend(by_hand.into_iter().chain(usual).map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(environment(&web, "sh"), expected);

    let mut expected = vec!["sh", "-c", "while :; do sleep 100; done", "zero"];
    expected.extend(hard);
    assert_eq!(arguments(&web, "sh"), expected);
}

fn logs_are_in_the_journal_and_a_stop_is_the_images_own(host: &Host) {
    let web = Container::new(host, "web");
    // The command of the image, with a more verbose log.
    web.configure(&format!(
        "[Container]\nImage={NGINX}\nExec=nginx -g 'daemon off; error_log /var/log/nginx/error.log notice;'\n"
    ));
    web.systemctl("start");
    host.wait_http("http://localhost/", 10);
    host.fails("curl -fs http://localhost/missing");
    let listed = host.ok("machinectl --no-legend list");
    assert!(listed.starts_with("web "), "{listed}");
    // The log files of the image are symbolic links to /dev/stdout and /dev/stderr.
    for message in
        ["GET / HTTP/1.1\" 200", "GET /missing HTTP/1.1\" 404", "open() \"/usr/share/nginx/html/missing\" failed"]
    {
        host.wait(&format!("journalctl -M web -t web -o cat | grep -F '{message}'"), 10);
    }
    host.ok("journalctl -M web -u sdme-oci-app -o cat | grep 'GET /missing'");

    let began = Instant::now();
    web.systemctl("stop");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(web.property("Result"), "success");
    let journal = format!("journalctl -D {}/var/log/journal -u sdme-oci-app -o cat", web.upper());
    let journal = host.ok(&journal);
    for message in ["signal 3 (SIGQUIT) received", "gracefully shutting down", "Deactivated successfully"] {
        assert!(journal.contains(message), "no {message:?} in {journal}");
    }
    assert!(!journal.contains("Killing") && !journal.contains("timed out"), "{journal}");
}
