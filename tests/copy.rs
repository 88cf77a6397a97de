// SPDX-License-Identifier: MIT
//! Tier 2: `sdme-gen cp` and `sdme-gen inspect`, case by case. Files are copied in both directions,
//! for running and stopped containers, with their owners, and no symbolic link of a container leads
//! to the host.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod support;

use serde_json::Value;
use support::containers::{Container, boot_with, ready};
use support::host::Host;

on_every_suite!(files_are_copied_as_with_docker);

fn on(suite: &str, name: &str, case: fn(&Host)) {
    if ready(suite, &["image:minbase"]) {
        case(&boot_with(Host::builder(suite, &name.replace("files_are_copied_as_with_docker", "copy")).copy()));
    }
}

/// The title, a shell command of the administrator, its output and its exit status. `$C` is the
/// container.
const CASES: [(&str, &str, &str, i32); 30] = [
    ("a file into a directory", "sdme-gen cp /srv/in/one $C:/srv && it cat /srv/one", "1\n", 0),
    ("a file under another name", "sdme-gen cp /srv/in/one $C:/srv/two && it cat /srv/two", "1\n", 0),
    ("a file that is replaced", "echo 2 >/srv/in/x; sdme-gen cp /srv/in/x $C:/srv/two && it cat /srv/two", "2\n", 0),
    ("a path without a slash", "sdme-gen cp /srv/in/one $C:srv/three && it cat /srv/three", "1\n", 0),
    (
        "owner, mode and time",
        "sdme-gen cp /srv/in/owned $C:/srv && it stat -c '%u %g %a %Y' /srv/owned",
        "33 34 4750 1000000000\n",
        0,
    ),
    (
        "another owner",
        "sdme-gen cp --chown daemon /srv/in/one $C:/srv/d && sdme-gen cp --chown 5:6 /srv/in/one $C:/srv/n && it stat -c '%U %g' /srv/d /srv/n",
        "daemon 1\ngames 6\n",
        0,
    ),
    ("a directory", "sdme-gen cp /srv/in/tree $C:/srv && it find /srv/tree -type f", "/srv/tree/a/b/file\n", 0),
    ("a directory under another name", "sdme-gen cp /srv/in/tree $C:/srv/other && it ls /srv/other", "a\nlink\n", 0),
    ("the content of a directory", "sdme-gen cp /srv/in/tree/. $C:/opt && it ls /opt", "a\nlink\n", 0),
    (
        "a directory onto itself",
        "echo y >/srv/in/tree/a/new; sdme-gen cp /srv/in/tree $C:/srv; it ls /srv/tree/a; it rm /srv/tree/a/new; rm /srv/in/tree/a/new",
        "b\nnew\n",
        0,
    ),
    ("a link is copied as a link", "it readlink /srv/tree/link", "/etc/passwd\n", 0),
    ("several names of a file", "sdme-gen cp /srv/in/links $C:/srv && it stat -c %h /srv/links/a", "2\n", 0),
    ("out", "sdme-gen cp $C:/srv/one /srv/out && cat /srv/out/one", "1\n", 0),
    ("out under another name", "sdme-gen cp $C:/srv/one /srv/out/renamed && cat /srv/out/renamed", "1\n", 0),
    (
        "out without setuid",
        "sdme-gen cp $C:/srv/owned /srv/out && stat -c '%u %g %a %Y' /srv/out/owned",
        "33 34 750 1000000000\n",
        0,
    ),
    ("a directory out", "sdme-gen cp $C:/srv/tree /srv/out && cat /srv/out/tree/a/b/file", "deep\n", 0),
    (
        "the content out",
        "mkdir -p /srv/new; sdme-gen cp $C:/srv/tree/. /srv/new && ls /srv/new; rm -r /srv/new",
        "a\nlink\n",
        0,
    ),
    (
        "into a volume",
        "sdme-gen cp /srv/in/owned $C:/data/ && it stat -c '%u %a' /data/owned && stat -c %u /var/lib/sdme/volumes/$C-data/owned",
        "33 4750\n33\n",
        0,
    ),
    ("a volume out", "sdme-gen cp $C:/data /srv/out && ls /srv/out/data; rm -r /srv/out/data", "owned\n", 0),
    ("into a directory of the host", "sdme-gen cp /srv/in/one $C:/host/sub && cat /srv/shared-$C/sub/one", "1\n", 0),
    ("through a link into a volume", "sdme-gen cp /srv/in/one $C:/way/in && it cat /data/in", "1\n", 0),
    (
        "a read-only mount",
        "sdme-gen cp /srv/in/one $C:/fixed/x 2>&1",
        "sdme-gen: /fixed/x is read-only in $C; copy to /srv/in of the host\n",
        1,
    ),
    (
        "a link to the host's directory",
        "sdme-gen cp /srv/in/one $C:/escape/pwned; ls /srv/target; it ls /srv/target",
        "pwned\n",
        0,
    ),
    (
        "a link on the way up",
        "sdme-gen cp /srv/in/one $C:/up/srv/pwned2; ls /srv/target /srv/pwned2 2>/dev/null; it cat /srv/pwned2",
        "/srv/target:\n1\n",
        0,
    ),
    (
        "a link in place of a directory",
        "mkdir -p /srv/e/escape && cp /srv/in/one /srv/e/escape/x; sdme-gen cp /srv/e/. $C:/ 2>&1 | grep -c 'is there and no directory'; ls /srv/target",
        "1\n",
        0,
    ),
    (
        "a link out is a link",
        "sdme-gen cp $C:/escape /srv/out && readlink /srv/out/escape; rm /srv/out/escape",
        "/srv/target\n",
        0,
    ),
    (
        "memory",
        "sdme-gen cp $C:/proc/version /srv/out 2>&1 | grep -o '^sdme-gen: /proc is in memory'",
        "sdme-gen: /proc is in memory\n",
        0,
    ),
    (
        "sockets and FIFOs are left out",
        "sdme-gen cp $C:/fifos /srv/out 2>&1; ls /srv/out/fifos",
        "sdme-gen: /fifos/fifo is a device, socket or FIFO and was left out\nfile\n",
        0,
    ),
    (
        "a missing path",
        "sdme-gen cp $C:/nowhere /srv/out 2>&1 | cut -d: -f 1-3",
        "sdme-gen: cannot copy $C:/nowhere to /srv/out\n",
        0,
    ),
    (
        "two paths of the host",
        "sdme-gen cp /srv/in/one /srv/out 2>&1",
        "sdme-gen: neither path is in a container; write NAME:/PATH for one of them\n",
        1,
    ),
];

fn files_are_copied_as_with_docker(host: &Host) {
    host.write("/etc/sdme/tools.image", "[Image]\nImage=oci:/srv/images/minbase\nMode=app\n");
    host.ok(
        "mkdir -p /srv/in/tree/a/b /srv/in/links /srv/out /srv/target; cd /srv/in; echo 1 >one; echo deep >tree/a/b/file
        ln -s /etc/passwd tree/link; echo l >links/a; ln links/a links/b
        echo o >owned; chown 33:34 owned; chmod 4750 owned; touch -d @1000000000 owned",
    );
    for (name, more) in [("plain", ""), ("apart", "UserNS=auto\nNetwork=private\n")] {
        host.ok(&format!("mkdir -p /srv/shared-{name}/sub"));
        host.write(
            &format!("/etc/sdme/{name}.container"),
            format!(
                "[Container]\nImage=tools.image\nExec=sleep infinity\nVolume={name}-data:/data\nVolume=/srv/shared-{name}:/host\n\
                 Volume=/srv/in:/fixed:ro\n{more}"
            ),
        );
    }
    host.ok("sdme-gen check && systemctl daemon-reload");
    for name in ["plain", "apart"] {
        let container = Container::new(host, name);
        container.systemctl("start");
        // Links that a hostile container could create to make root of the host write elsewhere.
        let traps = "ln -s /srv/target /escape; ln -s ../../../.. /up; ln -s /data /way; mkdir -p /srv/target /fifos; mkfifo /fifos/fifo; \
                     echo f >/fifos/file; chmod 711 /srv";
        host.ok(&format!("sdme-gen exec {name} -- sh -c '{traps}'"));
        // The first run uses the running container, the second one the stopped container, which is
        // started only for each check.
        cases(host, name, "sdme-gen exec $C -- \"$@\"");
        host.ok("rm -rf /srv/out/*");
        host.ok(&format!("sdme-gen exec {name} -- rm -rf /srv/other"));
        container.systemctl("stop");
        host.ok(&format!("rm -rf /var/lib/sdme/volumes/{name}-data/*"));
        let start = "systemctl start systemd-nspawn@$C; sdme-gen exec $C -- \"$@\"; status=$?; systemctl stop systemd-nspawn@$C; return $status";
        cases(host, name, start);
        host.ok(&format!(
            "rm -rf /srv/out/*; ! grep -q machines/{name} /proc/self/mountinfo && ! ls /run/sdme/containers/{name}"
        ));
        container.systemctl("start");
        host.ok(&format!("sdme-gen exec {name} -- cat /srv/tree/a/b/file"));
    }
    containers_are_inspected(host);
}

/// Runs the cases. `inside` is the body of a shell function that runs a command in the container.
fn cases(host: &Host, name: &str, inside: &str) {
    let mut wrong = String::new();
    for (what, command, printed, status) in CASES {
        let found = host.run(&format!("C={name}; it() {{ {inside}; }}; {command}"));
        let printed = printed.replace("$C", name);
        if found.stdout != printed || found.status != status {
            wrong += &format!("{name}: {what}: {command}\n  {status} {printed:?} expected\n  {found}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn containers_are_inspected(host: &Host) {
    let text = host.ok("sdme-gen inspect plain apart");
    for line in [
        "        Name  plain",
        "       State  running for ",
        "       Files  /etc/sdme/plain.container",
        "        Unit  systemd-nspawn@plain.service",
        "       Needs  sdme-image@tools.service",
        " Application  app: image tools, sdme-oci-app.service inside, root /oci/root",
        "      Mounts  /data from volume plain-data",
        "              /fixed from host /srv/in (read-only)",
        "     Changes  /var/lib/sdme/containers/plain/upper",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line}: {text}");
    }
    let json: Value = serde_json::from_str(&host.ok("sdme-gen inspect --json apart")).unwrap();
    let first = json[0]["user_range"][0].as_u64().unwrap();
    assert_eq!(host.ok("stat -c %u /var/lib/sdme/containers/apart/upper").trim(), first.to_string());
    assert_eq!(json[0]["mounts"][0]["source"], "apart-data");
    assert_eq!(json[0]["users"][0].as_u64(), Some(first));
    assert!(host.fails("sdme-gen inspect nothing").contains("there is no container nothing"));
}
