/**
 * Registers of the 16550A (National Semiconductor PC16550D data sheet), by their names there.
 *
 * @module
 */

/** Offsets. 0 and 1 are the divisor while LCR.DLAB is set; 2 is IIR when read, FCR when written. */
export const RBR_THR = 0;
export const IER = 1;
export const IIR_FCR = 2;
export const LCR = 3;
export const MCR = 4;
export const LSR = 5;
export const MSR = 6;
export const SCR = 7;
export const UART_PORTS = 8;

export const IER_ERBFI = 0x01;
export const IER_ETBEI = 0x02;
export const IER_ELSI = 0x04;
export const IER_EDSSI = 0x08;

/** Interrupt identification: the low four bits, highest priority first. */
export const IIR_LINE_STATUS = 0x06;
export const IIR_DATA_AVAILABLE = 0x04;
export const IIR_TIMEOUT = 0x0c;
export const IIR_THR_EMPTY = 0x02;
export const IIR_MODEM_STATUS = 0x00;
export const IIR_NONE = 0x01;
export const IIR_FIFOS_ENABLED = 0xc0;

export const FCR_ENABLE = 0x01;
export const FCR_CLEAR_RECEIVER = 0x02;
/** Bytes in the receiver FIFO that interrupt, by the top two bits of FCR. */
export const FCR_TRIGGER_LEVELS: readonly number[] = [1, 4, 8, 14];

export const LCR_BREAK = 0x40;
export const LCR_DLAB = 0x80;

export const MCR_DTR = 0x01;
export const MCR_RTS = 0x02;
export const MCR_OUT1 = 0x04;
export const MCR_OUT2 = 0x08;
export const MCR_LOOP = 0x10;

export const LSR_DR = 0x01;
export const LSR_OE = 0x02;
export const LSR_BI = 0x10;
export const LSR_THRE = 0x20;
export const LSR_TEMT = 0x40;
export const LSR_FIFO_ERROR = 0x80;
/** Bits that a read of the LSR clears. */
export const LSR_ERRORS = 0x1e;

/** Modem status lines in the upper half of the MSR, what changed of them in the lower. */
export const MSR_TERI = 0x04;
export const MSR_CTS = 0x10;
export const MSR_DSR = 0x20;
export const MSR_RI = 0x40;
export const MSR_DCD = 0x80;

export const FIFO_BYTES = 16;

/** Everything of a UART that a guest can see, for a snapshot. */
export interface UartState {
  readonly version: 1;
  readonly divisor: number;
  readonly ier: number;
  readonly fcr: number;
  readonly lcr: number;
  readonly mcr: number;
  readonly msr: number;
  readonly scr: number;
  /** Error bits of the LSR that wait to be read. */
  readonly errors: number;
  readonly thrEmptyPending: boolean;
  /** Bytes in the receiver, oldest first, and what each is: 0 data, 1 a break, 2 one that the LSR has told. */
  readonly received: readonly number[];
  readonly marks: readonly number[];
  /** Bytes that the guest cleared away unread; they are received again. */
  readonly returned: readonly number[];
}
