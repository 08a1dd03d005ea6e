/**
 * A vCPU's thread: the machine as seen from there, and its life from start to stop.
 *
 * @module
 */
import { Bus } from '../bus/bus.ts';
import { takeCodeWrites } from '../bus/code-writes.ts';
import {
  ControlArea,
  REQUEST_DROP_CODE,
  REQUEST_PAUSE,
  REQUEST_RESET,
  REQUEST_STOP,
  STATE_PAUSED,
  STATE_RUNNING,
  STATE_STOPPED,
} from '../bus/control.ts';
import { MailboxClient } from '../bus/mailbox-client.ts';
import { PortTable } from '../bus/port-table.ts';
import { tracedBus } from '../bus/traced-bus.ts';
import type { VcpuExit } from '../hypervisor/exit.ts';
import type { Hypervisor, Vcpu } from '../hypervisor/hypervisor.ts';
import type { InitialCpuState } from '../hypervisor/initial-state.ts';
import type { VcpuStats } from '../hypervisor/stats.ts';
import { IrqChip } from '../irqchip/irqchip.ts';
import type { MachineMemoryMap } from '../memory/machine-memory.ts';
import type { Clock } from '../util/clock.ts';
import type { VcpuTrace } from '../util/trace.ts';

/** What the VMM thread hands to a vCPU's thread; survives `structuredClone`. */
export interface VcpuThreadConfig {
  readonly memory: WebAssembly.Memory;
  readonly map: MachineMemoryMap;
  readonly index: number;
  readonly physicalAddressBits: number;
  /** Where the first processor starts; undefined for the others. */
  readonly initial: InitialCpuState | undefined;
}

/** What only the host can do. */
export interface VcpuThreadHost {
  readonly clock: Clock;
  readonly hypervisor: Hypervisor;
  readonly random32: () => number | undefined;
  /** The state to start from after a reset; the VMM thread has sent it before it asked for the reset. */
  takeInitialState(): InitialCpuState | undefined;
  readonly trace?: VcpuTrace | undefined;
}

/** How a vCPU's thread ended. */
export interface VcpuThreadEnd {
  readonly exit: VcpuExit;
  readonly stats: VcpuStats;
}

/** Runs a vCPU until it is stopped or cannot go on. Blocks the thread. */
export function runVcpuThread(config: VcpuThreadConfig, host: VcpuThreadHost): VcpuThreadEnd {
  const { memory, map, index } = config;
  const { buffer } = memory;
  const area = new ControlArea(buffer, map);
  const control = area.vcpu(index);
  const made: { vcpu?: Vcpu } = {};
  const irqchip = new IrqChip({
    buffer,
    map,
    clock: host.clock,
    kick: (target) => area.vcpu(target).kick(),
    tscOffset: (of) => (of === index ? (made.vcpu?.tscOffset() ?? 0) : 0),
    physicalAddressBits: config.physicalAddressBits,
  });
  const localPorts = new Bus();
  const localMmio = new Bus();
  irqchip.attach(localPorts, localMmio);
  const bus = new MailboxClient({
    control: area,
    vcpu: index,
    ports: new PortTable(buffer, map),
    localPorts,
    localMmio,
  });
  const vcpu = host.hypervisor.createVcpu({
    memory,
    map,
    index,
    clock: host.clock,
    interrupts: irqchip.vcpu(index),
    bus: host.trace === undefined ? bus : tracedBus(bus, host.trace.vcpu),
    control,
    random32: host.random32,
    trace: host.trace,
  });
  made.vcpu = vcpu;
  if (config.initial !== undefined) vcpu.load(config.initial);
  control.state = STATE_RUNNING;
  for (;;) {
    const exit = vcpu.run();
    const { requests } = control;
    if (exit.kind === 'kicked' && (requests & REQUEST_STOP) === 0) {
      if ((requests & REQUEST_DROP_CODE) !== 0) {
        control.clearRequest(REQUEST_DROP_CODE);
        const { pages, acknowledge } = takeCodeWrites(area, index);
        vcpu.forgetCode?.(pages);
        acknowledge();
      }
      if ((requests & REQUEST_PAUSE) !== 0) {
        control.state = STATE_PAUSED;
        while ((control.requests & (REQUEST_PAUSE | REQUEST_STOP)) === REQUEST_PAUSE) {
          control.clearKick();
          if ((control.requests & (REQUEST_PAUSE | REQUEST_STOP)) === REQUEST_PAUSE) control.waitForKick(1000);
        }
        control.state = STATE_RUNNING;
      }
      if ((control.requests & REQUEST_RESET) !== 0) {
        control.clearRequest(REQUEST_RESET);
        const initial = host.takeInitialState();
        if (initial === undefined) vcpu.reset();
        else vcpu.load(initial);
      }
      continue;
    }
    control.state = STATE_STOPPED;
    const stats = { ...vcpu.stats(), deviceCalls: bus.calls, postedWrites: bus.posted };
    return { exit, stats };
  }
}
