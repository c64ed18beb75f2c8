//! How full memory and swap are.

use super::firmware::Firmware;
use super::plausible::percent_used;
use super::reading::Reading;
use super::source::{Absent, Place, Source, Turn, read_parsed};
use crate::device::os::file::KeptFile;
use procfs::{FromBufRead, Meminfo};
use std::path::Path;

#[derive(Debug)]
pub struct Memory(KeptFile);

impl Memory {
    pub fn new(root: &Path) -> Memory {
        Memory(KeptFile::new(root.join("proc/meminfo")))
    }
}

/// Percent, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fill {
    memory: f64,
    /// Absent without swap.
    swap: Option<f64>,
}

impl Source for Memory {
    type Value = Fill;

    fn name(&self) -> &'static str {
        "memory"
    }

    fn place(&self, _: &Firmware) -> Place {
        Place::file(self.0.path())
    }

    fn read(&mut self, _: &mut Turn<'_>) -> Result<Fill, Absent> {
        read_parsed(&mut self.0, fill)
    }

    fn put(&self, value: &Fill, reading: &mut Reading) {
        reading.values.mem = Some(value.memory);
        reading.values.swap = value.swap;
    }

    fn show(&self, value: &Fill) -> String {
        match value.swap {
            Some(swap) => format!("{:.1} %, swap {swap:.1} %", value.memory),
            None => format!("{:.1} %, no swap", value.memory),
        }
    }
}

fn fill(text: &str) -> Option<Fill> {
    let info = Meminfo::from_buf_read(text.as_bytes()).ok()?;
    let available = info.mem_available.unwrap_or_else(|| available_before_3_14(&info));
    Some(Fill {
        memory: percent_used(info.mem_total, available)?,
        swap: percent_used(info.swap_total, info.swap_free),
    })
}

/// The estimate of `free` before the kernel had one of its own: pages of tmpfs count as cache, but cannot be
/// dropped.
fn available_before_3_14(info: &Meminfo) -> u64 {
    (info.mem_free + info.buffers + info.cached).saturating_sub(info.shmem.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that procfs insists on, with round numbers.
    const MEMINFO: &str = "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 600 kB\nBuffers: 50 kB\n\
        Cached: 350 kB\nSwapCached: 0 kB\nActive: 1 kB\nInactive: 1 kB\nSwapTotal: 200 kB\nSwapFree: 150 kB\n\
        Dirty: 0 kB\nWriteback: 0 kB\nMapped: 1 kB\nShmem: 100 kB\nSlab: 1 kB\nCommitted_AS: 1 kB\n\
        VmallocTotal: 1 kB\nVmallocUsed: 1 kB\nVmallocChunk: 0 kB\n";

    #[test]
    fn what_programs_could_still_get_is_not_counted_as_used() {
        assert_eq!(fill(MEMINFO), Some(Fill { memory: 40.0, swap: Some(25.0) }));
    }

    #[test]
    fn a_kernel_without_mem_available_is_estimated() {
        let old = MEMINFO.replace("MemAvailable: 600 kB\n", "");
        assert_eq!(fill(&old), Some(Fill { memory: 60.0, swap: Some(25.0) }));
    }

    #[test]
    fn without_swap_its_fill_is_absent_not_zero() {
        let text = MEMINFO.replace("SwapTotal: 200 kB", "SwapTotal: 0 kB").replace("150", "0");
        assert_eq!(fill(&text), Some(Fill { memory: 40.0, swap: None }));
    }

    #[test]
    fn more_available_memory_than_the_machine_has_is_absent_not_zero() {
        assert_eq!(fill(&MEMINFO.replace("MemAvailable: 600", "MemAvailable: 1001")), None);
        let swap = MEMINFO.replace("SwapFree: 150", "SwapFree: 201");
        assert_eq!(fill(&swap), Some(Fill { memory: 40.0, swap: None }));
    }

    #[test]
    fn garbage_is_absent() {
        for text in ["", "garbage", "MemTotal: x kB\n", "MemTotal: 1000 kB\n"] {
            assert_eq!(fill(text), None, "{text}");
        }
        assert_eq!(fill(&MEMINFO.replace("MemTotal: 1000", "MemTotal: 0")), None);
    }
}
