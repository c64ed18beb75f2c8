//! Whether a program (NTP, PTP) disciplines the kernel's wall clock.

use std::io;
use std::mem;

/// True while NTP (timesyncd, chrony, ntpd) or PTP keeps the clock right. Reads only, and needs no privilege.
///
/// # Errors
/// EPERM where systemd's `ProtectClock=` filters every call of this family, the reading ones too.
pub fn synchronized() -> io::Result<bool> {
    // SAFETY: timex consists of integers alone, for which zero is a value; `modes` 0 asks for nothing to be set.
    let mut timex: libc::timex = unsafe { mem::zeroed() };
    // SAFETY: the pointer is to a timex of our own, which the kernel fills in before the call returns.
    let state = unsafe { libc::adjtimex(&mut timex) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    // Not STA_UNSYNC: some set it only to keep the kernel from writing the RTC (timedatectl does the same).
    // The kernel lets the error grow by 500 ppm while no program corrects the clock, and stops counting at 16 s, given
    // in microseconds: at boot, and about 9 h after the last correction.
    Ok(timex.maxerror < 16_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_read_without_privilege_and_without_setting_it() {
        match synchronized() {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}"),
        }
    }
}
