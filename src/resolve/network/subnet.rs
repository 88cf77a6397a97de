// SPDX-License-Identifier: MIT
//! The subnets of networks, and the allocation of addresses in them. Pure.

use crate::diag::Fault;
use crate::model::Subnet;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::allocate::distribute;

/// The maximum number of addresses in a subnet that are allocated by names. Other addresses can be
/// pinned.
const MOST: u128 = 1 << 16;

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// The number of bits of an address.
fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The number of addresses, minus one, in the range that begins with `first` and has a prefix of
/// `length` bits.
fn rest(first: IpAddr, length: u8) -> u128 {
    u128::MAX.checked_shr(u32::from(128 - bits(first).saturating_sub(length))).unwrap_or(0)
}

/// Reads `ADDRESS/LENGTH`. Returns the first address, the prefix length in bits, and the number of
/// addresses minus one.
///
/// # Errors
/// The text is not a range of addresses, or its address is not the first one of the range.
fn range(text: &str) -> Result<(IpAddr, u8, u128), Fault> {
    let wrong =
        || Fault::new(format!("{text:?} is not a range of addresses"), "write ADDRESS/LENGTH, such as 10.5.0.0/24");
    let (address, length) = text.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let length: u8 = length.parse().ok().filter(|length| *length <= bits(address)).ok_or_else(wrong)?;
    let rest = rest(address, length);
    if number(address) & rest != 0 {
        let cause = format!("{text:?}: the address is not the first address of the range");
        return Err(Fault::new(cause, "write the first address"));
    }
    Ok((address, length, rest))
}

impl Subnet {
    /// Reads `ADDRESS/LENGTH`. The gateway is the address after the network address.
    ///
    /// # Errors
    /// The text is not a range of addresses, its address is not the first one, or the prefix is not
    /// of 8 to 29 bits (IPv4) or 16 to 112 bits (IPv6).
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let (first, length, rest) = range(text)?;
        let (least, most) = if first.is_ipv4() { (8, 29) } else { (16, 112) };
        if !(least..=most).contains(&length) {
            let cause = format!("{text:?} is too large or too small for a subnet");
            return Err(Fault::new(cause, format!("write a length from {least} to {most}")));
        }
        let start = number(first);
        // Members get neither the first address, which is the network address, nor the last one of
        // IPv4, which is the broadcast address.
        let end = start + rest - u128::from(first.is_ipv4());
        let mut subnet = Self { first, length, gateway: first, range: (start + 1, end) };
        subnet.gateway = subnet.address(start + 1);
        Ok(subnet)
    }

    /// The IPv4 subnet with this first address and a prefix of `length` bits, unless `parse`
    /// refuses it.
    #[must_use]
    pub fn v4(first: u32, length: u8) -> Option<Self> {
        Self::parse(&format!("{}/{length}", Ipv4Addr::from(first))).ok()
    }

    /// A unique local IPv6 subnet (RFC 4193) with the upper 56 bits of `number` in its prefix.
    #[must_use]
    pub fn unique_local(number: u64) -> Option<Self> {
        let first = (0xfd << 120) | (u128::from(number >> 8) << 64);
        Self::parse(&format!("{}/64", Ipv6Addr::from(first))).ok()
    }

    fn address(&self, number: u128) -> IpAddr {
        match self.first {
            // The number of an IPv4 address fits into 32 bits.
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or_default())),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
        }
    }

    /// Whether this is an IPv4 subnet.
    #[must_use]
    pub fn is_ipv4(&self) -> bool {
        self.first.is_ipv4()
    }

    /// Whether the subnet contains the address, and it is neither the network address nor the
    /// broadcast address of IPv4.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        let (start, end) = self.bounds();
        let last = end - u128::from(self.is_ipv4());
        address.is_ipv4() == self.is_ipv4() && (start + 1..=last).contains(&number(address))
    }

    fn bounds(&self) -> (u128, u128) {
        (number(self.first), number(self.first) + rest(self.first, self.length))
    }

    /// Whether the two subnets have an address in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let ((a, b), (c, d)) = (self.bounds(), other.bounds());
        self.is_ipv4() == other.is_ipv4() && a <= d && c <= b
    }

    /// Limits the allocated addresses to those of `IPRange=`, `ADDRESS/LENGTH` or `FIRST-LAST`.
    /// Returns false if these are not a part of this subnet.
    ///
    /// # Errors
    /// The text is not a range of addresses.
    pub fn limit(&mut self, text: &str) -> Result<bool, Fault> {
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => {
                let read = |text: &str| {
                    text.parse::<IpAddr>()
                        .map_err(|_| Fault::new(format!("{text:?} is not an address"), "write FIRST-LAST"))
                };
                (read(first)?, number(read(last)?))
            }
            None => range(text).map(|(first, _, rest)| (first, number(first) + rest))?,
        };
        let (start, end) = self.bounds();
        let inside =
            first.is_ipv4() == self.is_ipv4() && start <= number(first) && last <= end && number(first) <= last;
        if inside {
            self.range = (number(first).max(self.range.0), last.min(self.range.1));
        }
        Ok(inside)
    }

    /// Gives each name its own address, which is neither the gateway nor one of those in `taken`.
    /// Names are missing in the result if no address is left.
    #[must_use]
    pub fn distribute<'a>(&self, names: impl Iterator<Item = &'a str>, taken: &[IpAddr]) -> BTreeMap<&'a str, IpAddr> {
        let (first, last) = self.range;
        let count = last.saturating_add(1).saturating_sub(first).min(MOST);
        let slot = |address: &IpAddr| u32::try_from(number(*address).checked_sub(first)?).ok();
        let taken = taken.iter().chain([&self.gateway]).filter(|address| address.is_ipv4() == self.is_ipv4());
        let taken = taken.filter_map(slot).map(|slot| (slot, "")).collect();
        let Some(count) = u32::try_from(count).ok().filter(|count| *count > 0) else { return BTreeMap::new() };
        let mut slots = distribute(names, count, taken);
        slots.remove("");
        slots.into_iter().map(|(name, slot)| (name, self.address(first + u128::from(slot)))).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_are_allocated_within_the_limits_of_a_subnet() {
        let mut small = Subnet::parse("192.168.7.0/29").unwrap();
        assert_eq!((small.gateway, small.to_string()), (ip("192.168.7.1"), "192.168.7.0/29".to_owned()));
        assert!(small.has(ip("192.168.7.6")) && !small.has(ip("192.168.7.7")) && !small.has(ip("192.168.7.0")));
        assert!(small.overlaps(&Subnet::parse("192.168.0.0/16").unwrap()));
        assert!(!small.overlaps(&Subnet::parse("192.168.7.8/29").unwrap()));
        assert!(small.limit("192.168.7.4-192.168.7.5").unwrap() && !small.limit("10.0.0.0/28").unwrap());
        let given = small.distribute(["a", "b", "c"].into_iter(), &[]);
        assert_eq!(given.values().copied().collect::<std::collections::BTreeSet<_>>().len(), 2);
        assert_eq!(small.distribute(["a"].into_iter(), &[ip("192.168.7.4")]).get("a"), Some(&ip("192.168.7.5")));
        for bad in ["", "10.0.0.0", "10.0.0.1/24", "10.0.0.0/31", "10.0.0.0/33", "fd00::/128", "x/8"] {
            assert!(Subnet::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_number_determines_a_unique_local_subnet() {
        let subnet = Subnet::unique_local(u64::MAX).unwrap();
        assert_eq!(subnet.to_string(), "fdff:ffff:ffff:ffff::/64");
        let other = Subnet::unique_local(0x1234_5678_9abc_def0).unwrap();
        assert_eq!(other.gateway, ip("fd12:3456:789a:bcde::1"));
        assert!(other.distribute(["a", "b"].into_iter(), &[]).values().all(|address| other.has(*address)));
    }
}
