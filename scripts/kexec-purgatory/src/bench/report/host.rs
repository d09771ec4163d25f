// SPDX-License-Identifier: GPL-2.0-only

//! The machine that the figures were measured on.

use std::fs;

use anyhow::{Context, Result};
use rustix::thread::sched_getcpu;
use serde::Serialize;

/// The machine that this ran on.
#[derive(Serialize)]
pub struct Host {
    pub processor: String,
    family: u32,
    model: u32,
    stepping: u32,
    flags: Vec<String>,
    /// Such as `L1 Data 48K`; empty if the kernel does not say.
    caches: Vec<String>,
    pub kernel: String,
}

impl Host {
    pub fn this() -> Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
        let field = |name: &str| {
            cpuinfo
                .lines()
                .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(": "))
                .with_context(|| format!("/proc/cpuinfo has no {name}"))
        };
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        // The process stays on the one that it runs on.
        let cpu = sched_getcpu();
        Ok(Self {
            processor: field("model name")?.to_owned(),
            family: field("cpu family")?.parse()?,
            model: field("model\t")?.parse()?,
            stepping: field("stepping")?.parse()?,
            flags: field("flags")?
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            caches: (0..).map_while(|number| cache(cpu, number)).collect(),
            kernel: kernel.trim().to_owned(),
        })
    }

    /// The processor, so that others can be told from it.
    pub fn name(&self) -> String {
        format!(
            "{}, family {}, model {}",
            self.processor, self.family, self.model
        )
    }

    /// Describes it in a line or two.
    pub fn describe(&self) -> String {
        format!(
            "{} (family {}, model {}, stepping {}), Linux {}\nCaches: {}",
            self.processor,
            self.family,
            self.model,
            self.stepping,
            self.kernel,
            self.caches.join(", ")
        )
    }
}

/// A cache of a processor, if there is one with that number.
fn cache(cpu: usize, number: usize) -> Option<String> {
    let folder = format!("/sys/devices/system/cpu/cpu{cpu}/cache/index{number}");
    let field = |name: &str| {
        let text = fs::read_to_string(format!("{folder}/{name}")).ok()?;
        Some(text.trim().to_owned())
    };
    Some(format!(
        "L{} {} {}",
        field("level")?,
        field("type")?,
        field("size")?
    ))
}
