/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stands in for the next kernel: records the state that it was entered in at
 * STATE, for src/bare/probe.rs, and ends QEMU.  In Bochs, it sends the state to
 * the serial console, for src/bare/bare_bochs.rs, and then ends Bochs.
 *
 * JOB is where src/bare/image.rs puts what differs from run to run.
 */

#define EXIT_PORT	0xf4
#define EXIT_ENTERED	0x2a

/* bare/boot.S fills the last 16 bytes. */
#define STATE_SIZE	248

#define JOB_IN_BOCHS	(JOB + 40)

#define UART		0x3f8
#define UART_LSR	0x3fd
#define LSR_EMPTY	0x40

#define BOCHS_EXIT_PORT	0x8900

#define MSR_EFER	0xc0000080
#define CR4_OSXSAVE	0x40000
#define CPUID_1_XSAVE	26

	.text
	.code64
	.globl	_start
_start:
	/*
	 * An entry point with another lowest byte hits a breakpoint, which
	 * nothing handles: the machine resets.
	 */
	jmp	0f
	.balign	256, 0xcc
0:
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
	rdtsc
	movl	%eax, STATE + 208
	movl	%edx, STATE + 212
	sidt	STATE + 216

	cmpq	$0, JOB_IN_BOCHS
	jne	0f
	movl	$EXIT_ENTERED, %eax
	outl	%eax, $EXIT_PORT
	jmp	3f
0:
	movl	$STATE, %esi
	movl	$STATE_SIZE, %ecx
	call	send
	leaq	bochs_exit(%rip), %rsi
	movl	$BOCHS_EXIT_PORT, %edx
	movl	$8, %ecx
	rep outsb
3:	hlt
	jmp	3b

	/* Sends %rcx bytes from %rsi on, each after the previous one was sent. */
send:
	movl	$UART_LSR, %edx
1:	inb	%dx, %al
	testb	$LSR_EMPTY, %al
	jz	1b
	jrcxz	2f
	movl	$UART, %edx
	outsb
	decl	%ecx
	jmp	send
2:	ret

bochs_exit:
	.ascii	"Shutdown"
