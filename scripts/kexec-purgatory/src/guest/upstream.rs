// SPDX-License-Identifier: GPL-2.0-only

//! Guests that run a test of the kernel's own.

use std::path::Path;

use anyhow::Result;

use super::content::Content;
use super::{Extra, Guest, archive};
use crate::initramfs::Initramfs;
use crate::layout::Layout;

/// Kexec handover. The next kernel boots in the memory that this reserves, with KASAN's shadow,
/// which is an eighth of all memory. By default the kernel reserves twice of what it took itself,
/// which KASAN makes more than there is.
const HANDOVER: &str = "kho=on kho_scratch=16M,512M,16M";

/// A test of the kernel's own that comes with its `/init`.
pub struct Upstream<'a> {
    /// The name of its initramfs.
    pub name: &'a str,
    /// The kernel that is entered.
    pub kernel: &'a Path,
    pub init: &'a Path,
    /// The program that it runs on both kernels, if any.
    pub program: Option<&'a Path>,
    /// The policy, and whether it makes the kernel verify images that are otherwise spared.
    pub module: &'a Path,
    pub verified: bool,
}

/// Makes a guest for such a test, with kexec handover and live update enabled.
pub fn upstream(layout: &Layout, test: &Upstream<'_>) -> Result<Guest> {
    // The initramfs of the second kernel. It has no program where the kernel itself tests.
    let second = archive(layout, &format!("{}-second", test.name))?;
    let mut inner = Initramfs::create(&second)?;
    inner.folder("debugfs")?;
    inner.program("init", test.init)?;
    if let Some(program) = test.program {
        inner.program("test_binary", program)?;
    }
    inner.finish()?;

    // The test looks for its files there.
    let mut content = Content::new(layout, test.name)?;
    content.archive.program("upstream", test.init)?;
    content.archive.program("kernel", test.kernel)?;
    content.archive.program("initrd.img", &second)?;
    if let Some(program) = test.program {
        content.archive.program("test_binary", program)?;
    }
    let module = content.add_modules(&[test.module.to_owned()])?;
    let extra = match test.verified {
        true => Extra::VerifySpared.name(),
        false => "none",
    };
    let arguments = format!(
        "{HANDOVER} liveupdate=on guest.job=upstream guest.modules={module} guest.extra={extra}"
    );
    Ok(Guest::usual(content.finish()?, arguments))
}
