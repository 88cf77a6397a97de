// SPDX-License-Identifier: MIT
//! The addresses and the interface names of the veth pairs between pods and the host. Pure.

use crate::diag::Fault;
use std::collections::BTreeMap;

use crate::model::Subnet;
use crate::resolve::network::allocate::{distribute, hash};

/// A range of IPv4 addresses for the veth pairs of pods, or for networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    first: u32,
    /// The number of veth pairs in the range. Each takes four addresses.
    links: u32,
}

impl Range {
    /// The default of `NetworkRange=`, in which the subnets of networks without `Subnet=` are
    /// chosen: 10.216.0.0/13.
    #[must_use]
    pub fn networks() -> Self {
        Self { first: u32::from_be_bytes([10, 216, 0, 0]), links: 1 << 17 }
    }

    /// The first address.
    #[must_use]
    pub fn first(&self) -> u32 {
        self.first
    }

    /// The number of addresses.
    #[must_use]
    pub fn addresses(&self) -> u32 {
        self.links.saturating_mul(4)
    }

    /// The range as a subnet. None if the range has only four addresses, which are too few.
    #[must_use]
    pub fn subnet(&self) -> Option<Subnet> {
        Subnet::v4(self.first, u8::try_from(30 - self.links.ilog2()).ok()?)
    }
}

impl Default for Range {
    fn default() -> Self {
        Self { first: u32::from_be_bytes([10, 213, 0, 0]), links: 1 << 14 }
    }
}

/// Reads the value `ADDRESS/LENGTH` of `key`.
///
/// # Errors
/// The value is not a range of IPv4 addresses, its prefix is shorter than 8 or longer than 28 bits,
/// or its address is not the first one of the range.
pub fn range(key: &str, value: &str) -> Result<Range, Fault> {
    let wrong =
        || Fault::new(format!("{key}={value} is not a range of IPv4 addresses"), "write a range such as 10.213.0.0/16");
    let (address, length) = value.split_once('/').ok_or_else(wrong)?;
    let address: std::net::Ipv4Addr = address.parse().map_err(|_| wrong())?;
    let length: u32 = length.parse().ok().filter(|l| (8..=28).contains(l)).ok_or_else(wrong)?;
    let first = u32::from(address);
    if first & (u32::MAX >> length) != 0 {
        let cause = format!("{key}={value}: the address is not the first address of the range");
        let first = std::net::Ipv4Addr::from(first & !(u32::MAX >> length));
        return Err(Fault::new(cause, format!("write {first}/{length}")));
    }
    Ok(Range { first, links: 1 << (30 - length) })
}

impl Range {
    /// Gives each name the first of four addresses. Names are missing in the result if no addresses
    /// are left.
    #[must_use]
    pub fn distribute<'a>(&self, names: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, u32> {
        let slots = distribute(names, self.links, BTreeMap::new());
        slots.into_iter().map(|(name, slot)| (name, self.first + slot * 4)).collect()
    }
}

/// The interface name of the host's end of a pod's veth pair. It has at most 15 characters. A
/// longer name is replaced by a hash behind an underscore. Names of pods have no underscore, so two
/// pods only get the same name if their hashes are equal.
#[must_use]
pub fn interface(pod: &str) -> String {
    if pod.len() <= 10 { format!("sdme-{pod}") } else { format!("sdme_{}", short(pod, 10)) }
}

/// A hash of `text` with the given number of letters and digits. It has at most 64 bits, five in
/// each character.
#[must_use]
pub fn short(text: &str, length: usize) -> String {
    const DIGITS: [char; 32] = [
        'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'm', 'n', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x',
        'y', 'z', '2', '3', '4', '5', '6', '7', '8', '9',
    ];
    let mut hash = hash(text);
    let mut out = String::new();
    for _ in 0..length {
        let digit = usize::try_from(hash % 32).ok().and_then(|index| DIGITS.get(index));
        out.extend(digit);
        hash /= 32;
    }
    out
}

/// Returns the pods whose interface name is already that of an earlier pod, each with that earlier
/// pod.
pub fn interface_clash<'a>(names: impl Iterator<Item = &'a str>) -> Vec<(&'a str, &'a str)> {
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    let mut out = Vec::new();
    for name in names {
        match known.get(&interface(name)) {
            Some(other) => out.push((name, *other)),
            None => {
                known.insert(interface(name), name);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn interface_names_of_pods_do_not_clash() {
        assert_eq!(interface("web"), "sdme-web");
        assert_eq!(interface("a-long-pods"), interface("a-long-pods"));
        let long: Vec<String> = (0..2000).map(|i| format!("a-pod-with-a-long-name-{i}")).collect();
        assert!(long.iter().all(|name| interface(name).len() == 15));
        assert_eq!(interface_clash(long.iter().map(String::as_str)), []);
    }

    #[test]
    fn most_addresses_stay_when_other_pods_are_removed() {
        let range = Range::default();
        let names: Vec<String> = (0..200).map(|i| format!("pod{i}")).collect();
        let all = range.distribute(names.iter().map(String::as_str));
        let half = range.distribute(names.iter().map(String::as_str).filter(|n| n.len() % 2 == 0));
        assert_eq!(all.len(), 200);
        let moved = half.iter().filter(|(name, address)| all.get(*name) != Some(*address)).count();
        assert!(moved <= 2, "{moved} have moved");
        let mut addresses: Vec<u32> = all.values().copied().collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), 200);
        let small = super::range("UplinkRange", "192.168.7.0/28").unwrap();
        assert_eq!(small.distribute(names.iter().map(String::as_str)).len(), 4);
        assert!(
            super::range("UplinkRange", "10.0.0.1/16").is_err()
                && super::range("UplinkRange", "10.0.0.0/30").is_err()
                && super::range("UplinkRange", "x").is_err()
        );
    }
}
