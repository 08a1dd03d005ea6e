/**
 * The state a hypervisor puts its first processor in before it runs: plain data, the same for every hypervisor. The loaders'
 * `CpuBootState` (boot/) fits it as it is.
 *
 * Segment attributes are bits 40..55 of a descriptor (SDM 3A 3.4.5) shifted down; bit 16 marks an unusable (null) segment.
 * Limits are in bytes. Whatever is not named here has its power-on value, or what firmware leaves behind.
 *
 * @module
 */
export interface InitialSegment {
  readonly selector: number;
  readonly base: number;
  readonly limit: number;
  readonly attributes: number;
}

export interface InitialDescriptorTable {
  readonly base: number;
  readonly limit: number;
}

export interface InitialCpuState {
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
  readonly cs: InitialSegment;
  readonly ds: InitialSegment;
  readonly es: InitialSegment;
  readonly fs: InitialSegment;
  readonly gs: InitialSegment;
  readonly ss: InitialSegment;
  readonly tr: InitialSegment;
  readonly ldtr: InitialSegment;
  readonly gdtr: InitialDescriptorTable;
  readonly idtr: InitialDescriptorTable;
}
