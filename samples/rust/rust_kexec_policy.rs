// SPDX-License-Identifier: GPL-2.0-only

//! Sample of a kexec policy: images are verified if their initramfs has at most 16 MiB, unless they
//! are spared anyway.

use kernel::{
    kexec::{
        LoadingImage,
        Policy,
        Registration,
        Spared, //
    },
    prelude::*,
    sizes::SZ_16M, //
};

module! {
    type: RustKexecPolicy,
    name: "rust_kexec_policy",
    authors: ["Seed maintainers"],
    description: "Rust sample of a kexec policy",
    license: "GPL v2",
}

struct SmallInitramfs;

impl Policy for SmallInitramfs {
    fn verify(image: &LoadingImage, spared: Option<Spared>) -> bool {
        for segment in image.segments() {
            pr_info!(
                "{:#x}-{:#x} {:?}, {} bytes loaded\n",
                segment.start,
                segment.start + segment.mem_size as u64 - 1,
                segment.role,
                segment.data.len()
            );
        }
        pr_info!("spared: {:?}\n", spared);
        spared.is_none() && image.initramfs_size() <= SZ_16M
    }
}

struct RustKexecPolicy {
    _registration: Registration<SmallInitramfs>,
}

impl kernel::Module for RustKexecPolicy {
    fn init(module: &'static ThisModule) -> Result<Self> {
        Ok(RustKexecPolicy {
            _registration: Registration::new(module)?,
        })
    }
}
