// SPDX-License-Identifier: GPL-2.0-only

//! What the figures were measured on.

use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::command::{command, output};

/// The machine that this ran on.
#[derive(Serialize)]
pub struct Machine {
    pub processor: String,
    flags: Vec<String>,
    pub kernel: String,
}

impl Machine {
    pub fn this() -> Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
        let field = |name: &str| {
            cpuinfo
                .lines()
                .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(": "))
                .with_context(|| format!("/proc/cpuinfo has no {name}"))
        };
        Ok(Self {
            processor: field("model name")?.to_owned(),
            flags: field("flags")?
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            kernel: output(command("uname").arg("-r"))?.trim().to_owned(),
        })
    }
}
