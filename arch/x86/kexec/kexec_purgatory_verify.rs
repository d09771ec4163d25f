// SPDX-License-Identifier: GPL-2.0-only

//! Policy: every normal image is verified while this module is loaded.

use kernel::{
    kexec::{
        LoadingImage,
        Policy,
        Registration, //
    },
    prelude::*, //
};

module! {
    type: VerifyModule,
    name: "kexec_purgatory_verify",
    authors: ["Seed maintainers"],
    description: "Verify every normal kexec image while this module is loaded",
    license: "GPL v2",
}

struct VerifyAll;

#[vtable]
impl Policy for VerifyAll {
    fn verify(_image: &LoadingImage) -> bool {
        true
    }
}

struct VerifyModule {
    _registration: Registration<VerifyAll>,
}

impl kernel::Module for VerifyModule {
    fn init(module: &'static ThisModule) -> Result<Self> {
        Ok(VerifyModule {
            _registration: Registration::new(module)?,
        })
    }
}
