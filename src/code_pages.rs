//! The program's own code in memory.

use std::fs;
use std::ops::Range;
use std::path::Path;

/// Takes the program's file out of this process's memory; it stays in the kernel's cache of files. What runs again returns
/// at its next call, 64 KiB at a time, in microseconds. What ran only once (configuration, command line, migrations) does
/// not return, and the kernel may use its memory for something else. Without /proc nothing happens.
pub fn unmap() {
    let Ok(program) = fs::read_link("/proc/self/exe") else { return };
    let Ok(maps) = fs::read_to_string("/proc/self/smaps") else { return };
    for range in unchanged(&maps, &program) {
        let (begin, length) = (range.start as *mut libc::c_void, range.end - range.start);
        // SAFETY: nothing is lost. The range is not writable and has no page of this process's own, so each page is read
        // from the file again, also while other threads run it.
        unsafe { libc::madvise(begin, length, libc::MADV_DONTNEED) };
    }
}

/// The addresses at which the program's file is mapped as it is: not writable, and without pages that the loader changed.
fn unchanged(smaps: &str, program: &Path) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut current = None;
    for line in smaps.lines() {
        match (line.strip_prefix("Anonymous:"), mapping(line)) {
            (Some(size), _) => found.extend(current.take().filter(|_| size.trim() == "0 kB")),
            (None, Some((range, permissions))) => {
                let is_program =
                    program.to_str().is_some_and(|program| line.ends_with(&format!(" {program}")));
                current = Some(range).filter(|_| is_program && !permissions.contains('w'));
            }
            _ => {}
        }
    }
    found
}

/// Address range and permissions, if the line begins a mapping: "5581a000-5582b000 r-xp 00001000 fe:00 42   /usr/bin/x".
fn mapping(line: &str) -> Option<(Range<usize>, &str)> {
    let (range, rest) = line.split_once(' ')?;
    let (begin, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some((address(begin)?..address(end)?, rest.split(' ').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
1000-3000 r--p 00000000 fe:00 42                         /usr/bin/monitor
Size:                  8 kB
Anonymous:             0 kB
3000-8000 r-xp 00002000 fe:00 42                         /usr/bin/monitor
Anonymous:             0 kB
8000-9000 r--p 00007000 fe:00 42                         /usr/bin/monitor
Anonymous:             4 kB
9000-a000 rw-p 00008000 fe:00 42                         /usr/bin/monitor
Anonymous:             0 kB
b000-c000 rw-p 00000000 00:00 0                          [heap]
Anonymous:             0 kB
d000-e000 r-xp 00000000 fe:00 43                         /usr/lib/libc.so.6
Anonymous:             0 kB
";

    #[test]
    fn only_parts_of_the_program_that_are_as_in_its_file_are_unmapped() {
        assert_eq!(unchanged(SMAPS, Path::new("/usr/bin/monitor")), [0x1000..0x3000, 0x3000..0x8000]);
    }

    #[test]
    fn the_program_runs_on_without_its_code_in_memory() {
        let program = fs::read_link("/proc/self/exe").expect("a path");
        let resident = || -> u64 {
            let maps = fs::read_to_string("/proc/self/smaps").expect("smaps");
            let of_program =
                maps.split("VmFlags:").filter(|part| part.contains(program.to_str().expect("text")));
            let sizes = of_program.filter_map(|part| part.split_once("\nRss:")?.1.split_once(" kB"));
            sizes.map(|(size, _)| size.trim().parse::<u64>().expect("a number")).sum()
        };
        // Other tests run meanwhile, and their code returns at once.
        let has_shrunk = (0..100).any(|_| {
            let before = resident();
            unmap();
            resident() < before
        });
        assert!(has_shrunk);
    }
}
