//! ureq's resolver trait on top of [`NameResolver`].
//!
//! Uses `ureq::unversioned`, which may change in any release of ureq; the version is pinned.

use super::NameResolver;
use std::sync::Arc;
use std::time::Duration;
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Limit of a lookup for which ureq has none.
const LONGEST: Duration = Duration::from_secs(3600);

/// Resolves the hosts of ureq's requests.
#[derive(Debug)]
pub struct UreqResolver(pub Arc<NameResolver>);

impl Resolver for UreqResolver {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().ok_or(Error::HostNotFound)?;
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let found = self.0.resolve(host, port, (*timeout.after).min(LONGEST)).map_err(Error::Io)?;
        let mut addresses = self.empty();
        found.into_iter().for_each(|address| addresses.push(address));
        Ok(addresses)
    }
}
