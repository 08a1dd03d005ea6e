/**
 * Why a processor refused to enter the guest: `hardware_entry_failure_reason` of KVM_EXIT_FAIL_ENTRY in words. On Intel it is the exit
 * reason with its bit for failed entries (SDM 3C, section 27.8 and appendix C) or a VM-instruction error (section 31.4), on AMD the exit
 * code VMEXIT_INVALID (APM 2, section 15.5.1).
 *
 * @module
 */

/** Exit reasons of Intel have this bit where the entry failed after the checks of the controls. */
const VMX_ENTRY_FAILURE = 1n << 31n;
/** VMEXIT_INVALID, in the 32 bits of older kernels and the 64 of newer. */
const SVM_INVALID: readonly bigint[] = [0xffff_ffffn, 0xffff_ffff_ffff_ffffn];

const VMX_REASONS: Readonly<Record<number, string>> = {
  33: "the guest's registers are inconsistent",
  34: 'a model-specific register could not be loaded',
  41: 'a machine check',
};
const VMX_INSTRUCTION_ERRORS: Readonly<Record<number, string>> = {
  7: 'the VMCS has invalid control fields',
  8: "the VMCS has invalid fields of the host's state",
  26: 'events are blocked by MOV SS',
};

/** "0x80000021: the guest's registers are inconsistent". */
export function entryFailure(reason: bigint): string {
  const number = `0x${reason.toString(16)}`;
  let name: string | undefined;
  if (SVM_INVALID.includes(reason)) name = "the guest's registers or its VMCB are inconsistent";
  else if ((reason & VMX_ENTRY_FAILURE) !== 0n) name = VMX_REASONS[Number(reason & 0xffffn)];
  else if (reason <= 0xffffn) name = VMX_INSTRUCTION_ERRORS[Number(reason)];
  return name === undefined ? number : `${number}: ${name}`;
}
