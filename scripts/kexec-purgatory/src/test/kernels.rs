// SPDX-License-Identifier: GPL-2.0-only

//! The kernels that tests boot, each built once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow};
use rustix::process::nice;

use crate::fetch::{self, DistributionKernel};
use crate::graft;
use crate::kernel::{self, Built, Verify};
use crate::layout::Layout;
use crate::test::boot::case::Target;
use crate::test::shared;

/// Bytes that a [`Target::Longer`] has at its end.
const LONGER: usize = 1 << 20;

/// The kernels that most tests need, in the order in which groups ask for them. They share a build
/// directory.
const FIRST: &[Verify] = &[Verify::Norust, Verify::Y];

/// Nice value of the thread that builds them beside tests: the lowest priority.
const NICE: i32 = 19;

/// Kernels by the names of their states, or why they could not be built.
type States = BTreeMap<&'static str, Result<Built>>;

/// The grafted tree, and the kernels built from it so far.
pub struct Kernels<'a> {
    pub layout: &'a Layout,
    tree: PathBuf,
    built: States,
    /// Builds the kernels of [`FIRST`].
    background: Option<JoinHandle<States>>,
    /// The kernel that is entered from most of these.
    pub next: DistributionKernel,
    /// Other next kernels, made so far.
    targets: Vec<(Target, DistributionKernel)>,
}

impl<'a> Kernels<'a> {
    /// Grafts the overlay; builds nothing yet.
    pub fn new(layout: &'a Layout) -> Result<Self> {
        let tree = graft::kernel_tree(layout)?;
        graft::graft(layout, &tree)?;
        Ok(Self {
            layout,
            tree,
            built: States::new(),
            background: None,
            next: fetch::distribution_kernel(layout)?,
            targets: Vec::new(),
        })
    }

    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// Starts to build the kernels of [`FIRST`] beside tests without a kernel, many of which use
    /// one processor.
    pub fn start(&mut self) {
        let (layout, tree) = (self.layout.clone(), self.tree.clone());
        self.background = Some(thread::spawn(move || {
            // Changes the priority of this thread and of its processes. If it fails, the build
            // only slows the tests down more.
            let _ = nice(NICE);
            let build = |&verify: &Verify| {
                let kernel = kernel::build(&layout, &tree, None, verify);
                (verify.name(), kernel)
            };
            FIRST.iter().map(build).collect()
        }));
    }

    /// The kernel to enter from `first`.
    pub fn target(&mut self, target: Target, first: &Built) -> Result<DistributionKernel> {
        let made = self.targets.iter().find(|(other, _)| *other == target);
        if let Some((_, kernel)) = made {
            return Ok(kernel.clone());
        }
        let of = |kernel: &Built| -> Result<DistributionKernel> {
            Ok(DistributionKernel {
                image: kernel.image().to_owned(),
                release: kernel.release()?,
            })
        };
        let kernel = match target {
            Target::Distribution => return Ok(self.next.clone()),
            Target::Own => return of(first),
            Target::Compressed(how) => {
                of(&kernel::build_compressed(self.layout, &self.tree, how)?)?
            }
            Target::Other(release) => fetch::kernel_of(self.layout, release)?,
            Target::Longer => {
                let mut longer = of(first)?;
                let mut content = fs::read(&longer.image)?;
                content.resize(content.len() + LONGER, 0xa5);
                longer.image = self.layout.build.join("longer-kernel");
                fs::write(&longer.image, content)?;
                longer
            }
        };
        self.targets.push((target, kernel.clone()));
        Ok(kernel)
    }

    /// The kernel of one state.
    pub fn get(&mut self, verify: Verify) -> Result<Built> {
        if let Some(background) = self.background.take() {
            let built = background.join();
            self.built
                .extend(built.map_err(|_| anyhow!("the build panicked"))?);
        }
        let build = || kernel::build(self.layout, &self.tree, None, verify);
        let kernel = self.built.entry(verify.name()).or_insert_with(build);
        shared(kernel).cloned()
    }
}
