/**
 * Why a vCPU stopped running guest code. Port and MMIO accesses, halts and interrupts are handled inside
 * `Vcpu.run` through the interfaces it was given and never surface here.
 *
 * @module
 */
export type VcpuExit =
  /** Another thread asked the vCPU to come out (pause, stop, reset). */
  | { readonly kind: 'kicked' }
  /** Triple fault: the processor went into shutdown. */
  | { readonly kind: 'shutdown' }
  /** The guest told the hypervisor, not a device, what becomes of the machine. */
  | { readonly kind: 'system-event'; readonly event: 'power-off' | 'reset' | 'crash' }
  /** Translated code did something else than the interpreter (`checkTranslation`); `detail` says all about it. */
  | { readonly kind: 'mismatch'; readonly reason: string; readonly detail: string }
  /** The hypervisor cannot go on; `reason` is one line, `detail` a register dump. */
  | { readonly kind: 'error'; readonly reason: string; readonly detail: string };
