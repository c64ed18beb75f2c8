//! The one capability that the unit grants, CAP_NET_ADMIN, stays with this process.

/// Keeps it from the programs that this one starts (mmcli, vcgencmd): systemd grants it through the
/// ambient set, which every program inherits. To be called before the first thread is, since the set is each
/// thread's own.
pub fn keep_from_children() {
    // Kernels before 4.3 have no such set, and nothing to keep.
    let _ = rustix::thread::clear_ambient_capability_set();
}
