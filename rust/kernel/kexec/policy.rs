// SPDX-License-Identifier: GPL-2.0-only

//! Policies: modules that decide which normal images are verified.
//!
//! C header: [`arch/x86/include/asm/kexec-purgatory.h`](
//! srctree/arch/x86/include/asm/kexec-purgatory.h)

use super::LoadingImage;

/// What the registered policy says about `image`; `None` if there is none.
///
/// Records the name of the module that decided in the image.
#[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
pub fn ask_policy(image: &LoadingImage) -> Option<bool> {
    // SAFETY: By the type invariant the image is valid and the kexec lock is held.
    match unsafe { bindings::kexec_purgatory_policy_ask(image.as_raw()) } {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// What the registered policy says about `image`: there can be none.
#[cfg(not(CONFIG_KEXEC_PURGATORY_VERIFY = "m"))]
pub fn ask_policy(_image: &LoadingImage) -> Option<bool> {
    None
}

#[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
pub use registration::{
    Policy,
    Registration, //
};

#[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
use crate::bindings;

#[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
mod registration {
    use super::LoadingImage;
    use crate::{
        bindings,
        error::to_result,
        prelude::*, //
    };
    use core::marker::PhantomData;

    /// A decision which normal images are verified.
    ///
    /// It is not asked about crash images, which always are, nor about images that are spared the
    /// check because kexec handover is on or because they lie in CMA.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::kexec::{LoadingImage, Policy};
    ///
    /// /// Verifies images that bring no initramfs.
    /// struct KernelOnly;
    ///
    /// #[vtable]
    /// impl Policy for KernelOnly {
    ///     fn verify(image: &LoadingImage) -> bool {
    ///         image.initramfs_size() == 0
    ///     }
    /// }
    /// ```
    #[vtable]
    pub trait Policy {
        /// Whether `image` is to be verified. All its segments but the purgatory are in place.
        ///
        /// Called by `kexec_file_load()`, with the kexec lock held. May sleep.
        fn verify(image: &LoadingImage) -> bool;
    }

    /// A policy in force.
    ///
    /// Dropping it ends that. Images that were loaded keep what was decided about them.
    ///
    /// # Invariants
    ///
    /// `T`'s policy is the one that is registered.
    pub struct Registration<T: Policy>(PhantomData<fn() -> T>);

    impl<T: Policy> Registration<T> {
        /// Puts the policy in force. `module` is what the administrator is told.
        ///
        /// # Errors
        ///
        /// `EBUSY` if another policy is in force.
        pub fn new(module: &'static ThisModule) -> Result<Self> {
            // SAFETY: `drop()` ends the registration before the module and with it
            // `verify_callback` go away, unless the module leaks the value, which no registration
            // of a callback survives.
            to_result(unsafe {
                bindings::kexec_purgatory_policy_register(
                    module.as_ptr(),
                    Some(Self::verify_callback),
                )
            })?;
            // INVARIANT: It was registered just now.
            Ok(Registration(PhantomData))
        }

        /// # Safety
        ///
        /// As for [`LoadingImage::from_raw`].
        unsafe extern "C" fn verify_callback(image: *mut bindings::kimage) -> bool {
            // SAFETY: By the safety requirements of this function.
            T::verify(unsafe { LoadingImage::from_raw(image) })
        }
    }

    impl<T: Policy> Drop for Registration<T> {
        fn drop(&mut self) {
            // SAFETY: By the type invariant it is this policy that is registered.
            unsafe { bindings::kexec_purgatory_policy_unregister() };
        }
    }
}
