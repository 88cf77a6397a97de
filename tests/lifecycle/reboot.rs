// SPDX-License-Identifier: MIT
//! Tier 3: a virtual machine is rebooted after the edit, so the containers start on the new files without a reload, and without a
//! stop that removed what they had on the old ones.

use std::fs;
use std::process::Command;

use crate::edits::{cases, files, ports};
use crate::files::Ports;
use crate::state::State;
use crate::support::containers::{NGINX, installed};
use crate::support::vm::Vm;
use crate::support::{image, require};

/// How many edits of the table are tried, from its beginning, unless `SDME_TEST_REBOOTS` says otherwise: an emulated machine takes
/// half a minute for the three starts of one.
const EDITS: usize = 3;

/// Starts units and waits for their ports; then reads the machine's state.
fn started(vm: &Vm, units: &[String], ports: &Ports) -> State {
    vm.ok(&format!("systemctl start {}", units.join(" ")));
    assert_eq!(ports.dead(vm), Vec::<String>::new());
    State::of(vm)
}

#[test]
fn a_machine_rebooted_after_the_edit_is_what_the_files_say() {
    if !require(&["root", "cpio", "make", "build", "image:nginx", "tree:qemu", "vm"]) {
        return;
    }
    let staged = installed();
    let images = staged.path().join("srv/images");
    fs::create_dir_all(&images).unwrap();
    assert!(Command::new("cp").arg("-r").args([image("nginx"), images.join("nginx")]).status().unwrap().success());
    fs::write(staged.path().join("etc/sdme/nginx.image"), format!("[Image]\nImage={NGINX}\n")).unwrap();
    // Many containers start at once, and the machine is emulated.
    let slow = staged.path().join("etc/systemd/system/systemd-nspawn@.service.d/slow.conf");
    fs::create_dir_all(slow.parent().unwrap()).unwrap();
    fs::write(slow, "[Service]\nTimeoutStartSec=5min\n").unwrap();

    let count = std::env::var("SDME_TEST_REBOOTS").map_or(EDITS, |count| count.parse().unwrap());
    let all = cases();
    let edits = || all.iter().take(count);
    let before = files(edits().map(|case| &case.before.0));
    let after = files(edits().map(|case| &case.after.0));
    let answering = ports(edits().map(|case| &case.after.1));

    // The first boot never had other files: what runs then is what is wanted.
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
