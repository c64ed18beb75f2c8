//! The C library's heap.

/// Makes all threads share one arena. glibc would give each thread its own, and keep its first pages in use: 35 KiB
/// with five threads that never allocate at the same time. Call it before the first thread starts.
pub fn share() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes two numbers and changes a setting of the allocator, under the allocator's own lock.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Returns free memory to the kernel. glibc itself returns only memory at the heap's end, but a parsed configuration
/// lies behind the memory that its parser has freed. Each returned page costs a fault when it is used again, so this is
/// for rare events such as a reload.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, touches no memory that is in use, and holds the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
