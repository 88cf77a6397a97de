// SPDX-License-Identifier: MIT
//! The unit of a named network, and the veth pairs between pods and such networks. Pure.

pub mod names;
pub mod pod;
pub mod publish;

use crate::model::{Attachment, Model, Named, Pod};
use crate::output::tree::{Place, Tree};
use crate::paths::LIBEXECDIR;
use crate::plan::network::pod::{replace, rules};
use crate::resolve::network::attach::interfaces_of;
use crate::unit::UnitFile;

/// Plans the drop-in of the service that makes the bridge.
pub fn plan(network: &Named, tree: &mut Tree) {
    let mut unit = UnitFile::generated_from(&network.file);
    unit.set_literal("Unit", "SourcePath", &network.file);
    unit.set_literal("Unit", "Description", &format!("Network {}", network.name));
    for (key, value) in &network.unit {
        unit.set("Unit", key, value.as_str());
    }
    // The start and the reload run the same command: the present configuration replaces that of the
    // start while members keep running.
    let command = command(network);
    unit.set("Service", "ExecStart", command.as_str()).set("Service", "ExecReload", command);
    rules(&replace(&table(&network.name), &firewall(network)), &mut unit);
    for (key, value) in &network.service {
        unit.set("Service", key, value.as_str());
    }
    tree.file(Place::Units, format!("{}.d/10-sdme.conf", Named::service(&network.name)), &unit);
}

/// The name of a network's nft table. `units/sdme-network@.service` deletes the table by this name.
fn table(network: &str) -> String {
    format!("sdme-network-{network}")
}

/// The command that makes or changes the bridge (`units/network`). `units/sdme-network@.service`
/// removes the bridge, because that file remains when the network's file is removed.
fn command(network: &Named) -> String {
    let mut words = vec![
        format!("{LIBEXECDIR}/network {}", network.name),
        format!("bridge={}", network.interface),
        format!("mac={}", network.mac("")),
    ];
    words.extend(network.mtu.map(|mtu| format!("mtu={mtu}")));
    words.extend(network.internal.then(|| "internal".to_owned()));
    words.extend(network.stays.then(|| "stays".to_owned()));
    words.extend(network.subnets.iter().map(|subnet| format!("subnet={subnet},{}", subnet.gateway)));
    words.join(" ")
}

/// The rules about packets over the bridge.
fn firewall(network: &Named) -> String {
    let bridge = &network.interface;
    let mut out = format!(
        "chain spoofed {{\n type filter hook prerouting priority raw\n iifname \"{bridge}\" ip daddr 127.0.0.0/8 drop\n"
    );
    for subnet in &network.subnets {
        let family = if subnet.is_ipv4() { "ip" } else { "ip6" };
        // These packets have an address of this network but come from another interface, so the
        // address is forged.
        out += &format!(" iifname != {{ \"{bridge}\", \"lo\" }} {family} saddr {subnet} drop\n");
    }
    out += &format!(
        "}}\nchain forward {{\n type filter hook forward priority filter\n iifname \"{bridge}\" oifname \"{bridge}\" accept\n"
    );
    if network.internal {
        // In an internal network, only the host can open connections to the members.
        out += &format!(
            " iifname \"{bridge}\" drop\n oifname \"{bridge}\" drop\n}}\nchain input {{\n \
             type filter hook input priority filter\n ct state established,related accept\n \
             icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept\n iifname \"{bridge}\" drop\n}}\n"
        );
        return out;
    }
    out += &format!(
        " ct state established,related accept\n ct status dnat accept\n oifname \"{bridge}\" drop\n}}\n\
         chain outgoing {{\n type nat hook postrouting priority srcnat\n"
    );
    for subnet in &network.subnets {
        let family = if subnet.is_ipv4() { "ip" } else { "ip6" };
        out += &format!(" {family} saddr {subnet} oifname != \"{bridge}\" masquerade\n");
        // This is for connections from a member to another one through a published port.
        out += &format!(" {family} saddr {subnet} oifname \"{bridge}\" ct status dnat masquerade\n");
    }
    out + &format!(" ip saddr 127.0.0.0/8 oifname \"{bridge}\" masquerade\n}}\n")
}

/// Adds the networks to which a pod is connected as dependencies of the pod's service.
pub fn needs(pod: &Pod, depend_on: fn(String, &mut UnitFile), unit: &mut UnitFile) {
    for attachment in &pod.networks {
        depend_on(Named::service(&attachment.network), unit);
    }
}

/// Connects a pod with its networks (`units/link`). `units/sdme-pod@.service` removes the veth
/// pairs.
pub fn links(pod: &Pod, model: &Model, unit: &mut UnitFile) {
    let members: Vec<(&Attachment, &Named, String)> = pod
        .networks
        .iter()
        .zip(interfaces_of(&pod.networks))
        .filter_map(|(attachment, interface)| {
            Some((attachment, model.networks.get(attachment.network.as_str())?, interface))
        })
        .collect();
    if members.is_empty() {
        return;
    }
    let name = &pod.name;
    let mut words = vec![format!("{LIBEXECDIR}/link networks {name}")];
    for (attachment, network, interface) in &members {
        words.push(format!("network={} bridge={} link={}", network.name, network.interface, attachment.link));
        words.extend(network.mtu.map(|mtu| format!("mtu={mtu}")));
        words.push(format!("mac={} interface={interface}", mac(pod, attachment, network)));
        words.extend(attachment.addresses.iter().map(|(address, length)| format!("address={address}/{length}")));
    }
    // For each version of IP, the default route leads to the first network that is not internal.
    words.extend([true, false].into_iter().filter_map(|ipv4| {
        let open = members.iter().filter(|(_, network, _)| !network.internal);
        let subnet = open.flat_map(|(_, network, _)| &network.subnets).find(|subnet| subnet.is_ipv4() == ipv4)?;
        Some(format!("via={}", subnet.gateway))
    }));
    unit.set("Service", "ExecStart", words.join(" "));
    let published = crate::plan::network::publish::chains(pod, address(&members, true), address(&members, false));
    let mut text = replace(&format!("sdme-pod-{name}"), &published);
    text += &format!(
        "table netdev sdme-pod-{name}\ndelete table netdev sdme-pod-{name}\ntable netdev sdme-pod-{name} {{\n"
    );
    for (attachment, network, _) in &members {
        text += &filter(attachment, &mac(pod, attachment, network));
    }
    rules(&(text + "}\n"), unit);
}

fn mac(pod: &Pod, attachment: &Attachment, network: &Named) -> String {
    attachment.mac.clone().unwrap_or_else(|| network.mac(&pod.name))
}

/// The pod's address to which the kernel forwards published ports.
fn address(members: &[(&Attachment, &Named, String)], ipv4: bool) -> Option<std::net::IpAddr> {
    members.iter().filter(|(_, network, _)| !network.internal).find_map(|(attachment, ..)| attachment.address(ipv4))
}

/// The rules about packets from the pod's end of a veth pair: only packets with the pod's own
/// addresses are accepted.
fn filter(attachment: &Attachment, mac: &str) -> String {
    let link = &attachment.link;
    let mut out = format!(
        "chain {link} {{\n type filter hook ingress device \"{link}\" priority 0; policy drop;\n ether saddr != {mac} drop\n"
    );
    for (address, _) in &attachment.addresses {
        out += &if address.is_ipv4() {
            format!(" arp saddr ether {mac} arp saddr ip {address} accept\n ip saddr {address} accept\n")
        } else {
            // This matches the target of an advertisement. Older versions of nft have no name for
            // that field.
            format!(
                " icmpv6 type nd-neighbor-advert @th,64,128 != {} drop\n \
                 icmpv6 type {{ nd-router-advert, nd-redirect }} drop\n ip6 saddr {address} accept\n",
                hexadecimal(*address)
            )
        };
    }
    out + "}\n"
}

fn hexadecimal(address: std::net::IpAddr) -> String {
    match address {
        std::net::IpAddr::V4(address) => format!("{:#x}", u32::from(address)),
        std::net::IpAddr::V6(address) => format!("{:#x}", u128::from(address)),
    }
}
