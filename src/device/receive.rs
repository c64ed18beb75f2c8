//! A tiny receiver.

use std::io::{self, Write};

pub fn receive(_listen: &str, _out: &mut dyn Write, _count: Option<u64>) -> io::Result<()> {
    Ok(())
}
