//! Which addresses a host name may lead to.
//!
//! A name in the workspace that resolves to the inside of our own network is a mistake or an attack (a rebound DNS name
//! that reaches the metadata service of a cloud). A host written as an address, or `localhost`, says what it is and is
//! taken at its word.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves names with the system's resolver and refuses private addresses. Addresses in URLs never come here.
pub(super) struct Resolver {
    pub(super) allow_private: bool,
}

/// A name that must not be connected to.
#[derive(Debug, thiserror::Error)]
#[error(
    "the host `{host}` resolves to the private address {address}, which is not connected to; \
     if that is meant, set `allow_private_addresses: true` there"
)]
struct PrivateAddress {
    host: String,
    address: IpAddr,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private || is_localhost(name.as_str());
        Box::pin(async move {
            let host = name.as_str();
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            let admitted: Addrs = Box::new(admit(host, addresses, allow_private)?.into_iter());
            Ok(admitted)
        })
    }
}

/// Where a host is, for a connection that is not HTTP, under the same rule. An address says what it is.
pub async fn resolve(host: &str, port: u16, allow_private: bool) -> Result<SocketAddr, String> {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = literal.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, port));
    }
    let found = tokio::net::lookup_host((host, port)).await;
    let addresses = found.map_err(|error| format!("the host `{host}` is not found: {error}"))?.collect();
    let admitted = admit(host, addresses, allow_private || is_localhost(host));
    let first = admitted.map_err(|refused| refused.to_string())?.into_iter().next();
    first.ok_or_else(|| format!("the host `{host}` has no address"))
}

/// One private address among public ones spoils the name: which one is connected to would be chance.
fn admit(
    host: &str,
    addresses: Vec<SocketAddr>,
    allow_private: bool,
) -> Result<Vec<SocketAddr>, PrivateAddress> {
    match addresses.iter().map(SocketAddr::ip).find(|address| !allow_private && is_private(*address)) {
        Some(address) => Err(PrivateAddress { host: host.to_owned(), address }),
        None => Ok(addresses),
    }
}

fn is_localhost(host: &str) -> bool {
    host.trim_end_matches('.').eq_ignore_ascii_case("localhost")
}

/// Everything that is not an address of the public internet.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || first == 0 // this network
        || first >= 240 // reserved, broadcast
        || (first == 100 && (64..128).contains(&second)) // carrier-grade NAT
        || (first == 192 && second == 0 && third == 0) // protocol assignments
        || (first == 198 && (18..20).contains(&second)) // benchmarks
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = address.to_ipv4_mapped() {
        return is_private_v4(inner);
    }
    let segments = address.segments();
    let [first, second, ..] = segments;
    if (first, second) == (0x64, 0xff9b) {
        let [.., high, low] = segments;
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        return is_private_v4(Ipv4Addr::new(a, b, c, d)); // NAT64
    }
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, private: bool) {
        assert_eq!(is_private(address.parse().unwrap()), private, "{address}");
    }

    #[test]
    fn tells_private_from_public() {
        for address in [
            "127.0.0.1",
            "127.255.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
        ] {
            check(address, true);
        }
        for address in [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ] {
            check(address, false);
        }
    }

    #[test]
    fn one_private_address_spoils_the_name() {
        let addresses: Vec<SocketAddr> = vec!["1.1.1.1:0".parse().unwrap(), "10.0.0.1:0".parse().unwrap()];
        let refused = admit("crm.example.com", addresses.clone(), false).unwrap_err().to_string();
        assert!(
            refused.contains("crm.example.com") && refused.contains("allow_private_addresses"),
            "{refused}"
        );
        assert_eq!(admit("crm.example.com", addresses.clone(), true).unwrap(), addresses);
    }

    #[test]
    fn localhost_is_taken_at_its_word() {
        assert!(is_localhost("localhost") && is_localhost("LOCALHOST."));
        assert!(!is_localhost("localhost.example.com") && !is_localhost("notlocalhost"));
    }
}
