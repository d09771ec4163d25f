// SPDX-License-Identifier: GPL-2.0-only

#include <linux/kexec.h>
#include <linux/moduleparam.h>

#include <asm/kexec-loader.h>

bool kexec_verify_spared;
module_param_named(verify_spared, kexec_verify_spared, bool, 0644);
MODULE_PARM_DESC(verify_spared,
		 "Verify also images that are direct otherwise: with kexec handover, or all in CMA");
