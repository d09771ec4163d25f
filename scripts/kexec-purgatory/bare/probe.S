/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stands for the next kernel: records the state that it was entered in at
 * STATE, for src/bare/state.rs to read, and ends QEMU.
 */

#define EXIT_PORT	0xf4
#define EXIT_ENTERED	0x2a

#define MSR_EFER	0xc0000080
#define CR4_OSXSAVE	0x40000
#define CPUID_1_XSAVE	26

	.text
	.code64
	.globl	_start
_start:
	movq	%rax, STATE + 0
	movq	%rbx, STATE + 8
	movq	%rcx, STATE + 16
	movq	%rdx, STATE + 24
	movq	%rsi, STATE + 32
	movq	%rdi, STATE + 40
	movq	%rbp, STATE + 48
	movq	%rsp, STATE + 56
	movq	%r8,  STATE + 64
	movq	%r9,  STATE + 72
	movq	%r10, STATE + 80
	movq	%r11, STATE + 88
	movq	%r12, STATE + 96
	movq	%r13, STATE + 104
	movq	%r14, STATE + 112
	movq	%r15, STATE + 120
	pushfq
	popq	STATE + 128
	movq	%cr0, %rax
	movq	%rax, STATE + 136
	movq	%cr3, %rax
	movq	%rax, STATE + 144
	movq	%cr4, %rbx
	movq	%rbx, STATE + 152
	movl	$MSR_EFER, %ecx
	rdmsr
	movl	%eax, STATE + 160
	movl	%edx, STATE + 164

	movl	$1, %eax
	cpuid
	btl	$CPUID_1_XSAVE, %ecx
	jnc	0f
	movq	%cr4, %rax
	orq	$CR4_OSXSAVE, %rax
	movq	%rax, %cr4
	xorl	%ecx, %ecx
	xgetbv
	movl	%eax, STATE + 168
	movl	%edx, STATE + 172
0:
	movw	%cs, STATE + 176
	movw	%ds, STATE + 178
	movw	%es, STATE + 180
	movw	%fs, STATE + 182
	movw	%gs, STATE + 184
	movw	%ss, STATE + 186
	sgdt	STATE + 192

	movl	$EXIT_ENTERED, %eax
	outl	%eax, $EXIT_PORT
1:	hlt
	jmp	1b
