// SPDX-License-Identifier: GPL-2.0-only

//! Checks that programs in a root of another release do not outlive this tool: a build that goes on
//! would write to the directory of the next one.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::HostTest;
use crate::command::Running;
use crate::layout::Layout;
use crate::qemu::SILENCE;
use crate::root::Root;

/// The tests of the group `roots`.
pub const TESTS: &[HostTest] = &[("roots/end", end)];

fn end(layout: &Layout) -> Result<()> {
    // A number of seconds that no other process sleeps.
    let seconds = fastrand::u32(1_000_000..).to_string();
    let script = format!("sleep {seconds} & sleep {seconds}; :");
    let root = Root::with_bochs(layout)?;
    let running = Running::new(root.command(&[], "sh")?.args(["-c", &script]))?;
    wait_for(2, &seconds)?;
    drop(running);
    wait_for(0, &seconds)
}

/// Waits until as many processes as `wanted` sleep that long.
fn wait_for(wanted: usize, seconds: &str) -> Result<()> {
    let command = format!("sleep\0{seconds}\0");
    let began = Instant::now();
    loop {
        let processes = fs::read_dir("/proc")?.filter_map(|entry| {
            // A process may end meanwhile.
            fs::read(entry.ok()?.path().join("cmdline")).ok()
        });
        let found = processes.filter(|line| line == command.as_bytes()).count();
        if found == wanted {
            return Ok(());
        }
        ensure!(
            began.elapsed() < SILENCE,
            "{found} processes run, not {wanted}"
        );
        thread::sleep(Duration::from_millis(50));
    }
}
