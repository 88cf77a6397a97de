// SPDX-License-Identifier: MIT
//! Tier 2: `sdme-gen exec` behaves like `docker exec`: streams, terminals, signals and exit
//! statuses, case by case.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use support::containers::{Container, boot_with, ready};
use support::host::Host;

on_every_suite!(commands_behave_as_with_docker);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    if ready(suite, &["image:minbase"]) {
        case(&boot_with(Host::builder(suite, name.split('_').next().unwrap()).copy()));
    }
}

/// The title, a shell command of the administrator, its output and its exit status.
const CASES: [(&str, &str, &str, i32); 57] = [
    (
        "no other service is started",
        "sdme-gen exec web -- true && systemctl -M web is-active sysinit.target; true",
        "inactive\n",
        0,
    ),
    ("success", "sdme-gen exec web -- true", "", 0),
    ("failure", "sdme-gen exec web -- sh -c 'exit 3'", "", 3),
    ("the highest status", "sdme-gen exec web -- sh -c 'exit 255'", "", 255),
    (
        "no such program",
        "sdme-gen exec web -- nowhere 2>&1 | grep -o 'nowhere: No such file'; exit ${PIPESTATUS[0]}",
        "nowhere: No such file\n",
        127,
    ),
    ("no such path", "sdme-gen exec web -- /no/where 2>/dev/null", "", 127),
    ("no program", "sdme-gen exec web -- /etc/passwd 2>/dev/null", "", 126),
    ("ended by SIGTERM", "sdme-gen exec web -- sh -c 'kill -TERM $$'", "", 143),
    ("ended by SIGKILL", "sdme-gen exec web -- sh -c 'kill -KILL $$'", "", 137),
    ("input from a pipe", "echo hello | sdme-gen exec web -- cat", "hello\n", 0),
    ("input from a file", "sdme-gen exec web -- wc -c </srv/blob", "10000000\n", 0),
    ("much, both ways", "sdme-gen exec web -- cat </srv/blob | cmp - /srv/blob && echo same", "same\n", 0),
    ("input that nobody reads", "sdme-gen exec web -- true </srv/blob", "", 0),
    ("no input", "sdme-gen exec web -- cat <&-", "", 0),
    ("empty input", "sdme-gen exec web -- cat </dev/null", "", 0),
    (
        "input for a part of the time",
        "(echo a; sleep 0.3; echo b) | sdme-gen exec web -- sh -c 'read x; echo $x; read y; echo $y'",
        "a\nb\n",
        0,
    ),
    ("output to a file", "sdme-gen exec web -- echo out >/srv/out; cat /srv/out", "out\n", 0),
    ("no newline at the end", "sdme-gen exec web -- printf x", "x", 0),
    (
        "errors apart",
        "sdme-gen exec web -- sh -c 'echo out; echo err >&2' 2>/srv/err; sed s/^/e:/ /srv/err",
        "out\ne:err\n",
        0,
    ),
    ("errors with the output", "sdme-gen exec web -- sh -c 'echo out; sleep 0.2; echo err >&2' 2>&1", "out\nerr\n", 0),
    ("a reader that goes away", "sdme-gen exec web -- yes | head -n 1", "y\n", 0),
    (
        "nothing is left of it",
        "sdme-gen exec web -- sh -c 'for n in 1 2 3 4 5 6 7 8 9; do pidof yes >/dev/null || exit 0; sleep 0.2; done; exit 1'",
        "",
        0,
    ),
    (
        "arguments as they are",
        "sdme-gen exec web -- printf '<%s>' 'a b' '$HOME' '*' '%n' '' '\"' \"it's\"",
        "<a b><$HOME><*><%n><><\"><it's>",
        0,
    ),
    (
        "the environment of the application",
        "sdme-gen exec web -- sh -c 'echo \"$GREETING\"; echo ${NOTIFY_SOCKET-none}'",
        "a b\nnone\n",
        0,
    ),
    ("nothing of the caller's environment", "SECRET=x sdme-gen exec web -- sh -c 'echo ${SECRET-none}'", "none\n", 0),
    ("the working directory", "sdme-gen exec web -- pwd", "/srv/work\n", 0),
    ("the limits", "sdme-gen exec web -- sh -c 'ulimit -n'", "777\n", 0),
    (
        "a reopened output",
        "sdme-gen exec web -- sh -c 'echo again >/dev/stdout; echo error >/dev/stderr' 2>/dev/null",
        "again\n",
        0,
    ),
    ("the user", "sdme-gen exec user -- sh -c 'id -u; id -g'", "1\n1\n", 0),
    (
        "a reopened output of the user",
        "sdme-gen exec user -- sh -c 'echo again >/dev/stdout; sleep 0.3; echo error >/dev/stderr' 2>&1",
        "again\nerror\n",
        0,
    ),
    ("a reopened input of the user", "echo again | sdme-gen exec user -- cat /dev/stdin", "again\n", 0),
    (
        "in a user namespace",
        "sdme-gen exec apart -- sh -c 'id -u; [ $(cut -c12-22 /proc/self/uid_map) -gt 0 ] && echo mapped >/dev/stdout'",
        "0\nmapped\n",
        0,
    ),
    ("input in a user namespace", "echo again | sdme-gen exec apart -- cat /dev/stdin", "again\n", 0),
    ("left running", "sdme-gen exec web -- sh -c 'sleep 1234 & echo started'", "started\n", 0),
    ("still running", "sdme-gen exec web -- pidof sleep | wc -w", "2\n", 0),
    (
        "one of several",
        "sdme-gen exec both -- true 2>&1 | grep -o -- 'with --app: [a-z, ]*'; exit ${PIPESTATUS[0]}",
        "with --app: one, two\n",
        1,
    ),
    ("each of several", "for app in one two; do sdme-gen exec both --app $app -- printenv WHO; done", "1\n2\n", 0),
    (
        "many at once",
        "for n in $(seq 30); do sdme-gen exec web -- echo $n & done | sort -n | tail -n 1; wait",
        "30\n",
        0,
    ),
    (
        "none without the container",
        "sdme-gen exec stopped -- true 2>&1; echo",
        "sdme-gen: stopped is not running; run systemctl start systemd-nspawn@stopped\n\n",
        0,
    ),
    (
        "a terminal",
        "sleep 2 | script -qec \"sdme-gen exec web -- sh -c 'test -t 0 && test -t 1 && tty'\" /dev/null | tr -d '\\r' | sed 's/[0-9]*$//'",
        "/dev/pts/\n",
        0,
    ),
    (
        "its size",
        "sleep 2 | script -qec 'stty rows 33 cols 77; sdme-gen exec web -- stty size' /dev/null | tr -d '\\r'",
        "33 77\n",
        0,
    ),
    ("its exit status", "sleep 2 | script -qec \"sdme-gen exec web -- sh -c 'exit 5'\" /dev/null", "", 5),
    ("as other tools are called", "sdme-gen exec -it web sh -c 'echo $GREETING' </dev/null", "a b\n", 0),
    ("a command's own options", "sdme-gen exec web printenv --null GREETING | tr '\\0' .", "a b.", 0),
    ("an option behind the name", "sdme-gen exec both --app two printenv WHO", "2\n", 0),
    ("another user by name", "sdme-gen exec -u daemon web -- sh -c 'id -un; echo $HOME'", "daemon\n/usr/sbin\n", 0),
    ("another user by number", "sdme-gen exec --user=1234:5678 web sh -c 'id -u; id -g'", "1234\n5678\n", 0),
    ("root beside another user", "sdme-gen exec -u root user id -u", "0\n", 0),
    (
        "root has no more than the application could have",
        "for u in root daemon; do sdme-gen exec -u $u user sh -c 'grep CapBnd /proc/self/status'; done | sort -u | wc -l",
        "1\n",
        0,
    ),
    (
        "an unknown user",
        "sdme-gen exec -u nobodyatall web id 2>&1",
        "sdme-gen: --user=nobodyatall: user `nobodyatall` is not in the image's etc/passwd\n",
        1,
    ),
    ("a user's reopened output", "sdme-gen exec -u daemon web sh -c 'echo again >/dev/stdout'", "again\n", 0),
    ("variables", "sdme-gen exec -e A='x y' --env GREETING= web sh -c 'echo \"$A,$GREETING\"'", "x y,\n", 0),
    (
        "a variable without a value",
        "sdme-gen exec -e HOME web id 2>&1",
        "sdme-gen: \"HOME\" is not NAME=VALUE; the host's environment is not passed on\n",
        1,
    ),
    ("another directory", "sdme-gen exec -w /usr/bin web pwd", "/usr/bin\n", 0),
    (
        "a directory that is no path",
        "sdme-gen exec -w usr web pwd 2>&1",
        "sdme-gen: usr is not an absolute path; write /usr\n",
        1,
    ),
    (
        "starting is systemctl's",
        "for v in start stop restart status; do sdme-gen $v web 2>&1; done | cut -d\\; -f1 | cut -d: -f3",
        " run systemctl start systemd-nspawn@web\n run systemctl stop systemd-nspawn@web\n \
         run systemctl restart systemd-nspawn@web\n run systemctl status systemd-nspawn@web\n",
        0,
    ),
    (
        "interrupted from the keyboard",
        "(until pgrep -xf 'sleep 4321' >/dev/null; do sleep 0.1; done; printf '\\003'; while pgrep -xf 'sleep 4321' >/dev/null; do sleep 0.1; done) | script -qec 'sdme-gen exec web -- sleep 4321' /dev/null >/dev/null",
        "",
        130,
    ),
];

fn commands_behave_as_with_docker(host: &Host) {
    host.write("/etc/sdme/tools.image", "[Image]\nImage=oci:/srv/images/minbase\nMode=app\n");
    host.ok("head -c 10000000 /dev/urandom >/srv/blob");
    let file = "[Container]\nImage=tools.image\nExec=sleep infinity\n";
    for (name, text) in [
        ("web", "Environment=\"GREETING=a b\"\nWorkingDir=/srv/work\nUlimit=nofile=777\n"),
        ("user", "User=daemon\n"),
        ("apart", "UserNS=auto\nNetwork=private\n"),
        ("stopped", ""),
    ] {
        host.write(&format!("/etc/sdme/{name}.container"), format!("{file}{text}"));
    }
    host.write(
        "/etc/sdme/both.container",
        "[Container]\nImage=one.image\nApp=two.image\n[Container one]\nExec=sleep infinity\nEnvironment=WHO=1\n\
         [Container two]\nExec=sleep infinity\nEnvironment=WHO=2\n",
    );
    for name in ["one", "two"] {
        host.write(&format!("/etc/sdme/{name}.image"), "[Image]\nImage=oci:/srv/images/minbase\nMode=app\n");
    }
    host.ok("sdme-gen check && systemctl daemon-reload");
    for name in ["web", "user", "apart", "both"] {
        Container::new(host, name).systemctl("start");
    }
    let mut wrong = String::new();
    for (what, command, printed, status) in CASES {
        let found = host.run(command);
        if found.stdout != printed || found.status != status {
            wrong += &format!("{what}: {command}\n  {status} {printed:?} expected\n  {found}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");

    logs_are_chosen(host);

    // If the application ends, every command of exec ends with it.
    let killed =
        host.run("(until pgrep -xf 'sleep 999' >/dev/null; do sleep 0.1; done; systemctl kill -M web -s KILL sdme-oci-app.service) & sdme-gen exec web -- sleep 999");
    assert_eq!(killed.status, 137, "{killed}");
}

/// As in docker and podman, logs are selected by the number of lines, a span of time, a pattern,
/// and several containers.
fn logs_are_chosen(host: &Host) {
    host.write(
        "/etc/sdme/talk.container",
        "[Container]\nImage=tools.image\nExec=sh -c 'echo one; echo two; echo three; exec sleep infinity'\n",
    );
    host.ok("systemctl daemon-reload && systemctl start systemd-nspawn@talk");
    host.wait("sdme-gen logs talk -o cat | grep three", 10);
    assert_eq!(host.ok("sdme-gen logs --tail 2 -o cat talk"), "two\nthree\n");
    assert_eq!(host.ok("sdme-gen logs -t --since 10m --grep '^t' --output=cat talk"), "two\nthree\n");
    assert_eq!(host.run("sdme-gen logs --until '1 hour ago' -o cat talk").stdout.replace("-- No entries --\n", ""), "");
    let several = host.ok("sdme-gen logs -n 1 -o cat talk web");
    assert!(several.starts_with("==> talk <==\nthree\n==> web <==\n"), "{several}");
    let missing = host.run("sdme-gen logs -o cat -n 1 nothing talk");
    assert!(!missing.success() && missing.stdout.ends_with("==> talk <==\nthree\n"), "{missing}");
    assert!(missing.stderr.contains("there is no container nothing"), "{missing}");
    assert!(host.fails("sdme-gen logs -f web talk").contains("--follow is for one container"));
}
