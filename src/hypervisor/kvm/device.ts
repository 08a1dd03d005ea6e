/** Where KVM is, for those who need to know no more of it. @module */
export const KVM_DEVICE = '/dev/kvm';
