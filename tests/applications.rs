// SPDX-License-Identifier: MIT
//! Tier 2: applications run on real systemd hosts as their images and their configuration require,
//! whatever programs the images consist of.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use sdme_gen::config::keys::FileType;
use sdme_gen::config::sources::{SourceFile, Sources, Text};
use sdme_gen::contract::process::User;
use sdme_gen::model::{Facts, Identity, ImageFacts};
use sdme_gen::output::tree::{Node, Place};
use support::containers::{Container, NGINX, boot_with, quoted, ready};
use support::host::Host;
use support::run;

/// The image that has nothing but [`programs`], and the image that also has accounts.
const SCRATCH: &str = "oci:/srv/own/scratch";
const ACCOUNTS: &str = "oci:/srv/own/accounts";
/// The default of `PATH` for an image without one, which is the same as in Docker.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

on_every_suite!(
    programs_of_every_kind_run_and_their_logs_arrive,
    users_are_the_images_own,
    vectors_arrive_byte_for_byte,
    a_million_lines_arrive_in_order,
    an_init_does_its_duties,
    settings_of_the_inside_take_effect_and_leave_nothing,
);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    if ready(suite, &["gcc", "umoci"]) {
        let own = tempfile::tempdir().unwrap();
        images(own.path());
        let builder = Host::builder(suite, name.split('_').next().unwrap());
        case(&boot_with(builder.bind(own.path(), "/srv/own")));
    }
}

/// Compiles the programs of the images: one without a C library, and one that is statically linked
/// with it.
fn programs(directory: &Path) {
    let source = support::repo("tests/programs");
    let own = ["-O2", "-Wall", "-Werror", "-static", "-nostdlib", "-fno-builtin", "-fno-stack-protector", "-o"];
    run(Command::new("gcc").args(own).arg(directory.join("probe")).arg(source.join("probe.c")));
    let hello = directory.join("hello.c");
    fs::write(&hello, "#include <stdio.h>\nint main(void) { return puts(\"hello from a static binary\") < 0; }\n")
        .unwrap();
    run(Command::new("gcc").args(["-static", "-o"]).arg(directory.join("static")).arg(&hello));
    fs::remove_file(hello).unwrap();
}

/// Builds the images in `directory`.
fn images(directory: &Path) {
    let (scratch, accounts) = (directory.join("root"), directory.join("etc"));
    fs::create_dir(&scratch).unwrap();
    programs(&scratch);
    fs::create_dir(&accounts).unwrap();
    let passwd = "root:x:0:0::/root:/none\napp:x:1000:1001::/srv/app:/none\n2000:x:55:56::/numeric:/none\n";
    fs::write(accounts.join("passwd"), passwd).unwrap();
    fs::write(accounts.join("group"), "root:x:0:\nadm:x:4:root\napp:x:1001:\nextra:x:20:app\nweb:x:30:\n").unwrap();
    for (name, more) in [("scratch", None), ("accounts", Some(&accounts))] {
        let layout = directory.join(name);
        let image = format!("{}:latest", layout.display());
        let umoci = || Command::new("umoci");
        run(umoci().args(["init", "--layout"]).arg(&layout));
        run(umoci().args(["new", "--image", &image]));
        run(umoci().args(["insert", "--image", &image]).arg(&scratch).arg("/"));
        if let Some(more) = more {
            run(umoci().args(["insert", "--image", &image]).arg(more).arg("/etc"));
        }
        let user = if more.is_some() { "app" } else { "1234" };
        let config = ["config", "--config.entrypoint", "/probe", "--config.cmd", "id", "--config.user", user];
        run(umoci().args(config).args(["--image", &image]));
    }
}

/// Starts a container with an application of this image. A second application keeps the container
/// running, because a container ends with its last application. `file` has the settings of the
/// first application.
fn start<'a>(host: &'a Host, name: &str, image: &str, file: &str) -> Container<'a> {
    let container = Container::new(host, name);
    host.write("/etc/sdme/keep.image", format!("[Image]\nImage={NGINX}\n"));
    let both = format!("[Container]\nImage={image}\nApp=keep.image\n[Container keep]\nEntrypoint=/bin/sleep 1000\n");
    let app = image.rsplit('/').next().unwrap();
    host.write(&container.file(), format!("{both}[Container {app}]\n{file}"));
    // The number of restarts must not reach the start limit here.
    host.ok("systemctl daemon-reload && systemctl reset-failed");
    container.systemctl("restart");
    container
}

/// Returns the messages of the application `app`, each with its priority.
fn messages(container: &Container<'_>, app: &str, count: usize) -> Vec<(u8, String)> {
    let name = &container.name;
    let fields = "--output-fields=PRIORITY,MESSAGE -o json";
    let of = format!("journalctl -b -q -M {name} _SYSTEMD_UNIT=sdme-oci-app.service -t {app} {fields}");
    let lines = container.host.wait(&format!("{of} | tee /dev/stderr | wc -l | grep -x {count} >&2 && {of}"), 10);
    let entry = |line: &str| -> (u8, String) {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        (entry["PRIORITY"].as_str().unwrap().parse().unwrap(), entry["MESSAGE"].as_str().unwrap().to_owned())
    };
    lines.lines().map(entry).collect()
}

fn programs_of_every_kind_run_and_their_logs_arrive(host: &Host) {
    let scratch = start(host, "scratch", SCRATCH, "Exec=open\n");
    let all = messages(&scratch, "scratch", 7);
    let texts = |priority: u8| -> Vec<&str> {
        all.iter().filter(|(p, _)| *p == priority).map(|(_, message)| message.as_str()).collect()
    };
    let through = |paths: [&str; 3]| paths.map(|path| format!("through {path}"));
    let mut out = through(["/dev/stdout", "/proc/self/fd/1", "/dev/fd/1"]).to_vec();
    out.push("the last line has no end".to_owned());
    assert_eq!(texts(6), out);
    assert_eq!(texts(5), through(["/dev/stderr", "/proc/self/fd/2", "/dev/fd/2"]));
    // The image has no directories, and mounting into it has left none behind.
    assert_eq!(host.ok(&format!("find {} -path '*/oci/*'", scratch.upper())), "");

    let hello = start(host, "static", SCRATCH, "Entrypoint=/static\n");
    assert_eq!(messages(&hello, "scratch", 1), [(6, "hello from a static binary".to_owned())]);

    // The script changes to another user first, as official images do. The pipe belongs to root.
    let script = Container::new(host, "script");
    let text = "#!/bin/sh\necho as $(id -u)\nprintf '<3>grave\\n<8>none\\n'\n\
                exec chroot --userspec=1:1 --groups= / sh -c 'id -u >/dev/stdout; echo no >/dev/stderr; kill 0'\n";
    host.write(&format!("{}/oci/root/start.sh", script.upper()), text);
    host.ok(&format!("chmod 755 {0} {0}/oci {0}/oci/root && chmod +x {0}/oci/root/start.sh", script.upper()));
    start(host, "script", NGINX, "Entrypoint=/start.sh\n");
    let end = "the application ended with signal 15 (SIGTERM)";
    let expected = [(6, "as 0"), (3, "grave"), (6, "<8>none"), (6, "1"), (6, end), (5, "no")];
    let mut found = messages(&script, "nginx", expected.len());
    // The order is only defined within each of the two streams.
    found.sort_by_key(|(priority, _)| *priority == 5);
    assert_eq!(found, expected.map(|(priority, text)| (priority, text.to_owned())));

    start(host, "long", SCRATCH, "Exec=long\n");
    let count = "journalctl -b -q -M long -t scratch -o cat | tr -d '\\n'";
    host.wait(&format!("[ $({count} | tr -d x | wc -c) = 0 ] && [ $({count} | wc -c) = 1000000 ]"), 10);
}

/// Docker's rules for `USER` and `--user`: a name or number, optionally with a group after a colon.
/// The default group is that of the account, or root's group for a number without an account.
/// Supplementary groups apply only if no group is named.
fn users_are_the_images_own(host: &Host) {
    let table = [
        ("", "1000 1001 20 HOME=/srv/app"),
        ("User=root", "0 0 4 HOME=/root"),
        ("User=app", "1000 1001 20 HOME=/srv/app"),
        ("User=app:web", "1000 30 HOME=/srv/app"),
        ("User=1000", "1000 1001 20 HOME=/srv/app"),
        ("User=1234", "1234 0 HOME=/"),
        ("User=1234:5", "1234 5 HOME=/"),
        ("User=0:30", "0 30 HOME=/root"),
        ("User=2000", "55 56 HOME=/numeric"),
        ("Group=web", "1000 30 HOME=/srv/app"),
        ("User=root\nGroup=5", "0 5 HOME=/root"),
        ("GroupAdd=web 7", "1000 1001 7 20 30 HOME=/srv/app"),
        ("User=1234:5\nGroupAdd=app\nEnvironment=HOME=/own", "1234 5 1001 HOME=/own"),
    ];
    let mut file = String::from("[Container]\nApp=");
    let mut sections = String::new();
    for (number, (user, _)) in table.iter().enumerate() {
        host.write(&format!("/etc/sdme/u{number}.image"), format!("[Image]\nImage={ACCOUNTS}\n"));
        file += &format!("u{number}.image ");
        sections += &format!("[Container u{number}]\n{user}\n");
    }
    let users = Container::new(host, "users");
    users.configure(&format!("{file}\n{sections}")).systemctl("start");
    for (number, (user, expected)) in table.iter().enumerate() {
        let line = host.wait(&format!("journalctl -b -q -M users -t u{number} -o cat | grep '^id '"), 10);
        assert_eq!(line.trim(), format!("id {expected}"), "{user}");
    }
    users.systemctl("stop");

    let unknown = Container::new(host, "unknown");
    for (key, message) in [
        ("User=nobody", "user `nobody` is not in the image's etc/passwd; write a name that the image has, or a number"),
        ("User=app:none", "group `none` is not in the image's etc/group; write a name that the image has, or a number"),
        ("GroupAdd=none", "group `none` is not in the image's etc/group; write a name that the image has, or a number"),
    ] {
        unknown.configure(&format!("[Container]\nImage={ACCOUNTS}\n{key}\n"));
        host.ok("systemctl start 'sdme-image@oci:-srv-own-accounts'");
        host.fails(&format!("systemctl start {}", unknown.unit));
        let message = format!("/etc/sdme/unknown.container:3: {message}");
        assert!(host.ok("journalctl -b -q -u systemd-nspawn@unknown -o cat").contains(&message), "{message}");
        assert!(host.fails("sdme-gen check").contains(&message), "{message}");
    }
}

/// The arguments and the environment that an application should get.
#[derive(Debug)]
struct Vector {
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl Vector {
    fn random(runner: &mut TestRunner) -> Self {
        // The texts have no NUL byte. Characters that matter for quoting, continuation and
        // expansion are frequent; other characters of Unicode occur, too.
        let text = || "([\\\\\"'`$%#;= \t\n\r\u{1}\u{7f}{}()&|*?~-]|[a-z0-9]|[^\u{0}]){0,30}";
        let name = "[A-Za-z_][A-Za-z0-9_.-]{0,12}";
        let arguments = proptest::collection::vec(text(), 0..8);
        let environment = proptest::collection::btree_map(name, text(), 0..8);
        let (arguments, environment) = (arguments, environment).new_tree(runner).unwrap().current();
        Self { arguments, environment }
    }

    /// Returns the `.container` file with these values.
    fn file(&self) -> String {
        let mut file = String::from("[Container]\nImage=probe.image\n");
        let arguments: Vec<String> = self.arguments.iter().map(|argument| quoted(argument)).collect();
        file += &format!("Exec={}\n", arguments.join(" \\\n  "));
        for (name, value) in &self.environment {
            file += &format!("Environment={}\n", quoted(&format!("{name}={value}")));
        }
        file
    }

    /// Returns the files that the launcher reads.
    fn compiled(&self, number: usize) -> Vec<(String, String)> {
        let text = Text { path: "/etc/sdme/web.container".into(), content: Ok(self.file().into_bytes()) };
        let main = SourceFile { file_type: FileType::Container, name: "web".into(), main: text, drop_ins: Vec::new() };
        let image = "[Image]\nImage=oci:/probe\nMode=app\n".as_bytes().to_vec();
        let text = Text { path: "/etc/sdme/probe.image".into(), content: Ok(image) };
        let image = SourceFile { file_type: FileType::Image, name: "probe".into(), main: text, drop_ins: Vec::new() };
        let sources = Sources { files: vec![main, image], ..Sources::default() };
        let facts = ImageFacts {
            entrypoint: vec!["/srv/probe".to_owned(), "dump".to_owned()],
            working_dir: "/".to_owned(),
            users: BTreeMap::from([(Identity::default(), Ok(User { home: "/".into(), ..User::default() }))]),
            ..ImageFacts::default()
        };
        let compiled =
            sdme_gen::compile(&sources, &Facts { images: [("probe".to_owned(), facts)].into(), ..Facts::default() });
        assert!(compiled.diagnostics.is_empty(), "{:?}", compiled.diagnostics);
        let place = Place::Layer("web".to_owned());
        let files = ["process.json", "container.env"].map(|file| {
            let content = compiled.tree.below(&place).find(|(path, _)| *path == format!("oci/{file}"));
            let Some((_, Node::File(content) | Node::Private(content))) = content else { panic!("no {file}") };
            (format!("{number}/{file}"), content.clone())
        });
        files.into_iter().chain([(format!("{number}/env"), String::new())]).collect()
    }
}

fn vectors_arrive_byte_for_byte(host: &Host) {
    let mut runner = TestRunner::deterministic();
    let vectors: Vec<Vector> = (0..1000).map(|_| Vector::random(&mut runner)).collect();
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in vectors.iter().enumerate().flat_map(|(number, vector)| vector.compiled(number)) {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    let web = Container::new(host, "web");
    web.configure(&format!("[Container]\nImage={NGINX}\nHostName=vectors\n")).systemctl("start");
    host.write("/srv/vectors.tar", archive.into_inner().unwrap());
    host.ok("cd /var/lib/machines/web/srv && mkdir vectors && tar -C vectors -xf /srv/vectors.tar && cp /srv/own/root/probe .");
    // Each launcher runs in its own mount namespace, as in the service, and gets its directory as
    // an open descriptor, as in the service.
    let one = "mount -t tmpfs tmpfs /run && touch /run/sdme-oci-run && mount --bind /oci/sdme-oci-run /run/sdme-oci-run && \
               exec env LISTEN_FDS=1 LISTEN_FDNAMES=sdme /run/sdme-oci-run 3</srv/vectors/$1 >/srv/vectors/$1.out";
    web.ok(&format!("seq 0 999 | xargs -P 8 -I % unshare -m sh -ec '{one}' - %"));
    let output = host.ok("cd /var/lib/machines/web/srv/vectors && seq -f %g.out 0 999 | xargs cat");
    let mut strings = output.split_terminator('\0');
    for Vector { arguments, environment } in &vectors {
        let mut counts = strings.next().unwrap().split_ascii_whitespace().map(|n| n.parse::<usize>().unwrap());
        let (argc, envc) = (counts.next().unwrap(), counts.next().unwrap());
        let found: Vec<&str> = strings.by_ref().take(argc).collect();
        assert_eq!(found, *arguments);
        let found = strings.by_ref().take(envc).map(|variable| variable.split_once('=').unwrap());
        let usual = [("PATH", DEFAULT_PATH), ("HOSTNAME", "vectors"), ("HOME", "/")];
        let mut expected: BTreeMap<&str, &str> = usual.into();
        expected.extend(environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        if environment.get("HOME").is_some_and(String::is_empty) {
            expected.insert("HOME", "/");
        }
        assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
    }
    assert_eq!(strings.next(), None);
    assert!(vectors.iter().map(|vector| vector.arguments.len() + vector.environment.len()).sum::<usize>() > 5000);
}

fn a_million_lines_arrive_in_order(host: &Host) {
    const LINES: usize = 1_000_000;
    let logs = Container::new(host, "logs");
    logs.configure(&format!("[Container]\nImage={SCRATCH}\nExec=lines {LINES}\n")).systemctl("start");
    let journal = "journalctl -b -q -M logs _SYSTEMD_UNIT=sdme-oci-app.service -t logs -o cat";
    // The journal is busy enough, so this polls only once a second.
    let last = format!("until {journal} -n 1 | grep -x {LINES}; do sleep 1; done");
    assert!(host.run_for(&last, Duration::from_secs(300)).success(), "the last line does not arrive");
    // The launcher is the main process of the unit, and its peak memory must not exceed its
    // buffers.
    let cgroup = format!("/sys/fs/cgroup/machine.slice/{}/payload/system.slice/sdme-oci-app.service", logs.unit);
    let peak = host.ok(&format!("awk '/VmHWM/ {{ print $2 }}' /proc/$(head -1 {cgroup}/cgroup.procs)/status"));
    assert!(peak.trim().parse::<u32>().unwrap() < 8192, "{peak} kB");
    let check = "$1 != NR { print NR, $0; exit 1 } END { print NR }";
    let output = host.run_for(&format!("{journal} | awk '{check}'"), Duration::from_secs(300));
    assert_eq!(output.stdout, format!("{LINES}\n"), "{output}");
}

/// Waits until a script has printed `END`, and returns the lines before it.
fn printed(container: &Container<'_>, app: &str) -> Vec<String> {
    let lines = format!("journalctl -b -q -M {} -t {app} -o cat", container.name);
    let lines = container.host.wait(&format!("{lines} | tee /dev/stderr | grep -qx END && {lines}"), 10);
    lines.lines().take_while(|line| *line != "END").map(str::to_owned).collect()
}

/// Returns the keys that make `script` the program of an application.
fn program(script: &str) -> String {
    format!("Entrypoint=/bin/sh -c\nExec={}\n", quoted(script))
}

fn an_init_does_its_duties(host: &Host) {
    let run = |file: &str, script: &str| start(host, "web", NGINX, &(program(script) + file));
    let property = |name: &str| host.ok(&format!("systemctl -M web show -P {name} sdme-oci-app")).trim().to_owned();

    // The application has its own PID namespace without leftover processes, default dispositions of
    // all signals, and its own session.
    let script = "cd /proc; for i in 1 2 3; do (sleep 0.01 &); done; sleep 0.3; echo $$; echo [0-9]*; \
                  while read a b; do case $a in SigIgn:|SigBlk:) echo $b;; esac; done <self/status; \
                  cut -d' ' -f6 $$/stat; echo END; exec sleep 1000";
    let none = "0000000000000000";
    let web = run("", script);
    assert_eq!(printed(&web, "nginx"), ["2", "1 2", none, none, "2"]);

    // The stop signal has its effect, and the exit status of the program is reported.
    let file = "StopSignal=usr1\nStopTimeout=5\n";
    run(file, "trap 'echo bye; exit 7' USR1; echo END; while :; do sleep 0.05; done");
    printed(&web, "nginx");
    host.ok("systemctl -M web stop sdme-oci-app");
    assert_eq!((property("ExecMainCode"), property("ExecMainStatus")), ("1".to_owned(), "7".to_owned()));
    host.ok("journalctl -b -q -M web -t nginx -o cat | grep -x bye");

    // The reload signal reaches the program.
    let web = run("ReloadSignal=HUP\n", "trap 'echo again' HUP; echo END; while :; do sleep 0.05; done");
    printed(&web, "nginx");
    let before = property("MainPID");
    web.systemctl("reload");
    host.wait("journalctl -b -q -M web -t nginx -o cat | grep -x again", 5);
    assert_eq!(property("MainPID"), before);

    // A program that ignores the signal is killed with all its children. The host waits longer than
    // the container.
    run(
        "StopSignal=TERM\nStopTimeout=1\n",
        "trap '' TERM; sleep 1000 & (sleep 1000 &); echo END; while :; do sleep 0.05; done",
    );
    printed(&web, "nginx");
    assert_eq!(web.property("TimeoutStopUSec"), "31s");
    host.ok("systemctl -M web stop sdme-oci-app");
    assert_eq!(property("Result"), "timeout");
    let namespaces = "for p in /proc/[0-9]*; do readlink $p/ns/pid; done 2>/dev/null | sort -u | wc -l";
    // The PID namespaces of the host, of the container and of the other application remain.
    host.wait(&format!("{namespaces} | grep -x 3"), 5);

    // An end by a signal is reported as such. The last output is in the journal, and all other
    // processes of the application are gone.
    run("", "(sleep 1000 &); echo END; printf last; kill -SEGV $$");
    printed(&web, "nginx");
    host.wait("systemctl -M web is-failed sdme-oci-app", 5);
    assert_eq!(property("Result"), "signal");
    assert_eq!((property("ExecMainCode"), property("ExecMainStatus")), ("2".to_owned(), "11".to_owned()));
    host.wait("journalctl -b -q -M web -t nginx -o cat | grep -x last", 5);
    host.wait(&format!("{namespaces} | grep -x 3"), 5);

    // The same is true for a program that cannot be started.
    start(host, "web", NGINX, "Entrypoint=/nothing\n");
    host.wait(
        "journalctl -b -q -M web -t nginx -o cat | grep -x 'cannot start /nothing: No such file or directory'",
        5,
    );
    assert_eq!(property("ExecMainStatus"), "127");
}

fn settings_of_the_inside_take_effect_and_leave_nothing(host: &Host) {
    let web = Container::new(host, "web");
    // This is the only application of the container, and it keeps running.
    let scripted = |file: &str, script: &str| {
        host.write(&web.file(), format!("[Container]\nImage={NGINX}\n{}{file}", program(script)));
        host.ok("systemctl daemon-reload && systemctl reset-failed");
        web.systemctl("restart");
        printed(&web, "web")
    };
    // A variable that was edited by hand in the image takes effect, but the settings of the
    // container override it.
    web.configure(&format!("[Container]\nImage={NGINX}\n"));
    host.ok("systemctl start 'sdme-image@oci:-srv-images-nginx'");
    host.ok("echo \"BY_HAND='it counts'\nBEATEN=1\" >>/var/lib/sdme/fs/oci:-srv-images-nginx/tree/oci/env");
    let before = host.ok("cd /var/lib/sdme/store && find . -type f -print0 | sort -z | xargs -0 sha256sum");

    let file = "WorkingDir=/srv/new place\nUlimit=nofile=1024:4096 core=0\nTmpfs=/srv/tmp:size=1m,mode=700 /run:size=3m\n\
        ShmSize=2m\nSysctl=net.core.somaxconn=77 fs.mqueue.msg_max=5\nMask=/proc/cpuinfo:/usr/share:/nowhere\n\
        AddHost=db;other:10.1.2.3\nDNS=10.0.0.53\nDNSSearch=example.org\nDNSOption=ndots:3\nNetwork=private\nHostName=inner\n\
        Environment=BEATEN=2 discovery.type=single-node\nMemory=300m\nPidsLimit=500\nRunInit=yes\n";
    let script = "pwd; ulimit -Sn; ulimit -Hn; ulimit -c; stat -fc '%T %b' /srv/tmp /run /dev/shm; stat -c %a /srv/tmp; \
        cat /proc/sys/net/core/somaxconn /proc/sys/fs/mqueue/msg_max; wc -c </proc/cpuinfo; ls -A /usr/share; \
        tail -1 /etc/hosts; cat /etc/resolv.conf; uname -n; echo $BY_HAND $BEATEN; env | wc -l; \
        touch /proc/sys/kernel/x 2>/dev/null || echo protected; echo END; exec sleep 1000";
    let script = script.replace("tail -1 /etc/hosts", "cat /etc/hosts | tail -n 1");
    let found = scripted(file, &script);
    let expected = [
        "/srv/new place",
        "1024",
        "4096",
        "0",
        "tmpfs 256",
        "tmpfs 768",
        "tmpfs 512",
        "700",
        "77",
        "5",
        "0",
        "10.1.2.3 db other",
        "nameserver 10.0.0.53",
        "search example.org",
        "options ndots:3",
        "inner",
        "it counts 2",
        "6",
        "protected",
    ];
    assert_eq!(found, expected);
    assert_eq!(web.property("MemoryMax"), (300 << 20).to_string());
    assert_eq!(web.property("TasksMax"), "500");

    let script = "for d in / /usr /run /tmp /var/tmp /dev/shm; do touch $d/x 2>/dev/null && echo $d; done; echo END; exec sleep 1000";
    assert_eq!(scripted("ReadOnly=yes\n", script), ["/run", "/tmp", "/var/tmp", "/dev/shm"]);
    assert_eq!(scripted("ReadOnly=yes\nReadOnlyTmpfs=no\n", script), ["/dev/shm"]);
    // Removed settings have no effect any more, and have left nothing in the layer of the container
    // or of the image.
    assert_eq!(scripted("", "ulimit -Sn; cat /etc/hosts | wc -l; pwd; echo END; exec sleep 1000"), ["1024", "3", "/"]);
    web.systemctl("stop");
    assert_eq!(host.ok(&format!("cd {} && find oci -type f -o -type l", web.upper())), "");
    let after = host.ok("cd /var/lib/sdme/store && find . -type f -print0 | sort -z | xargs -0 sha256sum");
    assert_eq!(before, after);
}
