/**
 * The 8042 keyboard controller of a PC, with nothing plugged in (IBM PC/AT technical reference; PS/2 extensions).
 *
 * It is there for what else hangs on it: the reset line and address line 20. Every command is answered at once, and
 * so is every byte for the absent keyboard and mouse, with a timeout error, so that a kernel that looks for them
 * (Linux without ACPI) does not wait out its own timeouts. Address line 20 is never really masked.
 *
 * @module
 */
import type { ByteRegisters } from '../../bus/bus.ts';
import type { InterruptLine } from '../../bus/bus-device.ts';
import type { MachineEvents } from './machine-events.ts';

/** Status register. */
const STATUS_OUTPUT_FULL = 0x01;
const STATUS_SYSTEM = 0x04;
const STATUS_COMMAND = 0x08;
const STATUS_NOT_LOCKED = 0x10;
const STATUS_TIMEOUT = 0x40;

/** Command byte. */
const INTERRUPT_KEYBOARD = 0x01;
const SYSTEM_FLAG = 0x04;
const KEYBOARD_DISABLED = 0x10;
const MOUSE_DISABLED = 0x20;

/** Output port: bit 0 is the reset line (low resets), bit 1 address line 20. */
const OUTPUT_RESET = 0x01;
const OUTPUT_A20 = 0x02;

const READ_COMMAND_BYTE = 0x20;
const WRITE_COMMAND_BYTE = 0x60;
const DISABLE_MOUSE = 0xa7;
const ENABLE_MOUSE = 0xa8;
const TEST_MOUSE = 0xa9;
const SELF_TEST = 0xaa;
const TEST_KEYBOARD = 0xab;
const DISABLE_KEYBOARD = 0xad;
const ENABLE_KEYBOARD = 0xae;
const READ_OUTPUT_PORT = 0xd0;
const WRITE_OUTPUT_PORT = 0xd1;
const WRITE_KEYBOARD_BUFFER = 0xd2;
const WRITE_MOUSE_BUFFER = 0xd3;
const WRITE_MOUSE = 0xd4;
const PULSE_OUTPUT = 0xf0;

const SELF_TEST_PASSED = 0x55;
const KEYBOARD_LINE_GOOD = 0x00;
/** "Clock line stuck low": what there is no mouse looks like. */
const MOUSE_LINE_BAD = 0x01;
/** What the controller puts into its buffer when a device does not answer. */
const NO_ANSWER = 0xfe;

export interface I8042State {
  readonly version: 1;
  readonly commandByte: number;
  readonly outputPort: number;
  readonly output: number;
  readonly full: boolean;
  readonly timeout: boolean;
  readonly lastWasCommand: boolean;
  readonly expecting: number;
}

export class I8042 {
  /** Port 60h and port 64h. */
  readonly data: ByteRegisters = { readByte: () => this.#readData(), writeByte: (_, value) => this.#writeData(value) };
  readonly command: ByteRegisters = {
    readByte: () => this.#status(),
    writeByte: (_, value) => this.#writeCommand(value),
  };
  readonly #events: Pick<MachineEvents, 'reset'>;
  readonly #line: InterruptLine;
  #commandByte = 0;
  #outputPort = 0;
  #output = 0;
  #full = false;
  #timeout = false;
  #lastWasCommand = false;
  /** The command whose parameter the next byte at port 60h is; 0 when none. */
  #expecting = 0;

  /** `line`: interrupt 1. */
  constructor(events: Pick<MachineEvents, 'reset'>, line: InterruptLine) {
    this.#events = events;
    this.#line = line;
    this.reset();
  }

  reset(): void {
    this.#commandByte = SYSTEM_FLAG | KEYBOARD_DISABLED | MOUSE_DISABLED;
    this.#outputPort = OUTPUT_RESET | OUTPUT_A20;
    this.#output = 0;
    this.#full = false;
    this.#timeout = false;
    this.#lastWasCommand = false;
    this.#expecting = 0;
    this.#update();
  }

  #status(): number {
    return (
      (this.#full ? STATUS_OUTPUT_FULL : 0) |
      ((this.#commandByte & SYSTEM_FLAG) !== 0 ? STATUS_SYSTEM : 0) |
      (this.#lastWasCommand ? STATUS_COMMAND : 0) |
      STATUS_NOT_LOCKED |
      (this.#timeout ? STATUS_TIMEOUT : 0)
    );
  }

  #readData(): number {
    this.#full = false;
    this.#timeout = false;
    this.#update();
    return this.#output;
  }

  #answer(value: number, timeout = false): void {
    this.#output = value;
    this.#full = true;
    this.#timeout = timeout;
    this.#update();
  }

  #update(): void {
    this.#line.set(this.#full && (this.#commandByte & INTERRUPT_KEYBOARD) !== 0);
  }

  #writeCommand(value: number): void {
    this.#lastWasCommand = true;
    this.#expecting = 0;
    switch (value) {
      case READ_COMMAND_BYTE:
        this.#answer(this.#commandByte);
        break;
      case WRITE_COMMAND_BYTE:
      case WRITE_OUTPUT_PORT:
      case WRITE_KEYBOARD_BUFFER:
      case WRITE_MOUSE_BUFFER:
      case WRITE_MOUSE:
        this.#expecting = value;
        break;
      case DISABLE_MOUSE:
        this.#commandByte |= MOUSE_DISABLED;
        break;
      case ENABLE_MOUSE:
        this.#commandByte &= ~MOUSE_DISABLED;
        break;
      case TEST_MOUSE:
        this.#answer(MOUSE_LINE_BAD);
        break;
      case SELF_TEST:
        this.#commandByte |= SYSTEM_FLAG;
        this.#answer(SELF_TEST_PASSED);
        break;
      case TEST_KEYBOARD:
        this.#answer(KEYBOARD_LINE_GOOD);
        break;
      case DISABLE_KEYBOARD:
        this.#commandByte |= KEYBOARD_DISABLED;
        break;
      case ENABLE_KEYBOARD:
        this.#commandByte &= ~KEYBOARD_DISABLED;
        break;
      case READ_OUTPUT_PORT:
        this.#answer(this.#outputPort);
        break;
      default:
        // F0h-FFh pulse those of the low four output lines whose bits are zero; line 0 resets the processor.
        if (value >= PULSE_OUTPUT && (value & OUTPUT_RESET) === 0) this.#events.reset();
    }
  }

  #writeData(value: number): void {
    this.#lastWasCommand = false;
    const command = this.#expecting;
    this.#expecting = 0;
    switch (command) {
      case WRITE_COMMAND_BYTE:
        this.#commandByte = value;
        this.#update();
        break;
      case WRITE_OUTPUT_PORT:
        this.#outputPort = value;
        if ((value & OUTPUT_RESET) === 0) this.#events.reset();
        break;
      case WRITE_KEYBOARD_BUFFER:
      case WRITE_MOUSE_BUFFER:
        // Comes back as if from the keyboard, even for the mouse: by that a driver sees that there is no mouse port.
        this.#answer(value);
        break;
      default: // for the mouse or the keyboard
        this.#answer(NO_ANSWER, true);
    }
  }

  save(): I8042State {
    return {
      version: 1,
      commandByte: this.#commandByte,
      outputPort: this.#outputPort,
      output: this.#output,
      full: this.#full,
      timeout: this.#timeout,
      lastWasCommand: this.#lastWasCommand,
      expecting: this.#expecting,
    };
  }

  restore(state: I8042State): void {
    this.#commandByte = state.commandByte & 0xff;
    this.#outputPort = state.outputPort & 0xff;
    this.#output = state.output & 0xff;
    this.#full = state.full;
    this.#timeout = state.timeout;
    this.#lastWasCommand = state.lastWasCommand;
    this.#expecting = state.expecting & 0xff;
    this.#update();
  }
}
