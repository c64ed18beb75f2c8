//! The C library's heap.

/// Has all threads share one arena. glibc would give each of them its own, of which the first pages stay in use: 35 KiB
/// with five threads that never allocate at the same time. To be called before the first thread is.
pub fn share() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes two numbers and changes a setting of the allocator, under the allocator's own lock.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives back what is free. glibc itself returns only what is free at the heap's end, and whatever is still used of a
/// configuration lies behind what its parser has used and freed. The pages come back with a fault each once they are
/// needed, so it is for what happens rarely.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, touches no memory that is in use, and holds the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
