// SPDX-License-Identifier: MIT
//! Tests of services with several containers, and of devices that are named by CDI.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn several_containers_of_a_service_are_instances_of_a_template() {
    let text = "
services:
  w: {image: 'x:1', deploy: {replicas: 3}, cap_add: [NO_SUCH], restart: always}
  w-1: {image: 'y:1', scale: 2, profiles: [more]}
  p: {image: 'p:1', depends_on: [w], network_mode: 'service:w'}
  one: {image: 'o:1', scale: 2, container_name: single}
  far: {image: 'f:1', scale: 1000}
";
    let outcome = convert(&[text]).unwrap();
    assert_eq!(
        outcome.files.keys().collect::<Vec<_>>(),
        [
            "shop-default.network",
            "shop-far.container",
            "shop-one.container",
            "shop-p.container",
            "shop-w-1@.container",
            "shop-w@.container"
        ]
    );
    let links: Vec<String> = outcome.links.iter().map(|(link, file)| format!("{link} -> {file}")).collect();
    assert_eq!(
        links,
        [
            "shop-w-1@1.container -> shop-w-1@.container",
            "shop-w-1@2.container -> shop-w-1@.container",
            "shop-w@1.container -> shop-w@.container",
            "shop-w@2.container -> shop-w@.container",
            "shop-w@3.container -> shop-w@.container"
        ]
    );
    let w = lines(&outcome, "shop-w@.container");
    assert!(w.contains(&"Network=shop-default.network:alias=w") && w.contains(&"WantedBy=machines.target"), "{w:#?}");
    let p = lines(&outcome, "shop-p.container");
    for line in ["Requires=shop-w@1.container", "After=shop-w@3.container", "Network=shop-w@1.container"] {
        assert!(p.contains(&line), "{line}: {p:#?}");
    }
    assert_eq!(outcome.start, ["shop-w-1", "shop-w-2", "shop-w-3", "shop-p", "shop-one", "shop-far"]);
    let lost: Vec<String> = outcome.lost.iter().map(|lost| format!("{}: {}", lost.subject, lost.key)).collect();
    assert_eq!(lost, ["one: scale", "far: scale", "shop-w@.container: AddCapability=NO_SUCH"]);
}

#[test]
fn cdi_devices_become_device_nodes_mounts_and_variables() {
    let vendor = "/etc/cdi/vendor.yaml:
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
  - {name: '0', containerEdits: {deviceNodes: [{path: /dev/gpu0}]}}
  - {name: '1', containerEdits: {deviceNodes: [{path: /dev/gpu1, hostPath: /dev/real1, permissions: rw}]}}
  - {name: all, containerEdits: {deviceNodes: [{path: /dev/gpu0}, {path: /dev/gpu1}]}}
containerEdits:
  env: [VISIBLE=void]
  deviceNodes: [{path: /dev/gpuctl}]
  mounts: [{hostPath: /usr/lib/libgpu.so.1, containerPath: /usr/lib/libgpu.so.1, options: [ro, nosuid, bind]}]
  hooks: [{hookName: createContainer, path: /usr/bin/hook}]
";
    let common =
        ["Environment=VISIBLE=void", "AddDevice=/dev/gpuctl", "Volume=/usr/lib/libgpu.so.1:/usr/lib/libgpu.so.1:ro"];
    for (settings, nodes, lost) in [
        ("gpus: all", &["/dev/gpu0", "/dev/gpu1"][..], "gpus: the hooks of /etc/cdi/vendor.yaml"),
        ("gpus: 1", &["/dev/gpu0"], "hooks"),
        ("gpus: [{driver: nvidia, count: 2}]", &["/dev/gpu0", "/dev/real1:/dev/gpu1:rw"], "hooks"),
        ("devices: ['nvidia.com/gpu=1']", &["/dev/real1:/dev/gpu1:rw"], "devices: the hooks"),
        (
            "deploy: {resources: {reservations: {devices: [{driver: nvidia, device_ids: ['1'], capabilities: [gpu]}]}}}",
            &["/dev/real1:/dev/gpu1:rw"],
            "deploy.resources.reservations.devices: the hooks",
        ),
        (
            "deploy: {resources: {reservations: {devices: [{driver: cdi, device_ids: ['nvidia.com/gpu=0']}]}}}",
            &["/dev/gpu0"],
            "hooks",
        ),
        ("gpus: 3", &[], "gpus: the device (gpu) is not passed on"),
        ("gpus: [{driver: amd}]", &[], "the device (gpu of amd) is not passed on"),
        ("devices: ['amd.com/gpu=0']", &[], "amd.com/gpu=0 is no device node"),
    ] {
        let outcome = convert(&[&service(settings), vendor]).unwrap();
        let found = lines(&outcome, "shop-w.container");
        let own: Vec<&str> = found.iter().filter_map(|line| line.strip_prefix("AddDevice=")).collect();
        let expected: Vec<&str> = nodes.iter().copied().chain((!nodes.is_empty()).then_some("/dev/gpuctl")).collect();
        assert_eq!(own, expected, "{settings}");
        assert_eq!(common.iter().all(|line| found.contains(line)), !nodes.is_empty(), "{settings}: {found:#?}");
        let listed: Vec<String> = outcome.lost.iter().map(ToString::to_string).collect();
        assert!(listed.len() == 1 && listed.iter().any(|listed| listed.contains(lost)), "{settings}: {listed:#?}");
    }
}
