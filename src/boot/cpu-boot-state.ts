/**
 * The state in which the first processor starts: plain data that any hypervisor can turn into its own registers.
 *
 * Registers that are not named here are zero. Segment attributes are bits 40..55 of a descriptor (Intel SDM 3A, 3.4.5)
 * shifted down: type 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13, D/B 14, G 15, and bit 16 for an unusable (null) segment.
 * Limits are in bytes, with G applied. The GDT that the selectors refer to is already in guest memory.
 *
 * @module
 */
export interface SegmentState {
  readonly selector: number;
  readonly base: number;
  readonly limit: number;
  readonly attributes: number;
}

export interface DescriptorTable {
  readonly base: number;
  /** Offset of the last byte. */
  readonly limit: number;
}

export interface BootSegments {
  readonly cs: SegmentState;
  readonly ds: SegmentState;
  readonly es: SegmentState;
  readonly fs: SegmentState;
  readonly gs: SegmentState;
  readonly ss: SegmentState;
  readonly tr: SegmentState;
  readonly ldtr: SegmentState;
  readonly gdtr: DescriptorTable;
  readonly idtr: DescriptorTable;
}

export interface CpuBootState extends BootSegments {
  readonly mode: 'long' | 'protected32' | 'real';
  readonly rip: number;
  readonly rflags: number;
  readonly rax: number;
  readonly rbx: number;
  readonly rcx: number;
  readonly rdx: number;
  readonly rsi: number;
  readonly rdi: number;
  readonly rbp: number;
  readonly rsp: number;
  readonly cr0: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
}
