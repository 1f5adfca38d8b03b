//! Networks that miners come from: `10.1.0.0/16`, `2001:db8::/32`, or one address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// An address and how many of its leading bits count; the others are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why a network cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// What stands before the slash.
    #[error("{0:?} is not an IP address")]
    Address(String),
    /// What stands behind it.
    #[error("{0:?} is not a number of bits from 0 to {1}")]
    Bits(String, u8),
    /// An address inside the network instead of the network's own. Holds what was probably meant.
    #[error("its address has bits behind the network's; the network is {0}")]
    Inside(Network),
    /// IPv4 in the clothes of IPv6, which no miner's address is compared in.
    #[error("it is an IPv4 network written as IPv6")]
    Mapped,
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address_text, bits_text) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr =
            address_text.parse().map_err(|_| NetworkError::Address(address_text.to_owned()))?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits_text {
            None => bits_max,
            Some(text) => match text.parse() {
                Ok(bits) if bits <= bits_max => bits,
                _ => return Err(NetworkError::Bits(text.to_owned(), bits_max)),
            },
        };
        if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
            return Err(NetworkError::Mapped);
        }
        let network = Self { address: masked(address, bits), bits };
        if network.address == address { Ok(network) } else { Err(NetworkError::Inside(network)) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Network {
    /// Whether `address` belongs to it. IPv4 that came in by an IPv6 listener counts as IPv4.
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.bits) == self.address
    }
}

/// `address` with all but its first `bits` bits cleared.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_the_addresses_that_share_its_bits() {
        for (network, address, holds) in [
            ("10.1.0.0/16", "10.1.255.255", true),
            ("10.1.0.0/16", "10.2.0.0", false),
            ("10.1.0.0/16", "::ffff:10.1.2.3", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.2", false),
            ("0.0.0.0/0", "255.1.2.3", true),
            ("0.0.0.0/0", "::1", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("::/0", "2001:db8::1", true),
            ("::1", "::1", true),
        ] {
            let parsed: Network = network.parse().expect(network);
            assert_eq!(parsed.contains(address.parse().expect(address)), holds, "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_told_why() {
        for (text, told) in [
            ("", "\"\" is not an IP address"),
            ("farm", "\"farm\" is not an IP address"),
            ("10.1.0.0/33", "\"33\" is not a number of bits from 0 to 32"),
            ("10.1.0.0/", "\"\" is not a number of bits from 0 to 32"),
            ("::/129", "\"129\" is not a number of bits from 0 to 128"),
            ("10.1.2.3/16", "its address has bits behind the network's; the network is 10.1.0.0/16"),
            ("::ffff:10.0.0.0/104", "it is an IPv4 network written as IPv6"),
        ] {
            let error = text.parse::<Network>().expect_err(text);
            assert_eq!(error.to_string(), told);
        }
    }

    #[test]
    fn a_network_shown_reads_as_itself() {
        for text in ["10.1.0.0/16", "10.1.2.3/32", "2001:db8::/32", "0.0.0.0/0"] {
            let network: Network = text.parse().expect(text);
            assert_eq!(network.to_string(), text);
        }
        assert_eq!(
            "10.1.2.3".parse::<Network>().map(|network| network.to_string()),
            Ok("10.1.2.3/32".into())
        );
    }
}
