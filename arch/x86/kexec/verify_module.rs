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

/// The module's parameter `verify_spared`. It is defined in `verify_param.c`, because parameters in
/// Rust cannot be changed after the module was loaded.
fn verify_spared() -> bool {
    // SAFETY: The variable belongs to this module. `param_set_bool()` may write it meanwhile. It is
    // one byte, so that this reads the old or the new value, and each is 0 or 1.
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
