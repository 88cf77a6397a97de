// SPDX-License-Identifier: MIT
//! Tier 3: a virtual machine is rebooted after the edit. The containers start with the new files,
//! without a reload and without a stop that would remove what they left with the old files.

use std::fs;
use std::process::Command;

use crate::edits::{cases, files, ports};
use crate::files::Ports;
use crate::state::State;
use crate::support::containers::{NGINX, installed};
use crate::support::vm::Vm;
use crate::support::{image, require};

/// The number of edits, from the beginning of the table, unless `SDME_TEST_REBOOTS` is set. An
/// emulated machine takes half a minute for the three starts of one edit.
const EDITS: usize = 3;

/// Starts units, waits for their ports, and reads the machine's state.
fn started(vm: &Vm, units: &[String], ports: &Ports) -> State {
    vm.ok(&format!("systemctl start {}", units.join(" ")));
    assert_eq!(ports.dead(vm), Vec::<String>::new());
    State::of(vm)
}

#[test]
fn a_machine_rebooted_after_the_edit_matches_the_files() {
    if !require(&["root", "cpio", "make", "build", "image:nginx", "tree:qemu", "vm"]) {
        return;
    }
    let staged = installed();
    let images = staged.path().join("srv/images");
    fs::create_dir_all(&images).unwrap();
    assert!(Command::new("cp").arg("-r").args([image("nginx"), images.join("nginx")]).status().unwrap().success());
    fs::write(staged.path().join("etc/sdme/nginx.image"), format!("[Image]\nImage={NGINX}\n")).unwrap();
    // Many containers start at once in an emulated machine, which may take longer than the default
    // timeout.
    let slow = staged.path().join("etc/systemd/system/systemd-nspawn@.service.d/slow.conf");
    fs::create_dir_all(slow.parent().unwrap()).unwrap();
    fs::write(slow, "[Service]\nTimeoutStartSec=5min\n").unwrap();

    let count = std::env::var("SDME_TEST_REBOOTS").map_or(EDITS, |count| count.parse().unwrap());
    let all = cases();
    let edits = || all.iter().take(count);
    let before = files(edits().map(|case| &case.before.0));
    let after = files(edits().map(|case| &case.after.0));
    let answering = ports(edits().map(|case| &case.after.1));

    // At the first boot the machine never had other files: its state is the expected one.
    let mut vm = Vm::boot_with("edits", &[staged.path().to_owned()]);
    after.load(&vm);
    let wanted = started(&vm, &after.units(), &answering);

    before.write(&vm);
    vm.reboot();
    started(&vm, &before.units(), &ports(edits().map(|case| &case.before.1)));
    after.write(&vm);
    vm.reboot();
    let is = started(&vm, &after.units(), &answering);
    assert_eq!(wanted.changes_to(&is), Vec::<String>::new());
}
