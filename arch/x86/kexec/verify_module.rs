// SPDX-License-Identifier: GPL-2.0-only

//! Policy: normal images are verified while this module is loaded.

use kernel::{
    bindings,
    kexec::{
        LoadingImage,
        Policy,
        Registration,
        Spared, //
    },
    prelude::*, //
};

module! {
    type: VerifyModule,
    name: "kexec_purgatory_verify",
    authors: ["Seed maintainers"],
    description: "Verify normal kexec images while this module is loaded",
    license: "GPL v2",
}

struct VerifyNormal;

impl Policy for VerifyNormal {
    fn verify(_image: &LoadingImage, spared: Option<Spared>) -> bool {
        spared.is_none() || verify_spared()
    }
}

/// The module's parameter, `verify_param.c`: parameters in Rust cannot be changed later.
fn verify_spared() -> bool {
    // SAFETY: It is a variable of this module. `param_set_bool()` may write it meanwhile: one byte,
    // which is read as it was before or as it is then, and is 0 or 1.
    unsafe { (&raw const bindings::kexec_verify_spared).read_volatile() }
}

struct VerifyModule {
    _registration: Registration<VerifyNormal>,
}

impl kernel::Module for VerifyModule {
    fn init(module: &'static ThisModule) -> Result<Self> {
        Ok(VerifyModule {
            _registration: Registration::new(module)?,
        })
    }
}
