// SPDX-License-Identifier: GPL-2.0-only

//! The kernels that tests boot, each built once.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use crate::fetch::{self, DistributionKernel};
use crate::graft;
use crate::kernel::{self, Built, Verify};
use crate::layout::Layout;

/// The grafted tree, and what was built of it so far.
pub struct Kernels<'a> {
    pub layout: &'a Layout,
    tree: PathBuf,
    built: Vec<(Verify, Result<Built>)>,
    /// The kernel that is entered from these.
    pub next: DistributionKernel,
}

impl<'a> Kernels<'a> {
    /// Grafts the overlay; nothing is built yet.
    pub fn new(layout: &'a Layout) -> Result<Self> {
        let tree = graft::kernel_tree(layout)?;
        graft::graft(layout, &tree)?;
        Ok(Self {
            layout,
            tree,
            built: Vec::new(),
            next: fetch::distribution_kernel(layout)?,
        })
    }

    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// The kernel of one state.
    pub fn get(&mut self, verify: Verify) -> Result<Built> {
        if !self.built.iter().any(|(state, _)| *state == verify) {
            let kernel = kernel::build(self.layout, &self.tree, None, verify);
            self.built.push((verify, kernel));
        }
        let (_, kernel) = self
            .built
            .iter()
            .find(|(state, _)| *state == verify)
            .context("no kernel")?;
        match kernel {
            Ok(kernel) => Ok(kernel.clone()),
            Err(error) => Err(anyhow!("{error:#}")),
        }
    }
}
