//! Looks through this process's own memory, as a core dump or a debugger would show it: every byte that can be written to.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use zeroize::{Zeroize, Zeroizing};

use crate::needle::Needles;

/// Read at once.
const BLOCK: usize = 1 << 20;

/// This process's memory, opened before the process forbids that to all but root.
pub struct Memory(File);

impl Memory {
    pub fn open() -> Self {
        Self(File::open("/proc/self/mem").unwrap())
    }

    /// The names of the needles that lie somewhere in it.
    pub fn search(&self, needles: &Needles) -> Vec<String> {
        let mut found = Vec::new();
        let mut block = Zeroizing::new(vec![0; BLOCK + needles.longest()]);
        for (start, end, what) in writable() {
            let mut at = start;
            while at < end {
                // Blocks overlap by the longest needle, so that none hides on a border.
                let len = block.len().min(usize::try_from(end - at).unwrap());
                // A region that went since it was listed holds nothing.
                if self.0.read_exact_at(&mut block[..len], at).is_ok() {
                    let here = needles.search(&block[..len]).into_iter();
                    found.extend(here.map(|(name, place)| format!("{name} at {:#x} of {what}", at + place as u64)));
                }
                // What was read is a copy too.
                block.zeroize();
                block.resize(BLOCK + needles.longest(), 0);
                at += BLOCK as u64;
            }
        }
        found
    }
}

/// The regions that the process can write to (proc_pid_maps(5)): data, heaps, stacks.
fn writable() -> Vec<(u64, u64, String)> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let region = |line: &str| {
        let mut words = line.split(' ');
        let (start, end) = words.next()?.split_once('-')?;
        words.next()?.starts_with("rw").then_some(())?;
        Some((
            u64::from_str_radix(start, 16).ok()?,
            u64::from_str_radix(end, 16).ok()?,
            line.to_owned(),
        ))
    };
    let regions: Vec<_> = maps.lines().filter_map(region).collect();
    assert!(regions.len() > 10, "{maps}");
    regions
}
