//! How many descriptors this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Left for everybody else: links, the heartbeat's connections, the local API's.
const OTHERS: usize = 256;

/// How many of `wanted` descriptors one subsystem may open at the same time. Where the soft limit (1,024 mostly) is too
/// low for them it is raised, up to the hard one; it is there for programs that still use select, and the few that
/// this one starts do not.
pub fn allow(wanted: usize) -> usize {
    let needed = (wanted + OTHERS) as u64;
    let limit = getrlimit(Resource::Nofile);
    let soft = limit.current.unwrap_or(u64::MAX);
    if soft >= needed {
        return wanted;
    }
    let raised = limit.maximum.map_or(needed, |hard| needed.min(hard));
    // The unit's own filter may forbid it; its LimitNOFILE has a soft limit that is high enough.
    let allowed = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum })
    {
        Ok(()) => raised,
        Err(_) => soft,
    };
    // No more than needed, which was a usize.
    (allowed as usize).saturating_sub(OTHERS).min(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_up_to_the_hard_limit() {
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        assert_eq!(allow(10), 10);
        let allowed = allow(2_000);
        assert!(allowed == 2_000 || (allowed + OTHERS) as u64 == hard, "{allowed} {hard}");
    }
}
