/**
 * The SCSI host device (VIRTIO 1.2, section 5.6): one target, whose logical units are disks. Parse (request.ts, command.ts) ->
 * Execute (execute.ts) -> Complete (here).
 *
 * Any number of commands is under way, as many as the queues hold, and they end in any order. Task management is answered when what
 * it names has ended: nothing is cut off that the host has begun. A host error is a medium error for the guest; the device goes on.
 *
 * A disk that gets another capacity says so by an event and by a unit attention. Linux has buffers for events only when hot plug is offered,
 * so it is; LUNs do not come or go. Not offered: data in both directions, protection information.
 *
 * @module
 */
import type { AccessWidth } from '../../../bus/bus-device.ts';
import {
  type Features,
  features,
  hasFeature,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_ID_SCSI,
} from '../defs.ts';
import { BatchPublisher } from '../batch-publisher.ts';
import type { DriverSession, VirtioDevice } from '../device.ts';
import type { Chain } from '../queue/chain.ts';
import { takeChains } from '../queue/take-chains.ts';
import {
  isSense,
  NO_SENSE,
  NO_SUCH_LUN,
  parseCommand,
  type ScsiCommand,
  type ScsiLimits,
  type Sense,
} from './command.ts';
import { parseControl } from './control.ts';
import * as S from './defs.ts';
import { ScsiEvents } from './events.ts';
import { execute, give, type ScsiOutcome, type ScsiTarget } from './execute.ts';
import { inquiry, lunList, NOTHING_THERE, senseData } from './pages.ts';
import { type Address, parseRequest, type ScsiRequest, type ScsiSizes } from './request.ts';
import { createUnit, HEEDLESS, type ScsiLun, takeAttention, type Unit } from './unit.ts';

const QUEUE_SIZE = 256;
const REQUEST_QUEUES = 1;
/** Buffers of data in a command: all places of a queue but two. */
const SEG_MAX = QUEUE_SIZE - 2;
const MAX_SECTORS = 0xffff;
const CMD_PER_LUN = 128;
/** What a driver may set the sizes of its structures to; other values are ignored. */
const MAX_SIZE = 256;
const MIN_CDB_SIZE = 16;
const MIN_SENSE_SIZE = 18;

export interface ScsiOptions {
  /** From LUN 0 on. */
  readonly luns: readonly ScsiLun[];
  /** Calls back after the host's event loop has turned. */
  readonly yieldTurn: (resume: () => void) => void;
  /** Told of the first of a LUN's errors in a row. */
  readonly onError: (message: string) => void;
}

export class ScsiDevice implements VirtioDevice {
  readonly name = 'scsi';
  readonly type: number = VIRTIO_ID_SCSI;
  readonly features: Features = features(
    VIRTIO_F_INDIRECT_DESC,
    VIRTIO_F_EVENT_IDX,
    VIRTIO_F_RING_PACKED,
    S.VIRTIO_SCSI_F_HOTPLUG,
    S.VIRTIO_SCSI_F_CHANGE,
  );
  readonly queueSizes: readonly number[] = Array.from(
    { length: S.FIRST_REQUEST_QUEUE + REQUEST_QUEUES },
    () => QUEUE_SIZE,
  );
  readonly configBytes: number = S.SCSI_CONFIG_BYTES;
  readonly #options: ScsiOptions;
  readonly #units: readonly Unit[];
  readonly #config = new DataView(new ArrayBuffer(S.SCSI_CONFIG_BYTES));
  readonly #yielded: boolean[];
  readonly #publisher: BatchPublisher;
  readonly #events = new ScsiEvents();
  #session: DriverSession | undefined;
  /** Task management that waits, and resets. */
  #settling: { readonly units: readonly Unit[]; readonly done: () => void }[] = [];

  constructor(options: ScsiOptions) {
    this.#options = options;
    this.#units = options.luns.map((lun, index) => createUnit(lun, () => this.#capacityChanged(index)));
    this.#yielded = this.queueSizes.map(() => false);
    this.#publisher = new BatchPublisher(this.queueSizes.length, options.yieldTurn);
    const config = this.#config;
    config.setUint32(S.SCSI_CONFIG_NUM_QUEUES, REQUEST_QUEUES, true);
    config.setUint32(S.SCSI_CONFIG_SEG_MAX, SEG_MAX, true);
    config.setUint32(S.SCSI_CONFIG_MAX_SECTORS, MAX_SECTORS, true);
    config.setUint32(S.SCSI_CONFIG_CMD_PER_LUN, CMD_PER_LUN, true);
    config.setUint32(S.SCSI_CONFIG_EVENT_INFO_SIZE, S.SCSI_EVENT_BYTES, true);
    config.setUint32(S.SCSI_CONFIG_MAX_LUN, Math.max(0, options.luns.length - 1), true);
    this.#resetSizes();
  }

  #capacityChanged(lun: number): boolean {
    if (this.#session === undefined) return false;
    this.#events.capacityChanged(lun);
    this.#tellEvents();
    return true;
  }

  /** By LUN: what a machine's owner may do with each. */
  get disks(): readonly { readonly readOnly: boolean; resize(bytes: number): Promise<void> }[] {
    return this.#units.map(({ limits, capacity }) => ({
      readOnly: limits.readOnly,
      resize: (bytes) => capacity.resize(bytes),
    }));
  }

  /** 5.6.4.2: the defaults come back with a reset. */
  #resetSizes(): void {
    this.#config.setUint32(S.SCSI_CONFIG_SENSE_SIZE, S.VIRTIO_SCSI_SENSE_DEFAULT_SIZE, true);
    this.#config.setUint32(S.SCSI_CONFIG_CDB_SIZE, S.VIRTIO_SCSI_CDB_DEFAULT_SIZE, true);
  }

  get #sizes(): ScsiSizes {
    return {
      cdbBytes: this.#config.getUint32(S.SCSI_CONFIG_CDB_SIZE, true),
      senseBytes: this.#config.getUint32(S.SCSI_CONFIG_SENSE_SIZE, true),
    };
  }

  readConfig(offset: number, width: AccessWidth): number {
    let value = 0;
    for (let byte = 0; byte < width; byte++) value |= this.#config.getUint8(offset + byte) << (byte * 8);
    return value >>> 0;
  }

  /** Two fields are the driver's, each written as a whole. */
  writeConfig(offset: number, width: AccessWidth, value: number): void {
    const least =
      offset === S.SCSI_CONFIG_CDB_SIZE
        ? MIN_CDB_SIZE
        : offset === S.SCSI_CONFIG_SENSE_SIZE
          ? MIN_SENSE_SIZE
          : Number.POSITIVE_INFINITY;
    if (width === 4 && value >= least && value <= MAX_SIZE) this.#config.setUint32(offset, value, true);
  }

  onConfigChanged(): void {}

  activate(session: DriverSession): void {
    this.#session = session;
    this.#publisher.activate(session);
  }

  reset(): Promise<void> | undefined {
    this.#session = undefined;
    this.#publisher.reset();
    // What waited is the former driver's; the next reads the capacities.
    this.#settling = [];
    this.#events.clear();
    for (const unit of this.#units) unit.attention = false;
    this.#resetSizes();
    if (this.#units.every(({ underWay }) => underWay === 0)) return undefined;
    return new Promise((resolve) => void this.#settling.push({ units: this.#units, done: resolve }));
  }

  notify(index: number): void {
    if (index === S.EVENT_QUEUE) this.#tellEvents();
    else if (this.#yielded[index] === false) this.#serve(index);
  }

  /** Buffers for events stay with the device until there are some. */
  #tellEvents(): void {
    const session = this.#session;
    const queue = session?.queues[S.EVENT_QUEUE];
    if (session === undefined || queue === undefined || !hasFeature(session.features, S.VIRTIO_SCSI_F_CHANGE)) return;
    const fault = this.#events.tell(queue);
    if (queue.publish()) session.interrupt(S.EVENT_QUEUE);
    if (fault !== undefined) session.needsReset(`queue ${S.EVENT_QUEUE}: ${fault}`);
  }

  #serve(index: number): void {
    const session = this.#session;
    const queue = session?.queues[index];
    if (session === undefined || queue === undefined) return;
    const end = takeChains(queue, (chain) => {
      if (index === S.CONTROL_QUEUE) this.#control(session, chain);
      else this.#start(session, index, chain);
    });
    if (end === 'more') {
      this.#yielded[index] = true;
      this.#options.yieldTurn(() => {
        this.#yielded[index] = false;
        this.#serve(index);
      });
    } else if (end !== 'empty') session.needsReset(`queue ${index}: ${end}`);
  }

  // --- Commands ---

  #start(session: DriverSession, index: number, chain: Chain): void {
    const sizes = this.#sizes;
    const request = parseRequest(chain, sizes);
    if (request === undefined) {
      this.#complete(session, index, chain, 0);
      return;
    }
    if (request.address === 'bad-target') {
      this.#answer(session, index, chain, request, sizes, S.VIRTIO_SCSI_S_BAD_TARGET, { in: 0, out: 0 });
      return;
    }
    const unit = this.#units[request.address.lun];
    if (unit === undefined) {
      const outcome = this.#withoutUnit(request, chain);
      this.#answer(session, index, chain, request, sizes, S.VIRTIO_SCSI_S_OK, outcome);
      return;
    }
    const attention = HEEDLESS.includes(request.cdb.getUint8(0)) ? NO_SENSE : takeAttention(unit);
    const command = attention === NO_SENSE ? parseCommand(request.cdb, unit.limits) : attention;
    if (isSense(command)) {
      this.#answer(session, index, chain, request, sizes, S.VIRTIO_SCSI_S_OK, command);
      return;
    }
    const flight = unit.flights.enter();
    unit.underWay++;
    void execute(command, request, chain, this.#target(session, unit)).then((outcome) => {
      if (typeof outcome !== 'string' && !isSense(outcome)) unit.failing = false;
      const response = outcome === 'overrun' ? S.VIRTIO_SCSI_S_OVERRUN : S.VIRTIO_SCSI_S_OK;
      const result = outcome === 'overrun' ? { in: 0, out: 0 } : outcome;
      this.#answer(session, index, chain, request, sizes, response, result);
      unit.underWay--;
      flight.leave();
      this.#settle();
    });
  }

  /** SPC-4, 4.6.4 and 6.4: these two are answered for every LUN of a target. */
  #withoutUnit(request: ScsiRequest, chain: Chain): Exclude<ScsiOutcome, 'overrun'> {
    const command = parseCommand(request.cdb, NO_LIMITS);
    let outcome: ScsiOutcome = NO_SUCH_LUN;
    if (!isSense(command) && command.kind === 'inquiry') {
      outcome = give(inquiry(NOTHING_THERE), command.limit, request, chain);
    } else if (!isSense(command) && command.kind === 'report-luns') {
      outcome = give(lunList(this.#units.length), command.limit, request, chain);
    }
    return outcome === 'overrun' ? NO_SUCH_LUN : outcome;
  }

  #target(session: DriverSession, unit: Unit): ScsiTarget {
    const { lun, limits } = unit;
    return {
      disk: lun.disk,
      serial: lun.serial,
      limits,
      lunCount: this.#units.length,
      takeAttention: () => takeAttention(unit),
      hostWrote: (parts) => session.hostWrote(parts),
      onError: (command, error) => this.#report(unit, command, error),
    };
  }

  /** A guest that goes on writing to a full disk is told each time, the user once. */
  #report(unit: Unit, command: ScsiCommand, error: unknown): void {
    if (unit.failing) return;
    unit.failing = true;
    const reason = error instanceof Error ? error.message : String(error);
    this.#options.onError(`${unit.lun.name}: ${command.kind} failed: ${reason}`);
  }

  #answer(
    session: DriverSession,
    index: number,
    chain: Chain,
    request: ScsiRequest,
    sizes: ScsiSizes,
    response: number,
    outcome: { readonly in: number; readonly out: number } | Sense,
  ): void {
    const bytes = new Uint8Array(S.SCSI_RESP_HEADER_BYTES + sizes.senseBytes);
    const view = new DataView(bytes.buffer);
    let given = 0;
    let taken = 0;
    if (isSense(outcome)) {
      const sense = senseData(outcome);
      view.setUint8(S.SCSI_RESP_STATUS, S.CHECK_CONDITION);
      view.setUint32(S.SCSI_RESP_SENSE_LEN, sense.length, true);
      bytes.set(sense, S.SCSI_RESP_HEADER_BYTES);
    } else {
      view.setUint8(S.SCSI_RESP_STATUS, S.GOOD);
      given = outcome.in;
      taken = outcome.out;
    }
    view.setUint32(S.SCSI_RESP_RESIDUAL, request.inBytes - given + request.outBytes - taken, true);
    view.setUint8(S.SCSI_RESP_RESPONSE, response);
    if (session === this.#session) chain.write(0, bytes);
    this.#complete(session, index, chain, bytes.length + given);
  }

  // --- Task management ---

  #control(session: DriverSession, chain: Chain): void {
    const request = parseControl(chain);
    switch (request.kind) {
      case 'malformed':
        this.#complete(session, S.CONTROL_QUEUE, chain, 0);
        return;
      case 'rejected':
        this.#reply(session, chain, Uint8Array.of(S.VIRTIO_SCSI_S_FUNCTION_REJECTED));
        return;
      case 'notifications': {
        // None are known: nothing of what was asked for is granted.
        const fault = this.#addressFault(request.address);
        this.#reply(session, chain, Uint8Array.of(0, 0, 0, 0, fault ?? S.VIRTIO_SCSI_S_OK));
        return;
      }
      case 'settle': {
        const { address } = request;
        const fault = address === 'all' ? undefined : this.#addressFault(address);
        if (fault !== undefined) {
          this.#reply(session, chain, Uint8Array.of(fault));
          return;
        }
        const units = typeof address === 'object' ? this.#units.slice(address.lun, address.lun + 1) : this.#units;
        const done = (): void => this.#reply(session, chain, Uint8Array.of(S.VIRTIO_SCSI_S_FUNCTION_COMPLETE));
        this.#settling.push({ units, done });
        this.#settle();
      }
    }
  }

  #addressFault(address: Address): number | undefined {
    if (address === 'bad-target') return S.VIRTIO_SCSI_S_BAD_TARGET;
    return address.lun < this.#units.length ? undefined : S.VIRTIO_SCSI_S_INCORRECT_LUN;
  }

  #settle(): void {
    if (this.#settling.length === 0) return;
    const isSettled = ({ units }: { readonly units: readonly Unit[] }): boolean =>
      units.every(({ underWay }) => underWay === 0);
    const settled = this.#settling.filter(isSettled);
    this.#settling = this.#settling.filter((waiting) => !isSettled(waiting));
    for (const { done } of settled) done();
  }

  #reply(session: DriverSession, chain: Chain, bytes: Uint8Array): void {
    if (session === this.#session) chain.write(0, bytes);
    this.#complete(session, S.CONTROL_QUEUE, chain, bytes.length);
  }

  // --- Both ---

  /** What ends within one turn of the event loop is shown at once. */
  #complete(session: DriverSession, index: number, chain: Chain, written: number): void {
    session.queues[index]?.complete(chain, written);
    this.#publisher.ended(session, index);
  }
}

const NO_LIMITS: ScsiLimits = {
  blocks: 0,
  blockSize: 512,
  readOnly: true,
  canUnmap: false,
  maxUnmapRanges: 0,
  maxUnmapBlocks: 0,
};
